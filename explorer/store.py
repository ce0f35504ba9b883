"""Keeps what was loaded or computed for whoever asks next, up to a limit in bytes."""

import dataclasses
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from explorer.settings import settings
from explorer.turns import TURNS

SMALL = 64  # bytes of a number, near enough
LOOKED_AT = 50  # elements of a sequence that are weighed; the others count like these


class Store:
    """Values by key; the least recently used go first when their bytes pass the limit.

    One key is made once, however many threads ask; different keys don't wait for each other, and who waits for
    somebody else's work lends the turn it has, and is told to come back where that takes too long. What fails, or was
    broken off, is not remembered: the next who waits makes it. A value above the limit is handed out but not kept.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()  # value, bytes; the newest used last
        self._bytes = 0  # of all that is held
        self._gates: dict[Hashable, threading.Lock] = {}  # keys that are being made
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `key`, made now unless it is held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][0]
            gate = self._gates.setdefault(key, threading.Lock())
        if not gate.acquire(blocking=False):
            self._queue(gate)
        try:
            with self._lock:
                if key in self._held:  # made while this thread waited
                    return self._held[key][0]
            try:
                value = make()
                self._keep(key, value)
            finally:
                with self._lock:
                    self._gates.pop(key, None)
        finally:
            gate.release()
        return value

    def holds(self, key: Hashable) -> bool:
        """Whether `get` would give a value at once."""
        with self._lock:
            return key in self._held

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            return self._bytes

    def drop(self, key: Hashable) -> None:
        """Let a value be made anew by whoever asks next."""
        with self._lock:
            self._forget(key)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._held.clear()
            self._bytes = 0

    @staticmethod
    def _queue(gate: threading.Lock) -> None:
        """Wait for whoever makes it; whoever is told to go while it gets its own turn back leaves the gate open."""
        passed = False

        def ready(seconds: float) -> bool:
            nonlocal passed
            passed = gate.acquire(timeout=seconds)
            return passed

        try:
            TURNS.until(ready)
        except BaseException:
            if passed:
                gate.release()
            raise

    def _keep(self, key: Hashable, value: Any) -> None:
        limit, size = self._limit(), weight(value)
        if size > limit:
            return
        with self._lock:
            self._forget(key)
            self._held[key] = value, size
            self._bytes += size
            while self._bytes > limit:
                self._forget(next(iter(self._held)))

    def _forget(self, key: Hashable) -> None:
        """Within the lock."""
        _, size = self._held.pop(key, (None, 0))
        self._bytes -= size


def weight(value: Any) -> int:
    """Bytes of memory that a value takes, near enough: its own `nbytes`, or those of what it is made of."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, str | bytes):
        return SMALL + len(value)
    if dataclasses.is_dataclass(value):
        return SMALL + sum(weight(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return SMALL + _of_several(value.items(), len(value))
    if isinstance(value, tuple | list | set | frozenset):
        return SMALL + _of_several(value, len(value))
    return SMALL


def _of_several(values: Any, count: int) -> int:
    some = [weight(value) for value in itertools.islice(values, LOOKED_AT)]
    return sum(some) * count // max(1, len(some))


ANSWERS = Store(lambda: settings().limits.answers)  # what pages have computed, for everybody who asks the same
