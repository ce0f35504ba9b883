"""The densely connected network: every layer reads what all layers before it found."""

from typing import Annotated

import torch
from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.models.layers import (
    ACTIVATIONS,
    Activation,
    DropBlock,
    Dropout,
    Norm,
    halved,
    make_drop_block,
    make_dropout,
    make_norm,
    named,
    run_parts,
    too_small,
    unfit_drop_block,
    unfit_norm,
)
from explorer.params import Choice, Slider

DENSENETS = {
    "tiny": (2, 2, 2),  # layers of each block
    "40": (6, 6, 6),  # section 3, "Implementation details"
    "100": (16, 16, 16),
    "121": (6, 12, 24, 16),  # table 1
}
STEMS = {"small": 0, "halving": 1, "imagenet": 2}  # how often each halves the picture


class DenseLayer(nn.Module):
    """Few new maps from all that came before, which are put beside them."""

    def __init__(self, inputs: int, growth: int, activation: str, norm: str, dropout: float, drop_block: float) -> None:
        super().__init__()
        bias = norm == "none"
        self.norm1 = make_norm(norm, inputs)
        self.activation1 = ACTIVATIONS[activation]()
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=bias)
        self.norm2 = make_norm(norm, 4 * growth)
        self.activation2 = ACTIVATIONS[activation]()
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=bias)
        self.dropout = make_dropout(dropout)
        self.drop_block = make_drop_block(drop_block)

    def forward(self, x: Tensor) -> Tensor:  # (N, inputs, H, W)
        y = run_parts(x, self.norm1, self.activation1, self.conv1)  # (N, 4·growth, H, W)
        y = run_parts(y, self.norm2, self.activation2, self.conv2, self.dropout, self.drop_block)
        return torch.cat([x, y], dim=1)  # (N, inputs + growth, H, W)


class DenseNet(nn.Module):
    """A stem, blocks of dense layers with halvings between them, a mean, a linear layer."""

    def __init__(
        self,
        channels: int,
        classes: int,
        layout: tuple[int, ...],
        growth: int,
        compression: float,
        stem: str,
        activation: str,
        norm: str,
        dropout: float,
        drop_block: float,
    ) -> None:
        super().__init__()
        widths, bias = dense_widths(layout, growth, compression), norm == "none"
        first = widths[0][0]
        if stem == "imagenet":
            self.stem = named(
                conv=nn.Conv2d(channels, first, 7, 2, padding=3, bias=bias),
                norm=make_norm(norm, first),
                activation=ACTIVATIONS[activation](),
                pool=nn.MaxPool2d(3, 2, padding=1),
            )
        else:
            self.stem = named(conv=nn.Conv2d(channels, first, 3, 1 + STEMS[stem], padding=1, bias=bias))
        self.blocks = nn.Sequential()
        for index, (count, (inputs, outputs)) in enumerate(zip(layout, widths, strict=True)):
            dropped = drop_block if index >= len(layout) - 2 else 0.0  # in the last two blocks
            layers = (
                DenseLayer(inputs + number * growth, growth, activation, norm, dropout, dropped)
                for number in range(count)
            )
            self.blocks.add_module(f"block{index + 1}", nn.Sequential(*layers))
            if index < len(layout) - 1:
                transition = named(
                    norm=make_norm(norm, outputs),
                    activation=ACTIVATIONS[activation](),
                    conv=nn.Conv2d(outputs, widths[index + 1][0], 1, bias=bias),
                    pool=nn.AvgPool2d(2),
                )
                self.blocks.add_module(f"transition{index + 1}", transition)
        self.norm = make_norm(norm, outputs)
        self.activation = ACTIVATIONS[activation]()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(outputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))  # (N, channels, H/2^halvings, W/2^halvings)
        x = run_parts(x, self.norm, self.activation, self.pool, self.flatten)  # (N, channels)
        return self.head(x)  # (N, classes)


def dense_widths(layout: tuple[int, ...], growth: int, compression: float) -> list[tuple[int, int]]:
    """How many maps each block reads and leaves: all of its layers' are added, then a share of them is kept."""
    widths, inputs = [], 2 * growth
    for count in layout:
        outputs = inputs + count * growth
        widths.append((inputs, outputs))
        inputs = int(outputs * compression)
    return widths


def unfit(
    shape: tuple[int, ...],
    layout: str = "tiny",
    growth: int = 16,
    compression: float = 0.5,
    stem: str = "halving",
    norm: str = "batch",
    drop_block: float = 0.0,
    **settings: object,
) -> str | None:
    """Every halving needs two pixels, and every group of channels an equal share."""
    if needs_image(shape):
        return needs_image(shape)
    counts = DENSENETS[layout]
    halvings = STEMS[stem] + len(counts) - 1
    height, side = (halved(length, STEMS[stem]) >> (len(counts) - 1) for length in shape[1:])  # transitions round down
    channels = [
        inputs + number * growth
        for count, (inputs, _) in zip(counts, dense_widths(counts, growth, compression), strict=True)
        for number in range(count + 1)
    ]
    return (
        too_small(shape, halvings)
        or unfit_norm(norm, channels, height * side)
        or unfit_drop_block(drop_block, min(height, side))
    )


@MODELS.register("densenet", unfit=unfit)
def densenet(
    shape: tuple[int, int, int],
    classes: int,
    layout: Annotated[
        str,
        Choice(tuple(DENSENETS), help="Layers with weights; tiny has two in each of three blocks, 121 is ImageNet's."),
    ] = "tiny",
    growth: Annotated[int, Slider(4, 48, step=4, help="New maps that each layer adds.")] = 16,
    compression: Annotated[
        float, Slider(0.25, 1.0, step=0.25, help="The share of the maps that is kept from one block to the next.")
    ] = 0.5,
    stem: Annotated[
        str,
        Choice(
            tuple(STEMS),
            help="How it begins: a 3×3 convolution, one that halves the picture, or one of 7×7 and a pooling that make "
            "it four times smaller.",
        ),
    ] = "halving",
    activation: Activation = "relu",
    norm: Norm = "batch",
    dropout: Dropout = 0.0,
    drop_block: DropBlock = 0.0,
) -> nn.Module:
    """A convolutional network whose layers read what all layers before them found, so that nothing is found twice.

    With bottlenecks of 4 × growth maps (DenseNet-BC). Dropout acts on the new maps of each layer, DropBlock on those of
    the last two blocks.
    Source: Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected convolutional networks", section 3.
    """
    return DenseNet(
        shape[0], classes, DENSENETS[layout], growth, compression, stem, activation, norm, dropout, drop_block
    )
