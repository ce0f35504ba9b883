"""The training loop: a network, its data and its optimiser, one step at a time."""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from explorer.data.text import IGNORED
from explorer.errors import ExplorerError
from explorer.training.augment import Chance, seeds
from explorer.training.config import TrainConfig
from explorer.training.layers import Layers, watched
from explorer.training.learner import Learner, prepare
from explorer.training.objectives import classes, denoises, objective
from explorer.training.scoring import answers, right, scores, silent_units

ME = psutil.Process()
GPU_FLUSH = 10  # steps whose numbers are fetched from a GPU together: each fetch waits for it


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step did. Step 0 is the network before training: it has validation numbers only."""

    step: int
    epoch: float  # how often each example has been seen
    seconds: float  # since the first step, validation included
    loss: float | None = None  # mean cross-entropy of the batch, in nats; of denoisers mean squared error
    accuracy: float | None = None  # of the batch; of texts the share of its predicted tokens; denoisers have none
    lr: float | None = None
    grad_norm: float | None = None  # before clipping
    validation_loss: float | None = None  # at the end of an epoch and at checkpoints
    validation_accuracy: float | None = None
    validation_bands: tuple[float, ...] | None = None  # of denoisers, the loss from little noise to much
    raw_loss: float | None = None  # where weights are averaged, the validation loss of those that are not
    raw_accuracy: float | None = None
    layers: Mapping[str, tuple[float, float]] | None = None  # gradient's length, and the step's over the weights'
    dead: Mapping[str, float] | None = None  # share of the units of an activation that say nothing
    memory: int | None = None  # bytes that the process holds, or the most that the GPU held

    @property
    def told(self) -> dict[str, Any]:
        """What was measured, by name; at a few thousand steps a second a deep copy of each would cost one in twenty."""
        return {name: value for name, value in vars(self).items() if value is not None}


def steps(
    config: TrainConfig,
    learner: Learner | None = None,
    evaluate_at: Collection[int] = (),
    look_at: Collection[int] = (),
) -> Iterator[Step]:
    """Train, giving one `Step` after another; stop whenever you like, the learner keeps what it learned.

    A learner that has taken steps goes on after them, as if it had never stopped.
    evaluate_at: steps after which the validation split is tried, besides 0 and every epoch's end.
    look_at: steps at which somebody looks at the network itself. On a GPU it is a few steps ahead of the ones that are
    given, but at these, at trials and wherever `learner.step` says so: who stops has to wait for that.
    Raises ExplorerError, after the step that shows it, when the loss is no longer a number, or memory ends.
    """
    learner = learner or prepare(config)
    try:
        with spread_needed():
            yield from _steps(config, learner, evaluate_at, look_at)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "not enough memory" not in str(error):
            raise
        learner.optimizer.zero_grad()
        yield from _fetch(learner)
        raise Exhausted(learner) from error


@contextlib.contextmanager
def spread_needed() -> Iterator[None]:
    """Inside the `with`, a normalisation that is given a single value of a channel raises an ExplorerError."""
    try:
        yield
    except ValueError as error:  # it knows only then
        if "Expected more than 1" not in str(error):
            raise
        raise ExplorerError(
            "Training",
            "a normalisation was given a single value for each channel, which has no spread",
            "Choose larger batches or pictures, or another normalisation",
        ) from error


def _steps(
    config: TrainConfig, learner: Learner, evaluate_at: Collection[int], look_at: Collection[int]
) -> Iterator[Step]:
    model, where, total, per_epoch = learner.model, learner.device, learner.total, learner.steps_per_epoch
    ask, layers = objective(config.model, model), Layers(model)
    start = time.perf_counter() - learner.seconds
    if learner.step == 0:
        yield Step(0, 0.0, 0.0, **_validation(learner))
    begun, within = divmod(learner.step, per_epoch)
    if within == 0 and 0 < config.early_stopping <= learner.worse:  # put down just where it would have ended
        return
    for order in itertools.islice(learner.orders(), begun, config.epochs):
        model.train()
        batches = learner.train.raw(order[within * config.batch :], config.batch_size)
        for _ in range(per_epoch - within):
            chance = torch.Generator().manual_seed(seeds(config.seed, learner.step)) if learner.draws else None
            with Chance(seeds(config.seed, learner.step), where) if learner.draws else contextlib.nullcontext():
                loss, accuracy = _gradient(learner, ask, itertools.islice(batches, config.accumulate), chance)
            look = watched(learner.step + 1, total)
            if look:
                layers.before()
            norm = _clipped(config, model)
            lr = learner.lr
            for group in learner.optimizer.param_groups:
                group["lr"] = lr
            learner.scaler.step(learner.optimizer)
            learner.scaler.update()
            if learner.average:
                learner.average.update_parameters(model)
            learner.step += 1
            learner.seconds = time.perf_counter() - start
            numbers = torch.stack([loss, norm, accuracy])
            learner.pending.append((learner.step, lr, learner.seconds, numbers, layers.after() if look else None))
            ended = learner.step % per_epoch == 0
            evaluate = ended or learner.step in evaluate_at
            if evaluate or learner.step in look_at or len(learner.pending) >= _ahead(where):
                done = _fetch(learner)
                broken = next((one for one in done if not math.isfinite(one.loss)), None)
                if evaluate and not broken:
                    last = done.pop()
                    done.append(dataclasses.replace(last, **_validation(learner)))
                    model.train()
                enough = ended and not broken and learner.ended_epoch(
                    done[-1].validation_accuracy, done[-1].validation_loss
                )  # fmt: skip
                learner.seconds = time.perf_counter() - start
                yield from done
                if broken:
                    raise Diverged(broken, total)
                if enough:
                    return
        within = 0


class Diverged(ExplorerError):
    """The loss stopped being a number."""

    def __init__(self, step: Step, total: int) -> None:
        super().__init__(
            "Training",
            f"the loss became {step.loss} at step {step.step} of {total}, so it stopped there",
            "Lower the learning rate, lengthen the warm-up, or clip gradients",
        )


class Exhausted(ExplorerError):
    """There was no memory for another step; the weights are as they were before it."""

    def __init__(self, learner: Learner) -> None:
        size = learner.config.batch_size
        super().__init__(
            "Training",
            f"there was not enough memory for step {learner.step + 1} with batches of {size}",
            "Take half the batch, or choose a smaller network" if size > 1 else "Choose a smaller network",
        )


def _gradient(
    learner: Learner, ask: Any, batches: Iterator[tuple[Tensor, Tensor]], chance: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Leave the mean gradient of the batches in the weights; gives the mean loss, and the share of right answers.

    The mean is over all examples, and of texts over all tokens that are asked.
    """
    config, named = learner.config, not denoises(learner.config.model)
    learner.optimizer.zero_grad()
    asked = (ask(*_changed(learner, *batch, chance), learner.chance) for batch in batches)
    shares: Iterable[Any] = itertools.repeat(1 / config.accumulate)
    if config.accumulate > 1 and named and ask is not classes:
        asked = list(asked)
        counts = torch.stack([y.ne(IGNORED).sum() for _, y in asked])
        shares = counts / counts.sum()
    losses, correct, count = [], [], []
    for batch, share in zip(asked, shares, strict=False):
        with learner.autocast():
            answer, y = answers(learner.forward, batch)
            loss = loss_of(answer, y, config.label_smoothing, named)
        if config.accumulate > 1:
            loss = loss * share
        learner.scaler.scale(loss).backward()
        losses.append(loss.detach().float())
        if named:
            correct.append(right(answer, y))
            count.append(len(y) if ask is classes else y.ne(IGNORED).sum())
    learner.scaler.unscale_(learner.optimizer)
    if len(losses) > 1:
        losses, correct, count = [torch.stack(losses).sum()], [sum(correct)], [sum(count)]
    return losses[0], correct[0] / count[0] if named else losses[0].new_tensor(math.nan)


