"""A data set as points of the plane, looked into in the browser: hover, colour, isolate, zoom, nearest neighbours.

frame = scatter(Scatter(points, labels, colourings, near, distances), key="cloud")
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from explorer.charts.theme import DARK, LIGHT
from explorer.ui.scrub import scrub

STEPS = 65535  # of a code from end to end, as many as 16 bits hold: sharp at the deepest zoom
KINDS = ("classes", "verdict", "amount")
SIDE, SMALLER, MANY = 32, 24, 1000  # pixels on a side of a small picture at most, and of one of more than so many
EXACT = 16  # pixels up to which pictures are sent without loss
QUALITY, BLOCK = 75, 8  # of JPEG, and the pixels on a side that it packs together
NUMBERS = 80_000  # neighbours that are sent at most, over all frames
LETTERS = 240  # of a text


@dataclass(frozen=True, eq=False)
class Colouring:
    """One way to colour the points."""

    title: str
    groups: np.ndarray  # (N,) or (F, N) whole numbers: of classes and verdicts into names, of amounts 0 to 255
    names: tuple[str, ...]  # of verdicts: right, wrong; of amounts: what 0 and 255 stand for
    kind: str = "classes"  # one of KINDS


@dataclass(frozen=True, eq=False)
class Atlas:
    """Small pictures of all examples on one sheet, row by row."""

    sheet: bytes  # PNG, or JPEG
    kind: str  # png | jpeg
    width: int  # of one picture
    height: int
    columns: int

    @property
    def nbytes(self) -> int:
        """Bytes of the sheet."""
        return len(self.sheet)


@dataclass(frozen=True, eq=False)
class Scatter:
    """N points, in one frame or in several that show the same points in the same order."""

    points: np.ndarray  # (F, N, 2)
    labels: tuple[str, ...]  # (F,) what is told of each frame
    colourings: tuple[Colouring, ...]  # none: all points have one colour
    near: np.ndarray  # (F, N, K) the numbers of the nearest others, the nearest first
    distances: np.ndarray  # (F, N, K)
    space: str = "the full space"  # where they are nearest, in words
    notes: tuple[str, ...] = ()  # (N,) what is told of each point
    texts: tuple[str, ...] = ()  # (N,) the examples themselves, where they are texts
    atlas: Atlas | None = None  # the examples themselves, where they are pictures
    chosen: int | None = None  # the point that is chosen at first

    def __post_init__(self) -> None:
        frames, count = self.points.shape[:2] if self.points.ndim == 3 else (0, 0)
        if not frames or not count or self.points.shape[2] != 2 or len(self.labels) != frames:
            raise ValueError(f"points {self.points.shape} under {len(self.labels)} labels")
        if not np.isfinite(self.points).all() or not np.isfinite(self.distances).all():
            raise ValueError("not all points and distances are finite")
        if self.near.shape[:2] != (frames, count) or self.near.shape != self.distances.shape:
            raise ValueError(f"neighbours {self.near.shape} at {self.distances.shape} of points {self.points.shape}")
        if self.near.size and not 0 <= self.near.min() <= self.near.max() < count:
            raise ValueError(f"neighbours are numbers below {count}")
        for told in (self.notes, self.texts):
            if told and len(told) != count:
                raise ValueError(f"{len(told)} texts of {count} points")
        for one in self.colourings:
            whole = np.issubdtype(one.groups.dtype, np.integer)
            if one.groups.shape not in ((count,), (frames, count)) or not whole or one.kind not in KINDS:
                raise ValueError(f"{one.title}: groups {one.groups.shape} {one.groups.dtype} of the kind {one.kind}")
            most = 256 if one.kind == "amount" else len(one.names)
            if not 0 <= one.groups.min() <= one.groups.max() < min(most, STEPS):
                raise ValueError(f"{one.title}: groups are whole numbers from 0, below {most}")


def scatter(shown: Scatter, key: str, at: int | None = None, height: int = 560) -> int:
    """Draw points, as wide as their place; gives the frame where the person rests. See `scrub` for what reruns."""
    return scrub("scatter", key, [len(shown.labels)], at, {"height": height} | encode(shown))


def encode(shown: Scatter) -> dict[str, Any]:
    """Points as the browser takes them.

    Every frame is moved to its centre and drawn in units of its own spread, the root mean square distance from there:
    what is compared between frames is their shape.
    """
    frames, count = shown.points.shape[:2]
    centred = shown.points.astype(np.float64) - shown.points.mean(1, keepdims=True, dtype=np.float64)
    spread = np.sqrt((centred**2).sum(2).mean(1))  # (F,)
    places = centred / np.where(spread > 0, spread, 1.0)[:, None, None]
    extent = max(float(np.abs(places).max()), 1e-9)
    nearest = min(shown.near.shape[2], 10, max(4, NUMBERS // (frames * count)))
    distances = shown.distances[..., :nearest].astype(np.float64)
    limits = np.maximum(distances.max((1, 2)) if distances.size else np.zeros(frames), 1e-30)  # (F,)
    atlas = shown.atlas
    return {
        "count": count,
        "labels": shown.labels,
        "points": _codes(np.rint((places / extent / 2 + 0.5) * STEPS)),
        "box": [round(float(end(places[..., axis])) / extent, 4) for axis in (0, 1) for end in (np.min, np.max)],
        "near": _codes(shown.near[..., :nearest]),
        "nearest": nearest,
        "distances": _codes(np.rint(distances / limits[:, None, None] * STEPS)),
        "limits": [float(f"{limit:.6g}") for limit in limits],
        "space": shown.space,
        "colourings": [_colouring(one) for one in shown.colourings],
        "notes": shown.notes,
        "texts": [text if len(text) <= LETTERS else f"{text[:LETTERS]} …" for text in shown.texts],
        "chosen": shown.chosen,
        "sequential": {"light": LIGHT.sequential[3:], "dark": DARK.sequential[3:]},
        "atlas": None
        if atlas is None
        else {
            "sheet": f"data:image/{atlas.kind};base64,{base64.b64encode(atlas.sheet).decode()}",
            "width": atlas.width, "height": atlas.height, "columns": atlas.columns,
        },
    }  # fmt: skip


def pack(pictures: np.ndarray, side: int | None = None) -> Atlas:
    """Pictures (N, H, W, 1 or 3) uint8 on one sheet, none with a side above `side`; small ones are kept exactly."""
    small = _small(pictures, side or (SIDE if len(pictures) <= MANY else SMALLER))  # (N, h, w, C)
    count, height, width, channels = small.shape
    columns = math.ceil(math.sqrt(count * height / width))
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = small
    sheet = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    image = _image(sheet.reshape(rows * height, columns * width, channels))
    file = io.BytesIO()
    blocks = max(height, width) > EXACT and height % BLOCK == width % BLOCK == 0  # else two would share a block
    kind = "jpeg" if blocks else "png"
    image.save(file, kind, **({"quality": QUALITY, "subsampling": 0} if blocks else {}))
    return Atlas(file.getvalue(), kind, width, height, columns)


def _small(pictures: np.ndarray, side: int) -> np.ndarray:
    """The same pictures, none with a side above `side`."""
    height, width = pictures.shape[1:3]
    factor = max(height, width) / side
    if factor <= 1:
        return pictures
    if factor.is_integer() and height % factor == width % factor == 0:
        step = int(factor)
        blocks = pictures.reshape(len(pictures), height // step, step, width // step, step, -1)
        return np.rint(blocks.mean((2, 4), dtype=np.float32)).astype(np.uint8)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    made = [np.asarray(_image(one).resize(size, Image.Resampling.HAMMING)) for one in pictures]
    return np.stack(made).reshape(len(pictures), size[1], size[0], -1)


def _image(picture: np.ndarray) -> Image.Image:
    """Pixels (H, W, 1 or 3) as a picture."""
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def _colouring(one: Colouring) -> dict[str, Any]:
    return {
        "title": one.title,
        "kind": one.kind,
        "names": one.names,
        "moves": one.groups.ndim == 2,
        "groups": _codes(one.groups),
    }


def _codes(values: np.ndarray | Sequence[int]) -> str:
    """Whole numbers of 16 bits."""
    return base64.b64encode(np.asarray(values).astype("<u2").tobytes()).decode()
