"""What a run costs before it starts: parameters, operations, memory, and seconds from a few real steps."""

import dataclasses
import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from explorer import data, models
from explorer.training.config import TrainConfig

TRIED = 2  # steps that are timed, after one that warms up
PATIENCE = 8e9  # operations that all of it may take: a second on a slow core
PASSES = 13  # forward passes that it takes of each example of the batch that is timed
LEAST = 2  # examples in a batch: normalisation wants more than one


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a run takes. Memory is that of one training step, in bytes."""

    parameters: int
    flops: int  # of one example, forward
    steps: int
    weights: int  # with their buffers, and their running mean where there is one
    gradients: int
    optimizer: int  # what it remembers of each weight
    activations: int  # what the forward pass of one batch keeps for the way back
    seconds: float  # of the whole run on this machine, validation included, its data loaded

    @property
    def memory(self) -> int:
        """Bytes of one training step."""
        return self.weights + self.gradients + self.optimizer + self.activations


def cost(config: TrainConfig, device: str = "cpu") -> Cost:
    """What a run of this config takes on a device: a network of its own is built, and takes a few small real steps.

    Raises ExplorerError where the run can't start.
    """
    from explorer.training.learner import prepare

    operations = flops(config)
    examples = len(data.load(config.dataset, "train", **dict(config.dataset_settings)))
    batch = min(config.batch_size, examples)
    small = _affordable(batch, operations)
    tried = dataclasses.replace(
        config, batch_size=small, accumulate=1, compile=False, schedule="constant", epochs=1, early_stopping=0
    )
    learner = prepare(tried, device)
    activations = _activations(learner, batch, small)
    step, validation = _step(learner, small, batch), _validation(learner, small)
    net = learner.model
    tensors = [
        *net.parameters(),
        *net.buffers(),
        *(learner.average.module.state_dict().values() if learner.average else ()),
    ]
    count = config.epochs * max(1, examples // config.batch)
    seconds = count * config.accumulate * step + (config.epochs + 1) * validation
    return Cost(
        parameters=sum(one.numel() for one in net.parameters()),
        flops=operations,
        steps=count,
        weights=sum(one.nbytes for one in tensors),
        gradients=sum(one.nbytes for one in net.parameters()),
        optimizer=sum(
            one.nbytes for state in learner.optimizer.state.values() for one in state.values() if hasattr(one, "nbytes")
        ),
        activations=activations,
        seconds=seconds,
    )


def flops(config: TrainConfig) -> int:
    """The operations of one example's way through the network, counted as `explorer.flops` says."""
    return _flops(config.dataset, config.dataset_settings, config.model, config.model_settings)


@functools.lru_cache(256)
def _flops(dataset: str, dataset_settings: Any, model: str, model_settings: Any) -> int:
    import torch

    from explorer.flops import count
    from explorer.training.batches import Batches, statistics
    from explorer.training.objectives import objective

    train = _first(data.load(dataset, "train", **dict(dataset_settings)), 1)
    net = models.build(model, train.shape, len(train.labels), **dict(model_settings)).eval()
    ((x, y),) = Batches(train, torch.device("cpu"), *statistics(model, train))(torch.arange(1), 1)
    inputs, _ = objective(model, net)(x, y, torch.Generator().manual_seed(0))
    return count(lambda: net(*inputs))


def _affordable(batch: int, operations: int) -> int:
    """The largest batch, a power of two, of which a few steps take no longer than one waits for."""
    small = min(LEAST, batch)
    while small * 2 <= min(batch, PATIENCE / PASSES / max(operations, 1)):
        small *= 2
    return small


def _step(learner: Any, small: int, batch: int) -> float:
    """Seconds of a step of `batch` examples, from really taken ones: where it is too large, from two smaller sizes.

    A step has a part that grows with its examples and one that does not.
    """
    whole = _timed(learner, small)
    if small == batch:
        return whole
    less = small // 4
    grown = (whole - _timed(learner, less)) / (small - less) if less >= LEAST else whole / small
    each = min(max(grown, whole / small / 2), whole / small)  # one that was interrupted must not decide
    return whole + each * (batch - small)


