"""The residual network, small and of ImageNet's size: stages of blocks that learn a correction."""

from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.models.layers import (
    ACTIVATIONS,
    Activation,
    DropBlock,
    Dropout,
    Norm,
    Stem,
    StochasticDepth,
    growing,
    halved,
    make_drop_block,
    make_dropout,
    make_norm,
    make_stochastic_depth,
    named,
    run_parts,
    too_small,
    unfit_drop_block,
    unfit_norm,
)
from explorer.params import Choice, Slider

RESNETS = {
    8: (1, 1, 1),  # blocks of each stage: section 4.2
    14: (2, 2, 2),
    20: (3, 3, 3),
    32: (5, 5, 5),
    18: (2, 2, 2, 2),  # and table 1
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
}
BOTTLENECKS = (50,)  # depths whose blocks have three convolutions


class BasicBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to what came in."""

    expansion = 1  # its outputs by its width

    def __init__(
        self, inputs: int, width: int, stride: int, activation: str, norm: str, skipped: float, dropped: float
    ) -> None:
        super().__init__()
        bias = norm == "none"  # a normalisation has a shift of its own
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=bias)
        self.norm1 = make_norm(norm, width)
        self.relu1 = ACTIVATIONS[activation]()  # its name stays, whatever the activation
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm2 = make_norm(norm, width)
        self.stochastic_depth = make_stochastic_depth(skipped)
        self.shortcut = _shortcut(inputs, width, stride, norm)
        self.relu2 = ACTIVATIONS[activation]()
        self.drop_block = make_drop_block(dropped)

    def forward(self, x: Tensor) -> Tensor:  # (N, inputs, H, W)
        y = run_parts(x, self.conv1, self.norm1, self.relu1)  # (N, width, H/stride, W/stride)
        y = run_parts(y, self.conv2, self.norm2, self.stochastic_depth)
        return run_parts(y + self.shortcut(x), self.relu2, self.drop_block)


class Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1, to fewer channels and back, whose result is added to what came in."""

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int, activation: str, norm: str, skipped: float, dropped: float
    ) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=bias)
        self.norm1 = make_norm(norm, width)
        self.relu1 = ACTIVATIONS[activation]()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=bias)  # the stride is here, not in the first
        self.norm2 = make_norm(norm, width)
        self.relu2 = ACTIVATIONS[activation]()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=bias)
        self.norm3 = make_norm(norm, 4 * width)
        self.stochastic_depth = make_stochastic_depth(skipped)
        self.shortcut = _shortcut(inputs, 4 * width, stride, norm)
        self.relu3 = ACTIVATIONS[activation]()
        self.drop_block = make_drop_block(dropped)

    def forward(self, x: Tensor) -> Tensor:  # (N, inputs, H, W)
        y = run_parts(x, self.conv1, self.norm1, self.relu1)  # (N, width, H, W)
        y = run_parts(y, self.conv2, self.norm2, self.relu2)  # (N, width, H/stride, W/stride)
        y = run_parts(y, self.conv3, self.norm3, self.stochastic_depth)  # (N, 4·width, …)
        return run_parts(y + self.shortcut(x), self.relu3, self.drop_block)


def _shortcut(inputs: int, outputs: int, stride: int, norm: str) -> nn.Sequential:
    """The identity, where the shapes agree; else a projection."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    conv = nn.Conv2d(inputs, outputs, 1, stride, bias=norm == "none")
    return named(conv=conv, norm=make_norm(norm, outputs))


class ResNet(nn.Module):
    """A stem, stages of which the later ones halve the side and double the channels, a mean, a linear layer."""

    def __init__(
        self,
        stem: nn.Sequential,
        classes: int,
        blocks: tuple[int, ...],
        bottleneck: bool,
        width: int,
        activation: str,
        norm: str,
        dropout: float,
        drop_block: float,
        stochastic_depth: float,
    ) -> None:
        super().__init__()
        self.stem = stem
        kind, inputs = Bottleneck if bottleneck else BasicBlock, width
        skipped = iter(growing(stochastic_depth, sum(blocks)))
        for index, count in enumerate(blocks):
            stage = nn.Sequential()
            dropped = drop_block if index >= len(blocks) - 2 else 0.0  # Ghiasi et al. 2018, section 4.1
            for block in range(count):
                stride = 2 if index and not block else 1
                outputs = width * 2**index
                stage.append(kind(inputs, outputs, stride, activation, norm, next(skipped), dropped))
                inputs = outputs * kind.expansion
            self.add_module(f"stage{index + 1}", stage)
        self.stages = len(blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = make_dropout(dropout)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, width, H/stride, W/stride)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"stage{number}")(x)  # each but the first: half the side, twice the channels
        x = run_parts(x, self.pool, self.flatten, self.dropout)  # (N, channels of the last stage)
        return self.head(x)  # (N, classes)


def _resnet_stem(channels: int, width: int, stem: str, stride: int, activation: str, norm: str) -> nn.Sequential:
    """What turns a picture into the first maps."""
    if stem == "imagenet":
        conv, pool = nn.Conv2d(channels, width, 7, 2, padding=3, bias=norm == "none"), nn.MaxPool2d(3, 2, padding=1)
    else:
        conv, pool = nn.Conv2d(channels, width, 3, stride, padding=1, bias=norm == "none"), None
    return named(conv=conv, norm=make_norm(norm, width), relu=ACTIVATIONS[activation](), pool=pool)


def unfit(
    shape: tuple[int, ...],
    depth: int = 8,
    width: int = 16,
    stem: str = "small",
    stride: int = 1,
    norm: str = "batch",
    drop_block: float = 0.0,
    **settings: object,
) -> str | None:
    """Every halving needs two pixels."""
    if needs_image(shape):
        return needs_image(shape)
    if stem == "imagenet" and stride == 2:
        return "the stride is that of the small stem; that of ImageNet halves the picture twice anyway"
    halvings = (2 if stem == "imagenet" else stride - 1) + len(RESNETS[depth]) - 1
    height, side = (halved(length, halvings) for length in shape[1:])
    return (
        too_small(shape, halvings)
        or unfit_norm(norm, [width], height * side)  # all others have a multiple of its channels
        or unfit_drop_block(drop_block, min(height, side))
    )


@MODELS.register("resnet", unfit=unfit)
def resnet(
    shape: tuple[int, int, int],
    classes: int,
    depth: Annotated[
        int,
        Choice(tuple(sorted(RESNETS)), help="Layers with weights; 18, 34 and 50 are the four-stage ones of ImageNet."),
    ] = 8,
    width: Annotated[int, Slider(8, 64, step=8, help="Channels of the first stage; each later one doubles them.")] = 16,
    stem: Stem = "small",
    stride: Annotated[
        int, Choice((1, 2), help="2 halves the picture at once: four times cheaper.", when=("stem", ("small",)))
    ] = 1,
    activation: Activation = "relu",
    norm: Norm = "batch",
    dropout: Dropout = 0.0,
    drop_block: DropBlock = 0.0,
    stochastic_depth: StochasticDepth = 0.0,
) -> nn.Module:
    """A convolutional network whose blocks add a correction to what they were given, so that depth does not hurt.

    Projection shortcuts where the shapes change (option B). DropBlock acts in the last two stages, dropout before the
    last layer. Source: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", section 4.2 and
    table 1.
    """
    return ResNet(
        _resnet_stem(shape[0], width, stem, stride, activation, norm), classes, RESNETS[depth], depth in BOTTLENECKS,
        width, activation, norm, dropout, drop_block, stochastic_depth,
    )  # fmt: skip
