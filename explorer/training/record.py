"""Train into a folder: every step on record, the weights at the checkpoints, and the test at the end."""

import contextlib
import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from explorer import data
from explorer.runs import files
from explorer.training.config import TrainConfig
from explorer.training.frames import Recorder, watchable
from explorer.training.run import samples_in
from explorer.zoo.card import GENERATION_TASKS, Card

CHECKPOINTS = 12  # about so many sets of weights are kept of a run
FLUSH_SECONDS = 0.5  # how much of the curve a crash may cost


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: str  # finished | stopped | diverged | exhausted
    steps: int
    seconds: float  # of training, validation included
    best: int  # the checkpoint that did best on the validation split
    metrics: dict[str, float]
    error: str = ""


def record(
    config: TrainConfig,
    folder: Path,
    device: str = "cpu",
    on_step: Callable[[Any], None] = lambda step: None,
    stopping: Callable[[], bool] = lambda: False,
    *,
    on_frame: Callable[[np.ndarray], None] = lambda weights: None,
    keep: int = CHECKPOINTS,
    most: int = 0,
) -> Outcome:
    """Train, leaving in the folder what `explorer.runs.files` lists; `on_step` sees every `Step`.

    A folder in which a run was put down goes on from there, with the same numbers as if it had never stopped.
    on_frame: sees the weights of a network that is small enough to be drawn whole, before `on_step` sees that step.
    keep: about so many sets of weights are kept; where it is fewer than usual, the best one alone is tried in the end.
    most: steps to take this time, 0 for all that are left. What was put down is tried on the test split when it ends.
    A loss that is no longer a number ends the run as `diverged`, and a lack of memory as `exhausted`; what was recorded
    stays. Raises ExplorerError where the run can't start, or the disk is full.
    """
    import torch

    from explorer.training.learner import prepare, restore
    from explorer.training.loop import Diverged, Exhausted, steps

    files.write_json(folder / "config.json", config.to_dict())
    learner = prepare(config, device)
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)  # else it would be that of the runs before
    if (folder / files.PUT_DOWN).exists():
        restore(learner, folder / files.PUT_DOWN)
        files.rewind(folder, learner.step or -1)  # step 0 is told again
    kept = _Kept(config, folder, learner, keep, stopping, on_frame)
    begun, state, error = learner.step, "finished", ""
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            for step in steps(config, learner, kept.marks, kept.looks | {begun + most}):
                kept.take(step)
                on_step(step)
                whole = step.step == learner.step and math.isfinite(step.loss or 0.0)  # else the next one is there
                if whole and step.step < learner.total and (stopping() or step.step - begun == most > 0):
                    state = "stopped"
                    break
                kept.secure(step.step)
    except Diverged as diverged:
        state, error = "diverged", str(diverged)
    except Exhausted as exhausted:
        state, error = "exhausted", str(exhausted)
    finally:
        kept.flush()
    kept.close(state)
    outcome = Outcome(state, kept.last, learner.seconds, files.best(folder), kept.validated(), error)
    files.write_json(folder / "outcome.json", dataclasses.asdict(outcome))  # from here on nothing can undo it
    if state == "stopped":
        return outcome
    for metrics in _test(learner, config, folder, outcome.best):
        outcome = dataclasses.replace(outcome, metrics=metrics)
        files.write_json(folder / "card.json", dataclasses.replace(kept.card, metrics=metrics).to_json())
        files.write_json(folder / "outcome.json", dataclasses.asdict(outcome))
        if stopping() or keep < CHECKPOINTS:  # the other checkpoints are tried when somebody looks at them
            break
    return outcome


