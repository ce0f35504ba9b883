"""Where a token stands: sinusoidal, learned, rotary, relative and ALiBi positions, written to be read."""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from explorer.params import Choice, LogSlider, Slider


def frequencies(width: int, base: float = 10_000.0) -> Tensor:
    """How far each pair of dimensions turns from one token to the next, in radians, (width / 2,): fast to slow."""
    if width % 2:
        raise ValueError(f"dimensions turn in pairs, so a width of {width} won't do")
    return base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)  # (width/2,)


def angles(positions: Tensor, width: int, base: float = 10_000.0) -> Tensor:
    """How far each pair has turned at each position, in radians, (T, width / 2). positions: (T,).

    In double precision: in single precision the angle of position 100,000 would be off by up to 0.004.
    """
    return positions.cpu().double()[:, None] * frequencies(width, base)  # (T, width/2)


def sinusoidal(tokens: int, width: int, base: float = 10_000.0) -> Tensor:
    """A sine and a cosine of the position at every frequency, added to what the token says: (tokens, width).

    Even dimensions hold the sines, odd ones the cosines. Source: Vaswani et al. 2017, section 3.5.
    """
    turned = angles(torch.arange(tokens), width, base)  # (T, width/2)
    return torch.stack([turned.sin(), turned.cos()], dim=-1).flatten(1).float()  # (T, width)


class Learned(nn.Module):
    """One vector for each place, learned like any other weight; there is none beyond the last place.

    Source: Gehring et al. 2017, section 3.1; Devlin et al. 2019, section 3 (BERT).
    """

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(places, width)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, width)
        return x + self.table.weight[: x.shape[1]]  # (N, T, width) + (T, width)


def rotary(x: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    """Turn each pair of dimensions by an angle that grows with the position; queries and keys both.

    x: (…, T, d). positions: (T,). Gives (…, T, d), of the same length. The dot product of a turned query and a turned
    key depends on their contents and on how far apart they are, on nothing else.
    Dimension i is paired with i + d/2, as Llama pairs them. Source: Su et al. 2021 (RoFormer), equations 14 to 16, 34.
    """
    turned = angles(positions, x.shape[-1], base).to(x.device)  # (T, d/2)
    cos, sin = turned.cos().to(x.dtype), turned.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)  # (…, T, d/2) each
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)  # (…, T, d)


def relative_bucket(distance: Tensor, buckets: int = 32, furthest: int = 128) -> Tensor:
    """The number of the learned bias that a distance (key − query) shares: near ones have their own, far ones share.

    distance: whole numbers. Gives numbers in [0, buckets): the lower half looks back, the upper half ahead.
    Source: Raffel et al. 2020 (T5), section 2.1; each head adds its own learned number of the bucket to its scores.
    """
    half = buckets // 2
    exact = half // 2  # distances below this have a bucket each
    away = distance.abs()
    ratio = torch.log(away.clamp(min=1).float() / exact) / math.log(furthest / exact)  # 0 at `exact`, 1 at `furthest`
    shared = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(away < exact, away, shared) + half * (distance > 0)


def alibi(heads: int, tokens: int) -> Tensor:
    """The further back a key, the more is taken off its score, at each head's own rate: (heads, Q, K), nothing learned.

    heads: a power of two. Later keys are left to the causal mask. Source: Press et al. 2022, section 3.
    """
    if heads & (heads - 1) or heads < 1:
        raise ValueError(f"the rates are given for 1, 2, 4, 8 … heads, not for {heads}")
    rates = 2.0 ** (-8 / heads * torch.arange(1, heads + 1))  # (heads,), from steep to flat
    place = torch.arange(tokens)
    back = (place[:, None] - place[None, :]).clamp(min=0)  # (Q, K)
    return -rates[:, None, None] * back  # (heads, Q, K)


@dataclass(frozen=True, eq=False)
class Encoding:
    """A kind of position as a picture, and what it does to a score by distance alone."""

    kind: str
    picture: np.ndarray  # (rows, columns) float32, one row a token
    column: str  # what a column is
    value: str  # what a colour is
    signed: bool  # the values have a sign
    effect: str  # what `mean` tells
    lines: tuple[str, ...]  # names of the lines below
    mean: np.ndarray  # (lines, distances) over all pairs of tokens that far apart, distances 0, 1, 2 …
    low: np.ndarray  # (lines, distances) the least of them
    high: np.ndarray  # (lines, distances) the greatest
    pairs: np.ndarray | None = None  # (rows, rows) the same for every two tokens, where it is not told by distance
    turns: np.ndarray | None = None  # (pairs,) tokens after which a pair of dimensions has come round, where they turn


