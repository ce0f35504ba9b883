"""What every engine does: it queues jobs, runs them elsewhere, and says how they are getting on.

A job runs a task, a function named "package.module:function":

    def task(request: dict, report: Callable[[dict], None], stopping: Callable[[], bool]) -> dict

It asks `stopping()` at each step and returns what it has when that is True. `report(event)` costs microseconds and
never waits; its event, a flat JSON-able dict, may carry `"progress"`, the fraction done (0 to 1), from which the time
left is worked out, and `"keep": True` where it must not be thinned out. The engine adds `"index"`, which counts a
job's events from 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

ENDED = ("finished", "cancelled", "failed")


@dataclass(frozen=True)
class JobStatus:
    """How a job is getting on."""

    id: str
    owner: str
    state: str  # waiting | running | finished | cancelled | failed
    position: int = 0  # in the queue: 1 is next, 0 does not wait
    eta: float | None = None  # seconds until it starts (waiting) or ends (running); None: not known yet
    started: float | None = None  # as time.time() has it
    ended: float | None = None
    result: dict[str, Any] | None = None  # what the task returned, also where it was stopped
    error: str | None = None  # a sentence for the person, where there is something to say
    task: str = ""  # "package.module:function"
    queued: float | None = None  # when it was submitted, as time.time() has it

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in ENDED


class Engine(Protocol):
    """A queue with workers behind it. Every method may be called from any thread, and none waits for a job."""

    def submit(
        self,
        task: str,
        request: dict[str, Any],
        *,
        id: str,
        owner: str,
        seconds: float,
        memory: int,
        on_done: Callable[[JobStatus], None] | None = None,
    ) -> None:
        """Queue a job under an id of your choosing; that of one that has ended is free again, and means the new one.

        seconds, memory: what it may take; it is stopped beyond the first and killed beyond the second (bytes).
        on_done: called once, on a thread of the engine, however the job ended. The job's state says that it has
        ended only when this has returned, so that whoever sees it finds everything in its place.
        Raises ExplorerError when the queue is full, or when the owner has a job that waits or runs, or has used more
        of the workers' time than one may.
        """
        ...

    def status(self, id: str) -> JobStatus:
        """How a job is getting on; raises ExplorerError where it isn't known, or not any more."""
        ...

    def events(self, id: str, since: int = 0) -> list[dict[str, Any]]:
        """What a job has reported, from the event with index `since` on. Read them, don't change them.

        Where there were very many, some of the older ones are missing, so go on from `events[-1]["index"] + 1`.
        """
        ...

    def cancel(self, id: str) -> None:
        """Stop a job: at once where it waits, at its next step where it runs, by force where it doesn't stop."""
        ...

    def listing(self) -> list[JobStatus]:
        """Every job that runs, then those that wait, the next one first."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        ...

    def warm_up(self) -> None:
        """Get a worker ready, because a job is likely to come soon."""
        ...

    def close(self) -> None:
        """Stop everything that runs or waits, and end the workers."""
        ...
