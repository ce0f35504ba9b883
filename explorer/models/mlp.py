"""The multi-layer perceptron: every unit sees the whole example."""

import math
from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS
from explorer.params import Choice, Slider

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


class MLP(nn.Module):
    """Flatten, then hidden layers of one width, then one score a class."""

    def __init__(self, inputs: int, classes: int, width: int, depth: int, activation: str) -> None:
        super().__init__()
        self.flatten = nn.Flatten()  # (N, …) → (N, inputs)
        self.hidden = nn.Sequential()
        for index in range(depth):
            layer = nn.Sequential()
            layer.add_module("linear", nn.Linear(inputs if index == 0 else width, width))
            layer.add_module("activation", ACTIVATIONS[activation]())
            self.hidden.add_module(str(index), layer)  # (N, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.flatten(x)))  # (N, classes)


@MODELS.register("mlp")
def mlp(
    shape: tuple[int, ...],
    classes: int,
    width: Annotated[int, Slider(2, 512, step=2, help="Units in each hidden layer.")] = 64,
    depth: Annotated[int, Slider(1, 8, help="Hidden layers.")] = 2,
    activation: Annotated[str, Choice(tuple(ACTIVATIONS), help="The bend between two layers.")] = "relu",
) -> nn.Module:
    """Layers in which every unit looks at the whole example at once.

    Source: Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating errors".
    """
    return MLP(math.prod(shape), classes, width, depth, activation)
