"""Tiny networks, pictures and questions for the tests of the methods."""

import functools
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from explorer import zoo
from explorer.attribution import METHODS, unfit
from explorer.zoo.card import Card
from explorer.zoo.model import Model

REFS = tuple(card.ref for card in zoo.cards(task="image-classification"))
CHEAP = {
    "samples": 24,
    "pieces": 8,
    "window": 0.5,
    "stride": 1.0,
    "steps": 8,
    "relu": False,
    "penalty": 1e-4,  # logits of untrained networks hardly change
}  # settings that are enough to see how a method works


def cheap(method: str) -> dict[str, Any]:
    """Settings of a method with which it is fast."""
    from explorer.params import params

    return {name: value for name, value in CHEAP.items() if name in params(METHODS[method].make)}


def fitting(model: Model) -> list[str]:
    """The methods that claim a model."""
    return [method for method in METHODS if unfit(model, method) is None]


def wrap(net: nn.Module, shape: tuple[int, int, int], classes: int = 3, mean: float = 0.5, std: float = 0.25) -> Model:
    """A network as an opened model with a card written by hand."""
    labels = tuple(f"class {number}" for number in range(classes))
    count = sum(weight.numel() for weight in net.parameters())
    card = Card("file:tiny", "tiny", "image-classification", "tiny", count, shape, labels,
                (mean,) * shape[0], (std,) * shape[0])  # fmt: skip
    return Model(card, net)


def seeded(make: Any, seed: int = 0) -> Any:
    """What `make` builds from random weights of this seed, every bias included."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = make()
        for weight in net.parameters():
            if weight.ndim == 1:
                nn.init.normal_(weight, 0.2, 0.3)
    return net


@functools.cache
def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """A few soft blobs of colour, uint8 (H, W, C)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    canvas = np.zeros((height, width, channels))
    for _ in range(6):
        top, left, size = rng.random() * height, rng.random() * width, (0.1 + 0.2 * rng.random()) * max(height, width)
        blob = np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / (2 * size**2))
        canvas += blob[..., None] * rng.random(channels)
    pixels = (canvas / canvas.max() * 255).round().astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


def picture_for(model: Model, seed: int = 0) -> np.ndarray:
    """A picture of the size that a model takes."""
    channels, height, width = model.card.shape
    return picture(height, width, channels, seed)


def hooks(module: nn.Module) -> int:
    """How many hooks of any kind hang on a tree."""
    return sum(len(value) for part in module.modules() for name, value in vars(part).items() if name.endswith("hooks"))


class Block(nn.Module):
    """A residual block whose one ReLU, in place or not, is used twice."""

    def __init__(self, width: int, inplace: bool, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.relu = nn.ReLU(inplace=inplace)

    def forward(self, x):
        y = self.conv2(self.relu(self.conv1(x)))
        y += x
        return self.relu(y)


class Residual(nn.Module):
    """Two residual blocks between a convolution and a linear layer."""

    def __init__(self, inplace: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.blocks = nn.Sequential(Block(6, inplace, bias), Block(6, inplace, bias))
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(24, 3, bias=bias)

    def forward(self, x):
        return self.head(self.flatten(self.pool(self.blocks(self.conv(x)))))


class PreActivation(nn.Module):
    """Residual additions whose ReLU reads the very tensor that is added later."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.relu1, self.conv1 = nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.relu2, self.conv2 = nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.relu3 = nn.ReLU()
        self.head = nn.Linear(6 * 64, 3, bias=bias)

    def forward(self, x):
        x = self.conv0(x)
        x = x + self.conv1(self.relu1(x))
        x = x + self.conv2(self.relu2(x))
        return self.head(torch.flatten(self.relu3(x), 1))


class Functional(nn.Module):
    """ReLUs that are functions or methods, and one module used three times."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=bias)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(24, 3, bias=bias)

    def forward(self, x):
        x = functional.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.pool(self.relu(self.conv2(x))).relu()
        return self.head(x.contiguous().view(x.size(0), -1))


class Branching(nn.Module):
    """A forward pass whose course depends on the picture, with a ReLU that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = functional.relu(self.conv(x))
        if x.sum() > 1e9:
            y = -y
        return self.head(y.mean((2, 3)))


class Added(nn.Module):
    """A residual addition of what two convolutions give, every ReLU a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.conv1, self.conv2 = (nn.Conv2d(inputs, 6, 3, padding=1, bias=False) for inputs in (3, 6, 6))
        self.relu1, self.relu2, self.head = nn.ReLU(), nn.ReLU(), nn.Linear(6 * 64, 3, bias=False)

    def forward(self, x):
        x = self.conv0(x)
        x = self.relu2(x + self.conv2(self.relu1(self.conv1(x))))
        return self.head(torch.flatten(x, 1))


def overlapping(padding: int = 1, ceil: bool = True) -> nn.Module:
    """Maximum pooling of 3×18×18 whose windows overlap and reach over the edge."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.MaxPool2d(3, 2, padding, ceil_mode=ceil),
        nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding, ceil_mode=ceil),
        nn.Flatten(), nn.Linear(216 if ceil else 54, 3),
    )  # fmt: skip
