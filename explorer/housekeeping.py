"""Removes from the data folder what nobody wants any more, so that a server may run for years.

Everywhere: drafts that a killed process left, races' copies of runs that were handed over, and studies, drawings that
no run learned from and generated data that nobody opened for long. On a shared server, besides: everything of a person
who was not seen for `limits.unseen` seconds, and, above `limits.disk` bytes, what was used longest ago. On a person's
own computer no run is ever removed, and no upload; and what was made there stays where its folder is shared later.

What belongs to somebody who has a job that waits or runs is left alone, and so is what was used just now.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from explorer import belongings, jobs
from explorer.belongings import HOMES, LOCAL, RACE, RUN, UPLOAD, Thing
from explorer.errors import ExplorerError
from explorer.settings import settings

EVERY = 600.0  # seconds between two sweeps
JUST_NOW = 3600.0  # seconds for which what was used is safe, and a draft may still be written
LONG = 30 * 86_400.0  # seconds after which what nobody opened goes, whoever it belongs to
DOWNLOADS = "downloads"  # see app.py
DRAFT = re.compile(r"\..+\.[0-9]+|.+\.part|\.part-.+")  # see runs/files.py, data/cache.py, data/own.py

log = logging.getLogger("explorer.housekeeping")
_sweeping = threading.Lock()
_begin = threading.Lock()
_begun: list[threading.Thread] = []


@dataclass(frozen=True)
class Swept:
    """What a sweep has removed."""

    things: tuple[Thing, ...]
    leftovers: int  # drafts, copies, generated data
    bytes: int  # of both


def begin() -> None:
    """Sweep now and every ten minutes, in a thread of this process; only the first call does anything."""
    with _begin:
        if not _begun:
            _begun.append(threading.Thread(target=_sweep_for_ever, name="housekeeping", daemon=True))
            _begun[0].start()


def sweep(now: float | None = None) -> Swept:
    """Remove what nobody wants any more. now: as time.time() has it."""
    with _sweeping:
        now = time.time() if now is None else now
        leftovers, freed = 0, 0
        for path in (*_drafts(now), *_handed_over(now), *_generated(now)):
            size = belongings.measured(path)[0] if path.is_dir() else _size(path)
            if _unlink(path):
                leftovers, freed = leftovers + 1, freed + size
        if settings().shared:
            _mark_old_runs()
        busy = {job.owner for job in jobs.engine().listing()}
        idle = [one for one in belongings.things() if one.owner not in busy and one.used <= now - JUST_NOW]
        gone = [thing for thing in idle if _abandoned(thing, now)]
        for thing in gone:
            remove(thing)
        if settings().temporary:
            freed += _fewer_downloads(now)
        if settings().shared:
            gone += _shrink([thing for thing in idle if thing not in gone and thing.owner != LOCAL])
            _forget_people(now)
        return Swept(tuple(gone), leftovers, freed + sum(thing.bytes for thing in gone))


def remove(thing: Thing) -> None:
    """Take a thing away, whoever it belongs to; of a run, its line in the list as well."""
    if thing.kind == RUN:
        from explorer import runs

        with contextlib.suppress(ExplorerError):  # where the list has lost it, its folder goes all the same
            runs.delete(thing.id, runs.get(thing.id).owner)
    shutil.rmtree(thing.folder, ignore_errors=True)


# ---- whole things ----


def _abandoned(thing: Thing, now: float) -> bool:
    """Whether it goes on account of its age."""
    if settings().shared and thing.owner not in ("", LOCAL) and _last(thing) <= now - settings().limits.unseen:
        return True
    if thing.used > now - LONG or thing.kind in (RUN, RACE):
        return False
    return thing.kind != UPLOAD or (_drawn(thing) and f"own:{thing.id}" not in _learned_from())


def _last(thing: Thing) -> float:
    """When its owner was here last, or anybody opened it."""
    return max(belongings.seen(thing.owner), thing.used)


def _drawn(thing: Thing) -> bool:
    """Whether an upload is a drawing, of which every Train makes a new one."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((thing.folder / "about.json").read_bytes()).get("drawn", False)
    return False


