"""What a person keeps on this server, in words, and how they get rid of it."""

import contextlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from explorer import belongings, housekeeping, jobs
from explorer.belongings import RACE, RUN, UPLOAD, Thing
from explorer.errors import ExplorerError

CONFIGS = {RUN: "artifacts/config.json", "range test": "asked.json"}  # where the recipe is written
STUDIES = ("asked.json", "race.json", "census.json")  # where any other question is


@dataclass(frozen=True)
class Kept:
    """One thing that a person keeps; of a race, with all its runs."""

    thing: Thing
    title: str
    runs: int  # that are part of it


def kept(owner: str) -> list[Kept]:
    """Everything that is theirs, what was used last first."""
    every = belongings.things(owner)
    runs = {thing.id: thing for thing in every if thing.kind == RUN}
    found = []
    for thing in every:
        if thing.kind == RACE:
            of_it = [runs.pop(id) for id in _read(thing, "runs.json", {}).values() if id in runs]
            whole = replace(thing, bytes=thing.bytes + sum(run.bytes for run in of_it))
            found.append(Kept(whole, _title(thing), len(of_it)))
        elif thing.kind != RUN:
            found.append(Kept(thing, _title(thing), 0))
    found += [Kept(run, _title(run), 1) for run in runs.values()]
    return sorted(found, key=lambda one: -one.thing.used)


def delete(thing: Thing, owner: str) -> None:
    """Remove one of one's own; raises ExplorerError where it is somebody else's, or is going on."""
    asked = f"Deleting this {thing.kind}"
    if thing.owner != owner:
        raise ExplorerError(asked, "it is somebody else's", "Delete your own only")
    if any(job.id == thing.id for job in jobs.engine().listing()):
        raise ExplorerError(asked, "it is going on", "Stop it first, or wait for its end")
    if thing.kind == RACE:
        from explorer.training import racing

        racing.delete(thing.id, owner)
    else:
        housekeeping.remove(thing)


def _title(thing: Thing) -> str:
    """What it is, as far as its files say: nothing here counts as having been used."""
    if thing.kind in CONFIGS:
        config = _read(thing, CONFIGS[thing.kind], {})
        return f"{config.get('model', '?')} on {config.get('dataset', '?')[:20]}"
    if thing.kind == UPLOAD:
        return _read(thing, "about.json", {}).get("title", "?")
    if thing.kind == RACE:
        return " against ".join(_read(thing, "asked.json", {}).get("contest", {}).get("names", "?"))
    asked = next((text for name in STUDIES if (text := json.dumps(_read(thing, name, {}))) != "{}"), "")
    named = re.search(r'"ref": "([^"]+)"', asked)
    return f"of {named[1]}" if named else ""


def _read(thing: Thing, name: str, default: Any) -> Any:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((thing.folder / name).read_bytes())
    return default
