"""What a recipe does before it runs: its learning rates, and one batch as the network would be shown it."""

from dataclasses import dataclass

import numpy as np

from explorer.training.config import TrainConfig
from explorer.training.schedules import lr_factor

SHOWN = 7  # examples of a batch


@dataclass(frozen=True, eq=False)
class Preview:
    """The first examples of the first batch, and what becomes of them."""

    before: np.ndarray  # (N, H, W, C) uint8
    after: np.ndarray  # (N, H, W, C) uint8
    labels: tuple[str, ...]  # of all classes
    was: np.ndarray  # (N,) the class of each
    shares: np.ndarray  # (N, classes) what is asked of the network, before label smoothing: each sums to 1


def rates(config: TrainConfig, total: int, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Steps, evenly spread over a run of `total`, and the learning rate at each; a plateau's drops are not foreseen."""
    steps = np.unique(np.linspace(0, max(total - 1, 0), min(most, max(total, 1))).astype(int))
    return steps + 1, np.array([config.lr * lr_factor(config, int(step), total) for step in steps])


def preview(config: TrainConfig, step: int = 0, shown: int = SHOWN) -> Preview:
    """What the network is shown at a step, and what it was made of: exactly what a run would draw there, on the CPU.

    step: from 0, counted round within the first epoch.
    Raises ExplorerError where the data are no pictures, or the recipe can't be.
    """
    import torch
    from torch.nn.functional import one_hot

    from explorer import data
    from explorer.errors import ExplorerError
    from explorer.training.augment import Augment, Chance, seeds
    from explorer.training.batches import Batches, orders, statistics, steps_of_epoch
    from explorer.training.learner import check

    if data.about(config.dataset).task != "image":
        wrong = "its examples are no pictures"
        raise ExplorerError("A batch of this recipe", wrong, "Choose pictures to see them changed")
    train = data.load(config.dataset, "train", **dict(config.dataset_settings))
    check(config, train)
    device, classes = torch.device("cpu"), len(train.labels)
    batches, augment = Batches(train, device, *statistics(config.model, train)), Augment(config, classes)
    step %= steps_of_epoch(config, len(train))
    order = next(orders(config, batches.y))[step * config.batch :][: config.batch_size]
    ((raw, y),) = batches.raw(order, config.batch_size)
    with Chance(seeds(config.seed, step), device):
        chance = torch.Generator().manual_seed(seeds(config.seed, step))
        x = batches.normalise(augment.bytes(raw, chance))
        x, asked = augment.mixed(x, y, chance)
    shares = asked if asked.is_floating_point() else one_hot(asked, classes).float()
    pixels = (x * batches.std + batches.mean).clamp(0, 1).mul(255).round().to(torch.uint8)
    before, after = (part[:shown].permute(0, 2, 3, 1).numpy() for part in (raw, pixels))
    return Preview(before, after, train.labels, y[:shown].numpy(), shares[:shown].numpy())
