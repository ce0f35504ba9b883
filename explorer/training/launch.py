"""Start a run, here or in a worker, and close it when it has ended."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from explorer import belongings, data, jobs, runs
from explorer.belongings import LOCAL
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings
from explorer.training.config import TrainConfig, check_levers
from explorer.training.run import INTERRUPTED, TrainRun, read

if TYPE_CHECKING:
    from explorer.training.loop import Step


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


def start(config: TrainConfig, owner: str = LOCAL, *, most: int = 0, pace: float = 0.0) -> str:
    """Queue a run for a worker; returns its id, under which it is found from now on.

    most: steps after which it pauses, 0 for none. pace: steps a second at most, 0 for as many as there can be.
    Raises ExplorerError where a limit is broken, the queue is full, or the person has a job already or keeps too much.
    """
    check_limits(config)
    belongings.allow(owner, runs=1)
    id = _open(config, owner)
    try:
        _submit(id, config, owner, most, pace)
    except ExplorerError:
        _undo(id, owner)
        raise
    return id


def resume(id: str, owner: str = LOCAL, *, most: int = 0, pace: float = 0.0, halve: bool = False) -> None:
    """Queue a run that was put down, to go on from there: see `start` for `most` and `pace`.

    halve: in batches of half the size, two of which make the step that one made before.
    Raises ExplorerError where it is somebody else's, can't go on, or no job can be taken.
    """
    folder = runs.folder(id)
    if runs.get(id).owner != owner:
        raise ExplorerError("Going on with this run", "it is somebody else's", "Train one of your own")
    if _goes(id):
        raise ExplorerError("Going on with this run", "it is going on already", "Wait for it, or pause it")
    run = read(folder, f"run:{id}")
    if not run.resumable:
        raise ExplorerError(
            "Going on with this run", f"it has {run.state}, and left nothing to go on from", "Train it again"
        )
    config = halved(run.config) if halve else run.config
    check_limits(config)
    belongings.allow(owner)
    runs.reopen(id)
    try:
        _submit(id, config, owner, most, pace)
    except ExplorerError:
        if _goes(id):  # it was asked for twice at once, and the other was first
            raise
        runs.finish(id, run.state, run.metrics, (), run.error)
        raise
    if halve:
        step, size = (
            run.history[-1]["step"] if run.history else 0,
            f"{config.accumulate} batches of {config.batch_size}",
        )
        files.note(folder, f"From step {step} on, each step adds up {size}: there was no memory for larger ones.")


def _goes(id: str) -> bool:
    """Whether a job of that id waits or runs."""
    try:
        return not jobs.engine().status(id).over
    except ExplorerError:  # none that is known
        return False


def halved(config: TrainConfig) -> TrainConfig:
    """The same steps from batches of half the size.

    What is drawn in a batch, and what batch normalisation measures in one, is then another.
    Raises ExplorerError where they can't be halved.
    """
    if config.batch_size == 1 or config.accumulate == 16:
        raise ExplorerError("Half the batch", "these batches can't be made smaller", "Choose a smaller network")
    return dataclasses.replace(config, batch_size=config.batch_size // 2, accumulate=config.accumulate * 2)


def _submit(id: str, config: TrainConfig, owner: str, most: int, pace: float) -> None:
    folder, limits = runs.folder(id), settings().limits

    def close(job: jobs.JobStatus) -> None:
        state = {"cancelled": "stopped", "failed": "failed"}.get(job.state, "interrupted")
        _close(id, folder, state, job.error or "")

    request = {
        "config": config.to_dict(), "folder": str(folder), "device": settings().device, "most": most, "pace": pace,
    }  # fmt: skip
    jobs.engine().submit(
        "explorer.training.task:train",
        request, id=id, owner=owner, seconds=limits.seconds, memory=limits.job_memory, on_done=close,
    )  # fmt: skip


def check_limits(config: TrainConfig) -> None:
    """Raise ExplorerError where a config asks for more than this server gives, or its parts don't fit each other."""

    from explorer import models
    from explorer.training.objectives import denoises

    limits = settings().limits
    if config.epochs > limits.epochs:
        raise ExplorerError(
            f"{config.epochs} epochs", f"this server trains for {limits.epochs} at the most", "Choose fewer epochs"
        )
    about = data.about(config.dataset)
    models.check_reads(config.model, config.dataset, about.task)
    examples = config.batch  # only who accumulates has to know
    if config.accumulate > 1:
        examples = len(data.load(config.dataset, "train", **dict(config.dataset_settings)))
    check_levers(config, about.task, about.shape, denoises(config.model), examples)
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
        _undo(id, owner)
        raise
    return id


def _undo(id: str, owner: str) -> None:
    """Forget a run that was refused; why it was is what a person is told, also where the disk refuses this too."""
    with contextlib.suppress(ExplorerError):
        runs.delete(id, owner)


def _close(id: str, folder: Path, state: str, error: str) -> None:
    """Write how a run ended, where it could not say so itself, and hand it all to the list of runs.

    The curve of one that was put down is handed over when it has ended: it would take longer than a single step.
    """
    path, outcome = folder / "outcome.json", {"state": state, "metrics": {}, "error": ""}
    with contextlib.suppress(ExplorerError):  # none, or damaged
        outcome = files.read_json(path)
    if outcome["state"] != "finished":
        outcome["error"] = outcome["error"] or error
    if folder.is_dir():  # it may have gone with all of the data
        with contextlib.suppress(ExplorerError):  # where the disk is full, the list of runs may still learn of it
            files.write_json(path, outcome)
    history = () if outcome["state"] == "stopped" else files.history(folder)
    runs.finish(id, outcome["state"], outcome["metrics"], history, outcome["error"])
