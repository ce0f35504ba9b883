"""The vision transformer: a picture as a sentence of patches."""

from typing import Annotated

import torch
from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.models.layers import (
    Dropout,
    StochasticDepth,
    growing,
    make_dropout,
    make_stochastic_depth,
    named,
    run_parts,
)
from explorer.params import Choice, Slider


class Attention(nn.Module):
    """Every token gathers from the others what its query asks for (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.softmax = nn.Softmax(dim=-1)  # its output is the attention weights
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, width)
        query, key, value = (self._split(part(x)) for part in (self.query, self.key, self.value))  # (N, heads, T, d)
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5  # (N, heads, T, T)
        gathered = self.softmax(scores) @ value  # (N, heads, T, d)
        return self.out(gathered.transpose(1, 2).flatten(2))  # (N, T, width)

    def _split(self, x: Tensor) -> Tensor:
        """(N, T, width) → (N, heads, T, width / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attention between the tokens, then a perceptron in each, both added to what came in."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, skipped: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.dropout = make_dropout(dropout)
        self.stochastic_depth1 = make_stochastic_depth(skipped)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = named(
            fc1=nn.Linear(width, 4 * width),
            gelu=nn.GELU(),
            dropout1=make_dropout(dropout),
            fc2=nn.Linear(4 * width, width),
            dropout2=make_dropout(dropout),
        )
        self.stochastic_depth2 = make_stochastic_depth(skipped)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, width)
        x = x + run_parts(x, self.norm1, self.attention, self.dropout, self.stochastic_depth1)
        return x + run_parts(x, self.norm2, self.mlp, self.stochastic_depth2)


class Embedding(nn.Module):
    """A picture as tokens: its patches with a class token before them, and added to each its learned position."""

    def __init__(self, patches: nn.Module, count: int, width: int, dropout: float, token: bool = True) -> None:
        super().__init__()
        self.patches = patches  # (N, C, H, W) → (N, width, rows, columns), `count` of them
        self.token = nn.Parameter(torch.zeros(1, 1, width)) if token else None
        self.position = nn.Parameter(torch.zeros(1, token + count, width))
        self.dropout = make_dropout(dropout)

    def draw_weights(self, generator: torch.Generator) -> None:
        for parameter in self.parameters(recurse=False):
            parameter.normal_(std=0.02, generator=generator)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = self.patches(x).flatten(2).transpose(1, 2)  # (N, patches, width)
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)  # (N, 1 + patches, width)
        return run_parts(x + self.position, self.dropout)


def _convolutions(channels: int, patch: int, width: int) -> nn.Sequential:
    """3×3 convolutions that halve the side until one position is left of each patch (Xiao et al. 2021, section 4)."""
    halvings = patch.bit_length() - 1
    steps = nn.Sequential()
    for index in range(halvings):
        outputs = width >> (halvings - 1 - index)  # doubles at every step, up to the width
        steps.add_module(f"conv{index}", nn.Conv2d(channels, outputs, 3, stride=2, padding=1, bias=False))
        steps.add_module(f"norm{index}", nn.BatchNorm2d(outputs))
        steps.add_module(f"relu{index}", nn.ReLU())
        channels = outputs
    steps.add_module("project", nn.Conv2d(channels, width, 1))
    return steps  # (N, C, H, W) → (N, width, H/patch, W/patch)


class ViT(nn.Module):
    """Embedding, transformer blocks, and a linear layer on the class token."""

    def __init__(
        self,
        embedding: Embedding,
        classes: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        stochastic_depth: float,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        skipped = growing(stochastic_depth, depth)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout, share) for share in skipped))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = self.norm(self.blocks(self.embedding(x)))  # (N, 1 + patches, width)
        return self.head(x[:, 0])  # (N, classes)


def unfit(shape: tuple[int, ...], patch: int = 8, width: int = 64, heads: int = 4, **settings: object) -> str | None:
    """Patches must tile the picture, and heads must share the width."""
    if needs_image(shape):
        return needs_image(shape)
    if shape[1] % patch or shape[2] % patch:
        return f"patches of {patch}×{patch} don't tile a picture of {shape[1]}×{shape[2]}"
    if width % heads:
        return f"a width of {width} can't be shared by {heads} heads"
    return None


@MODELS.register("vit", unfit=unfit)
def vit(
    shape: tuple[int, int, int],
    classes: int,
    patch: Annotated[int, Choice((1, 2, 4, 8, 16), help="Pixels a side of one patch, the transformer's word.")] = 8,
    width: Annotated[int, Slider(32, 256, step=16, help="Numbers that describe one patch.")] = 64,
    depth: Annotated[int, Slider(1, 12, help="Transformer blocks.")] = 4,
    heads: Annotated[int, Choice((1, 2, 4, 8), help="Questions that each patch may ask the others at once.")] = 4,
    stem: Annotated[
        str,
        Choice(
            ("linear", "convolutions"),
            help="How a patch becomes numbers: one linear map, or a few convolutions, which learn far faster.",
            paper="https://arxiv.org/abs/2106.14881",
        ),
    ] = "linear",
    dropout: Dropout = 0.0,
    stochastic_depth: StochasticDepth = 0.0,
) -> nn.Module:
    """A transformer that reads a picture as a sentence of patches, with a class token that gathers the answer.

    Source: Dosovitskiy et al. 2021, "An image is worth 16×16 words", section 3.1; dropout as in its appendix B.1.
    """
    channels, height, side = shape
    linear = stem == "linear"  # one linear map of each patch
    patches = nn.Conv2d(channels, width, patch, stride=patch) if linear else _convolutions(channels, patch, width)
    embedding = Embedding(patches, (height // patch) * (side // patch), width, dropout)
    return ViT(embedding, classes, width, depth, heads, dropout, stochastic_depth)
