"""What the server holds and is busy with: its processes, and what people keep."""

import contextlib
from dataclasses import dataclass

import psutil

from explorer import belongings
from explorer.belongings import RUN, UPLOAD


@dataclass(frozen=True)
class Process:
    """One process of this server."""

    name: str  # server | worker
    id: int
    bytes: int  # of memory: its share of what processes share where the system tells it, else all


@dataclass(frozen=True)
class Person:
    """What one person keeps."""

    owner: str
    bytes: int
    runs: int
    uploads: int
    seen: float  # as time.time() has it; 0: never


def processes() -> list[Process]:
    """The server, and the processes that it has started."""
    server = psutil.Process()
    found = []
    for process in (server, *server.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            facts = process.memory_full_info()
            name = "server" if process == server else "worker"
            found.append(Process(name, process.pid, getattr(facts, "pss", facts.rss)))
    return found


def people() -> list[Person]:
    """Everybody who keeps anything, who keeps most first."""
    found: dict[str, list[belongings.Thing]] = {}
    for thing in belongings.things():
        found.setdefault(thing.owner, []).append(thing)
    everybody = [
        Person(
            owner,
            sum(thing.bytes for thing in theirs),
            sum(thing.kind == RUN for thing in theirs),
            sum(thing.kind == UPLOAD for thing in theirs),
            belongings.seen(owner),
        )
        for owner, theirs in found.items()
    ]
    return sorted(everybody, key=lambda person: -person.bytes)
