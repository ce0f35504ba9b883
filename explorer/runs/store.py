"""The runs in MLflow, on SQLite in the data folder: who trained what, when, and how it ended."""

import contextlib
import functools
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from explorer.errors import ExplorerError
from explorer.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "explorer"
STATUS = {  # our word for how a run ended → MLflow's
    "finished": "FINISHED", "stopped": "KILLED", "interrupted": "KILLED", "diverged": "FAILED", "failed": "FAILED",
}  # fmt: skip
BATCH = 1000  # metrics that MLflow takes at once
CURVE = 1000  # points of a curve that go to MLflow; the run's folder has them all


@dataclass(frozen=True)
class Run:
    """One line of the list of runs."""

    id: str
    name: str
    owner: str
    state: str  # "running" or a key of STATUS
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
        with contextlib.suppress(ExplorerError, OSError), _sentences():
            _client()

    if not _database().exists():
        threading.Thread(target=make, daemon=True).start()


def create(name: str, config: Mapping[str, Any], owner: str) -> str:
    """Open a run and its folder; returns its id, which nobody can guess."""
    from mlflow.entities import Param

    with _sentences():
        run = _client().create_run(
            _experiment(),
            run_name=name,
            tags={"owner": owner, "state": "running", "server": _server(), **_environment()},
        )
        _client().log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in config.items()])
    try:
        _path(run.info.run_id).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExplorerError("A new run", f"its folder can't be made ({error.strerror})", "Free some space") from error
    return run.info.run_id


def finish(
    id: str, state: str, metrics: Mapping[str, float], history: Sequence[Mapping[str, Any]] = (), error: str = ""
) -> None:
    """Close a run: its final metrics, its curves, and how it ended (a key of STATUS)."""
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    last = max((record["step"] for record in history), default=0)
    points = [Metric(key, float(value), now, last) for key, value in metrics.items()]
    stride = max(1, len(history) // CURVE)
    for index, record in enumerate(history):
        points += [
            Metric(key, float(value), now, record["step"])
            for key, value in record.items()
            if key not in ("step", "epoch") and isinstance(value, int | float)
            if index % stride == 0 or key.startswith("validation")
        ]
    with _sentences():
        for start in range(0, len(points), BATCH):
            _client().log_batch(id, metrics=points[start : start + BATCH])
        _client().log_batch(id, tags=[RunTag("state", state), RunTag("error", error)])
        _client().set_terminated(id, STATUS[state])


def get(id: str) -> Run:
    """One run by its id; raises ExplorerError when there is none."""
    folder(id)
    with _sentences():
        return _line(_client().get_run(id))


def listing(owner: str | None = None, most: int = 100) -> list[Run]:
    """The newest runs, of one owner where one is given."""
    if not _database().exists():  # nobody has trained here yet: no need to make one
        return []
    from mlflow.entities import ViewType

    chosen = f"tags.owner = '{_word(owner)}'" if owner is not None else ""
    with _sentences():
        found = _client().search_runs(
            [_experiment()], chosen, ViewType.ACTIVE_ONLY, most, ["attributes.start_time DESC"]
        )
    return [_line(run) for run in found if _path(run.info.run_id).is_dir()]


def delete(id: str, owner: str) -> None:
    """Forget a run of one's own, folder and all."""
    run = get(id)
    if run.owner != owner:
        raise ExplorerError(f"Deleting the run {run.name!r}", "it is somebody else's", "Delete your own runs only")
    with _sentences():
        _client().delete_run(id)
    shutil.rmtree(_path(id).parent, ignore_errors=True)


def folder(id: str) -> Path:
    """The folder of a run; raises ExplorerError when there is none of that id."""
    if not re.fullmatch(r"[0-9a-f]{32}", id) or not _path(id).is_dir():
        raise ExplorerError(f"The run {id!r}", "there is none of that id here", "Open one from the list, or train one")
    return _path(id)


def tracking_uri() -> str:
    """What `mlflow ui --backend-store-uri` wants."""
    return f"sqlite:///{_database()}"


def _database() -> Path:
    return settings().data / "runs" / "mlflow.db"


def _path(id: str) -> Path:
    return settings().data / "runs" / "artifacts" / id / "artifacts"  # where MLflow looks for a run's artifacts


_opening = threading.Lock()


@functools.cache
def _opened(uri: str) -> tuple["MlflowClient", str]:
    """The client and the experiment's id; runs of a server that is no more are marked as interrupted."""
    import logging

    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    root = settings().data / "runs"
    (root / "artifacts").mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = experiment.experiment_id if experiment else client.create_experiment(
        EXPERIMENT, artifact_location=(root / "artifacts").as_uri()
    )  # fmt: skip
    for run in client.search_runs([number], "tags.state = 'running'"):
        if not _alive(run.data.tags.get("server", "")):
            client.set_tag(run.info.run_id, "state", "interrupted")
            client.set_tag(run.info.run_id, "error", "The server stopped while this run was going on.")
            client.set_terminated(run.info.run_id, STATUS["interrupted"])
    return client, number


def _client() -> "MlflowClient":
    with _opening:  # one thread makes a new database; the others wait for it
        return _opened(tracking_uri())[0]


def _experiment() -> str:
    with _opening:
        return _opened(tracking_uri())[1]


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Turn the database's refusals into ours."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise ExplorerError(
            "The list of runs",
            f"its database does not answer ({str(error).splitlines()[0][:200]})",
            f"Check the disk and {tracking_uri()}; the runs' own folders are not touched",
        ) from error


def _line(run: Any) -> Run:
    tags = run.data.tags
    return Run(
        run.info.run_id, run.info.run_name, tags.get("owner", ""), tags.get("state", ""), tags.get("error", ""),
        datetime.fromtimestamp(run.info.start_time / 1000, UTC), run.data.params, run.data.metrics,
    )  # fmt: skip


def _server() -> str:
    return f"{os.getpid()}:{psutil.Process().create_time():.2f}"


def _alive(server: str) -> bool:
    """Whether the server process that a run belongs to still lives."""
    number, _, born = server.partition(":")
    try:
        return f"{psutil.Process(int(number)).create_time():.2f}" == born
    except (psutil.Error, ValueError):
        return False


def _environment() -> dict[str, str]:
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": settings().device,
        "mode": settings().mode,
    }


def _word(owner: str) -> str:
    """An owner's name as it may stand in a filter."""
    if not re.fullmatch(r"[\w-]{1,80}", owner):
        raise ValueError(f"not an owner: {owner!r}")
    return owner
