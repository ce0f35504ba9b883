"""What an engine knows of one job."""

import bisect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from explorer.jobs.engine import JobStatus
from explorer.jobs.thinning import thin

EVENTS = 20_000  # that are kept of one job


@dataclass(eq=False)
class Job:
    """One job, from its submission until it is forgotten. Its engine's lock guards it."""

    id: str
    owner: str
    task: str
    request: dict[str, Any]
    seconds: float
    memory: int  # bytes
    on_done: Callable[[JobStatus], None] | None
    queued: float = field(default_factory=time.time)  # when it was submitted
    worker: Any = None  # whatever runs it
    stop: str | None = None  # why it is to stop, "" where a person asked; None: it isn't
    started: float | None = None  # time.time(), for people
    began: float = 0.0  # time.monotonic(), for reckoning
    rested: float = 0.0  # seconds since then that it was told to leave to pages
    outcome: JobStatus | None = None  # how it ended
    closed: bool = False  # on_done has returned, so that the outcome may be seen
    events: list[dict[str, Any]] = field(default_factory=list)
    progress: list[tuple[float, float]] = field(default_factory=list)  # first and last (monotonic time, fraction)

    def begin(self, worker: Any) -> None:
        """It runs from now on."""
        self.worker, self.started, self.began = worker, time.time(), time.monotonic()

    @property
    def worked(self) -> float:
        """Seconds since it began, less those that it was told to leave to pages."""
        return time.monotonic() - self.began - self.rested

    def record(self, events: list[dict[str, Any]]) -> None:
        """Take in what it reported."""
        self.events.extend(events)
        self.events = thin(self.events, EVENTS, lambda event: bool(event.get("keep")))
        fractions = [f for f in (event.get("progress") for event in events) if isinstance(f, int | float)]
        if fractions and math.isfinite(fractions[-1]):
            self.progress = [*self.progress[:1], (time.monotonic(), min(1.0, max(0.0, fractions[-1])))]

    def since(self, index: int) -> list[dict[str, Any]]:
        """The events with that index and later ones."""
        return self.events[bisect.bisect_left(self.events, index, key=lambda event: event["index"]) :]

    def remaining(self, usual: float | None) -> float | None:
        """Seconds until it ends, from its progress, or from how long jobs usually take; None: no idea."""
        now = time.monotonic()
        if self.progress:
            time_then, done = self.progress[-1]
            time_first, done_first = self.progress[0] if len(self.progress) == 2 else (self.began, 0.0)
            if done > done_first and time_then > time_first:
                rate = (done - done_first) / (time_then - time_first)
                return max(0.0, (1 - done) / rate - (now - time_then))
        return None if usual is None else max(0.0, usual - (now - self.began))
