"""A network's answer as a graph that runs without Python, and so without waiting for the other threads of Python.

A sample asks a small network hundreds of times, the measures of a map ask it of a hundred pictures, and each of its
hundreds of little operations waits until the other threads let Python go: beside a busy page that takes four times as
long as the operations themselves.
"""

import threading
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from explorer.borrow import private

AFTER = 60  # times that one kind of input is asked for before its graph is made, which takes as long as forty answers:
# more than what a training draws at each checkpoint, whose network is opened for that alone
MOST = 4  # graphs of a network
LARGE = 100_000_000  # parameters above which operations take so long that Python doesn't matter

# What is written into a graph, as a time would be, is found when it is tried.
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)

Answer = Callable[..., Tensor]  # of a network to its inputs, of which some may be None


class _Network(nn.Module):
    """A network with the one way in which it is asked, as `torch.jit.trace` takes it."""

    def __init__(self, network: nn.Module, answer: Answer) -> None:
        super().__init__()
        self.network, self.answer = network, answer

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.answer(self.network, *inputs)


class Graphs:
    """The graphs of one network, which shares its weights with them: one for each kind of input it is often asked of.

    answer: asks a network for its answer to inputs, the first of which are the states, pictures or points (N, …), and
    the last of which may be None.
    """

    def __init__(self, network: nn.Module, answer: Answer) -> None:
        self._network, self._answer = network, answer
        self._seen: Counter[Any] = Counter()  # kind of input → times that it was asked for
        self._made: OrderedDict[Any, _Graph] = OrderedDict()
        self._lock = threading.Lock()
        some = next(network.parameters(), None)
        small = sum(one.numel() for one in network.parameters()) < LARGE
        self._on = some is not None and some.device.type == "cpu" and small

    def ask(self, network: nn.Module, *inputs: Tensor | None) -> Tensor:
        """The answer to inputs; `network` has to be as it was loaded, without hooks that change anything.

        It is the network's own where there is no graph yet, and where one would answer otherwise.
        """
        there = [one for one in inputs if one is not None]
        graph = self._graph(there, len(inputs)) if self._on and torch.is_inference_mode_enabled() else None
        good = None if graph is None else graph.good.get(len(there[0]))
        if graph is None or good is False:
            return self._answer(network, *inputs)
        answer = graph(there)
        if good:
            return answer
        own = self._answer(network, *inputs)
        graph.good[len(there[0])] = answer is not None and torch.equal(answer, own)
        return own

    def _graph(self, there: list[Tensor], count: int) -> "_Graph | None":
        kind = tuple((one.shape[1:], one.dtype) for one in there)
        with self._lock:
            if found := self._made.get(kind):
                self._made.move_to_end(kind)
                return found
            self._seen[kind] += 1
            if self._seen[kind] != AFTER:  # one thread makes it, and the others go on as before
                return None
        nothing = (None,) * (count - len(there))
        answer = (lambda network, *inputs: self._answer(network, *inputs, *nothing)) if nothing else self._answer
        made = _Graph(_Network(private(self._network), answer).eval(), there)
        with self._lock:
            self._made[kind] = made
            if len(self._made) > MOST:
                old, _ = self._made.popitem(last=False)
                del self._seen[old]
        return None  # it is tried when it is asked next, at another time


class _Graph:
    """One graph. Until so many states were tried, nobody knows whether it answers as the network does, to the last bit.

    The number of states it was made of may be written into it, and so may the time.
    """

    def __init__(self, network: nn.Module, inputs: list[Tensor]) -> None:
        self.good: dict[int, bool] = {}  # number of states → whether its answers are those of the network
        self._traced = None
        try:
            self._traced = torch.jit.trace(network, tuple(inputs), check_trace=False)
        except Exception:  # noqa: BLE001 — what can't be traced is asked as ever
            return

    def __call__(self, inputs: list[Tensor]) -> Tensor | None:
        if self._traced is None:
            return None
        try:
            with torch.jit.optimized_execution(False):  # the very operations of the network, in their order
                return self._traced(*inputs)
        except RuntimeError:  # sizes that don't fit together
            return None
