"""LeNet: two rounds of convolution and pooling, then a small perceptron."""

from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.params import Choice, Slider


class LeNet(nn.Module):
    """Convolution → ReLU → halve the side, twice; then two linear layers."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, kernel: int) -> None:
        super().__init__()
        channels, height, side = shape
        self.conv1 = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(width, 2 * width, kernel, padding=kernel // 2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(2 * width * (height // 4) * (side // 4), 4 * width)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))  # (N, width, H/2, W/2)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, 2·width, H/4, W/4)
        x = self.relu3(self.fc1(self.flatten(x)))  # (N, 4·width)
        return self.fc2(x)  # (N, classes)


def unfit(shape: tuple[int, ...], **settings: object) -> str | None:
    """Two poolings need four pixels a side."""
    return needs_image(shape) or (
        None if min(shape[1:]) >= 4 else "it halves the picture twice: 4 pixels a side at least"
    )


@MODELS.register("lenet", unfit=unfit)
def lenet(
    shape: tuple[int, int, int],
    classes: int,
    width: Annotated[int, Slider(4, 64, step=4, help="Channels of the first convolution; then twice as many.")] = 16,
    kernel: Annotated[int, Choice((3, 5), help="Pixels a side that one convolution unit sees.")] = 3,
) -> nn.Module:
    """The small convolutional network that first read handwritten digits.

    With ReLU and maximum pooling in place of the original's tanh and averages.
    Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition",
    section II.
    """
    return LeNet(shape, classes, width, kernel)
