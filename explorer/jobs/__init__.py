"""Long work away from the server's threads: a queue, and warm worker processes behind one small interface."""

import functools
import threading

from explorer.jobs.engine import Engine, JobStatus
from explorer.jobs.local import LocalEngine
from explorer.settings import settings

__all__ = ["Engine", "JobStatus", "LocalEngine", "engine"]

WARM = ("explorer.training.task",)  # what a worker imports before its first job
GRACE = 20.0  # seconds for what was told to stop: a network that tries its validation split is not to lose its training
_lock = threading.Lock()


def engine() -> Engine:
    """The engine that this server's sessions share."""
    with _lock:  # many sessions may ask first
        return _engine()


@functools.cache
def _engine() -> Engine:
    limits, shared = settings().limits, settings().shared
    return LocalEngine(
        limits.workers,
        limits.queue,
        limits.idle,
        limits.threads,
        WARM,
        GRACE,
        hourly=limits.hourly if shared else 0,
    )
