"""A private module tree over shared weights, and what a network computes inside.

One loaded model serves everybody at once, so nobody hooks it, switches its mode or asks it for gradients: whoever
wants to do that borrows. A borrowed tree has modules, hooks, flags, gradients and buffers of its own, and reads the
shared weights in place. What stays forbidden is to write into a weight (`weight.add_(…)`): put a new one in its
place instead (`layer.weight = nn.Parameter(…)`).
"""

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from operator import attrgetter, eq, is_, is_not
from typing import Any

import torch
from torch import Tensor, nn

from explorer.errors import ExplorerError
from explorer.turns import TURNS

GRADIENT = attrgetter("grad")
ASKED = [
    attrgetter(name) for name in ("requires_grad", "_backward_hooks", "_post_accumulate_grad_hooks")
]  # of a tensor
IDLE = 4  # trees of one model that are kept ready: as many as can usefully run at once


def private(module: nn.Module) -> nn.Module:
    """A copy of a network that shares the memory of its weights and nothing else.

    Every parameter becomes a new `nn.Parameter` over the same memory, frozen, so that even `requires_grad_` and `.grad`
    stay private; tied weights stay tied. Buffers are real copies, because BatchNorm in training mode writes into
    its running statistics: they are 38 KB of a ResNet-18's 47 MB.
    """
    with torch.inference_mode(False):  # copies made in inference mode could never take part in a gradient
        memo = {id(shared): nn.Parameter(shared.detach(), requires_grad=False) for shared in module.parameters()}
        return copy.deepcopy(module, memo)


class Pool:
    """Lends private trees of one network, and keeps a few of those that come back as they went."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._idle: list[_Tree] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[nn.Module]:
        """A private tree for the length of a `with`; hook it, switch it, differentiate it, then let go of it.

        So many borrow at once as this server bears; the others wait for their turn.
        """
        with TURNS.take():
            with self._lock:
                tree = self._idle.pop() if self._idle else None
            tree = tree or _Tree(self._module)
            yield tree.module  # after an error in the body the tree is dropped
        if tree.untouched():
            tree.reset()
            with self._lock:
                if len(self._idle) < IDLE:
                    self._idle.append(tree)


class _Tree:
    """A private tree that remembers how it looked when it was new."""

    def __init__(self, module: nn.Module) -> None:
        self.module = private(module)
        self._parameters = [*self.module.parameters()]
        self._places = [*map(Tensor.data_ptr, self._parameters)]
        self._buffers = list(zip(self.module.buffers(), module.buffers(), strict=True))
        self._tensors = [*self._parameters, *(mine for mine, _ in self._buffers)]
        held = [held for part in self.module.modules() for held in _dicts(part)]
        self._empty = [one for one in held if not one]  # most are: hooks of every kind
        self._full = [one for one in held if one]
        self._sizes = [*map(len, self._full)]
        self._values = [*chain.from_iterable(map(dict.values, self._full))]

    def untouched(self) -> bool:
        """Whether all modules, hooks, modes and flags are what they were, over the same weights, without gradients."""
        return (
            not any(self._empty)
            and [*map(len, self._full)] == self._sizes
            and all(map(is_, chain.from_iterable(map(dict.values, self._full)), self._values))
            and all(map(eq, map(Tensor.data_ptr, self._parameters), self._places))
            and all(mine.shape == shared.shape for mine, shared in self._buffers)
            and not any(any(map(asked, self._tensors)) for asked in ASKED)
            and not any(map(is_not, map(GRADIENT, self._tensors), repeat(None)))
        )

    @torch.no_grad()
    def reset(self) -> None:
        """Undo what a forward pass may have written into the buffers."""
        for mine, shared in self._buffers:
            mine.copy_(shared)


def _dicts(module: nn.Module) -> list[dict[str, Any]]:
    """Everything set on a module: its flags, and its parameters, buffers, children and hooks of every kind."""
    return [vars(module), *(value for value in vars(module).values() if isinstance(value, dict))]


@contextmanager
def capture(module: nn.Module, layers: Sequence[str] | None = None, graph: bool = False) -> Iterator[dict[str, Any]]:
    """What the layers of a borrowed network give out, by name, for every forward pass inside the `with`.

    layers: names as in `module.named_modules()`; None takes all but the network itself.
    graph: keep the outputs in the autograd graph, so that gradients reach them; otherwise they are detached.
    The dict fills as the layers finish. A layer that runs twice keeps its last output. Outputs are a tensor, or
    tuples, lists and dicts of them, and stay as they were where the next layer works in place.
    Raises ExplorerError for a layer that there isn't. The hooks go when the `with` ends, in whatever way.
    """
    parts = {name: part for name, part in module.named_modules() if name}
    for name in layers or ():
        if name not in parts:
            raise ExplorerError(
                f"The layer {name!r}", "this model has none of that name", f"Its layers are: {', '.join(parts)}"
            )
    outputs: dict[str, Any] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def keep(part: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            outputs[name] = output if graph else _detached(output)
            # In-place work that follows must change neither: the next layer goes on with a copy.
            return output.clone() if graph and isinstance(output, Tensor) else None

        return parts[name].register_forward_hook(keep)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name in parts if layers is None else layers:
            handles.append(watch(name))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _detached(output: Any) -> Any:
    """The same nesting of tensors, each a detached copy."""
    if isinstance(output, Tensor):
        return output.detach().clone()
    if isinstance(output, dict):
        return {name: _detached(value) for name, value in output.items()}
    if isinstance(output, tuple | list):
        return type(output)(map(_detached, output)) if type(output) in (tuple, list) else tuple(map(_detached, output))
    return output
