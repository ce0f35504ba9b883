"""The logit lens: what a language model would answer if it stopped after any of its blocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from explorer.activations.capture import array, calm, plain, watched
from explorer.activations.feed import Feed, feed, opened
from explorer.activations.tokens import NUMBERS, Chain, answering, chains, instead, places, repeated, tokens_of
from explorer.errors import ExplorerError
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

APART = 1e-3  # of the range of its logits: by how much the last layer may miss the network's own answer


@dataclass(frozen=True, eq=False)
class Lens:
    """What a network's own end makes of the state after each of L blocks, at T places, the likeliest K answers of C."""

    kind: str  # next (token) | same (token) | answer (the next token of it) | class
    tokens: tuple[str, ...]  # (T,) what was read; of a classifier the one place that it answers for
    actual: tuple[str | None, ...]  # (T,) what is truly there; None where that is not known
    blocks: tuple[str, ...]  # (L,)
    words: tuple[tuple[tuple[str, ...], ...], ...]  # (L + 1, T, K) the likeliest first
    ids: np.ndarray  # (L + 1, T, K) int64, the numbers of `words`
    probabilities: np.ndarray  # (L + 1, T, K) float32
    entropy: np.ndarray  # (L + 1, T) float32, in nats
    divergence: np.ndarray  # (L + 1, T) float32, KL(last ‖ this) in nats
    truth: np.ndarray  # (L + 1, T) float32, probability of `actual`; NaN where that is not known
    rank: np.ndarray  # (L + 1, T) float32, 1 where `actual` is the likeliest; NaN where it is not known
    choices: int  # C: tokens of the vocabulary, or classes
    end: tuple[str, ...]  # the layers that follow the last block, in order
    off: float  # the largest difference between the last layer's logits and the network's own

    @property
    def places(self) -> tuple[str, ...]:
        """What a person calls the L + 1 places."""
        return places(len(self.blocks))

    @property
    def settled(self) -> np.ndarray:
        """The first place from which on the final answer stays the likeliest, (T,) from 0 to L."""
        same = self.ids[:, :, 0] == self.ids[-1, :, 0]  # (L + 1, T)
        return len(same) - np.cumprod(same[::-1], 0).sum(0)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        held = (self.ids, self.probabilities, self.entropy, self.divergence, self.truth, self.rank)
        return sum(one.nbytes for one in held)


