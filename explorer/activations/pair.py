"""Two layers side by side: where the examples lie in each, and which of their units do the same."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from explorer import data
from explorer.activations.cka import Side, debiased
from explorer.activations.feed import opened
from explorer.activations.shared import examples
from explorer.zoo.model import Model

BEST = 4  # pairs of units that are named


@dataclass(frozen=True)
class Match:
    """A unit of A and the unit of B that goes up and down with it."""

    a: int
    b: int
    correlation: float  # over the examples, of their means over positions


@dataclass(frozen=True, eq=False)
class Pair:
    """A layer of A and a layer of B over the same N examples."""

    layer_a: str
    layer_b: str
    value: float  # CKA over all examples at once, unbiased
    points_a: np.ndarray  # (N, 2) float32, the two directions of largest variance, of length 1 on average
    points_b: np.ndarray  # (N, 2) the same, turned and mirrored so that it lies over A as well as it can
    explained_a: tuple[float, float]  # share of the variance along each direction
    explained_b: tuple[float, float]
    matches: tuple[Match, ...]  # the strongest first, no unit twice
    y: np.ndarray | None  # (N,) the true classes
    labels: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.points_a.nbytes + self.points_b.nbytes + (0 if self.y is None else self.y.nbytes)


def pair(
    ref_a: str | Model,
    ref_b: str | Model,
    layer_a: str,
    layer_b: str,
    dataset: str | data.Dataset | None = None,
    features: str = "flattened",
    count: int = 500,
    seed: int = 0,
    on_step: Callable[[float], None] | None = None,
) -> Pair:
    """One layer of each of two networks over the same examples; arguments as of `cka`.

    The points are those of a principal component analysis, found from the Gram matrix; B's are turned by the orthogonal
    Procrustes rotation, which changes nothing that CKA sees. Units are matched by the correlation of their means over
    positions, greedily. Raises ExplorerError as `cka` does.
    """
    a, b = opened(ref_a), opened(ref_b)
    both = examples(a, b, dataset, count, seed)
    grams, points, explained, means = [], [], [], []
    for at, (model, get, name) in enumerate(((a, both.a, layer_a), (b, both.b, layer_b))):
        side = Side(model, get, [name], features)
        averaged = Side(model, get, [name], "averaged")
        grams.append(side.grams(0, both.count, lambda: None)[0])
        means.append(averaged.values(0, both.count))
        found, shares = principal(grams[-1])
        points.append(found)
        explained.append(shares)
        if on_step is not None:
            on_step((at + 1) / 2)
    return Pair(
        layer_a, layer_b, debiased(*grams), points[0], turned(points[1], points[0]), *explained,
        matches(*means), both.y, both.labels,
    )  # fmt: skip


def principal(gram: torch.Tensor) -> tuple[np.ndarray, tuple[float, float]]:
    """The first two principal components of N examples from their centred Gram matrix, and their shares of variance.

    Returns (N, 2) float32, scaled to a mean square of 1 a coordinate pair.
    """
    values, vectors = torch.linalg.eigh(gram.double())  # ascending
    values, vectors = values[-2:].flip(0).clamp_min(0), vectors[:, -2:].flip(1)
    shares = (values / gram.trace().clamp_min(1e-30)).tolist()
    points = (vectors * values.sqrt()).numpy()
    size = np.sqrt(np.square(points).sum(1).mean()) or 1.0
    return (points / size).astype(np.float32), (shares[0], shares[1])


def turned(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Points (N, 2) rotated and mirrored so that they lie over others as well as can be (Schönemann 1966)."""
    left, _, right = np.linalg.svd(points.T.astype(np.float64) @ onto)
    return (points @ (left @ right)).astype(np.float32)


def matches(a: np.ndarray, b: np.ndarray, most: int = BEST) -> tuple[Match, ...]:
    """The units whose values over N examples, (N, A) and (N, B), are most correlated, each used once."""
    first, second = _standard(a), _standard(b)
    found: list[Match] = []
    sizes = first.T @ second / len(a)  # (A, B)
    left = np.abs(sizes)
    for _ in range(min(most, *left.shape)):
        at, other = np.unravel_index(int(left.argmax()), left.shape)
        if not left[at, other] > 0:
            break
        found.append(Match(int(at), int(other), float(sizes[at, other])))
        left[at], left[:, other] = 0, 0
    return tuple(found)


def _standard(values: np.ndarray) -> np.ndarray:
    """Each column with mean 0 and deviation 1; 0 where it does not vary."""
    values = values.astype(np.float64)
    values = values - values.mean(0)
    deviation = values.std(0)
    return np.divide(values, deviation, out=np.zeros_like(values), where=deviation > 1e-12)
