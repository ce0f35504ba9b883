"""A network's answer as a graph that runs without Python, and so without waiting for the other threads of Python.

A sample asks a small network hundreds of times, and each of its hundreds of little operations waits until the other
threads let Python go: beside a busy page that takes four times as long as the operations themselves.
"""

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from explorer.borrow import private

AFTER = 60  # times that one shape is asked for before its graph is made, which takes as long as some eighty answers
MOST = 8  # graphs of a network
LARGE = 100_000_000  # parameters above which operations take so long that Python doesn't matter

# A graph is of one shape alone, which may be written into it; whatever else is, is found when it is tried.
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)

Answer = Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor]


class _Network(nn.Module):
    """A network with the one way in which it is asked, as `torch.jit.trace` takes it."""

    def __init__(self, network: nn.Module, answer: Answer) -> None:
        super().__init__()
        self.network, self.answer = network, answer

    def forward(self, x: Tensor, time: Tensor, given: Tensor | None = None) -> Tensor:
        return self.answer(self.network, x, time, given)


class Graphs:
    """The graphs of one network, which shares its weights with them: one for each shape that is asked for often.

    answer: asks a network for its answer to states at a time, with a condition or None.
    """

    def __init__(self, network: nn.Module, answer: Answer) -> None:
        self._network, self._answer = network, answer
        self._seen: OrderedDict[Any, int] = OrderedDict()  # shape → times that it was asked for
        self._made: OrderedDict[Any, _Graph] = OrderedDict()
        self._lock = threading.Lock()
        some = next(network.parameters(), None)
        small = sum(one.numel() for one in network.parameters()) < LARGE
        self._on = some is not None and some.device.type == "cpu" and small

    def ask(self, network: nn.Module, x: Tensor, time: Tensor, given: Tensor | None) -> Tensor:
        """The answer to states (N, …) at one time; `network` has to be as it was loaded, without hooks.

        It is the network's own where there is no graph yet, and where one would answer otherwise.
        """
        graph = self._graph(x, time, given) if self._on and torch.is_inference_mode_enabled() else None
        if graph is None or not graph.good:
            return self._answer(network, x, time, given)
        answer = graph(x, time, given)
        if graph.tried:
            return answer
        own = self._answer(network, x, time, given)
        graph.good, graph.tried = torch.equal(answer, own), True
        return own

    def _graph(self, x: Tensor, time: Tensor, given: Tensor | None) -> "_Graph | None":
        key = tuple((one.shape, one.dtype) for one in (x, time, given) if one is not None)
        with self._lock:
            if found := self._made.get(key):
                self._made.move_to_end(key)
                return found
            seen = self._seen[key] = self._seen.pop(key, 0) + 1
            if len(self._seen) > 8 * MOST:
                self._seen.popitem(last=False)
            if seen != AFTER:  # one thread makes it, and the others go on as before
                return None
        made = _Graph(_Network(private(self._network), self._answer).eval(), x, time, given)
        with self._lock:
            self._made[key] = made
            if len(self._made) > MOST:
                old, _ = self._made.popitem(last=False)
                self._seen.pop(old, None)
        return None  # it is tried when it is asked next, at another time


class _Graph:
    """One graph. Until it was tried, nobody knows whether it answers as the network does, to the last bit."""

    def __init__(self, network: nn.Module, x: Tensor, time: Tensor, given: Tensor | None) -> None:
        self.good, self.tried, self._given = True, False, given is not None
        try:
            asked = (x, time, given) if self._given else (x, time)
            self._traced = torch.jit.trace(network, asked, check_trace=False)
        except Exception:  # noqa: BLE001 — what can't be traced is asked as ever
            self.good = False

    def __call__(self, x: Tensor, time: Tensor, given: Tensor | None) -> Tensor:
        with torch.jit.optimized_execution(False):  # the very operations of the network, in their order
            return self._traced(x, time, given) if self._given else self._traced(x, time)
