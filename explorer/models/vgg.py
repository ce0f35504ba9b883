"""VGG: nothing but small convolutions, many of them, and halvings in between."""

from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.models.layers import (
    ACTIVATIONS,
    Activation,
    DropBlock,
    Dropout,
    Norm,
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

VGGS = {
    "tiny": (1, 1, 2),  # convolutions of each group
    "11": (1, 1, 2, 2, 2),  # table 1, columns A, B, D and E
    "13": (2, 2, 2, 2, 2),
    "16": (2, 2, 3, 3, 3),
    "19": (2, 2, 4, 4, 4),
}
VGG_CHANNELS = (1, 2, 4, 8, 8)  # channels of each group, times the width
HE_GAIN = 6**0.5  # keeps the scale of what ReLUs pass on through any depth (He et al. 2015, section 2.2)


class VGG(nn.Module):
    """Groups of 3×3 convolutions, each followed by a halving of the side; then a mean or a perceptron."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        layout: tuple[int, ...],
        width: int,
        head: str,
        activation: str,
        norm: str,
        dropout: float,
        drop_block: float,
    ) -> None:
        super().__init__()
        inputs, height, side = shape
        self.groups = nn.Sequential()
        for index, count in enumerate(layout):
            group = nn.Sequential()
            for number in range(count):
                outputs = VGG_CHANNELS[index] * width
                conv = nn.Conv2d(inputs, outputs, 3, padding=1)
                conv.gain = HE_GAIN
                group.add_module(f"conv{number}", conv)
                dropped = drop_block if index >= len(layout) - 2 else 0.0  # in the last two groups
                rest = named(
                    norm=make_norm(norm, outputs),
                    activation=ACTIVATIONS[activation](),
                    drop_block=make_drop_block(dropped),
                )
                for name, part in rest.named_children():
                    group.add_module(f"{name}{number}", part)
                inputs = outputs
            group.add_module("pool", nn.MaxPool2d(2))
            self.groups.append(group)
        self.pool = nn.AdaptiveAvgPool2d(1) if head == "mean" else None
        self.flatten = nn.Flatten()
        if head == "mean":
            self.head = named(dropout=make_dropout(dropout), linear=nn.Linear(inputs, classes))
        else:
            cells = (height >> len(layout)) * (side >> len(layout))
            self.head = named(
                fc1=nn.Linear(inputs * cells, 64 * width),
                activation1=ACTIVATIONS[activation](),
                dropout1=make_dropout(dropout),
                fc2=nn.Linear(64 * width, 64 * width),
                activation2=ACTIVATIONS[activation](),
                dropout2=make_dropout(dropout),
                fc3=nn.Linear(64 * width, classes),
            )

    def forward(self, x: Tensor) -> Tensor:
        x = self.groups(x)  # (N, channels, H/2^groups, W/2^groups)
        x = run_parts(x, self.pool, self.flatten)  # (N, channels), or (N, channels · cells)
        return self.head(x)  # (N, classes)


def unfit(
    shape: tuple[int, ...],
    layout: str = "tiny",
    width: int = 16,
    norm: str = "none",
    drop_block: float = 0.0,
    **settings: object,
) -> str | None:
    """Every halving needs two pixels; what is normalised has two a side at least."""
    if needs_image(shape):
        return needs_image(shape)
    groups = len(VGGS[layout])
    return (
        too_small(shape, groups)
        or unfit_norm(norm, [width], cells=4)
        or unfit_drop_block(drop_block, min(shape[1:]) >> (groups - 1))
    )


@MODELS.register("vgg", unfit=unfit, recipe={"lr": 1e-3})  # with no normalisation it bears no more
def vgg(
    shape: tuple[int, int, int],
    classes: int,
    layout: Annotated[
        str, Choice(tuple(VGGS), help="Layers with weights; tiny has three groups of convolutions, the others five.")
    ] = "tiny",
    width: Annotated[
        int, Slider(8, 64, step=8, help="Channels of the first group; each later one doubles them, up to eight times.")
    ] = 16,
    head: Annotated[
        str,
        Choice(("mean", "perceptron"), help="What ends it: the mean of each map, or two wide layers as in the paper."),
    ] = "mean",
    activation: Activation = "relu",
    norm: Norm = "none",
    dropout: Dropout = 0.0,
    drop_block: DropBlock = 0.0,
) -> nn.Module:
    """A plain row of small convolutions, which showed that depth is what counts.

    The paper's has width 64 and the perceptron. Weights start as He et al. 2015 have it, so that the deep ones learn
    with no normalisation. DropBlock acts in the last two groups, dropout in the head.
    Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
    section 2.
    """
    return VGG(shape, classes, VGGS[layout], width, head, activation, norm, dropout, drop_block)