def _learned_from() -> set[str]:
    """The data sets that runs and races name."""
    data = settings().data
    found = set()
    for path in (*data.glob("runs/artifacts/*/artifacts/config.json"), *data.glob("races/*/asked.json")):
        with contextlib.suppress(OSError, ValueError):
            found.update(re.findall(r"own:[0-9a-f]{32}", path.read_text(encoding="utf-8")))
    return found


def _shrink(things: list[Thing]) -> list[Thing]:
    """Remove what is oldest until the data folder is small enough: of those who left first, then of those who came.

    Downloads, which lie there where the home takes nothing, are bounded by themselves.
    """
    data = settings().data
    over = belongings.measured(data)[0] - belongings.measured(data / DOWNLOADS)[0] - settings().limits.disk
    gone = []
    for thing in sorted(things, key=lambda thing: (belongings.seen(thing.owner), thing.used)):
        if over <= 0:
            break
        remove(thing)
        gone.append(thing)
        over -= thing.bytes
    if over > 0:
        log.warning("The data folder is %d bytes above EXPLORER_DISK, and all in it is in use", over)
    return gone


def _fewer_downloads(now: float) -> int:
    """Remove the oldest downloaded files above `limits.disk` bytes; gives the bytes freed."""
    files = [path for path in (settings().data / DOWNLOADS).rglob("*") if path.is_file() and not path.is_symlink()]
    over, freed = sum(map(_size, files)) - settings().limits.disk, 0
    for path in sorted(files, key=_changed):
        if over <= freed or _changed(path) > now - JUST_NOW:
            break
        size = _size(path)
        freed += size if _unlink(path) else 0
    return freed


def _forget_people(now: float) -> None:
    """Who was not seen for so long has nothing here any more."""
    people = settings().data / "people"
    for path in people.iterdir() if people.is_dir() else ():
        if belongings.seen(path.name) <= now - settings().limits.unseen:
            _unlink(path)


def _mark_old_runs() -> None:
    """Runs that were made before there were marks: the list knows whose they are."""
    for thing in belongings.things(""):
        if thing.kind == RUN:
            from explorer import runs

            with contextlib.suppress(ExplorerError):
                belongings.mark(thing.folder, runs.get(thing.id).owner)
                os.utime(thing.folder / belongings.OWNER, (thing.used, thing.used))  # nobody has used it now


# ---- leftovers ----


def _drafts(now: float) -> Iterator[Path]:
    """What was being written when its process ended."""
    for home in (*HOMES, "cache"):
        for place, folders, names in os.walk(settings().data / home):
            for name in (*names, *folders):
                path = Path(place, name)
                if DRAFT.fullmatch(name) and _changed(path) <= now - JUST_NOW:
                    yield path


def _handed_over(now: float) -> Iterator[Path]:
    """A race's own copy of a run that the list has already, where the server broke off just then."""
    for path in settings().data.glob("races/*/runs.json"):
        with contextlib.suppress(OSError, ValueError):
            copies = [path.parent / "runs" / key for key in json.loads(path.read_bytes())]
            if _changed(path) <= now - JUST_NOW:  # else it is just being handed over
                yield from (copy for copy in copies if copy.is_dir())


def _generated(now: float) -> Iterator[Path]:
    """Data that can be made again."""
    for path in (settings().data / "cache").glob("*.npz"):
        if _changed(path) <= now - LONG:
            yield path


def _changed(path: Path) -> float:
    """When a file or folder was changed; now where it has gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _unlink(path: Path) -> bool:
    """Remove a file or folder; whether it has gone."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    return not path.exists()


def _sweep_for_ever() -> None:
    while True:
        try:
            swept = sweep()
            if swept.bytes:
                log.info("Removed %d bytes: %d things, %d leftovers", swept.bytes, len(swept.things), swept.leftovers)
        except Exception:
            log.exception("A sweep failed; the next one is in %d s", EVERY)
        time.sleep(EVERY)
