"""Points in the plane: problems that can be seen whole."""

from collections.abc import Callable
from typing import Annotated

import numpy as np

from explorer.data.base import DATASETS, Dataset, stream
from explorer.params import Choice, Slider

Rng = np.random.Generator


def spirals(rng: Rng, y: np.ndarray) -> np.ndarray:
    along = np.sqrt(rng.uniform(0.01, 1, len(y)))  # evenly spread over the length of the arm
    return _polar(along, along * 3.5 * np.pi + y * np.pi)


def moons(rng: Rng, y: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0, np.pi, len(y))
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    return np.where(y[:, None] == 0, upper, -upper) / 1.5


def circles(rng: Rng, y: np.ndarray) -> np.ndarray:
    inner, outer = 0.5 * np.sqrt(rng.uniform(0, 1, len(y))), rng.uniform(0.7, 1, len(y))
    return _polar(np.where(y == 0, inner, outer), rng.uniform(0, 2 * np.pi, len(y)))


def xor(rng: Rng, y: np.ndarray) -> np.ndarray:
    places = rng.uniform(0.05, 1, (len(y), 2)) * rng.choice((-1, 1), (len(y), 1))  # both signs alike
    return places * np.stack([np.ones(len(y)), np.where(y == 0, 1, -1)], axis=1)


def gaussians(rng: Rng, y: np.ndarray) -> np.ndarray:
    return np.where(y[:, None] == 0, 0.4, -0.4) + 0.15 * rng.standard_normal((len(y), 2))


KINDS: dict[str, Callable[[Rng, np.ndarray], np.ndarray]] = {
    kind.__name__: kind for kind in (spirals, moons, circles, xor, gaussians)
}


@DATASETS.register("points", task="points", shape=(2,), classes=2)
def points(
    split: str,
    seed: int,
    kind: Annotated[str, Choice(tuple(KINDS), help="How the two classes lie")] = "spirals",
    noise: Annotated[float, Slider(0, 0.3, step=0.01, help="How far a point strays, as a standard deviation")] = 0.03,
    count: Annotated[int, Slider(100, 5000, step=100, label="points", help="Points to learn from")] = 1000,
) -> Dataset:
    """Two classes of points in the plane, one class A and one B, that no straight line divides (but for gaussians).

    Points lie within about -1 to 1; validation and test have half as many as training.
    """
    rng = stream(seed, split)
    size = count if split == "train" else count // 2
    y = rng.permutation(np.arange(size) % 2)
    x = KINDS[kind](rng, y) + noise * rng.standard_normal((size, 2))
    return Dataset("points", split, "points", x.astype(np.float32), y, ("A", "B"))


def _polar(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Places, (N, 2), from polar coordinates."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