def lens(
    ref: str | Model, x: object = None, top: int = 5, on_step: Callable[[float], None] = lambda share: None
) -> Lens:
    """What a network would answer at each token, were each of its blocks the last.

    The state is put in the place of what the last block gives, and the network's own layers after it (a final norm, a
    head, whatever there is) make the answer of it, so the last layer is the network's own answer. A decoder answers
    with the next token, an encoder with the token itself, an encoder-decoder with the next token of its answer; a
    classifier with its classes. x: as of `feed`, one example.
    Raises ExplorerError for a network that answers nothing, or of which the end alone does not give its own answer.
    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    model = opened(ref)
    asked = f"The logit lens of {model.card.ref}"
    if model.card.task == "feature-extraction":
        raise ExplorerError(
            asked, "it is an encoder without a head, which answers nothing", "Look at its hidden states"
        )
    given = plain(feed(model, x))
    given = given.rows(0, 1)
    with model.borrow() as net, calm(net):
        chained, answer = chains(given, net)
        states = answering(chained).states[:, 0]  # (L + 1, T, W)
        end, logits = _ended(given, net, chained, states[-1:])
        off = float((logits - _places(answer)).abs().max())
        if not off <= APART * float(answer.abs().max().clamp_min(1)):
            raise ExplorerError(asked, f"what follows its last block misses its own answer by {off:.2g}",
                                "Look at its hidden states")  # fmt: skip
        final = logits[0].float().log_softmax(-1)  # (T, C)
        labels = _actual(given, len(final)).to(final.device)
        rows = max(1, NUMBERS // final.numel())
        read = []
        for start in range(0, len(states), rows):
            on_step(start / len(states))
            logits = _ended(given, net, chained, states[start : start + rows], look=False)[1]
            read.append(_read(logits, final, labels, top))
        blocks = tuple(call.name for call in answering(chained).calls)
    ids, probabilities, entropy, divergence, truth, rank = (np.concatenate(one) for one in zip(*read, strict=True))
    tokens = tokens_of(given, answering(chained).part, states.shape[1])
    return Lens(
        _kind(model), tokens if len(tokens) == len(final) else (tokens[0],), _spelled(model, labels.tolist()), blocks,
        tuple(tuple(_spelled(model, row) for row in layer) for layer in ids.tolist()),
        ids, probabilities, entropy, divergence, truth, rank, final.shape[-1], end, off,
    )  # fmt: skip


def _ended(
    given: Feed, net: nn.Module, chained: Sequence[Chain], states: Tensor, look: bool = True
) -> tuple[tuple[str, ...], Tensor]:
    """The layers after the last block, and the logits (rows, places, choices) that they make of some states."""
    leaves = [name for name, part in net.named_modules() if name and not any(True for _ in part.children())]
    begun = 0

    def at() -> None:
        nonlocal begun
        begun = len(calls)

    with (
        torch.inference_mode(False),
        torch.no_grad(),
        watched(net, leaves if look else []) as calls,
        instead(chained, states, at),
    ):
        answer = repeated(given, len(states)).run(net)
    return tuple(call.name for call in calls[begun:]), _places(answer)


def _places(answer: Tensor) -> Tensor:
    """Logits as (rows, places, choices): a classifier answers at one place."""
    return answer[:, None] if answer.ndim == 2 else answer


def _read(logits: Tensor, final: Tensor, labels: Tensor, top: int) -> tuple[np.ndarray, ...]:
    """What is told of logits (rows, T, C), beside the last layer's logarithms (T, C) and the true answers (T,)."""
    logarithms = logits.float().log_softmax(-1)
    share = logarithms.exp()
    best = share.topk(min(top, share.shape[-1]))
    entropy = -_weighed(share, logarithms)
    divergence = _weighed(final.exp(), final - logarithms).clamp_min(0)
    known = labels >= 0
    place = labels.clamp_min(0)[None, :, None].expand(len(share), -1, 1)
    mine = logarithms.gather(-1, place)  # (rows, T, 1)
    rank = (logarithms > mine).sum(-1) + 1.0
    truth = mine[..., 0].exp()
    rank[:, ~known] = truth[:, ~known] = torch.nan
    return tuple(map(array, (best.indices, best.values, entropy, divergence, truth, rank)))


def _weighed(share: Tensor, values: Tensor) -> Tensor:
    """The mean of values that may be infinite where nothing has a share of them."""
    product = share * values
    total = product.sum(-1)
    return product.nan_to_num(0.0, torch.inf, -torch.inf).sum(-1) if total.isnan().any() else total


def _kind(model: Model) -> str:
    kinds = {"fill-mask": "same", "text-generation": "next", "text2text-generation": "answer"}
    return kinds.get(model.card.task, "class")


def _actual(given: Feed, count: int) -> Tensor:
    """The number of the true answer at each place, -1 where it is not known: (T,)."""
    model, none = given.model, torch.full((count,), -1)
    kind = _kind(model)
    if kind == "class":
        return none
    ids = given.inputs["decoder_input_ids" if kind == "answer" else "input_ids"][0].cpu()
    if kind == "same":
        return torch.where(ids == (model.tokenizer.mask_token_id if model.mask_token else -1), -1, ids)
    return torch.cat([ids[1:], none[:1]])


def _spelled(model: Model, ids: Sequence[int]) -> tuple[str | None, ...]:
    """Answers by their numbers; None for -1."""
    if _kind(model) == "class" or not isinstance(model, TextModel):
        return tuple(None if number < 0 else model.labels[number] for number in ids)
    return tuple(None if number < 0 else model.token(number) for number in ids)
