"""A warm worker from one test to the next: to import torch takes longer than most jobs of tests."""

import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from explorer.jobs import LocalEngine
from explorer.jobs.process import Worker

OWN = ("EXPLORER_DATA", "PYTEST_CURRENT_TEST")  # what each test has of its own, which a worker can be told
PATIENCE = 120.0  # seconds that a worker which is still importing may take


def renew(request: dict[str, Any], report: Any, stopping: Any) -> dict[str, Any]:
    """In the worker: what comes next is of another test, whose environment this is."""
    from explorer.settings import settings

    os.environ.update(request)
    settings.cache_clear()
    return {}


class Shelf:
    """Keeps the worker of an engine that closed for an engine that wants one like it."""

    def __init__(self) -> None:
        self._kept: dict[Any, list[Worker]] = {}

    def engine(self, *limits: Any, **settings: Any) -> LocalEngine:
        """An engine whose workers come from here and go back here."""
        made = LocalEngine(*limits, **settings)
        _, _, _, threads, warm, _ = limits
        made._make_worker = lambda: self._take(warm, threads, made._wake)
        return made

    def clear(self) -> None:
        """End them all."""
        for worker in itertools.chain(*self._kept.values()):
            worker.kill()
        self._kept.clear()

    def _take(self, warm: Sequence[str], threads: int, on_gone: Callable[[], None]) -> Worker:
        shared = {name: value for name, value in os.environ.items() if name not in OWN}
        kept = self._kept.setdefault((tuple(warm), threads, tuple(sorted(shared.items()))), [])
        while kept:
            worker = kept.pop()
            worker._on_gone = on_gone
            if _renewed(worker):
                return worker
            worker.kill()
        worker = Worker(warm, threads, on_gone)
        end = worker.end
        worker.end = lambda: end() if worker.gone else kept.append(worker)  # every engine lets only idle ones go
        return worker


def _renewed(worker: Worker) -> bool:
    """Tell a worker whose it is now; False where it has gone."""
    worker.send({"task": "tests.shelf:renew", "request": {name: os.environ[name] for name in OWN}})
    deadline = time.monotonic() + PATIENCE
    while not worker.gone and time.monotonic() < deadline:
        if ended := worker.receive(1.0).get("ended"):  # before it may come that it is ready
            worker._inbox.put({"ready": True})
            return "result" in ended
    return False
