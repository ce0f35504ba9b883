"""The training loop: a network, its data and its optimiser, one step at a time."""

import contextlib
import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim.swa_utils import AveragedModel

from explorer import data, models
from explorer.data.base import Dataset
from explorer.data.text import IGNORED
from explorer.errors import ExplorerError
from explorer.training.config import TrainConfig
from explorer.training.objectives import Batch, denoises, objective

EVALUATION_BATCH = 256
BANDS = 5
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


@dataclasses.dataclass(frozen=True)
class Scores:
    """How well a network does on a split."""

    loss: float
    accuracy: float | None  # None of denoisers
    bands: tuple[float, ...] | None = None  # of denoisers, the loss in each of BANDS equal parts of the time


@dataclasses.dataclass(eq=False)
class Learner:
    """A network on its way: everything that `steps` moves."""

    config: TrainConfig
    device: torch.device
    model: nn.Module
    train: "Batches"
    validation: "Batches"
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    mean: tuple[float, ...]  # per channel of pictures scaled to 0…1, or per coordinate of points
    std: tuple[float, ...]
    average: AveragedModel | None  # the running mean of its weights

    @property
    def kept(self) -> nn.Module:
        """The network that is tried and kept: the running mean, where there is one."""
        return self.average.module if self.average else self.model

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches only: what is left over takes its turn in another epoch's order."""
        return max(1, len(self.train) // self.config.batch_size)

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch


class Batches:
    """A split of a data set as normalised tensors on a device.

    The whole split lives on the device as bytes, from which any batch is one indexing away; where it
    would fill more than a quarter of the device's free memory it stays behind and a DataLoader feeds it.
    """

    def __init__(self, dataset: Dataset, device: torch.device, mean: Sequence[float], std: Sequence[float]) -> None:
        x, y = _tensor(dataset.x), _tensor(dataset.y)
        if dataset.task == "image":
            x = x.permute(0, 3, 1, 2)  # (N, C, H, W) uint8; in memory the channels stay last
        self.resident = dataset.nbytes <= _free(device) / 4
        home = device if self.resident else torch.device("cpu")
        self.device = device
        self.x, self.y = x.to(home), y.to(home)
        self.mean = torch.tensor(mean, device=device).view(-1, 1, 1)
        self.std = torch.tensor(std, device=device).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.y)

    def __call__(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches (x (size, …) float32, y (size,)) of the examples numbered by `order`, in that order."""
        if self.resident:
            raw = ((self.x[part], self.y[part]) for part in order.to(self.device).split(size))
        else:
            raw = torch.utils.data.DataLoader(
                torch.utils.data.TensorDataset(self.x, self.y),
                batch_sampler=[part.tolist() for part in order.split(size)],
                pin_memory=self.device.type == "cuda",
            )
        for x, y in raw:
            yield self.normalise(x.to(self.device, non_blocking=True)), y.to(self.device, non_blocking=True)

    def normalise(self, x: Tensor) -> Tensor:
        """Bytes 0…255 to mean 0 and spread 1 per channel; points stay as they are."""
        return x.float().div_(255).sub_(self.mean).div_(self.std) if x.dtype == torch.uint8 else x


def prepare(config: TrainConfig, device: str = "cpu") -> Learner:
    """Load the data, build the network from the seed, and make its optimiser.

    Raises ExplorerError where data, model and recipe don't go together.
    """
    where = torch.device(device)
    train, validation = (
        data.load(config.dataset, split, **dict(config.dataset_settings)) for split in ("train", "validation")
    )
    models.check_reads(config.model, config.dataset, train.task)
    mean, std = statistics(config.model, train)
    model = models.build(config.model, train.shape, len(train.labels), config.seed, **dict(config.model_settings))
    model.to(where, memory_format=torch.channels_last)  # up to 1.8 times faster for a ResNet on two cores
    optimizer = _optimizer(config, model, where)
    learner = Learner(
        config, where, model,
        Batches(train, where, mean, std), Batches(validation, where, mean, std),
        optimizer, None, mean, std, _average(model, config.ema),
    )  # fmt: skip
    learner.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(config, step, learner.total))
    return learner


def steps(config: TrainConfig, learner: Learner | None = None, evaluate_at: Sequence[int] = ()) -> Iterator[Step]:
    """Train, giving one `Step` after another; stop whenever you like, the learner keeps what it learned.

    evaluate_at: steps after which the validation split is tried, besides 0 and every epoch's end.
    Raises ExplorerError, after the step that shows it, when the loss is no longer a number.
    """
    learner = learner or prepare(config)
    model, where, total = learner.model, learner.device, learner.total
    half, scaler = _mixed_precision(config, where)
    clip = config.clip_norm or math.inf
    order = torch.Generator().manual_seed(config.seed)
    ask, chance = objective(config.model, model), torch.Generator().manual_seed(config.seed)  # chance: what is masked
    start = time.perf_counter()
    yield Step(0, 0.0, 0.0, **_validation(learner))
    pending = []  # (step, lr, seconds, [loss, gradient norm, accuracy] on the device)
    step = 0
    for _ in range(config.epochs):
        permutation = torch.randperm(len(learner.train), generator=order)[: learner.steps_per_epoch * config.batch_size]
        model.train()
        for batch in learner.train(permutation, config.batch_size):
            with half():
                answer, y = answers(model, ask(*batch, chance))
                loss = _loss(answer, y, config.label_smoothing)
            learner.optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(learner.optimizer)
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
            scaler.step(learner.optimizer)
            scaler.update()
            if learner.average:
                learner.average.update_parameters(model)
            lr = learner.schedule.get_last_lr()[0]
            learner.schedule.step()
            step += 1
            named = not y.is_floating_point()
            accuracy = right(answer, y) / y.ne(IGNORED).sum() if named else norm.new_tensor(math.nan)
            numbers = torch.stack([loss.detach().float(), norm, accuracy])
            pending.append((step, lr, time.perf_counter() - start, numbers))
            evaluate = step % learner.steps_per_epoch == 0 or step in evaluate_at
            if evaluate or where.type == "cpu" or len(pending) == GPU_FLUSH:
                done = _fetch(pending, learner.steps_per_epoch)
                pending = []
                broken = next((one for one in done if not math.isfinite(one.loss)), None)
                if evaluate and not broken:
                    last = done.pop()
                    done.append(dataclasses.replace(last, **_validation(learner)))
                    model.train()
                yield from done
                if broken:
                    raise Diverged(broken, total)


class Diverged(ExplorerError):
    """The loss stopped being a number."""

    def __init__(self, step: Step, total: int) -> None:
        super().__init__(
            "Training",
            f"the loss became {step.loss} at step {step.step} of {total}, so it stopped there",
            "Lower the learning rate, lengthen the warm-up, or clip gradients",
        )


def lr_factor(config: TrainConfig, step: int, total: int) -> float:
    """The share of the learning rate that step number `step` (from 0) of `total` uses.

    Linear warm-up, then cosine to zero (Loshchilov and Hutter 2017, equation 5, one period) or constant.
    """
    warm = round(config.warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def probabilities(learner: Learner, batches: Batches) -> np.ndarray:
    """The network's class probabilities for every example of a split, (N, classes) float32."""
    return (
        torch.cat([logits.softmax(1) for logits, _, _ in _forward(learner.kept, learner.config.model, batches)])
        .cpu()
        .numpy()
    )


def statistics(model: str, train: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is taken from each channel of an example between 0 and 1, and what the rest is divided by.

    Its mean and deviation; of denoisers one half of each, so that pictures go from -1 to 1, as diffusers has them.
    """
    if denoises(model) and train.task == "image":
        return ((0.5,) * train.shape[0],) * 2
    return channel_statistics(train)


def channel_statistics(dataset: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over a split, of pixels scaled to 0…1; points and texts stay as they are."""
    if dataset.task.startswith("text"):
        return (), ()
    if dataset.task != "image":
        return (0.0,) * dataset.x.shape[1], (1.0,) * dataset.x.shape[1]
    levels = np.arange(256) / 255
    mean, std = [], []
    for channel in range(dataset.x.shape[-1]):
        weight = np.bincount(dataset.x[..., channel].ravel(), minlength=256)
        mean.append(float(np.average(levels, weights=weight)))
        std.append(max(float(np.average((levels - mean[-1]) ** 2, weights=weight)) ** 0.5, 1e-3))
    return tuple(mean), tuple(std)


def answers(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """A network's logits (M, classes) and what they should say (M,): one each an example, or a token.

    Of denoisers its answers and what they should be, (N, …).
    """
    inputs, y = batch
    answer = model(*inputs)
    if y.is_floating_point():
        return (answer if isinstance(answer, Tensor) else answer.sample), y  # diffusers' networks give more than one
    return answer.flatten(0, -2), y.flatten()


def right(logits: Tensor, y: Tensor) -> Tensor:
    """How many answers are right; those that nobody asked for are not."""
    return (logits.argmax(-1) == y).sum()


def scores(model: nn.Module, name: str, batches: Batches) -> Scores:
    """Mean loss and share of right answers over a split; the same words are masked, and the same noise put on, always.

    name: of its architecture, which says what it is asked.
    """
    if denoises(name):
        return _denoising(model, name, batches)
    loss, correct, count = 0.0, 0, 0
    for logits, y, _ in _forward(model, name, batches):
        loss += cross_entropy(logits, y, ignore_index=IGNORED, reduction="sum").item()
        correct += int(right(logits, y))
        count += int(y.ne(IGNORED).sum())
    return Scores(loss / count, correct / count)


def _denoising(model: nn.Module, name: str, batches: Batches) -> Scores:
    """The squared error of a denoiser, and in each part of the time."""
    errors, times = [], []
    for answer, y, inputs in _forward(model, name, batches):
        errors.append((answer - y).square().flatten(1).mean(1))
        times.append(inputs[1])
    error, time = torch.cat(errors), torch.cat(times)
    parts = error[time.argsort()].tensor_split(BANDS)
    return Scores(error.mean().item(), None, tuple(part.mean().item() for part in parts))


def _forward(model: nn.Module, name: str, batches: Batches) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, ...]]]:
    """Answers, what they should be and what was given, batch by batch, in evaluation mode."""
    model.eval()
    ask, chance = objective(name, model, trying=len(batches)), torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for batch in batches(torch.arange(len(batches)), EVALUATION_BATCH):
            asked = ask(*batch, chance)
            answer, y = answers(model, asked)
            yield answer.float(), y, asked[0]


