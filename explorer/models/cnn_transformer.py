"""The convolutional transformer: a few convolutions see the details, a transformer relates what they found."""

from typing import Annotated

from torch import Tensor, nn

from explorer.models.base import MODELS, needs_image
from explorer.models.layers import Dropout, StochasticDepth, growing, halved, make_dropout, run_parts
from explorer.models.vit import Block, Embedding
from explorer.params import Choice, Slider


class SequencePool(nn.Module):
    """A learned mean of all tokens (Hassani et al. 2021, section 3.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, width)
        share = self.softmax(self.score(x))  # (N, T, 1), over the tokens
        return (share * x).sum(1)  # (N, width)


class CNNTransformer(nn.Module):
    """A convolutional stem, transformer blocks over the grid of its features, and a linear layer."""

    def __init__(
        self,
        embedding: Embedding,
        pool: nn.Module | None,
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
        self.pool = pool
        self.dropout = make_dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = self.norm(self.blocks(self.embedding(x)))  # (N, tokens, width)
        x = x[:, 0] if self.pool is None else self.pool(x)  # (N, width): of the class token, or of all
        return self.head(run_parts(x, self.dropout))  # (N, classes)


def _halving_stem(channels: int, width: int, halvings: int) -> nn.Sequential:
    """Convolution → normalisation → ReLU → halve the side, as often as asked; the channels double up to the width."""
    steps = nn.Sequential()
    for index in range(halvings):
        outputs = max(8, width >> (halvings - 1 - index)) if index < halvings - 1 else width
        steps.add_module(f"conv{index}", nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
        steps.add_module(f"norm{index}", nn.BatchNorm2d(outputs))
        steps.add_module(f"relu{index}", nn.ReLU())
        steps.add_module(f"pool{index}", nn.MaxPool2d(3, 2, padding=1))
        channels = outputs
    return steps  # (N, channels, H, W) → (N, width, rows, columns)


def _halvings(shape: tuple[int, ...], grid: int) -> int:
    """How often the stem halves a picture: until its longer side has no more cells than asked, once at least."""
    halvings = 1
    while halved(max(shape[1:]), halvings) > grid:
        halvings += 1
    return halvings


def unfit(shape: tuple[int, ...], grid: int = 8, width: int = 64, heads: int = 4, **settings: object) -> str | None:
    """There must be something to relate, and heads must share the width."""
    if needs_image(shape):
        return needs_image(shape)
    if width % heads:
        return f"a width of {width} can't be shared by {heads} heads"
    if halved(min(shape[1:]), _halvings(shape, grid)) < 2:
        return "its stem halves the picture to a grid of one row: two at least are needed"
    return None


@MODELS.register("cnn-transformer", unfit=unfit)
def cnn_transformer(
    shape: tuple[int, int, int],
    classes: int,
    grid: Annotated[
        int,
        Choice((4, 8, 16), help="The stem halves the picture until it is at most so many cells a side, once at least."),
    ] = 8,
    width: Annotated[int, Slider(32, 256, step=16, help="Numbers that describe one cell of the grid.")] = 64,
    depth: Annotated[int, Slider(1, 12, help="Transformer blocks.")] = 2,
    heads: Annotated[int, Choice((1, 2, 4, 8), help="Questions that each cell may ask the others at once.")] = 4,
    pool: Annotated[
        str,
        Choice(
            ("class token", "sequence"),
            help="What the answer is read from: a token of its own, or a learned mean of all cells.",
            paper="https://arxiv.org/abs/2104.05704",
        ),
    ] = "class token",
    dropout: Dropout = 0.0,
    stochastic_depth: StochasticDepth = 0.0,
) -> nn.Module:
    """Convolutions that see the details of a picture, and a transformer that relates the places of what they found.

    With batch normalisation in the stem, as Xiao et al. 2021 have it.
    Source: Hassani et al. 2021, "Escaping the big data paradigm with compact transformers", section 3.
    """
    halvings, token = _halvings(shape, grid), pool == "class token"
    cells = halved(shape[1], halvings) * halved(shape[2], halvings)
    embedding = Embedding(_halving_stem(shape[0], width, halvings), cells, width, dropout, token)
    pooling = None if token else SequencePool(width)
    return CNNTransformer(embedding, pooling, classes, width, depth, heads, dropout, stochastic_depth)
