"""LeNet: two rounds of convolution and pooling, then a small perceptron."""

from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.models.layers import (
    ACTIVATIONS,
    Activation,
    Dropout,
    Norm,
    make_dropout,
    make_norm,
    run_parts,
    too_small,
    unfit_norm,
)
from explorer.params import Choice, Slider


class LeNet(nn.Module):
    """Convolution → normalisation → activation → halve the side, twice; then two linear layers."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        width: int,
        kernel: int,
        activation: str,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        channels, height, side = shape
        self.conv1 = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
        self.norm1 = make_norm(norm, width)
        self.relu1 = ACTIVATIONS[activation]()  # its name stays, whatever the activation
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(width, 2 * width, kernel, padding=kernel // 2)
        self.norm2 = make_norm(norm, 2 * width)
        self.relu2 = ACTIVATIONS[activation]()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(2 * width * (height // 4) * (side // 4), 4 * width)
        self.relu3 = ACTIVATIONS[activation]()
        self.dropout = make_dropout(dropout)
        self.fc2 = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = run_parts(x, self.conv1, self.norm1, self.relu1, self.pool1)  # (N, width, H/2, W/2)
        x = run_parts(x, self.conv2, self.norm2, self.relu2, self.pool2)  # (N, 2·width, H/4, W/4)
        x = run_parts(self.flatten(x), self.fc1, self.relu3, self.dropout)  # (N, 4·width)
        return self.fc2(x)  # (N, classes)


def unfit(shape: tuple[int, ...], width: int = 16, norm: str = "none", **settings: object) -> str | None:
    """Two poolings need four pixels a side; what is normalised has two a side at least."""
    return needs_image(shape) or too_small(shape, 2) or unfit_norm(norm, (width, 2 * width), cells=4)


@MODELS.register("lenet", unfit=unfit)
def lenet(
    shape: tuple[int, int, int],
    classes: int,
    width: Annotated[int, Slider(4, 64, step=4, help="Channels of the first convolution; then twice as many.")] = 16,
    kernel: Annotated[int, Choice((3, 5), help="Pixels a side that one convolution unit sees.")] = 3,
    activation: Activation = "relu",
    norm: Norm = "none",
    dropout: Dropout = 0.0,
) -> nn.Module:
    """The small convolutional network that first read handwritten digits.

    With ReLU and maximum pooling in place of the original's tanh and averages.
    Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition",
    section II.
    """
    return LeNet(shape, classes, width, kernel, activation, norm, dropout)
