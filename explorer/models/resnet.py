"""The residual network in its small, CIFAR-style form: three stages of blocks that learn a correction."""

from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.params import Choice, Slider


class BasicBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to what came in."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()  # the identity, where the shapes agree
        if stride != 1 or inputs != outputs:
            self.shortcut.add_module("conv", nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.add_module("norm", nn.BatchNorm2d(outputs))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:  # (N, inputs, H, W)
        y = self.relu1(self.norm1(self.conv1(x)))  # (N, outputs, H/stride, W/stride)
        y = self.norm2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, three stages of which the later two halve the side and double the channels, a mean, a linear layer."""

    def __init__(self, channels: int, classes: int, blocks: int, width: int, stride: int) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        self.stem.add_module("conv", nn.Conv2d(channels, width, 3, stride, padding=1, bias=False))
        self.stem.add_module("norm", nn.BatchNorm2d(width))
        self.stem.add_module("relu", nn.ReLU())
        self.stage1 = self._stage(width, width, blocks, stride=1)
        self.stage2 = self._stage(width, 2 * width, blocks, stride=2)
        self.stage3 = self._stage(2 * width, 4 * width, blocks, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(4 * width, classes)

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
        first = BasicBlock(inputs, outputs, stride)
        return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, width, H/stride, W/stride)
        x = self.stage1(x)
        x = self.stage2(x)  # (N, 2·width, half the side)
        x = self.stage3(x)  # (N, 4·width, a quarter)
        x = self.flatten(self.pool(x))  # (N, 4·width)
        return self.head(x)  # (N, classes)


@MODELS.register("resnet", unfit=needs_image)
def resnet(
    shape: tuple[int, int, int],
    classes: int,
    depth: Annotated[
        int, Choice((8, 14, 20, 32), help="Layers with weights: 6 a block of each of three stages, and 2.")
    ] = 8,
    width: Annotated[int, Slider(8, 64, step=8, help="Channels of the first stage; they double twice.")] = 16,
    stride: Annotated[int, Choice((1, 2), help="2 halves the picture at once: four times cheaper.")] = 1,
) -> nn.Module:
    """A convolutional network whose blocks add a correction to what they were given, so that depth does not hurt.

    Projection shortcuts where the shapes change (option B).
    Source: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", section 4.2.
    """
    return ResNet(shape[0], classes, (depth - 2) // 6, width, stride)
