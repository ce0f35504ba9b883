"""EfficientNet: cheap blocks that also weigh their maps, scaled in width and depth together."""

import math
from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.models.layers import (
    ACTIVATIONS,
    Activation,
    Dropout,
    Norm,
    StochasticDepth,
    growing,
    halved,
    make_dropout,
    make_norm,
    make_stochastic_depth,
    named,
    run_parts,
    too_small,
    unfit_norm,
)
from explorer.params import Choice, Slider

# of each stage: expansion, kernel, stride, channels, blocks
TINY_STAGES = ((1, 3, 1, 16, 1), (4, 3, 2, 24, 2), (4, 3, 1, 40, 2))
B0_STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
)  # fmt: skip
EFFICIENTNETS = {"tiny": (TINY_STAGES, 1.0), "b0": (B0_STAGES, 1.0), "b1": (B0_STAGES, 1.1)}  # and how much deeper


class SqueezeExcitation(nn.Module):
    """Weighs each map by what all maps hold on the whole (Hu et al. 2018, section 3)."""

    def __init__(self, channels: int, squeezed: int, activation: str) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.activation = ACTIVATIONS[activation]()
        self.excite = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:  # (N, channels, H, W)
        share = self.activation(self.squeeze(self.pool(x)))  # (N, squeezed, 1, 1)
        return x * self.gate(self.excite(share))


class MBConv(nn.Module):
    """Widen, look around in each map by itself, weigh the maps, narrow; added to what came in where shapes agree."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        expansion: int,
        kernel: int,
        stride: int,
        activation: str,
        norm: str,
        skipped: float,
    ) -> None:
        super().__init__()
        wide, bias = expansion * inputs, norm == "none"
        self.widen = None
        if expansion > 1:
            self.widen = named(
                conv=nn.Conv2d(inputs, wide, 1, bias=bias),
                norm=make_norm(norm, wide),
                activation=ACTIVATIONS[activation](),
            )
        self.depthwise = named(
            conv=nn.Conv2d(wide, wide, kernel, stride, padding=kernel // 2, groups=wide, bias=bias),
            norm=make_norm(norm, wide),
            activation=ACTIVATIONS[activation](),
        )
        self.excitation = SqueezeExcitation(wide, inputs // 4, activation)
        self.narrow = named(conv=nn.Conv2d(wide, outputs, 1, bias=bias), norm=make_norm(norm, outputs))
        self.residual = stride == 1 and inputs == outputs
        self.stochastic_depth = make_stochastic_depth(skipped) if self.residual else None

    def forward(self, x: Tensor) -> Tensor:  # (N, inputs, H, W)
        y = run_parts(x, self.widen, self.depthwise)  # (N, expansion · inputs, H/stride, W/stride)
        y = run_parts(y, self.excitation, self.narrow, self.stochastic_depth)  # (N, outputs, …)
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    """A stem, stages of blocks, a 1×1 convolution to many maps, a mean, a linear layer."""

    def __init__(
        self,
        channels: int,
        classes: int,
        stages: list[tuple[int, int, int, int, int]],
        first: int,
        stride: int,
        activation: str,
        norm: str,
        dropout: float,
        stochastic_depth: float,
    ) -> None:
        super().__init__()
        self.stem = named(
            conv=nn.Conv2d(channels, first, 3, stride, padding=1, bias=norm == "none"),
            norm=make_norm(norm, first),
            activation=ACTIVATIONS[activation](),
        )
        skipped = iter(growing(stochastic_depth, sum(stage[-1] for stage in stages)))
        self.stages, inputs = nn.Sequential(), first
        for expansion, kernel, step, outputs, blocks in stages:
            stage = nn.Sequential()
            for number in range(blocks):
                here = step if number == 0 else 1
                stage.append(MBConv(inputs, outputs, expansion, kernel, here, activation, norm, next(skipped)))
                inputs = outputs
            self.stages.append(stage)
        self.last = named(
            conv=nn.Conv2d(inputs, 4 * inputs, 1, bias=norm == "none"),
            norm=make_norm(norm, 4 * inputs),
            activation=ACTIVATIONS[activation](),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = make_dropout(dropout)
        self.head = nn.Linear(4 * inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))  # (N, channels, H/2^halvings, W/2^halvings)
        x = self.last(x)  # (N, 4·channels, …)
        return self.head(run_parts(x, self.pool, self.flatten, self.dropout))  # (N, classes)


def scaled_width(channels: int, width: float) -> int:
    """So many times the channels, to the nearest multiple of 8 that is not over a tenth less."""
    wished = channels * width
    nearest = max(8, int(wished + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * wished else nearest + 8


def scaled_stages(layout: str, width: float, depth: float) -> list[tuple[int, int, int, int, int]]:
    """The stages of a layout, so many times as wide and as deep (section 3.3: compound scaling)."""
    stages, deeper = EFFICIENTNETS[layout]
    return [
        (expansion, kernel, stride, scaled_width(channels, width), math.ceil(round(blocks * deeper * depth, 6)))
        for expansion, kernel, stride, channels, blocks in stages
    ]


def unfit(
    shape: tuple[int, ...], layout: str = "tiny", stride: int = 2, norm: str = "batch", **settings: object
) -> str | None:
    """Every halving needs two pixels. Channels are multiples of 8, so that groups are always equal."""
    if needs_image(shape):
        return needs_image(shape)
    halvings = stride - 1 + sum(stage[2] == 2 for stage in EFFICIENTNETS[layout][0])
    height, side = (halved(length, halvings) for length in shape[1:])
    return too_small(shape, halvings) or unfit_norm(norm, (), height * side)


@MODELS.register("efficientnet", unfit=unfit)
def efficientnet(
    shape: tuple[int, int, int],
    classes: int,
    layout: Annotated[
        str,
        Choice(
            tuple(EFFICIENTNETS),
            help="Its stages: tiny has three; b0 and b1 are ImageNet's, seven of 16 and 23 blocks.",
        ),
    ] = "tiny",
    width: Annotated[
        float, Slider(0.5, 2.0, step=0.1, help="How many times the channels of the layout; the paper takes 1.1 a size.")
    ] = 1.0,
    depth: Annotated[
        float, Slider(0.5, 3.0, step=0.1, help="How many times the blocks of the layout; the paper takes 1.2 a size.")
    ] = 1.0,
    stride: Annotated[int, Choice((1, 2), help="2 halves the picture at once, as the paper does.")] = 2,
    activation: Activation = "silu",
    norm: Norm = "batch",
    dropout: Dropout = 0.0,
    stochastic_depth: StochasticDepth = 0.0,
) -> nn.Module:
    """A convolutional network of cheap blocks, made wider and deeper together, for much accuracy at little cost.

    Dropout acts before the last layer.
    Source: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", sections 3.3
    and 4; blocks of Sandler et al. 2018 with the squeeze and excitation of Hu et al. 2018.
    """
    first = scaled_width(16 if layout == "tiny" else 32, width)  # channels of the stem
    stages = scaled_stages(layout, width, depth)
    return EfficientNet(shape[0], classes, stages, first, stride, activation, norm, dropout, stochastic_depth)
