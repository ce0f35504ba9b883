"""The MLflow database behind the list of runs: looked at before it is asked, and made anew from the runs' folders.

It is an index. What a run left is in its own folder, so a database that is lost or damaged costs nothing but itself.
"""

import contextlib
import itertools
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from explorer import belongings
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it tells its makers about every run
os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW", "-1")  # else fifteen at once wait for each other for ever

EXPERIMENT = "explorer"
STATUS = {  # our word for how a run ended → MLflow's
    "finished": "FINISHED", "stopped": "KILLED", "interrupted": "KILLED", "diverged": "FAILED", "failed": "FAILED",
    "exhausted": "FAILED",
}  # fmt: skip
BATCH = 1000  # metrics that MLflow takes at once
CURVE = 1000  # points of a curve that go to MLflow; the run's folder has them all
PATIENCE = 1.0  # seconds that a page waits for somebody else's lock; MLflow would wait for 20, again and again
ABOUT = "run.json"  # beside a run's folder: what the database alone would know
BROKE_OFF = "The server stopped while this run was going on."
WHOLE = "The runs' own folders are whole"


class Damaged(ExplorerError):
    """The database can't be read; `mend` makes it anew."""

    def __init__(self, found: object) -> None:
        super().__init__("The list of runs", f"its database is damaged ({found})", f"Make the list anew. {WHOLE}")


class Opened(NamedTuple):
    """A database that is in use."""

    client: "MlflowClient"
    store: "SqlAlchemyStore"
    experiment: str  # its id
    watch: "Watch"


class Watch:
    """Tells whether anybody has written to the database, by the counter that SQLite itself keeps in the file."""

    _opened = itertools.count()

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._number = next(self._opened)  # counters of two files may be alike
        self._connection = sqlite3.connect(file, timeout=PATIENCE, check_same_thread=False, isolation_level=None)

    def __call__(self) -> tuple[int, int] | None:
        """What changes with every change by anybody else than this connection; None where it can't be read now."""
        try:
            with self._lock:
                return self._number, self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()


_importing = threading.Lock()
_writing = threading.RLock()  # SQLite takes one writer at a time, and MLflow takes several connections for each
_opening = threading.Lock()  # one thread makes or mends a database; the others wait for it
_held: dict[str, Opened] = {}  # by address


def file() -> Path:
    """Where the database is."""
    return settings().data / "runs" / "mlflow.db"


def tracking_uri() -> str:
    """What `mlflow ui --backend-store-uri` wants."""
    return f"sqlite:///{file()}"


def path(id: str) -> Path:
    """Where a run's folder is: where MLflow looks for its artifacts."""
    return settings().data / "runs" / "artifacts" / id / "artifacts"


def listed() -> bool:
    """Whether there is anything to list, or may be: a database, or the folder of a run."""
    return file().exists() or any(_folders())


def opened(writing: bool = False) -> Opened:
    """The database, made where there is none; raises ExplorerError within seconds where it can't be used.

    Runs of a server that is no more have ended as their folders tell. A new database lists the runs that are there.
    """
    if not _opening.locked():  # nobody makes it now
        _look("BEGIN IMMEDIATE" if writing else "SELECT 1 FROM sqlite_master")
    with _opening:
        if not file().exists():
            _forget()
        if tracking_uri() not in _held:
            _look("PRAGMA integrity_check(1)")
            _held[tracking_uri()] = _open()
        return _held[tracking_uri()]


def mend() -> None:
    """Set a damaged database aside, beside the new one, which lists all runs that have a folder; a whole one stays."""
    with _opening:
        try:
            _look("PRAGMA integrity_check(1)")
        except Damaged:
            _forget()
            stamp = f"{time.strftime('%Y%m%d-%H%M%S')}"
            for part in file().parent.glob(f"{file().name}*"):  # a journal would be taken for the new one's
                part.rename(part.with_name(part.name.replace("mlflow", f"damaged-{stamp}", 1)))
    with sentences():
        opened()


