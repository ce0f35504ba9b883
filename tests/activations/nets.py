"""Networks for the tests of activations: awkward tiny ones, and torchvision's with random weights."""

import functools

import torch
from torch import nn
from torch.nn import functional

from explorer.zoo.card import Card
from explorer.zoo.model import Model

LARGE = ("resnet18", "densenet121", "efficientnet_b0", "vit_b_16")


def model(net: nn.Module, shape: tuple[int, ...] = (3, 8, 8), classes: int = 3) -> Model:
    """A network as an opened model with a card written by hand."""
    labels = tuple(f"class {number}" for number in range(classes))
    task = "image-classification" if len(shape) == 3 else "points-classification"
    count = sum(weight.numel() for weight in net.parameters())
    channels = shape[0]
    return Model(Card("file:tiny", "tiny", task, "tiny", count, shape, labels, (0.5,) * channels, (0.25,) * channels),
                 net)  # fmt: skip


@functools.cache
def torchvision(name: str) -> Model:
    """A classifier of torchvision with random weights, at 64 pixels a side."""
    import torchvision as vision

    patches = name.startswith("vit")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = vision.models.get_model(name, weights=None, num_classes=10, **({"image_size": 64} if patches else {}))
        if patches:
            nn.init.normal_(net.heads.head.weight, std=0.02)  # it begins as zeros
    return model(net, (3, 64, 64), 10)


class Awkward(nn.Module):
    """Gives tuples, dicts and None, writes into what it was given, and uses one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pair = Pair()
        self.silent = Silent()
        self.named = Named()
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, _ = self.pair(self.relu(self.conv(x)))
        self.silent(first)
        hidden = self.named(self.again(first))["hidden"]
        hidden = functional.relu(hidden, inplace=True)  # writes into what `named` gave
        hidden = self.relu(self.again(hidden))
        return self.head(hidden.mean((2, 3)))


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x - 1


class Silent(nn.Module):
    def forward(self, x: torch.Tensor) -> None:
        return None


class Named(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"hidden": x - 0.1}


def seeded(make, seed: int = 0) -> nn.Module:
    """What `make` builds from random weights of this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()
