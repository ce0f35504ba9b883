"""What attention is, as a result: who looks at whom, in every head of every layer."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Detail:
    """What the weights of a part were computed from: L layers, H heads, Q queries, K keys, d numbers a head."""

    query: np.ndarray  # (L, H, Q, d) float32, positions already in it where they are rotary
    key: np.ndarray  # (L, H, K, d)
    value: np.ndarray  # (L, H, K, d)
    scores: np.ndarray  # (L, H, Q, K) before softmax: scaled, bias added; -inf where a query may not look
    bias: np.ndarray | None  # (L, H, Q, K) relative positions, added to q · k × scaling; None where there are none
    output: np.ndarray  # (L, H, Q, d) what each head gathered: weights @ value
    norms: np.ndarray  # (L, H, K) ‖value through the head's share of the output projection‖ (Kobayashi et al. 2020, 3)
    scaling: tuple[float, ...]  # of each layer: what q · k is multiplied by, 1/√d as a rule


@dataclass(frozen=True, eq=False)
class Part:
    """The attention of one kind of layer: of L layers with H heads each, from Q queries to K keys."""

    name: str  # self | encoder | decoder | cross
    queries: tuple[str, ...]  # the tokens that look, Q of them
    keys: tuple[str, ...]  # the tokens that are looked at, K of them
    weights: np.ndarray  # (L, H, Q, K) float32; rows sum to 1
    causal: bool  # a query sees no later key
    detail: Detail | None = None  # where it was asked for and this network can tell

    @property
    def layers(self) -> int:
        """How many layers have it."""
        return self.weights.shape[0]

    @property
    def heads(self) -> int:
        """How many heads each layer has."""
        return self.weights.shape[1]


@dataclass(frozen=True, eq=False)
class Patches:
    """Where the tokens of a picture lie."""

    picture: np.ndarray  # (H, W, C) uint8, what the network saw
    before: int  # tokens that stand before the patches: a class token
    rows: int
    columns: int


@dataclass(frozen=True, eq=False)
class AttentionPatterns:
    """Who looks at whom in a network that reads one text, two, or a picture."""

    ref: str
    parts: tuple[Part, ...]  # one of a decoder or an encoder; encoder, decoder, cross of both
    segments: tuple[int, ...] = ()  # of a pair of texts, parallel to `tokens`: 0 the first, 1 the second
    words: tuple[int | None, ...] = ()  # parallel to `tokens`: the number of the word it is of; None for special tokens
    patches: Patches | None = None  # of a picture

    @property
    def tokens(self) -> tuple[str, ...]:
        """What the network read: the keys of its first part."""
        return self.parts[0].keys

    @property
    def weights(self) -> np.ndarray:
        """(L, H, Q, K), of the first part."""
        return self.parts[0].weights

    def part(self, name: str) -> Part:
        """The part of that name."""
        return next(part for part in self.parts if part.name == name)