def end(
    client: "MlflowClient",
    id: str,
    state: str,
    metrics: Mapping[str, float],
    history: Sequence[Mapping[str, Any]],
    error: str,
) -> None:
    """Write down how a run ended, with what its curves have grown by."""
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    logged = int(client.get_run(id).data.tags.get("logged", -1))
    last = max((record["step"] for record in history), default=logged)
    history = [record for record in history if record["step"] > logged]
    points = [Metric(key, float(value), now, last) for key, value in metrics.items()]
    stride = max(1, len(history) // CURVE)
    for index, record in enumerate(history):
        points += [
            Metric(key, float(value), now, record["step"])
            for key, value in record.items()
            if key not in ("step", "epoch") and isinstance(value, int | float)
            if index % stride == 0 or key.startswith("validation")
        ]
    for start in range(0, len(points), BATCH):
        client.log_batch(id, metrics=points[start : start + BATCH])
    client.log_batch(id, tags=[RunTag("state", state), RunTag("error", error), RunTag("logged", str(last))])
    client.set_terminated(id, STATUS[state])


def imported() -> None:
    """Import MLflow, one thread at a time: its parts import each other, and a second thread would find halves of it."""
    with _importing:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - for the others


@contextlib.contextmanager
def sentences(writing: bool = False) -> Iterator[None]:
    """Turn the database's refusals, and the disk's, into ours. writing: when nobody else of this process writes."""
    imported()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _writing if writing else contextlib.nullcontext():
            yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        cause = getattr(error.__cause__ or error, "orig", None)
        raise _refusal(cause if isinstance(cause, sqlite3.Error) else error) from error


def server() -> str:
    """This process, told from all others."""
    return f"{os.getpid()}:{psutil.Process().create_time():.2f}"


def served(folder: Path) -> bool:
    """Whether the server that a run belongs to still lives, as its folder knows; one that nobody knows may."""
    name = _json(folder.parent / ABOUT).get("tags", {}).get("server")
    return name is None or _alive(name)


def _refusal(error: Exception) -> ExplorerError:
    """What an error of the database means, told from SQLite's code where it has one."""
    told, code = str(error).split("\n", maxsplit=1)[0][:200], getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Damaged(told)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ExplorerError("The list of runs", "another program holds its database", f"Try again soon. {WHOLE}")
    return ExplorerError(
        "The list of runs", f"its database does not answer ({told})", f"Check the disk and {tracking_uri()}. {WHOLE}"
    )


def _look(asked: str) -> None:
    """Ask SQLite itself, which waits no longer than we say; raises ExplorerError as `_refusal` has it."""
    if not file().exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(file(), timeout=PATIENCE)) as database:
            found = database.execute(asked).fetchone()
    except sqlite3.Error as error:
        raise _refusal(error) from error
    if "integrity_check" in asked and found != ("ok",):
        raise Damaged(found[0] if found else "no answer")


def _open() -> Opened:
    import logging

    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    root = settings().data / "runs" / "artifacts"
    root.mkdir(parents=True, exist_ok=True)
    store = SqlAlchemyStore(tracking_uri(), root.as_uri())  # makes the tables, also where the file was there before
    event.listen(store.engine, "connect", _unhurried)
    store.engine.dispose()  # of the connections that were made before
    client = MlflowClient(tracking_uri=tracking_uri())
    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = experiment.experiment_id if experiment else client.create_experiment(
        EXPERIMENT, artifact_location=root.as_uri()
    )  # fmt: skip
    here = Opened(client, store, number, Watch(file()))
    _restore(here)
    for run in client.search_runs([here.experiment], "tags.state = 'running'"):
        if not _alive(run.data.tags.get("server", "")):
            end(client, run.info.run_id, *_left(path(run.info.run_id)))
    return here


