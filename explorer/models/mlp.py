"""The multi-layer perceptron: every unit sees the whole example."""

import math
from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS
from explorer.models.layers import ACTIVATIONS, GROUPS, Activation, Dropout, make_dropout, make_unit_norm, named
from explorer.params import Choice, Slider


class MLP(nn.Module):
    """Flatten, then hidden layers of one width, then one score a class."""

    def __init__(
        self, inputs: int, classes: int, width: int, depth: int, activation: str, norm: str, dropout: float
    ) -> None:
        super().__init__()
        self.flatten = nn.Flatten()  # (N, …) → (N, inputs)
        self.hidden = nn.Sequential()
        for index in range(depth):
            layer = named(
                linear=nn.Linear(inputs if index == 0 else width, width),
                norm=make_unit_norm(norm, width),
                activation=ACTIVATIONS[activation](),
                dropout=make_dropout(dropout),
            )
            self.hidden.add_module(str(index), layer)  # (N, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.flatten(x)))  # (N, classes)


def unfit(shape: tuple[int, ...], width: int = 64, norm: str = "none", **settings: object) -> str | None:
    """Groups must be equal, and of two units at least: one alone is always at its own mean."""
    if norm == "group" and (width % GROUPS or width == GROUPS):
        return f"group normalisation needs {GROUPS} equal groups of several units, and its width is {width}"
    return None


@MODELS.register("mlp", unfit=unfit)
def mlp(
    shape: tuple[int, ...],
    classes: int,
    width: Annotated[int, Slider(2, 512, step=2, help="Units in each hidden layer.")] = 64,
    depth: Annotated[int, Slider(1, 8, help="Hidden layers.")] = 2,
    activation: Activation = "relu",
    norm: Annotated[
        str,
        Choice(
            ("batch", "layer", "group", "none"),
            label="Normalisation",
            help="Over what units are brought to one scale: each in the whole batch, all of an example, groups of "
            "them, or nothing.",
            paper="https://arxiv.org/abs/1607.06450",
        ),
    ] = "none",
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Layers in which every unit looks at the whole example at once.

    Source: Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors".
    """
    return MLP(math.prod(shape), classes, width, depth, activation, norm, dropout)