class _Kept:
    """What a run leaves in its folder as it goes: the history, weights, drawings, frames, and where to go on from."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        learner: Any,
        keep: int,
        stopping: Callable[[], bool],
        on_frame: Callable[[np.ndarray], None],
    ) -> None:
        train = data.load(config.dataset, "train", **dict(config.dataset_settings))
        self.config, self.folder, self.learner, self.stopping, self.on_frame = (
            config,
            folder,
            learner,
            stopping,
            on_frame,
        )
        self.card = make_card(config, learner)
        self.marks = checkpoint_steps(learner.total, keep)
        self.last = learner.step  # the newest step on record
        self._lines: list[dict[str, Any]] = []
        self._flushed = time.perf_counter()
        self._top, self._best = _best_so_far(folder)
        self._drawn = _Drawn(self.card, folder, self.marks)
        self._frames = Recorder(folder, learner.total) if watchable(config, train.task) else None
        self.looks = self._frames.wanted if self._frames else set()
        files.write_json(folder / "card.json", self.card.to_json())
        if train.tokenizer:
            files.write(folder / "tokenizer.json", train.tokenizer.encode())

    def take(self, step: Any) -> None:
        """Keep what is wanted of the newest step."""
        self.last = step.step
        self._lines.append(step.told)
        self._drawn.add(self.learner, step.step, self.stopping)
        if step.validation_loss is not None:
            self._weights(step)
        if self._frames and step.step == self.learner.step:
            frame = self._frames.add(self.learner.kept, step.step)
            if frame is not None:
                self.on_frame(frame)
        if time.perf_counter() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def secure(self, step: int) -> None:
        """At a checkpoint, leave all that is needed to go on, should the worker die after it."""
        if step in self.marks and 0 < step == self.learner.step < self.learner.total:
            self._put_down()

    def flush(self) -> None:
        """Write the newest lines of the history."""
        files.append_history(self.folder, self._lines)
        self._lines, self._flushed = [], time.perf_counter()

    def close(self, state: str) -> None:
        """No step follows, or not now."""
        learner, whole = self.learner, self.last == self.learner.step  # what diverged has gone too far
        if state == "stopped":
            _save(learner, self.folder, self.last)
        if self._frames:
            self._frames.add(learner.kept, self.last, anyway=state == "stopped")
            self._frames.write()
        if state in ("stopped", "exhausted") and whole:
            self._put_down()
        elif state in ("finished", "diverged"):
            (self.folder / files.PUT_DOWN).unlink(missing_ok=True)
            if state == "finished" and self.last < learner.total:
                files.note(
                    self.folder,
                    f"Stopped early, after step {self.last} of {learner.total}: {self.config.early_stopping} epochs "
                    "were no better than the best before them.",
                )

    def validated(self) -> dict[str, float]:
        """How well the best one did on the validation split; nothing before one was tried."""
        if self._best is None:
            return {}
        accuracy, loss = self._top
        named = self.card.task not in GENERATION_TASKS
        return ({"validation accuracy": accuracy} if named else {}) | {"validation loss": -loss}

    def _weights(self, step: Any) -> None:
        """Keep the weights at a checkpoint, and the best ones in place of those that were best before."""
        score = (step.validation_accuracy or 0.0, -step.validation_loss)
        if step.step in self.marks or score > self._top:
            _save(self.learner, self.folder, step.step)
        if score > self._top:
            if self._best is not None and self._best not in self.marks:
                files.checkpoint(self.folder, self._best).unlink(missing_ok=True)
            self._top, self._best = score, step.step

    def _put_down(self) -> None:
        from explorer.training.learner import save

        self.flush()  # what it goes on from must be on record
        save(self.learner, self.folder / files.PUT_DOWN)


def _best_so_far(folder: Path) -> tuple[tuple[float, float], int | None]:
    """The best score among what was tried before, and its step, of a run that goes on."""
    best = files.best(folder)
    tried = [one for one in files.history(folder) if one["step"] == best and "validation_loss" in one]
    if not tried:
        return (-1.0, 0.0), None
    return (tried[-1].get("validation_accuracy", 0.0), -tried[-1]["validation_loss"]), best


class _Drawn:
    """What a denoiser draws at each checkpoint, always from the same noise; nothing of other networks."""

    def __init__(self, card: Card, folder: Path, marks: list[int]) -> None:
        self.card, self.folder = card, folder
        self.marks = marks if card.task in GENERATION_TASKS else ()
        self.samples = {f"{step:08d}": drawn for step, drawn in samples_in(folder).items()}

    def add(self, learner: Any, step: int, stopping: Callable[[], bool]) -> None:
        """Draw from the network as it is now, where it is to be shown, and keep it all in the run's folder."""
        if step not in self.marks:
            return
        from safetensors.numpy import save

        from explorer.diffusion.sample import drawn
        from explorer.zoo.denoiser import Denoiser

        def on_step(share: float) -> None:
            if stopping():
                raise _Stopped

        net = copy.deepcopy(learner.kept)  # a model freezes what it is given
        with contextlib.suppress(_Stopped):
            self.samples[f"{step:08d}"] = drawn(Denoiser(self.card, {"unet": net}, net.plan), on_step)
            files.write(self.folder / "samples.safetensors", save(self.samples))