def _validation(learner: Learner) -> dict[str, Any]:
    found = scores(learner.kept, learner.config.model, learner.validation)
    return {"validation_loss": found.loss, "validation_accuracy": found.accuracy, "validation_bands": found.bands}


def _loss(answer: Tensor, y: Tensor, smoothing: float) -> Tensor:
    """The cross-entropy of logits, or the mean squared error of answers that are numbers."""
    if y.is_floating_point():
        return mse_loss(answer.float(), y)
    return cross_entropy(answer, y, ignore_index=IGNORED, label_smoothing=smoothing)


def _average(model: nn.Module, decay: float) -> AveragedModel | None:
    """The running mean of a network's weights, buffers too; None where there is to be none."""
    return AveragedModel(model, multi_avg_fn=_running(decay), use_buffers=True) if decay else None


def _running(decay: float) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """A running mean that forgets fast at first, when the weights still change a lot."""

    def update(mean: list[Tensor], now: list[Tensor], seen: Any) -> None:
        keep = min(decay, (1 + float(seen)) / (10 + float(seen)))
        if mean[0].is_floating_point():
            torch._foreach_lerp_(mean, now, 1 - keep)
        else:  # what counts batches
            torch._foreach_copy_(mean, now)

    return update


def _fetch(pending: list[tuple[int, float, float, Tensor]], steps_per_epoch: int) -> list[Step]:
    numbers = torch.stack([numbers for *_, numbers in pending]).tolist()  # one wait for the device
    return [
        Step(step, step / steps_per_epoch, seconds, loss, None if math.isnan(accuracy) else accuracy, lr, norm)
        for (step, lr, seconds, _), (loss, norm, accuracy) in zip(pending, numbers, strict=True)
    ]


def _optimizer(config: TrainConfig, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    fused = device.type in ("cpu", "cuda")  # one kernel for all weights
    if config.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.SGD(
        model.parameters(), config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=fused
    )


def _mixed_precision(config: TrainConfig, device: torch.device):
    """An autocast context to enter at each step, and a gradient scaler, which only float16 needs."""
    if not config.amp or device.type != "cuda":
        return contextlib.nullcontext, torch.amp.GradScaler(enabled=False)
    kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return (lambda: torch.autocast("cuda", kind)), torch.amp.GradScaler("cuda", enabled=kind is torch.float16)


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over an array that is shared, and so read-only; nothing here writes into it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _free(device: torch.device) -> int:
    """Bytes free on a GPU; on the CPU the split is in memory already."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2**62
