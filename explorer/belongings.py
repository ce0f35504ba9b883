"""What is kept in the data folder: whose it is, how large, when it was last used; and how much a person may keep.

Every run, race, upload and study is a folder of its own. The file `owner` in it says whose it is, and the time of that
file when it was last used. The file `people/<owner>` has the time when a person was last here.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.settings import MB, settings

LOCAL = "local"  # the owner of everything on a server that is not shared
OWNER = "owner"
MINUTE = 60.0  # seconds: no time is written down more exactly
RUN, UPLOAD, RACE = "run", "upload", "race"
HOMES = {  # where in the data folder → what a person calls it
    "runs/artifacts": RUN, "own": UPLOAD, "races": RACE, "measures": "measurement", "ranges": "range test",
    "drawings": "picture of a unit", "searches": "search", "projections": "projection", "leaderboards": "leaderboard",
    "censuses": "census of heads",
}  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """One folder that somebody's work has left."""

    kind: str  # a value of HOMES
    id: str
    folder: Path
    owner: str  # "" where nobody knows
    bytes: int
    used: float  # as time.time() has it: opened by somebody, or changed


def mark(folder: Path, owner: str) -> None:
    """Write down whose a folder is; makes it where there is none. Raises ExplorerError where the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OWNER).write_text(owner, encoding="utf-8")
    except OSError as error:
        raise ExplorerError(
            "Keeping this", f"the disk did not take it ({error.strerror})", "Free some space and try again"
        ) from error


@contextlib.contextmanager
def begun(folder: Path, owner: str) -> Iterator[None]:
    """A person's folder for what is begun within; nothing is left of it where that is refused."""
    try:
        mark(folder, owner)
        yield
    except ExplorerError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def use(folder: Path) -> None:
    """Write down that somebody has just opened what is in a folder."""
    _touch(folder / OWNER)


def see(owner: str) -> None:
    """Write down that a person is here."""
    people = settings().data / "people"
    with contextlib.suppress(OSError):
        people.mkdir(exist_ok=True)
    _touch(people / owner)


def seen(owner: str) -> float:
    """When a person was last here, as time.time() has it; 0 where that was never."""
    with contextlib.suppress(OSError):
        return (settings().data / "people" / owner).stat().st_mtime if owner else 0.0
    return 0.0


def things(owner: str | None = None) -> list[Thing]:
    """All that is kept, or what one person keeps: what was used last first."""
    found = []
    for home, kind in HOMES.items():
        for folder in _folders(settings().data / home):
            whose = owner_of(kind, folder)
            if owner in (None, whose):
                size, used = measured(folder)
                found.append(Thing(kind, folder.name, folder, whose, size, used))
    return sorted(found, key=lambda thing: -thing.used)


def allow(owner: str, runs: int = 0, more: int = 0) -> None:
    """Raise ExplorerError where a person keeps too much for so many new runs, or for so many more bytes.

    On a person's own computer there is no limit. A job is let in below the limit, whatever it will leave.
    """
    if not settings().shared:
        return
    limits, mine = settings().limits, things(owner)
    kept, held = sum(thing.kind == RUN for thing in mine), sum(thing.bytes for thing in mine)
    do = "Delete what you need no more, on the page “This server”"
    if runs and kept + runs > limits.runs:
        asked = "A new run" if runs == 1 else f"{runs} new runs"
        raise ExplorerError(asked, f"you keep {kept}, and one person may keep {limits.runs} here", do)
    if held + max(more, 1) > limits.keep:
        wrong = f"you keep {held / MB:,.0f} MB, and one person may keep {limits.keep / MB:,.0f} MB here"
        raise ExplorerError(f"{more / MB:,.0f} MB more" if more else "To keep more", wrong, do)


def measured(folder: Path) -> tuple[int, float]:
    """The bytes of all files in a folder, and the latest time of one; what vanishes meanwhile does not count."""
    size, latest = 0, 0.0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                facts = os.stat(os.path.join(place, name))
                size += facts.st_size
                latest = max(latest, facts.st_mtime)
    return size, latest or _made(folder)


def _folders(home: Path) -> Iterator[Path]:
    """The folders of a kind; drafts, whose names begin with a dot, are none."""
    with contextlib.suppress(OSError), os.scandir(home) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def owner_of(kind: str, folder: Path) -> str:
    """Whose a folder is. What was made before there were marks is the person's own on their own computer."""
    with contextlib.suppress(OSError, ValueError):
        if owner := (folder / OWNER).read_text(encoding="utf-8"):
            return owner
    if kind == RACE:
        with contextlib.suppress(OSError, ValueError, KeyError):
            return json.loads((folder / "asked.json").read_bytes())["owner"]
    return "" if settings().shared else LOCAL


def _touch(path: Path) -> None:
    """Give a file the time of now, unless it has one of the last minute; make it where its folder is."""
    with contextlib.suppress(OSError):
        try:
            if path.stat().st_mtime > time.time() - MINUTE:
                return
        except FileNotFoundError:
            pass
        path.touch()


def _made(folder: Path) -> float:
    """When an empty folder was made; now where it has gone."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return time.time()
