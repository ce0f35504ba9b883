"""Keeps what was loaded for whoever asks next, up to a limit in bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Store:
    """Values by key; the least recently used go first when their bytes pass the limit.

    A value knows its own `nbytes`. One key is made once, however many threads ask; different keys don't wait for
    each other. What fails is not remembered. A value above the limit is handed out but not kept.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, Any] = OrderedDict()  # the most recently used last
        self._gates: dict[Hashable, threading.Lock] = {}  # keys that are being made
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `key`, made now unless it is held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            gate = self._gates.setdefault(key, threading.Lock())
        with gate:
            with self._lock:
                if key in self._held:  # made while this thread waited
                    return self._held[key]
            try:
                value = make()
                self._keep(key, value)
            finally:
                with self._lock:
                    self._gates.pop(key, None)
        return value

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            return sum(value.nbytes for value in self._held.values())

    def _keep(self, key: Hashable, value: Any) -> None:
        limit = self._limit()
        if value.nbytes > limit:
            return
        with self._lock:
            self._held[key] = value
            total = sum(value.nbytes for value in self._held.values())
            while total > limit:
                _, oldest = self._held.popitem(last=False)
                total -= oldest.nbytes