def _timed(learner: Any, batch: int) -> float:
    """Seconds of a step of so many examples, the mean of a few, in the loop itself."""
    from explorer.training.loop import steps

    whole = learner.train, learner.validation
    tried = TRIED if batch > LEAST else 1
    learner.config = dataclasses.replace(learner.config, batch_size=batch)
    learner.step, learner.seconds = 0, 0.0
    learner.train, learner.validation = _part(whole[0], batch * (tried + 2)), _part(whole[1], LEAST)
    took = []
    for step in steps(learner.config, learner, look_at=range(2 + tried)):  # there a GPU is waited for
        took.append(step.seconds)
        if step.step == 1 + tried:  # the next one would end the epoch
            break
    learner.train, learner.validation = whole
    return float(np.diff(took[1:]).mean()) if len(took) > 2 else took[-1]


def _validation(learner: Any, batch: int) -> float:
    """Seconds in which the validation split is tried, from a part of it: twice where weights are averaged."""
    from explorer.training.objectives import objective
    from explorer.training.scoring import scores

    name, part = learner.config.model, _part(learner.validation, batch)
    start = time.perf_counter()
    scores(learner.kept, name, part)  # ends with a number, so a GPU is waited for
    took = time.perf_counter() - start
    tried, whole = (  # of denoisers the fewer examples there are, the more often each is asked
        len(split) * getattr(objective(name, learner.model, len(split)), "often", 1)
        for split in (part, learner.validation)
    )
    return took / tried * whole * (2 if learner.average else 1)


def _part(batches: Any, count: int) -> Any:
    """The first examples of a split, over again where there are too few."""
    import copy

    import torch

    part, which = copy.copy(batches), torch.arange(count) % len(batches)
    part.x, part.y = batches.x[which], batches.y[which]
    return part


def _first(split: data.Dataset, count: int) -> data.Dataset:
    """The first examples of a split, without what else is known of them."""
    return data.Dataset(split.name, split.split, split.task, split.x[:count], split.y[:count], split.labels)


def _activations(learner: Any, batch: int, small: int) -> int:
    """Bytes that autograd keeps of one batch: from two small ones, because it grows by the same for each example."""
    low = min(LEAST, batch)
    at_low = kept_bytes(learner, low)
    if batch == low:
        return at_low
    if small < 2 * low:  # two would take too long; what does not grow is small beside the rest
        return round(at_low / low * batch)
    return at_low + (kept_bytes(learner, 2 * low) - at_low) // low * (batch - low)


def kept_bytes(learner: Any, batch: int) -> int:
    """Bytes that autograd keeps of one forward pass of so many examples, parameters and buffers not counted."""
    import torch

    from explorer.training.augment import Chance
    from explorer.training.loop import loss_of, spread_needed
    from explorer.training.objectives import denoises, objective
    from explorer.training.scoring import answers

    config, net = learner.config, learner.model.train()
    own = {one.untyped_storage().data_ptr() for one in (*net.parameters(), *net.buffers())}
    before = {name: one.clone() for name, one in net.named_buffers()}  # statistics that a forward pass moves
    generator = torch.Generator().manual_seed(config.seed)
    ((x, y),) = learner.train(torch.arange(batch), batch)
    chance = Chance(0, learner.device) if learner.draws else nullcontext()
    with spread_needed(), _saved() as kept, chance, learner.autocast():
        x, y = learner.augment.mixed(x, y, generator) if learner.augment.acts else (x, y)
        answer, y = answers(net, objective(config.model, net)(x, y, generator))
        loss = loss_of(answer, y, config.label_smoothing, named=not denoises(config.model))
    with torch.no_grad():
        for name, one in net.named_buffers():
            one.copy_(before[name])
    found = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in kept}
    del loss
    return sum(size for place, size in found.items() if place not in own)


@contextmanager
def _saved() -> Iterator[list[Any]]:
    """Inside the `with`, the tensors that autograd keeps for the way back, alive."""
    import torch

    kept: list[Any] = []

    def pack(tensor: Any) -> Any:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept
