"""Backgrounds: each family gives, for every pixel, how much of the second tone it takes (0 to 1)."""

import functools
from collections.abc import Callable

import numpy as np

SIDE = 64
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32) + 0.5  # pixel centres
Array = np.ndarray
Rng = np.random.Generator


def smooth(rng: Rng) -> Array:
    u, v = _turned(rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.5:
        return np.clip(u / 80 + 0.5, 0, 1)
    return np.clip(np.hypot(u - rng.uniform(-16, 16), v - rng.uniform(-16, 16)) / 55, 0, 1)


def striped(rng: Rng) -> Array:
    u, _ = _turned(rng.uniform(0, np.pi))
    return _bands(u, rng.uniform(7, 15), rng)


def chequered(rng: Rng) -> Array:
    u, v = _turned(rng.uniform(0, np.pi / 2))
    period = rng.uniform(10, 19)
    a, b = _bands(u, period, rng), _bands(v, period, rng)
    return a + b - 2 * a * b  # exclusive or


def cloudy(rng: Rng) -> Array:
    noise = _noise(rng, 4, 4) + 0.5 * _noise(rng, 8, 8) + 0.25 * _noise(rng, 16, 16)
    return _stretched(noise)


def dotted(rng: Rng) -> Array:
    u, v = _turned(rng.uniform(0, np.pi / 2))
    period = rng.uniform(7, 11)
    odd = np.floor(v / period) % 2  # every second row is shifted, as on wrapping paper
    du = (u / period + odd / 2) % 1 - 0.5
    dv = (v / period) % 1 - 0.5
    return np.clip(0.5 + rng.uniform(0.2, 0.29) * period - period * np.hypot(du, dv), 0, 1)


def wooden(rng: Rng) -> Array:
    knot_x, knot_y = rng.uniform(-40, 40), rng.uniform(0, SIDE)
    stretched = np.hypot((X - SIDE / 2 - knot_x) / rng.uniform(5, 9), Y - knot_y)  # growth rings, cut lengthwise
    rings = (stretched + 3 * _noise(rng, 2, 5)) / rng.uniform(5, 8) % 1
    fibre = _noise(rng, 60, 6) - 0.5
    grain = np.clip(0.15 + 0.7 * rings * np.clip(4 * (1 - rings), 0, 1) + 0.45 * fibre, 0, 1)
    return grain if rng.random() < 0.5 else grain.T


def brick(rng: Rng) -> Array:
    u, v = _turned(rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.04))
    height = rng.uniform(8, 12)
    length, joint = height * 2.1, 0.9
    v = v + rng.uniform(0, height)
    row = np.floor(v / height)
    u = u + row % 2 * length / 2 + rng.uniform(0, length)
    to_joint = np.minimum(_to_edge(u / length) * length, _to_edge(v / height) * height)
    mortar = np.clip(0.5 + joint - to_joint, 0, 1)
    shade = (np.sin(row * 12.9 + np.floor(u / length) * 78.2) * 43.7) % 1  # one tone per brick
    return np.maximum(mortar, 0.35 * shade)


def wavy(rng: Rng) -> Array:
    u, v = _turned(rng.uniform(0, np.pi))
    bend = rng.uniform(2, 4.5) * np.sin(2 * np.pi * v / rng.uniform(18, 34) + rng.uniform(0, 6))
    return _bands(u + bend, rng.uniform(9, 15), rng)


TEXTURES: dict[str, Callable[[Rng], Array]] = {
    texture.__name__: texture for texture in (smooth, striped, chequered, cloudy, dotted, wooden, brick, wavy)
}


def grain(rng: Rng, cells: int) -> Array:
    """Smooth noise about zero with `cells` bumps a side, (SIDE, SIDE)."""
    return _noise(rng, cells, cells) - 0.5


def _turned(angle: float) -> tuple[Array, Array]:
    """The pixel coordinates about the centre, turned."""
    x, y = X - SIDE / 2, Y - SIDE / 2
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _bands(u: Array, period: float, rng: Rng) -> Array:
    """Two tones in turn along u, with an edge one pixel soft."""
    to_edge = np.abs((u / period + rng.random()) % 1 - 0.5) - 0.25
    return np.clip(0.5 + to_edge * period, 0, 1)


def _to_edge(u: Array) -> Array:
    """Distance to the nearest whole number."""
    return 0.5 - np.abs(u % 1 - 0.5)


def _noise(rng: Rng, rows: int, columns: int) -> Array:
    """Random values on a coarse grid, joined smoothly; 0 to 1."""
    return _spread(rows) @ rng.random((rows + 1, columns + 1), dtype=np.float32) @ _spread(columns).T


def _stretched(values: Array) -> Array:
    low, high = values.min(), values.max()
    return (values - low) / (high - low)


@functools.cache
def _spread(cells: int) -> Array:
    """Takes `cells + 1` values to SIDE pixels by smoothstep interpolation, (SIDE, cells + 1)."""
    at = (np.arange(SIDE) + 0.5) / SIDE * cells
    left = at.astype(int)
    share = (at - left) ** 2 * (3 - 2 * (at - left))
    weights = np.zeros((SIDE, cells + 1), np.float32)
    weights[np.arange(SIDE), left] = 1 - share
    weights[np.arange(SIDE), left + 1] = share
    return weights
