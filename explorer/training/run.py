"""A training run as it is looked at afterwards, or while it goes on."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from explorer import data
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.runs.database import served
from explorer.training.config import TrainConfig

PLANE = 1.3  # points lie within about -1 to 1
ALIVE = 20  # seconds after its last line that a run counts as going on
ELSEWHERE = "This run goes on in another process; reload the page to see more of it."
RESUMABLE = ("stopped", "exhausted", "failed", "interrupted")
INTERRUPTED = "This run broke off before its end; what it had recorded is here."


@dataclasses.dataclass(frozen=True, eq=False)
class TrainRun:
    """What a run left behind, read from its folder."""

    ref: str  # its network, as every page names it
    folder: Path
    config: TrainConfig
    state: str  # running | finished | stopped | diverged | exhausted | failed | interrupted
    error: str  # a sentence, "" where all is well
    seconds: float  # of training, validation included
    history: tuple[Mapping[str, Any], ...]  # one mapping a step, keys as in `loop.Step`, without what was not measured
    checkpoints: tuple[int, ...]  # the steps at which it can be looked at
    best: int | None  # the one of the highest validation accuracy, or the lowest loss
    metrics: Mapping[str, float]
    notes: tuple[str, ...] = ()  # sentences about its way
    resumable: bool = False  # it was put down, and can be taken up again


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A network's answers on the test split."""

    labels: tuple[str, ...]
    y: np.ndarray  # (N,) the true classes
    probabilities: np.ndarray  # (N, classes)

    @property
    def predicted(self) -> np.ndarray:
        """The class with the highest probability, (N,)."""
        return self.probabilities.argmax(1)

    @property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, (N,)."""
        return self.probabilities.max(1)

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float((self.predicted == self.y).mean())

    @property
    def confusion(self) -> np.ndarray:
        """How often true class i was called class j, (classes, classes)."""
        counts = np.zeros((len(self.labels), len(self.labels)), int)
        np.add.at(counts, (self.y, self.predicted), 1)
        return counts

    def mistakes(self, most: int) -> np.ndarray:
        """The wrong answers, the most confident first: numbers of test examples."""
        wrong = np.flatnonzero(self.predicted != self.y)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:most]


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """A network's answers on a grid over the plane."""

    labels: tuple[str, ...]
    x: np.ndarray  # (cells, 2) the middle of each cell
    probabilities: np.ndarray  # (cells, classes)
    side: float  # of a cell


def read(folder: Path, ref: str) -> TrainRun:
    """The run that a folder holds; one without an outcome was interrupted. Raises ExplorerError for a damaged one."""
    try:
        return _read(folder, ref)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ExplorerError(f"The run {ref}", f"its files are damaged ({error})", "Train it again") from error


def _read(folder: Path, ref: str) -> TrainRun:
    try:
        ended = files.read_json(folder / "outcome.json")
    except ExplorerError:  # none, or damaged
        ended = _unfinished(folder)
    history = tuple(files.history(folder))
    return TrainRun(
        ref=ref,
        folder=folder,
        config=TrainConfig.from_dict(files.read_json(folder / "config.json")),
        state=ended["state"],
        error=ended["error"],
        seconds=history[-1]["seconds"] if history else 0.0,
        history=history,
        checkpoints=tuple(sorted({*files.checkpoints(folder), *_predictions(folder), *samples_in(folder)})),
        best=ended.get("best") or files.best(folder),
        metrics=ended.get("metrics", {}),
        notes=tuple(files.notes(folder)),
        resumable=(folder / files.PUT_DOWN).exists() and ended["state"] in RESUMABLE,
    )


def _unfinished(folder: Path) -> dict[str, str]:
    """What to say of a run without an outcome: its history still grows, or it broke off."""
    history = folder / "history.jsonl"
    if history.exists() and time.time() - history.stat().st_mtime < ALIVE and served(folder):
        return {"state": "running", "error": ELSEWHERE}
    return {"state": "interrupted", "error": INTERRUPTED}


def evaluate(run: TrainRun, step: int) -> Evaluation:
    """The network's answers on the test split at a checkpoint: as recorded, or tried now where the run broke off."""
    from explorer import zoo

    test = data.load(run.config.dataset, "test", **dict(run.config.dataset_settings))
    recorded = _predictions(run.folder)
    if step in recorded:
        return Evaluation(test.labels, test.y, recorded[step])
    if step not in run.checkpoints:
        steps = ", ".join(map(str, run.checkpoints)) or "none"
        raise ExplorerError(f"Step {step} of {run.ref}", "no weights were kept there", f"Choose one of: {steps}")
    return Evaluation(test.labels, test.y, zoo.load(f"{run.ref}@{step}").predict(test.x))


def samples_in(folder: Path) -> dict[int, np.ndarray]:
    """What a denoiser drew at its checkpoints, from always the same noise: (N, H, W, C) uint8 or (N, 2) each."""
    return _arrays(folder / "samples.safetensors")


def regions(run: TrainRun, step: int, cells: int = 64) -> Regions:
    """What a network of 2-D points answers all over the plane, at a checkpoint."""
    from explorer import zoo

    axis = (np.arange(cells) + 0.5) / cells * 2 * PLANE - PLANE
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)  # (cells², 2)
    model = zoo.load(f"{run.ref}@{step}")
    return Regions(model.labels, x, model.predict(x), 2 * PLANE / cells)


def _predictions(folder: Path) -> dict[int, np.ndarray]:
    found = _arrays(folder / "predictions.safetensors")
    return {step: values.astype(np.float32) for step, values in found.items()}


def _arrays(path: Path) -> dict[int, np.ndarray]:
    """The arrays of a file by the steps that they are of; none where it is not there yet, or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return {int(step): values for step, values in sorted(load_file(path).items())}
    except (OSError, SafetensorError, ValueError, LookupError, TypeError):  # they can be made again
        return {}
