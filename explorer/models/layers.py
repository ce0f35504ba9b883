"""Parts that several architectures share: activations, normalisations, and what is dropped at random in training."""

from collections.abc import Iterable
from typing import Annotated

from torch import Tensor, nn

from explorer.params import Choice, Slider

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,  # slope 0.01
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,  # the exact one
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
NORMS = ("batch", "layer", "group", "instance", "none")
GROUPS = 8  # of channels, for group normalisation
DROPPED = 3  # cells a side of the squares that DropBlock drops

Activation = Annotated[str, Choice(tuple(ACTIVATIONS), help="The bend between two layers.")]
Norm = Annotated[
    str,
    Choice(
        NORMS,
        label="Normalisation",
        help="Over what values are brought to one scale: a channel in the whole batch, an example's whole layer, "
        "groups of its channels, each of its maps (instance), or nothing.",
        paper="https://arxiv.org/abs/1803.08494",
    ),
]
Stem = Annotated[
    str,
    Choice(
        ("small", "imagenet"),
        help="How it begins: a 3×3 convolution, or one of 7×7 and a pooling that make the picture four times smaller.",
    ),
]
Dropout = Annotated[
    float,
    Slider(
        0.0,
        0.9,
        step=0.05,
        help="The share of values that each step of training sets to zero.",
        paper="https://jmlr.org/papers/v15/srivastava14a.html",
        group="Regularisation",
    ),
]
DropBlock = Annotated[
    float,
    Slider(
        0.0,
        0.9,
        step=0.05,
        label="DropBlock",
        help="The share of the later maps that each step of training sets to zero, in squares of 3×3.",
        paper="https://arxiv.org/abs/1810.12890",
        group="Regularisation",
    ),
]
StochasticDepth = Annotated[
    float,
    Slider(
        0.0,
        0.9,
        step=0.05,
        label="Stochastic depth",
        help="How often training skips the last block for an example; blocks before it are skipped less often.",
        paper="https://arxiv.org/abs/1603.09382",
        group="Regularisation",
    ),
]


def run_parts(x: Tensor, *parts: nn.Module | None) -> Tensor:
    """What the parts make of x, one after the other; a part that is None is not there."""
    for part in parts:
        if part is not None:
            x = part(x)
    return x


def named(**parts: nn.Module | None) -> nn.Sequential:
    """The parts one after the other under their names, without those that are None."""
    row = nn.Sequential()
    for name, part in parts.items():
        if part is not None:
            row.add_module(name, part)
    return row


def make_norm(norm: str, channels: int) -> nn.Module | None:
    """A normalisation of maps (N, channels, H, W), with a scale and a shift for each channel; None for "none".

    Source: Wu and He 2018, "Group normalization", section 3: layer and instance are groups of all channels and of one.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return None if norm == "none" else nn.GroupNorm(1 if norm == "layer" else GROUPS, channels)


def make_unit_norm(norm: str, width: int) -> nn.Module | None:
    """A normalisation of vectors (N, width), with a scale and a shift for each unit; None for "none"."""
    if norm == "batch":
        return nn.BatchNorm1d(width)
    if norm == "layer":
        return nn.LayerNorm(width)
    return None if norm == "none" else nn.GroupNorm(GROUPS, width)


def make_dropout(rate: float) -> nn.Module | None:
    """Sets this share of values to zero in training (Srivastava et al. 2014); None where the rate is 0."""
    return nn.Dropout(rate) if rate else None


def make_drop_block(rate: float) -> nn.Module | None:
    """Sets about this share of maps to zero in training, in squares (Ghiasi et al. 2018); None where the rate is 0."""
    if not rate:
        return None
    from torchvision.ops import DropBlock2d

    return DropBlock2d(rate, DROPPED)


def make_stochastic_depth(rate: float) -> nn.Module | None:
    """Sets the branch of a block to zero for this share of examples in training; None where the rate is 0."""
    if not rate:
        return None
    from torchvision.ops import StochasticDepth

    return StochasticDepth(rate, "row")


def growing(rate: float, blocks: int) -> list[float]:
    """How often each block is skipped: linearly more, up to `rate` at the last (Huang et al. 2016, section 3)."""
    return [rate * (index + 1) / blocks for index in range(blocks)]


def halved(side: int, times: int) -> int:
    """What is left of a side after so many halvings that round up, as those of padded convolutions do."""
    return -(-side // 2**times)


def too_small(shape: tuple[int, ...], halvings: int) -> str | None:
    """Why pictures can't be halved so often, as a clause."""
    if min(shape[1:]) >= 2**halvings:
        return None
    return f"it halves the picture {halvings} times: {2**halvings} pixels a side at least"


def unfit_norm(norm: str, channels: Iterable[int], cells: int) -> str | None:
    """Why maps can't be normalised so, as a clause. channels: of every normalised map. cells: of the smallest."""
    if norm == "instance" and cells == 1:
        return "instance normalisation needs maps of several cells, and of such pictures it has maps of 1×1"
    uneven = [number for number in channels if number % GROUPS] if norm == "group" else []
    if uneven:
        return f"group normalisation needs {GROUPS} equal groups, and it has {uneven[0]} channels"
    return None


def unfit_drop_block(drop_block: float, side: int) -> str | None:
    """Why squares can't be dropped from maps, as a clause. side: the shorter one of the smallest map."""
    if not drop_block or side >= DROPPED:
        return None
    return f"DropBlock drops squares of {DROPPED}×{DROPPED}, and of such pictures it has maps of {side} cells a side"
