"""The vision transformer: a picture as a sentence of patches."""

from typing import Annotated

import torch
from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
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

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:  # (N, T, width)
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Embedding(nn.Module):
    """Cut the picture into patches, put a class token before them, and add to each its learned position."""

    def __init__(self, shape: tuple[int, int, int], patch: int, width: int, stem: str) -> None:
        super().__init__()
        channels, height, side = shape
        if stem == "linear":
            self.patches = nn.Conv2d(channels, width, patch, stride=patch)  # one linear map of each patch
        else:
            self.patches = _convolutions(channels, patch, width)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + (height // patch) * (side // patch), width))

    def draw_weights(self, generator: torch.Generator) -> None:
        for parameter in (self.token, self.position):
            parameter.normal_(std=0.02, generator=generator)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = self.patches(x).flatten(2).transpose(1, 2)  # (N, patches, width)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)  # (N, 1 + patches, width)
        return x + self.position


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

    def __init__(self, embedding: Embedding, classes: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
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
) -> nn.Module:
    """A transformer that reads a picture as a sentence of patches, with a class token that gathers the answer.

    Source: Dosovitskiy et al. 2021, "An image is worth 16×16 words", section 3.1.
    """
    return ViT(Embedding(shape, patch, width, stem), classes, width, depth, heads)
