"""A scene: what is in it, how it is drawn, and the words that are true of it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from explorer.data.drawing.colours import LAB, srgb
from explorer.data.drawing.outlines import OUTLINES
from explorer.data.drawing.textures import SIDE, TEXTURES, X, Y, grain

SHAPES = tuple(OUTLINES)
COLOURS = tuple(LAB)
FILLS = ("plain", "lit", "bevelled", "striped", "speckled")
RADIUS = (9, 22)  # pixels of the circle around an object
SMALL, LARGE = 13, 18  # below this radius an object is called small, from this one large
CONTRAST = 0.24  # least distance in OKLab between an object and either tone behind it; black to white is 1
CONTRAST_OF_TWO = 0.19  # the same where two objects share a background: less, or brown and white would have none

Rng = np.random.Generator


@dataclass(frozen=True)
class Thing:
    """One object of a scene."""

    shape: str
    colour: str
    x: float  # centre of the circle around it, in pixels from the left
    y: float  # … from the top
    radius: float  # of that circle
    angle: float  # turned clockwise by so many radians
    fill: str

    @property
    def size(self) -> str:
        return "small" if self.radius < SMALL else "large" if self.radius >= LARGE else "medium-sized"


@dataclass(frozen=True)
class Scene:
    """Everything that is decided before a scene is drawn; only its texture and clutter are left to chance."""

    background: str
    tones: tuple[tuple[float, float, float], tuple[float, float, float]]  # of the background, in OKLab
    things: tuple[Thing, ...]


def single(rng: Rng, shape: str) -> Scene:
    """A scene with one object of this shape, anywhere."""
    radius = rng.uniform(*RADIUS)
    x, y = rng.uniform(radius + 1, SIDE - radius - 1, 2)
    thing = _thing(rng, shape, pick(rng, COLOURS), x, y, radius)
    return _scene(rng, (thing,), CONTRAST)


def pair(rng: Rng, first: str, second: str, relation: str) -> Scene:
    """A scene with two objects of different colours; `relation`, one of RELATIONS, says where the first one is."""
    colours = rng.choice(COLOURS, 2, replace=False)
    radii = rng.uniform(9, 13, 2)
    apart = radii.sum() + 3
    along = rng.uniform(radii[0] + 1, SIDE - apart - radii[1] - 1)  # of the first, towards the second
    far = rng.uniform(along + apart, SIDE - radii[1] - 1)
    middle = rng.uniform(20, SIDE - 20)
    across = np.clip(middle + rng.uniform(-6, 6, 2), radii + 1, SIDE - radii - 1)  # nearly on one line
    places = np.stack([(along, far), across])  # [along or across, object]
    if relation in ("right of", "below"):
        places[0] = SIDE - places[0]
    if relation in ("above", "below"):
        places = places[::-1]
    things = tuple(
        _thing(rng, shape, str(colour), *place, radius)
        for shape, colour, place, radius in zip((first, second), colours, places.T, radii, strict=True)
    )
    return _scene(rng, things, CONTRAST_OF_TWO)


def pick(rng: Rng, names: Sequence[Any]) -> Any:
    """One of them, as `rng.choice` would give it, which makes an array of them first."""
    return names[rng.integers(len(names))]


RELATIONS = ("left of", "right of", "above", "below")


def sketch(rng: Rng, names: tuple[tuple[str, str], ...], relation: str) -> Scene:
    """A scene that is easy to draw: one or two plain, upright objects, as (colour, shape), on a quiet background."""
    radii = rng.uniform(11, 14.5, len(names))
    if len(names) == 1:
        places = rng.uniform(16, SIDE - 16, (2, 1))
    else:
        slack = SIDE - 2 * radii.sum() - 4
        gap = rng.uniform(0, slack, 3)
        gap *= rng.uniform(0.5, 1) * slack / gap.sum()  # before the first, between them; the rest is behind the second
        first = 1 + gap[0] + radii[0]
        places = np.stack(
            [(first, first + radii.sum() + 2 + gap[1]), rng.uniform(22, SIDE - 22) + rng.uniform(-5, 5, 2)]
        )
        if relation in ("right of", "below"):
            places[0] = SIDE - places[0]
        if relation in ("above", "below"):
            places = places[::-1]
    things = tuple(
        Thing(shape, colour, float(x), float(y), float(radius), float(rng.normal(0, 0.08)), "plain")
        for (colour, shape), x, y, radius in zip(names, *places, radii, strict=True)
    )
    return replace(_scene(rng, things, CONTRAST_OF_TWO), background="smooth")


def _thing(rng: Rng, shape: str, colour: str, x: float, y: float, radius: float) -> Thing:
    return Thing(shape, colour, float(x), float(y), float(radius), rng.uniform(0, 2 * np.pi), pick(rng, FILLS))


def _scene(rng: Rng, things: tuple[Thing, ...], contrast: float) -> Scene:
    """The objects before a background of two related tones from which all of them stand out."""
    colours = np.array([LAB[thing.colour] for thing in things])
    while True:
        lightness, chroma, hue = rng.uniform(0.32, 0.93), rng.uniform(0.01, 0.09), rng.uniform(0, 2 * np.pi)
        step = rng.uniform(0.07, 0.15) * pick(rng, (-1, 1))
        turn = rng.uniform(-0.6, 0.6)
        tones = np.array(
            [(lightness, chroma * np.cos(hue), chroma * np.sin(hue)),
             (np.clip(lightness + step, 0.25, 0.97), chroma * np.cos(hue + turn), chroma * np.sin(hue + turn))]
        )  # fmt: skip
        if np.linalg.norm(colours[:, None] - tones, axis=2).min() >= contrast:
            return Scene(pick(rng, tuple(TEXTURES)), tuple(map(tuple, tones.tolist())), things)


def draw(scene: Scene, rng: Rng, clutter: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The picture, (SIDE, SIDE, 3) uint8, and the mask of each object, (objects, SIDE, SIDE) bool.

    A pixel belongs to an object when its centre lies inside the outline, so the soft edge outside is at most half an
    object's. Objects lie on top of the clutter and not on each other.
    """
    share = TEXTURES[scene.background](rng)[..., None]  # (SIDE, SIDE, 1)
    first, second = srgb(np.array(scene.tones)).astype(np.float32)
    picture = first + (second - first) * share  # (SIDE, SIDE, 3)
    if clutter:
        _scatter(picture, rng, avoid={thing.colour for thing in scene.things})
    masks = np.stack([_place(picture, thing, rng) for thing in scene.things])
    slope = rng.normal(0, 0.0025, 2)  # light that falls from one side
    picture *= (1 + slope[0] * (X - SIDE / 2) + slope[1] * (Y - SIDE / 2))[..., None]
    picture += rng.uniform(0.004, 0.02) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8), masks


