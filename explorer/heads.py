"""What the attention heads of a network compute: watched as it happens, and changed where somebody asks.

transformers lets every model call an attention function of one's own by name. Ours does what their eager one does, step
by step, and tells whoever watches in the same thread. Networks of ours are watched by hooks. Like `explorer.borrow`,
it acts on a borrowed network only.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from explorer.errors import ExplorerError

NAME = "explorer"  # of our attention function, as `attn_implementation` of a transformers model


@dataclass(eq=False)
class Call:
    """One attention layer at work on a batch: N examples, H heads, Q queries, K keys, d numbers a head."""

    module: nn.Module  # the attention layer
    query: Tensor  # (N, H, Q, d), positions already in it where they are rotary
    key: Tensor  # (N, H, K, d), those of grouped queries repeated
    value: Tensor  # (N, H, K, d)
    scaling: float  # what the dot products are multiplied by: 1/√d, as a rule
    bias: Tensor | None  # broadcasts to (N, H, Q, K): relative positions, added to the scores
    mask: Tensor | None  # broadcasts to (N, H, Q, K): 0 where a query may look, hugely negative elsewhere
    scores: Tensor  # (N, H, Q, K), scaled, bias and mask added; -inf where something was hidden
    weights: Tensor  # (N, H, Q, K), rows sum to 1
    output: Tensor  # (N, H, Q, d), what each head gathered, before they are mixed; after any change


Change = Callable[[Tensor], Tensor]  # the output of all heads of a layer, (N, H, Q, d) → the same shape


class Watch:
    """The attention layers that were called, in order, and what is to be changed in them."""

    def __init__(self, changes: Mapping[int, Change], hidden: Mapping[int, Tensor], keep: bool) -> None:
        self.changes, self.hidden, self.keep = changes, hidden, keep
        self.calls: list[Call] = []
        self.number = 0  # of the call that is under way

    def mask(self, scores: Tensor) -> Tensor:
        """The scores (N, H, Q, K) without what is hidden."""
        hidden = self.hidden.get(self.number)
        return scores if hidden is None else scores.masked_fill(hidden, -torch.inf)

    def tell(self, call: Call) -> Tensor:
        """Take note of one call; the output as it goes on from here."""
        change = self.changes.get(self.number)
        self.number += 1
        if change:
            call.output = change(call.output)
        if self.keep:
            self.calls.append(call)
        return call.output


_watching: ContextVar[Watch | None] = ContextVar("watching", default=None)  # each thread has its own


@contextmanager
def watch(
    net: nn.Module,
    changes: Mapping[int, Change] | None = None,
    hidden: Mapping[int, Tensor] | None = None,
    keep: bool = True,
) -> Iterator[list[Call]]:
    """The attention layers of a borrowed network as they are called inside the `with`, in order.

    changes: by the number of the call, what becomes of the output of its heads.
    hidden: by the number of the call, (Q, K), true where a query must not look at a key.
    keep: False leaves the list empty, for who only wants to change something.
    A network whose attention is one fused kernel, or of a kind of its own, gives no calls.
    """
    seen = Watch(changes or {}, hidden or {}, keep)
    token = _watching.set(seen)
    handles: list[RemovableHandle] = []
    try:
        for part in _ours(net):
            handles.extend(_hooked(part, seen))
        yield seen.calls
    finally:
        _watching.reset(token)
        for handle in handles:
            handle.remove()


def _ours(net: nn.Module) -> list[nn.Module]:
    """The attention layers of a network of ours; none of transformers has one."""
    from explorer.models.vit import Attention

    return [] if hasattr(net, "config") else [part for part in net.modules() if isinstance(part, Attention)]


def _hooked(part: nn.Module, seen: Watch) -> Iterator[RemovableHandle]:
    """Watch an attention layer of ours by what its parts take and give."""
    held: dict[str, Tensor] = {}

    def hold(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            held[name] = output

        return keep

    def mask(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        held["scores"] = seen.mask(inputs[0])
        return (held["scores"],)

    def gathered(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        query, key, value = (part._split(held[name]) for name in ("query", "key", "value"))  # (N, H, T, d)
        output = part._split(inputs[0])
        scaling = query.shape[-1] ** -0.5
        told = seen.tell(Call(part, query, key, value, scaling, None, None, held["scores"], held["weights"], output))
        return inputs if told is output else (told.transpose(1, 2).flatten(2),)

    for name, module in (("query", part.query), ("key", part.key), ("value", part.value), ("weights", part.softmax)):
        yield module.register_forward_hook(hold(name))
    yield part.softmax.register_forward_pre_hook(mask)
    yield part.out.register_forward_pre_hook(gathered)


def attention(
    module: nn.Module,
    query: Tensor,  # (N, H, Q, d)
    key: Tensor,  # (N, H / groups, K, d)
    value: Tensor,  # (N, H / groups, K, d)
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention as transformers wants it: ((N, Q, H, d), weights (N, H, Q, K)).

    Raises ExplorerError for heads that may also look at nothing at all (sinks).
    Source: Vaswani et al. 2017, equation 1; grouped queries after Ainslie et al. 2023.
    """
    if s_aux is not None:
        raise ExplorerError(
            f"The attention of {type(module).__name__}",
            "it has sinks, so that its weights don't sum to one",
            "Open a model without them",
        )
    if query.shape[1] != key.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = query @ key.transpose(-2, -1) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if position_bias is not None:
        scores = scores + position_bias
    if attention_mask is not None:
        scores = scores + attention_mask
    seen = _watching.get()
    if seen:
        scores = seen.mask(scores)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    if module.training:
        weights = nn.functional.dropout(weights, dropout)
    output = weights @ value  # (N, H, Q, d)
    if seen:
        output = seen.tell(
            Call(module, query, key, value, scaling, position_bias, attention_mask, scores, weights, output)
        )
    return output.transpose(1, 2).contiguous(), weights


@functools.cache
def implementation() -> str:
    """The name to load a transformers model with so that its heads can be watched."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    return NAME
