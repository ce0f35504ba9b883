"""Start a run, here or in a worker, and close it when it has ended."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from explorer import data, jobs, runs
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings
from explorer.training.config import TrainConfig
from explorer.training.run import INTERRUPTED, TrainRun, read

if TYPE_CHECKING:
    from explorer.training.loop import Step

LOCAL = "local"  # the owner of every run on a server that is not shared


def fit(config: TrainConfig, on_step: Callable[["Step"], None] = lambda step: None) -> TrainRun:
    """Train in this process, to the end, and keep the run; `on_step` sees every step."""
    from explorer.training.record import record

    check_limits(config)
    id = _open(config, LOCAL)
    folder = runs.folder(id)
    try:
        record(config, folder, settings().device, on_step)
    finally:
        _close(id, folder, "interrupted", INTERRUPTED)
    return read(folder, f"run:{id}")


def start(config: TrainConfig, owner: str = LOCAL) -> str:
    """Queue a run for a worker; returns its id, under which it is found from now on.

    Raises ExplorerError where a limit is broken, the queue is full, or the person has a job already.
    """
    check_limits(config)
    id = _open(config, owner)
    folder = runs.folder(id)

    def close(job: jobs.JobStatus) -> None:
        state = {"cancelled": "stopped", "failed": "failed"}.get(job.state, "interrupted")
        _close(id, folder, state, job.error or "")

    request = {"config": config.to_dict(), "folder": str(folder), "device": settings().device}
    limits = settings().limits
    try:
        jobs.engine().submit(
            "explorer.training.task:train",
            request, id=id, owner=owner, seconds=limits.seconds, memory=limits.job_memory, on_done=close,
        )  # fmt: skip
    except ExplorerError:
        runs.delete(id, owner)
        raise
    return id


def check_limits(config: TrainConfig) -> None:
    """Raise ExplorerError where a config asks for more than this server gives, or its parts don't fit each other."""

    from explorer import models

    limits = settings().limits
    if config.epochs > limits.epochs:
        raise ExplorerError(
            f"{config.epochs} epochs", f"this server trains for {limits.epochs} at the most", "Choose fewer epochs"
        )
    about = data.about(config.dataset)
    models.check_reads(config.model, config.dataset, about.task)
    count = models.count(config.model, about.shape, about.classes, **dict(config.model_settings))
    if count > limits.parameters:
        raise ExplorerError(
            f"A {config.model} with {count:,} parameters",
            f"this server trains {limits.parameters:,} at the most",
            "Make it narrower or shallower",
        )


def _open(config: TrainConfig, owner: str) -> str:
    id = runs.create(f"{config.model} on {data.about(config.dataset).title}", config.to_dict(), owner)
    try:
        files.write_json(runs.folder(id) / "config.json", config.to_dict())
    except ExplorerError:
        runs.delete(id, owner)
        raise
    return id


def _close(id: str, folder: Path, state: str, error: str) -> None:
    """Write how a run ended, where it could not say so itself, and hand it all to the list of runs."""
    path = folder / "outcome.json"
    outcome = files.read_json(path) if path.exists() else {"state": state, "metrics": {}, "error": ""}
    if outcome["state"] != "finished":
        outcome["error"] = outcome["error"] or error
    with contextlib.suppress(ExplorerError):  # where the disk is full, the list of runs may still learn of it
        files.write_json(path, outcome)
    history = files.history(folder)
    runs.finish(id, outcome["state"], outcome["metrics"], history, outcome["error"])
