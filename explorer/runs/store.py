"""The runs in MLflow, on SQLite in the data folder: who trained what, when, and how it ended."""

import contextlib
import functools
import logging
import platform
import re
import shutil
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from explorer import belongings
from explorer.errors import ExplorerError
from explorer.runs import database, files
from explorer.settings import settings
from explorer.store import ANSWERS

log = logging.getLogger("explorer.runs")
_late: dict[str, tuple[Any, ...]] = {}  # run → how it ended, which the database has not taken yet
_telling = threading.Lock()
_warmed: set[Path] = set()  # databases that are being made


@dataclass(frozen=True)
class Run:
    """One line of the list of runs."""

    id: str
    name: str
    owner: str
    state: str  # "running" or a key of database.STATUS
    error: str  # a sentence, "" where all is well
    created: datetime
    config: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def ref(self) -> str:
        """The run's network, as every page names it."""
        return f"run:{self.id}"


def warm_up() -> None:
    """Make the database, where there is none yet, beside what else goes on, so that a first run starts at once."""

    def make() -> None:
        with contextlib.suppress(ExplorerError), database.sentences():
            database.opened()

    file = database.file()
    if file not in _warmed and not file.exists():
        _warmed.add(file)  # once: thirty people may come at the same time
        threading.Thread(target=make, daemon=True).start()


def create(name: str, config: Mapping[str, Any], owner: str, tags: Mapping[str, str] | None = None) -> str:
    """Open a run and its folder; returns its id, which nobody can guess.

    tags: more to find it by; one with the tag `race` belongs to that race, and is left out of the listing.
    """
    id, created = uuid.uuid4().hex, time.time_ns() // 1_000_000
    known = {"server": database.server(), **(tags or {})}  # to the folder as well
    listed = {"owner": owner, **_environment(), **known}
    with database.sentences(writing=True):
        about = {"name": name, "created": created, "config": config, "tags": listed}
        database.insert(database.opened(writing=True), id, about)
    home = database.path(id)
    belongings.mark(home.parent, owner)
    files.write_json(home.parent / database.ABOUT, {"name": name, "created": created, "tags": known})
    try:
        home.mkdir(exist_ok=True)
    except OSError as error:
        raise ExplorerError("A new run", f"its folder can't be made ({error.strerror})", "Free some space") from error
    return id


def finish(
    id: str, state: str, metrics: Mapping[str, float], history: Sequence[Mapping[str, Any]] = (), error: str = ""
) -> None:
    """Close a run: its final metrics, what its curves have grown by, and how it ended (a key of database.STATUS).

    Where the database does not take it now, it is told again before anybody looks at the list.
    """
    _late[id] = state, metrics, history, error
    with _telling:
        _tell()


def _tell() -> None:
    """Write down how those runs ended that the database has not been told of."""
    for id, ended in list(_late.items()):
        if database.path(id).is_dir():  # else it was deleted
            try:
                with database.sentences(writing=True):
                    database.end(database.opened(writing=True).client, id, *ended)
            except ExplorerError as error:
                log.warning("The list of runs does not know yet how %s ended: %s", id, error)
                continue
        _late.pop(id, None)


def reopen(id: str) -> None:
    """A run that had been put down goes on."""
    database.imported()
    from mlflow.entities import RunTag

    home = database.path(id).parent
    with contextlib.suppress(ExplorerError):  # of a run from before it was written down
        about = files.read_json(home / database.ABOUT)
        files.write_json(home / database.ABOUT, about | {"tags": about["tags"] | {"server": database.server()}})
    with database.sentences(writing=True):
        client = database.opened(writing=True).client
        tags = {"state": "running", "error": "", "server": database.server()}
        client.log_batch(id, tags=[RunTag(key, value) for key, value in tags.items()])
        client.update_run(id, status="RUNNING")


def get(id: str) -> Run:
    """One run by its id; raises ExplorerError when there is none."""
    folder(id)
    with database.sentences():
        return _line(_told().client.get_run(id))


def listing(owner: str | None = None, most: int = 100) -> list[Run]:
    """The newest runs, of one owner where one is given; those of races are found in their race."""
    if not database.listed():  # nobody has trained here yet: no need to make one
        return []
    chosen = "tags.race IS NULL" + (f" AND tags.owner = '{_word(owner)}'" if owner is not None else "")
    with database.sentences():
        here = _told()
        found = _kept(here, chosen, most)
    return [run for run in found if database.path(run.id).is_dir()]


def _kept(here: database.Opened, chosen: str, most: int) -> list[Run]:
    """What a search finds, searched anew only where somebody has written since."""
    key, version = ("runs", database.tracking_uri(), chosen, most), here.watch()
    if version is None:
        return _search(here, chosen, most)
    seen, found = ANSWERS.get(key, lambda: (version, _search(here, chosen, most)))
    if seen != version:
        ANSWERS.drop(key)
        _, found = ANSWERS.get(key, lambda: (version, _search(here, chosen, most)))
    return found


def _search(here: database.Opened, chosen: str, most: int) -> list[Run]:
    from mlflow.entities import ViewType

    order = ["attributes.start_time DESC"]
    return [_line(run) for run in here.client.search_runs([here.experiment], chosen, ViewType.ACTIVE_ONLY, most, order)]


def _told() -> database.Opened:
    """The database, told of whatever it has missed."""
    here = database.opened()
    if _late and _telling.acquire(blocking=False):  # else another thread tells it
        try:
            _tell()
        finally:
            _telling.release()
    return here


def owner(id: str) -> str:
    """Whose a run is: its folder says so, whatever the database does."""
    return belongings.owner_of(belongings.RUN, folder(id).parent)


def delete(id: str, owner: str) -> None:
    """Forget a run of one's own, folder and all; one without a folder is in no list, whatever the database says."""
    run = get(id)
    if run.owner != owner:
        raise ExplorerError(f"Deleting the run {run.name!r}", "it is somebody else's", "Delete your own runs only")
    try:
        with database.sentences(writing=True):
            database.opened(writing=True).client.delete_run(id)
    finally:
        shutil.rmtree(database.path(id).parent, ignore_errors=True)


def folder(id: str) -> Path:
    """The folder of a run; raises ExplorerError when there is none of that id."""
    if not re.fullmatch(r"[0-9a-f]{32}", id) or not database.path(id).is_dir():
        raise ExplorerError(f"The run {id!r}", "there is none of that id here", "Open one from the list, or train one")
    return database.path(id)


def _line(run: Any) -> Run:
    tags = run.data.tags
    return Run(
        run.info.run_id, run.info.run_name, tags.get("owner", ""), tags.get("state", ""), tags.get("error", ""),
        datetime.fromtimestamp(run.info.start_time / 1000, UTC), run.data.params, run.data.metrics,
    )  # fmt: skip


def _environment() -> dict[str, str]:
    return {**_machine(), "device": settings().device, "mode": settings().mode}


@functools.cache
def _machine() -> dict[str, str]:
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _word(owner: str) -> str:
    """An owner's name as it may stand in a filter."""
    if not re.fullmatch(r"[\w-]{1,80}", owner):
        raise ValueError(f"not an owner: {owner!r}")
    return owner
