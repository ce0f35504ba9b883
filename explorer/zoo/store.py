"""The one place that holds opened models: bounded, shared by all threads, least recently used out first."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.memory import give_back, out_of_memory, room
from explorer.turns import LOOK, TURNS
from explorer.zoo.refs import Ref, asked, instead

if TYPE_CHECKING:
    from explorer.zoo.model import Model


@dataclass(frozen=True)
class Found:
    """A model that is known to exist, before anything of it is read into memory."""

    bytes: int  # that it will take, as well as can be known
    load: Callable[[], "Model"]


class Store:
    """Models by ref, up to a number of bytes.

    Each is loaded once, however many threads ask; different ones load side by side. A failed load is told to all who
    waited for it and tried anew at the next call; after one that was broken off, the next who waits loads it. A model
    that was dropped lives on for as long as somebody uses it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit  # bytes
        self._held: OrderedDict[Ref, Model] = OrderedDict()  # the least recently used first
        self._loading: dict[Ref, Future[Model]] = {}
        self._promised: dict[Ref, int] = {}  # bytes of what is being loaded
        self._lock = threading.Lock()

    def get(self, ref: Ref, find: Callable[[Ref], Found]) -> "Model":
        """The model of a ref, loaded if need be; raises ExplorerError where it can't be had or does not fit."""
        while True:
            with self._lock:
                if ref in self._held:
                    self._held.move_to_end(ref)
                    return self._held[ref]
                future = self._loading.get(ref)
                if future is None:
                    future = self._loading[ref] = Future()
                    break
            with TURNS.aside():  # a loader may need a turn itself
                while not wait([future], LOOK).done:
                    TURNS.wanted()
            if not future.cancelled():
                return future.result()
        try:
            model = self._load(ref, find(ref))
        except BaseException as error:
            with self._lock:
                self._forget(ref)
            if isinstance(error, Exception):
                future.set_exception(error)
            else:  # its page has moved on, which is nobody else's business
                future.cancel()
                future.set_running_or_notify_cancel()
            raise
        with self._lock:
            self._forget(ref)
            self._make_room(model.bytes)
            self._held[ref] = model
        future.set_result(model)
        return model

    def held(self) -> list[tuple[str, int]]:
        """The refs of the models held and their bytes, the least recently used first."""
        with self._lock:
            return [(str(ref), model.bytes) for ref, model in self._held.items()]

    def clear(self) -> None:
        """Drop every model."""
        with self._lock:
            self._held.clear()

    def _load(self, ref: Ref, found: Found) -> "Model":
        self._check(ref, found.bytes)
        with self._lock:
            self._promised[ref] = found.bytes
            self._make_room(0)
        self._check_room(ref, found.bytes)
        try:
            model = found.load()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            model = None
        if model is None:  # outside the except clause, whose traceback would keep the first try's tensors alive
            model = self._load_again(ref, found)
        self._check(ref, model.bytes)
        return model

    def _load_again(self, ref: Ref, found: Found) -> "Model":
        """The second try, with the memory of every other model."""
        self.clear()
        give_back()
        try:
            return found.load()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise ExplorerError(asked(ref), "there is not enough memory for it", instead()) from error

    def _check(self, ref: Ref, size: int) -> None:
        if size > self._limit:
            raise ExplorerError(
                asked(ref),
                f"it takes {_mb(size)}, more than the {_mb(self._limit)} that this server keeps for models",
                f"Set EXPLORER_STORE to more bytes, or choose a smaller one. {instead()}",
            )

    def _check_room(self, ref: Ref, size: int) -> None:
        """Refuse what does not fit into the memory that is left, before it is tried, even without the other models."""
        if size < room():
            return
        self.clear()
        give_back()
        if size >= (left := room()):
            raise ExplorerError(
                asked(ref), f"it takes {_mb(size)}, and {_mb(left)} of memory are left here", "Choose a smaller one"
            )

    def _make_room(self, size: int) -> None:
        """Drop the least recently used until `size` more bytes fit, beside what is being loaded; under the lock."""
        wanted = size + sum(self._promised.values()) + sum(model.bytes for model in self._held.values())
        while wanted > self._limit and self._held:
            wanted -= self._held.popitem(last=False)[1].bytes

    def _forget(self, ref: Ref) -> None:
        self._loading.pop(ref)
        self._promised.pop(ref, None)


def _mb(size: int) -> str:
    return f"{max(1, round(size / 2**20)):,} MB"