def _changed(learner: Learner, raw: Tensor, y: Tensor, chance: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """A batch as the network sees it: normalised, and augmented where the recipe says so."""
    if not learner.augment.acts:
        return learner.train.normalise(raw), y
    return learner.augment.mixed(learner.train.normalise(learner.augment.bytes(raw, chance)), y, chance)


def loss_of(answer: Tensor, y: Tensor, smoothing: float, named: bool) -> Tensor:
    """The cross-entropy of logits, or the mean squared error of answers that are numbers.

    named: whether the network names anything; y may be classes, or a share for each of them.
    """
    if not named:
        return mse_loss(answer.float(), y)
    if y.is_floating_point():  # shares of the classes
        return cross_entropy(answer, y, label_smoothing=smoothing)
    return cross_entropy(answer, y, ignore_index=IGNORED, label_smoothing=smoothing)


def _clipped(config: TrainConfig, model: nn.Module) -> Tensor:
    """Clip the gradients, each and then their length; gives their length before."""
    if not config.clip_value:
        return nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm or math.inf)
    norm = nn.utils.get_total_norm([one.grad for one in model.parameters() if one.grad is not None])
    nn.utils.clip_grad_value_(model.parameters(), config.clip_value)
    if config.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    return norm


def _validation(learner: Learner) -> dict[str, Any]:
    """The validation split tried, of what is kept, and of the weights themselves where that is their mean."""
    name = learner.config.model
    with silent_units(learner.kept) as silent:
        found = scores(learner.kept, name, learner.validation)
    told = {"validation_loss": found.loss, "validation_accuracy": found.accuracy, "validation_bands": found.bands}
    if learner.average:
        raw = scores(learner.model, name, learner.validation)
        told |= {"raw_loss": raw.loss, "raw_accuracy": raw.accuracy}
    dead = torch.stack(list(silent.values())).tolist() if silent else []
    return told | {"dead": dict(zip(silent, dead, strict=True)) or None, "memory": _held(learner.device)}


def _held(device: torch.device) -> int:
    """Bytes of memory: the most that a GPU held, or what this process holds now."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else ME.memory_info().rss


def _ahead(device: torch.device) -> int:
    """How many steps are taken before their numbers are fetched."""
    return 1 if device.type == "cpu" else GPU_FLUSH


def _fetch(learner: Learner) -> list[Step]:
    """The steps that are pending, with their numbers."""
    pending, learner.pending = learner.pending, []
    if not pending:
        return []
    rows = torch.stack([numbers for *_, numbers, _ in pending]).tolist()  # one wait for the device
    done = []
    for (step, lr, seconds, _, layers), (loss, norm, accuracy) in zip(pending, rows, strict=True):
        told = None if math.isnan(accuracy) else accuracy
        done.append(Step(step, step / learner.steps_per_epoch, seconds, loss, told, lr, norm, layers=layers))
    return done
