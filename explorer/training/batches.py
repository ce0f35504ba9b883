"""A split of a data set as normalised batches on a device."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from explorer.data.base import Dataset
from explorer.training.config import TrainConfig
from explorer.training.objectives import denoises


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
        for x, y in self.raw(order, size):
            yield self.normalise(x), y

    def raw(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same before pixels are normalised: pictures are (size, C, H, W) uint8."""
        if self.resident:
            raw = ((self.x[part], self.y[part]) for part in order.to(self.device).split(size))
        else:
            raw = torch.utils.data.DataLoader(
                torch.utils.data.TensorDataset(self.x, self.y),
                batch_sampler=[part.tolist() for part in order.split(size)],
                pin_memory=self.device.type == "cuda",
            )
        for x, y in raw:
            yield x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)

    def normalise(self, x: Tensor) -> Tensor:
        """Bytes 0…255 to mean 0 and spread 1 per channel; points stay as they are."""
        return x.float().div_(255).sub_(self.mean).div_(self.std) if x.dtype == torch.uint8 else x


def steps_of_epoch(config: TrainConfig, examples: int) -> int:
    """Whole steps only: what is left over takes its turn in another epoch's order."""
    return max(1, examples // config.batch)


def orders(config: TrainConfig, y: Tensor) -> Iterator[Tensor]:
    """The order in which examples are seen, one epoch after another, from the seed: (steps · batch,) each.

    y: (N,) their classes, for whoever draws these alike.
    """
    generator = torch.Generator().manual_seed(config.seed)
    seen = steps_of_epoch(config, len(y)) * config.batch
    if not config.balanced:
        while True:
            yield torch.randperm(len(y), generator=generator)[:seen]
    y = y.cpu()
    weight = 1 / torch.bincount(y).clamp(1)[y].double()
    sampler = WeightedRandomSampler(weight, max(seen, len(y)), generator=generator)
    while True:
        yield torch.tensor(list(sampler))[:seen]


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


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over an array that is shared, and so read-only; nothing here writes into it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _free(device: torch.device) -> int:
    """Bytes free on a GPU; on the CPU the split is in memory already."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2**62