class _Stopped(Exception):
    """Somebody does not want to wait for it."""


def checkpoint_steps(total: int, keep: int = CHECKPOINTS) -> list[int]:
    """Which steps' weights are kept: the first, the last, and between them more early than late."""
    between = np.geomspace(1, total, keep - 1).round() if keep > 2 else ()
    return sorted({0, total, *(int(step) for step in between)})


def make_card(config: TrainConfig, learner: Any) -> Card:
    """The card of a network that is about to be trained."""
    train = data.load(config.dataset, "train", **dict(config.dataset_settings))
    return Card(
        ref="",  # whoever opens the folder knows by which name
        title=f"{config.model} on {data.about(config.dataset).title}",
        task=_task(config, train),
        architecture=config.model,
        settings=dict(config.model_settings),
        parameters=sum(parameter.numel() for parameter in learner.model.parameters()),
        shape=train.shape,
        labels=train.labels,
        mean=learner.mean,
        std=learner.std,
        dataset=config.dataset,
        dataset_settings=dict(config.dataset_settings),
        made=f"{config.epochs} epochs of {config.optimizer}, learning rate {config.lr:g}, batch {config.batch_size}",
        seed=config.seed,
    )


def _task(config: TrainConfig, train: data.Dataset) -> str:
    """What the network is for, as cards name it."""
    from explorer.models import MODELS

    classifies = "image-classification" if train.task == "image" else "points-classification"
    return MODELS[config.model].facts.get("task", classifies)


def _save(learner: Any, folder: Path, step: int) -> None:
    from safetensors.torch import save

    state = learner.kept.state_dict()
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}  # tied ones apart
    files.write(files.checkpoint(folder, step), save(state))


def _test(learner: Any, config: TrainConfig, folder: Path, best: int) -> Iterator[dict[str, float]]:
    """Try the checkpoints on the test split, the best one first, and keep each one's class probabilities.

    Gives the best one's figures after every checkpoint that was tried. Of texts the best one alone is tried: their
    probabilities, one for each word of the vocabulary at each token, would fill the disk. So it is of denoisers, which
    have none.
    """
    from safetensors.numpy import save
    from safetensors.torch import load_file

    from explorer.training.batches import Batches
    from explorer.training.objectives import denoises
    from explorer.training.scoring import probabilities, scores

    test = data.load(config.dataset, "test", **dict(config.dataset_settings))
    batches = Batches(test, learner.device, learner.mean, learner.std)
    tried = next(one for one in files.history(folder) if one["step"] == best)
    net = learner.kept
    if test.task.startswith("text") or denoises(config.model):
        net.load_state_dict(load_file(files.checkpoint(folder, best)))
        found = scores(net, config.model, batches)
        named = {
            "test accuracy": found.accuracy,
            "test loss": found.loss,
            "validation accuracy": tried.get("validation_accuracy"),
            "validation loss": tried["validation_loss"],
        }
        yield {name: value for name, value in named.items() if value is not None}
        return
    predictions, metrics = {}, {}
    for step in sorted(files.checkpoints(folder), key=lambda step: step != best):
        net.load_state_dict(load_file(files.checkpoint(folder, step)))
        predictions[f"{step:08d}"] = probabilities(net, config.model, batches).astype(np.float16)
        files.write(folder / "predictions.safetensors", save(predictions))
        if step == best:
            metrics = {
                "test accuracy": float((predictions[f"{step:08d}"].argmax(1) == test.y).mean()),
                "validation accuracy": tried["validation_accuracy"],
                "validation loss": tried["validation_loss"],
            }
        yield metrics
