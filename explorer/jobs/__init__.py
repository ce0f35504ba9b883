"""Long work away from the server's threads: a queue, and warm worker processes behind one small interface."""

import functools
import threading

from explorer.jobs.engine import Engine, JobStatus
from explorer.jobs.local import LocalEngine
from explorer.settings import settings
from explorer.turns import TURNS

__all__ = ["Engine", "JobStatus", "LocalEngine", "engine"]

WARM = ("explorer.training.task",)  # what a worker imports before its first job
GRACE = 20.0  # seconds for what was told to stop: a network that tries its validation split is not to lose its training
LEAST = 0.25  # of the time, that a job works however many people's pages compute
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
        share=_share if shared else lambda: 1.0,
    )


def _share() -> float:
    """Of the time, that a job may work: the less, the more people's pages compute, or wait to, just now.

    That it goes behind them where the system shares out the processor is not enough: they share memory and caches.
    """
    return max(LEAST, 1 / (1 + 2 * TURNS.load))