def describe(scene: Scene, mask: np.ndarray) -> str:
    """A caption for a scene of one object: its size, colour, shape, background and place."""
    (thing,) = scene.things
    return f"a {thing.size} {thing.colour} {thing.shape} on a {scene.background} background, {_place_words(mask)}"


def relate(scene: Scene, relation: str) -> str:
    """A caption for a scene of two objects, or of one."""
    named = [_with_article(f"{thing.colour} {thing.shape}") for thing in scene.things]
    return f" {relation} ".join(named)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _place_words(mask: np.ndarray) -> str:
    """Where the middle of an object's pixels lies, on a grid of three by three."""
    rows, columns = np.nonzero(mask)
    down = ("top", "", "bottom")[int(rows.mean() * 3 // SIDE)]
    along = ("left", "", "right")[int(columns.mean() * 3 // SIDE)]
    if down and along:
        return f"at the {down} {along}"
    return f"at the {down or along}" if down or along else "in the middle"


def _place(picture: np.ndarray, thing: Thing, rng: Rng) -> np.ndarray:
    """Paint an object into the picture, in place; its mask."""
    window = _window(thing.x, thing.y, thing.radius + 1)
    x, y = X[window] - np.float32(thing.x), Y[window] - np.float32(thing.y)
    cos, sin = np.float32(np.cos(thing.angle)), np.float32(np.sin(thing.angle))
    u, v = (cos * x + sin * y) / thing.radius, (cos * y - sin * x) / thing.radius  # upright, radius 1
    distance = OUTLINES[thing.shape](u, v) * thing.radius  # pixels
    light = _light(thing, x, y, u, distance, rng)[..., None]
    colour = srgb(LAB[thing.colour] + rng.normal(0, 0.008, 3)).astype(np.float32)
    tinted = colour + np.where(light > 0, (1 - colour) * light, colour * light)
    picture[window] += (tinted - picture[window]) * np.clip(0.5 - distance, 0, 1)[..., None]
    mask = np.zeros((SIDE, SIDE), bool)
    mask[window] = distance <= 0
    return mask


def _light(thing: Thing, x: np.ndarray, y: np.ndarray, u: np.ndarray, distance: np.ndarray, rng: Rng) -> np.ndarray:
    """How much lighter (towards 1) or darker (towards -1) than its colour an object is at each pixel."""
    strength = rng.uniform(0.12, 0.22)
    if thing.fill == "lit":  # a ball of light on its upper left
        return strength * (1 - np.hypot(x + 0.4 * thing.radius, y + 0.4 * thing.radius) / thing.radius)
    if thing.fill == "bevelled":  # a lighter rim
        return strength * (1.4 * (np.clip(distance + 2.6, 0, 1)) - 0.4)
    if thing.fill == "striped":
        return strength * 0.8 * np.clip(3 * np.sin(u * thing.radius * (2 * np.pi / rng.uniform(4.5, 7))), -1, 1)
    if thing.fill == "speckled":
        return strength * 1.6 * grain(rng, 26)[_window(thing.x, thing.y, thing.radius + 1)]
    return strength * -0.5 * y / thing.radius  # plain: only a little light from above


def _scatter(picture: np.ndarray, rng: Rng, avoid: set[str]) -> None:
    """Paint small lines, bent strokes and blobs into the picture, in place: none looks like one of the ten shapes."""
    free = [name for name in COLOURS if name not in avoid]
    for _ in range(rng.integers(3, 9)):
        x, y = rng.uniform(2, SIDE - 2, 2)
        kind = pick(rng, ("line", "bent", "blob"))
        angle = rng.uniform(0, 2 * np.pi)
        if kind == "blob":
            steps, length, width = 2, rng.uniform(1.5, 2.5), rng.uniform(1.4, 2.3)
        else:
            steps, length, width = (1, rng.uniform(5, 12), 0.8) if kind == "line" else (3, rng.uniform(3, 5), 0.8)
        points = [np.array((x, y))]
        for _ in range(steps):
            points.append(points[-1] + length * np.array((np.cos(angle), np.sin(angle))))
            angle += rng.uniform(-1.3, 1.3)
        colour = _shown(pick(rng, free))
        _stroke(picture, np.array(points, np.float32), width, colour * rng.uniform(0.8, 1), rng.uniform(0.55, 0.9))


def _stroke(picture: np.ndarray, points: np.ndarray, width: float, colour: np.ndarray, opacity: float) -> None:
    """Paint a line through points, (P, 2), with round ends, in place."""
    middle = (points.min(0) + points.max(0)) / 2
    window = _window(*middle, np.ptp(points, 0).max() / 2 + width + 1)
    x, y = X[window], Y[window]
    distance = np.full(x.shape, np.inf, np.float32)
    for (ax, ay), (bx, by) in pairwise(points):
        dx, dy, right, down = bx - ax, by - ay, x - ax, y - ay
        along = _clipped((right * dx + down * dy) / (dx * dx + dy * dy))
        np.minimum(distance, np.hypot(right - along * dx, down - along * dy), out=distance)
    part = picture[window]
    part += (colour - part) * (_clipped(0.5 + width - distance)[..., None] * np.float32(opacity))


def _clipped(values: np.ndarray) -> np.ndarray:
    """The values between 0 and 1, in place: np.clip takes longer over so few."""
    return np.minimum(np.maximum(values, 0, out=values), 1, out=values)


@functools.cache
def _shown(colour: str) -> np.ndarray:
    """A colour of the list as a screen shows it, (3,) float32."""
    return srgb(LAB[colour]).astype(np.float32)


def _window(x: float, y: float, reach: float) -> tuple[slice, slice]:
    """The pixels within `reach` of a point, as slices of rows and columns."""
    return tuple(slice(max(0, int(at - reach)), max(0, int(at + reach) + 1)) for at in (y, x))
