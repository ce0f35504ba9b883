"""Train into a folder: every step on record, the weights at the checkpoints, and the test at the end."""

import contextlib
import copy
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from explorer import data
from explorer.runs import files
from explorer.training.config import TrainConfig
from explorer.zoo.card import GENERATION_TASKS, Card

CHECKPOINTS = 12  # about so many sets of weights are kept of a run
FLUSH_SECONDS = 0.5  # how much of the curve a crash may cost


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: str  # finished | stopped | diverged
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
) -> Outcome:
    """Train, leaving in the folder what `explorer.runs.files` lists; `on_step` sees every `Step`.

    A loss that is no longer a number ends the run as `diverged`; what was recorded stays.
    Raises ExplorerError where the run can't start, or the disk is full.
    """
    import torch

    from explorer.training.loop import Diverged, prepare, steps

    files.write_json(folder / "config.json", config.to_dict())
    learner = prepare(config, device)
    card = make_card(config, learner)
    files.write_json(folder / "card.json", card.to_json())
    if tokenizer := data.load(config.dataset, "train", **dict(config.dataset_settings)).tokenizer:
        files.write(folder / "tokenizer.json", tokenizer.encode())
    marks = checkpoint_steps(learner.total)
    state, error, step, lines, flushed = "finished", "", None, [], time.perf_counter()
    top, kept_best = (-1.0, 0.0), None
    drawn = _Drawn(card, folder, marks)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            for step in steps(config, learner, marks):
                lines.append(dataclasses.asdict(step))
                drawn.add(learner, step.step, stopping)
                if step.validation_loss is not None:
                    score = (step.validation_accuracy or 0.0, -step.validation_loss)
                    if step.step in marks or score > top:
                        _save(learner, folder, step.step)
                    if score > top:  # the best so far takes the place of the one before
                        if kept_best is not None and kept_best not in marks:
                            files.checkpoint(folder, kept_best).unlink(missing_ok=True)
                        top, kept_best = score, step.step
                on_step(step)
                if time.perf_counter() - flushed > FLUSH_SECONDS:
                    files.append_history(folder, lines)
                    lines, flushed = [], time.perf_counter()
                if step.step < learner.total and stopping():
                    state = "stopped"
                    _save(learner, folder, step.step)
                    break
    except Diverged as diverged:
        state, error = "diverged", str(diverged)
    finally:
        files.append_history(folder, lines)
    outcome = Outcome(state, step.step, step.seconds, files.best(folder), {}, error)
    files.write_json(folder / "outcome.json", dataclasses.asdict(outcome))  # from here on nothing can undo it
    for metrics in _test(learner, config, folder, outcome.best):
        outcome = dataclasses.replace(outcome, metrics=metrics)
        files.write_json(folder / "card.json", dataclasses.replace(card, metrics=metrics).to_json())
        files.write_json(folder / "outcome.json", dataclasses.asdict(outcome))
        if stopping():  # the other checkpoints are tried when somebody looks at them
            break
    return outcome


class _Drawn:
    """What a denoiser draws at each checkpoint, always from the same noise; nothing of other networks."""

    def __init__(self, card: Card, folder: Path, marks: list[int]) -> None:
        self.card, self.folder = card, folder
        self.marks = marks if card.task in GENERATION_TASKS else ()
        self.samples: dict[str, np.ndarray] = {}

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


def checkpoint_steps(total: int) -> list[int]:
    """Which steps' weights are kept: the first, the last, and between them more early than late."""
    return sorted({0, total, *(int(step) for step in np.geomspace(1, total, CHECKPOINTS - 1).round())})


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

    from explorer.training.loop import Batches, probabilities, scores
    from explorer.training.objectives import denoises

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
        predictions[f"{step:08d}"] = probabilities(learner, batches).astype(np.float16)
        files.write(folder / "predictions.safetensors", save(predictions))
        if step == best:
            metrics = {
                "test accuracy": float((predictions[f"{step:08d}"].argmax(1) == test.y).mean()),
                "validation accuracy": tried["validation_accuracy"],
                "validation loss": tried["validation_loss"],
            }
        yield metrics
