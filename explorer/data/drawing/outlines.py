"""The ten shapes, each as a signed distance: negative inside, zero on the edge, positive outside.

Every shape just fits into the circle of radius 1 around the origin. x and y are arrays of one shape; y points down.
Union is `minimum`, intersection is `maximum`; along straight edges and arcs the distance is exact.
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def disc(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 1


def ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.76) - 0.24


def square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.707


def triangle(x: Array, y: Array) -> Array:
    return np.maximum(0.866 * np.abs(x) - 0.5 * y, y) - 0.5  # one corner up


def star(x: Array, y: Array) -> Array:
    fifth = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + fifth / 2) % fifth - fifth / 2)  # fold the plane into half a point
    radius = np.hypot(x, y)
    u, v = radius * np.cos(angle), radius * np.sin(angle)  # the edge runs from the tip (1, 0) to the notch
    notch = 0.45 * np.cos(fifth / 2), 0.45 * np.sin(fifth / 2)
    length = np.hypot(1 - notch[0], notch[1])
    return ((u - 1) * notch[1] + v * (1 - notch[0])) / length


def cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.953, np.minimum(x, y) - 0.3)


def heart(x: Array, y: Array) -> Array:
    side, drop = 0.5606, 0.2073  # solves: tip and lobes all touch the circle
    x, y = np.abs(x), y - drop
    lobe = np.hypot(x - 0.7071 * side, y + 0.7071 * side) - side
    diamond = (x + np.abs(y)) * 0.7071 - side
    return np.minimum(lobe, diamond)


def crescent(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 1, 0.8 - np.hypot(x - 0.34, y))


def arrow(x: Array, y: Array) -> Array:
    y = np.abs(y)
    head = np.maximum(0.05 - x, (0.86 * (x - 1) + 0.95 * y) / np.hypot(0.86, 0.95))
    shaft = np.maximum(np.abs(x + 0.43) - 0.52, y - 0.3)
    return np.minimum(head, shaft)


def hexagon(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(0.866 * x + 0.5 * y, y) - 0.866


OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    outline.__name__: outline
    for outline in (disc, ring, square, triangle, star, cross, heart, crescent, arrow, hexagon)
}
