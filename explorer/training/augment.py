"""Augmentation: pictures changed at every step in ways that leave their class as it is, or that mix it."""

import threading
from typing import Any

import torch
from torch import Tensor

from explorer.training.config import TrainConfig

CHUNK = 8  # pictures that share one draw of RandAugment: a draw for each would take longer than the step


class Augment:
    """What a recipe does to a batch before the network sees it.

    Two halves, because colours are changed in bytes, and what is blanked out or mixed is normalised already.
    Draws of torchvision's come from torch's process-wide generator, which the loop seeds at each step; all others from
    the generator that is given.
    """

    def __init__(self, config: TrainConfig, classes: int) -> None:
        self.config = config
        self.acts = any((config.flip, config.crop, config.randaugment, config.erasing, config.mixup, config.cutmix))
        self._randaugment, self._mixes = None, []
        if config.randaugment or config.mixup or config.cutmix:  # torchvision is slow to import
            from torchvision.transforms import v2

            self._randaugment = v2.RandAugment(2, config.randaugment) if config.randaugment else None
            self._mixes += [v2.MixUp(alpha=config.mixup, num_classes=classes)] if config.mixup else []
            self._mixes += [v2.CutMix(alpha=config.cutmix, num_classes=classes)] if config.cutmix else []

    def bytes(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures moved, mirrored and recoloured: x (N, C, H, W) uint8, as it comes back."""
        if self.config.flip:
            x = mirrored(x, torch.rand(len(x), generator=generator) < 0.5)
        if self.config.crop:
            reach = self.config.crop
            x = shifted(x, torch.randint(-reach, reach + 1, (len(x), 2), generator=generator))
        if self._randaugment:
            x = torch.cat([self._randaugment(part) for part in x.split(CHUNK)])
        return x

    def mixed(self, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures blanked out in part, and mixed: x (N, C, H, W) normalised, y (N,) → (N, classes) where it mixes."""
        if self.config.erasing:
            x = erased(x, self.config.erasing, generator)
        if not self._mixes:
            return x, y
        at = int(torch.randint(len(self._mixes), (), generator=generator))
        return self._mixes[at](x, y)


def mirrored(x: Tensor, which: Tensor) -> Tensor:
    """The pictures that are chosen, left for right. x: (N, C, H, W); which: (N,) bool."""
    return torch.where(which.to(x.device).view(-1, 1, 1, 1), x.flip(-1), x)


def shifted(x: Tensor, by: Tensor) -> Tensor:
    """Each picture moved down and right by so many pixels, black where nothing was. x: (N, C, H, W); by: (N, 2)."""
    (count, _, height, width), reach = x.shape, int(by.abs().max())
    padded = torch.nn.functional.pad(x, (reach,) * 4)
    by = by.to(x.device)
    rows = reach - by[:, 0, None] + torch.arange(height, device=x.device)  # (N, H)
    columns = reach - by[:, 1, None] + torch.arange(width, device=x.device)  # (N, W)
    which = torch.arange(count, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def erased(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A rectangle set to the mean (0) in that share of the pictures.

    Its area is drawn between 2 and 33 % of the picture, its sides' ratio between 0.3 and 3.3, evenly in its logarithm
    (Zhong et al. 2020, section 3 and table 6); one that would be longer than the picture is as long as the picture.
    """
    count, _, height, width = x.shape
    chosen, area, ratio, down, right = torch.rand(5, count, generator=generator)
    area, ratio = (0.02 + area * 0.31) * height * width, 0.3 * 11**ratio
    tall, wide = (area * ratio).sqrt().round().clamp(1, height), (area / ratio).sqrt().round().clamp(1, width)
    top, left = (down * (height - tall + 1)).floor(), (right * (width - wide + 1)).floor()
    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])  # (N, H)
    inside_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])  # (N, W)
    hole = inside_rows[:, :, None] & inside_columns[:, None, :] & (chosen < share)[:, None, None]
    return x.masked_fill(hole[:, None].to(x.device), 0.0)


def seeds(seed: int, step: int) -> int:
    """What the random draws of one step are seeded with: a run that was continued draws as if it had never paused.

    A generator on the CPU keeps 32 bits of it, so the seed is spread over these (Knuth 1998, section 6.4).
    """
    return (seed * 2_654_435_761 + step) % 2**32


_one_at_a_time = threading.RLock()


class Chance:
    """Inside the `with`, torch's process-wide generators start from a seed; afterwards they are as they were.

    Dropout, stochastic depth and torchvision's transforms take no generator of their own. Threads take turns.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._generators: list[Any] = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index or 0])
        elif device.type == "mps":
            self._generators.append(torch.mps._get_default_mps_generator())

    def __enter__(self) -> None:
        _one_at_a_time.acquire()
        self._before = [generator.get_state() for generator in self._generators]
        for generator in self._generators:
            generator.manual_seed(self._seed)

    def __exit__(self, *error: object) -> None:
        for generator, state in zip(self._generators, self._before, strict=True):
            generator.set_state(state)
        _one_at_a_time.release()