KINDS = ("sinusoidal", "learned", "rotary", "relative", "alibi")


def encoding(
    kind: Annotated[str, Choice(KINDS, help="How the network is told where a token stands.")] = "sinusoidal",
    tokens: Annotated[int, Slider(16, 128, step=8, help="Length of the text.")] = 64,
    width: Annotated[int, Slider(16, 128, step=16, help="Numbers that describe one token, or one head's share.")] = 64,
    base: Annotated[
        float,
        LogSlider(100, 1_000_000, help="How much slower the last pair turns than the first; larger for longer texts."),
    ] = 10_000.0,
    heads: Annotated[int, Choice((2, 4, 8), help="Each has a rate of its own.")] = 8,
    table: np.ndarray | None = None,
) -> Encoding:
    """Draw up one kind of position for `tokens` tokens.

    table: (places, width) what was learned, for `learned`; fresh random numbers without it.
    width and base matter to those that turn, heads to ALiBi.
    """
    place = torch.arange(tokens)
    if kind == "sinusoidal":
        rows = sinusoidal(tokens, width, base)  # (T, width)
        alike = rows @ rows.T / (width / 2)  # (T, T)
        return _encoding(kind, rows, "dimension", "added", "dot product of two positions", alike, width, base)
    if kind == "learned":
        fresh = torch.randn(tokens, width, generator=torch.Generator().manual_seed(0))
        rows = fresh if table is None else torch.from_numpy(table)  # (places, width)
        unit = nn.functional.normalize(rows, dim=-1)
        return _encoding(kind, rows, "dimension", "added", "cosine of two positions", unit @ unit.T)
    if kind == "rotary":
        turned = angles(place, width, base).cos().float()  # (T, width/2)
        same = rotary(torch.ones(tokens, width, dtype=torch.float64), place, base)  # one vector, at every place
        effect = "score of a query like its key"
        alike = (same @ same.T / width).float()  # (T, T), 1 at no distance
        return _encoding(kind, turned, "pair of dimensions", "cosine of the angle", effect, alike, width, base)
    if kind == "relative":
        bucket = relative_bucket(place[None, :] - place[:, None]).float()  # (Q, K)
        back = bucket[-1].flip(0).numpy()[None]  # (1, distances), looking back from the last token
        ahead = bucket[0].numpy()[None]  # (1, distances)
        both = np.concatenate([back, ahead])
        lines = ("looking back", "looking ahead")
        effect = "number of the learned bias"
        return Encoding(kind, bucket.numpy(), "key", "number of the bias", False, effect, lines, both, both, both)
    if kind == "alibi":
        bias = alibi(heads, tokens)[:, -1].flip(-1)  # (heads, distances), as the last token sees it
        lines = tuple(f"head {head + 1}" for head in range(heads))
        every = bias.numpy()
        return Encoding(kind, alibi(heads, tokens)[:, -1].T.numpy(), "head", "added to the score of the last token",
                        True, "added to the score", lines, every, every, every)  # fmt: skip
    raise ValueError(f"no kind of position {kind!r}")


def trained_table(ref: str = "zoo:shapes-vit") -> np.ndarray:
    """The positions that a shipped vision transformer has learned, (1 + patches, width): its class token's first."""
    from explorer import zoo

    with zoo.load(ref).borrow() as module:
        return module.embedding.position[0].detach().float().cpu().numpy().copy()


def _by_distance(similarity: np.ndarray) -> np.ndarray:
    """(3, 1, T): mean, least and greatest of every diagonal of (T, T)."""
    diagonals = [np.diagonal(similarity, offset) for offset in range(len(similarity))]
    return np.array([[[how(d) for d in diagonals]] for how in (np.mean, np.min, np.max)], np.float32)


def _encoding(
    kind: str, rows: Tensor, column: str, value: str, effect: str, alike: Tensor, width: int = 0, base: float = 0
) -> Encoding:
    """Of a kind whose effect is one line; width and base where its dimensions turn."""
    turns = (2 * math.pi / frequencies(width, base)).numpy() if width else None
    pairs = alike.numpy()
    return Encoding(kind, rows.numpy(), column, value, True, effect, ("",), *_by_distance(pairs), pairs, turns)