def _unhurried(connection: sqlite3.Connection, record: object) -> None:
    """Let the system write to the disk when it likes: each run would wait for it several times.

    A process that dies loses nothing by it. What a machine that loses its power may damage can be made anew.
    """
    connection.execute("PRAGMA synchronous = OFF")


def _forget() -> None:
    """Let go of a database whose file is another one, or none, from now on."""
    if was := _held.pop(tracking_uri(), None):
        was.store.engine.dispose()
        was.watch.close()


def insert(here: Opened, id: str, about: Mapping[str, Any]) -> None:
    """List a run under its own id, in one transaction: MLflow itself gives it a new id, and takes five.

    about: its name, when it was created (milliseconds), config and tags.
    """
    with here.store.ManagedSessionMaker(read_only=False) as session:
        session.add(_row(here, id, about))


def _row(here: Opened, id: str, about: Mapping[str, Any]) -> object:
    """A run as MLflow keeps it."""
    from mlflow.entities import LifecycleStage, SourceType
    from mlflow.store.tracking.dbmodels.models import SqlParam, SqlRun, SqlTag

    tags = {"state": "running", "mlflow.runName": about["name"], **about["tags"]}
    return SqlRun(
        run_uuid=id, name=about["name"], experiment_id=int(here.experiment), status="RUNNING", user_id="",
        source_type=SourceType.to_string(SourceType.UNKNOWN), source_name="", entry_point_name="", source_version="",
        start_time=about["created"], lifecycle_stage=LifecycleStage.ACTIVE, artifact_uri=path(id).as_uri(),
        tags=[SqlTag(key=key, value=value) for key, value in tags.items()],
        params=[SqlParam(key=key, value=str(value)) for key, value in about["config"].items()],
    )  # fmt: skip


def _restore(here: Opened) -> None:
    """List the runs that have a folder and are not listed."""
    from mlflow.store.tracking.dbmodels.models import SqlRun

    with here.store.ManagedSessionMaker(read_only=False) as session:
        known = {id for (id,) in session.query(SqlRun.run_uuid)}
        session.add_all(_row(here, folder.name, _about(folder)) for folder in _folders() if folder.name not in known)


def _about(folder: Path) -> dict[str, Any]:
    """What to list a run with: what was written down as it began, or what can be told without."""
    config, about = _json(folder / "artifacts" / "config.json"), _json(folder / ABOUT)
    tags = {**about.get("tags", {}), "owner": belongings.owner_of(belongings.RUN, folder)}
    if (folder / "artifacts" / "outcome.json").exists():
        tags["server"] = ""  # whatever server began it
    return {
        "name": about.get("name") or f"{config.get('model', 'A network')} on {config.get('dataset', 'data')}",
        "created": about.get("created") or int(folder.stat().st_mtime * 1000),
        "config": config,
        "tags": tags,
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        found = files.read_json(path)
    except ExplorerError:
        return {}
    return found if isinstance(found, dict) else {}


def _left(folder: Path) -> tuple[str, Mapping[str, float], Sequence[Mapping[str, Any]], str]:
    """How a run ended whose server is no more: as its folder says, else it was interrupted. What `end` wants of it."""
    ended = _json(folder / "outcome.json")
    if ended.get("state") not in STATUS:
        ended = {"state": "interrupted", "error": BROKE_OFF}
    tried = [record for record in files.history(folder) if record.get("validation_loss") is not None]
    return ended["state"], ended.get("metrics", {}), tried, ended.get("error", "")


def _folders() -> Iterator[Path]:
    """The folders of all runs."""
    for folder in sorted((settings().data / "runs" / "artifacts").glob("*")):
        if re.fullmatch(r"[0-9a-f]{32}", folder.name) and (folder / "artifacts").is_dir():
            yield folder


def _alive(name: str) -> bool:
    """Whether the server process that a run belongs to still lives."""
    number, _, born = name.partition(":")
    try:
        return f"{psutil.Process(int(number)).create_time():.2f}" == born
    except (psutil.Error, ValueError):
        return False
