"""Drawing by hand: a mask painted over a picture, or points of two classes sprayed on the plane.

mask = paint_mask(picture, key="hole")
points, labels = draw_points(key="mine")
"""

import base64
import functools
import io
import math
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
import streamlit as st
from PIL import Image

from explorer.charts.theme import DARK, LIGHT
from explorer.ui.component import component

LARGEST = 512  # pixels on a side of a picture
NARROWEST = 80  # pixels of the screen on a side of a drawing
MOST = 20_000  # points that can be asked for at all
STEPS = 32767  # of a coordinate on either side of zero, as many as 16 bits hold
COUNT = 600  # points of a ready-made drawing

Rng = np.random.Generator


def paint_mask(picture: np.ndarray, key: str, side: int = 320) -> np.ndarray:
    """Show a picture, its longer side `side` pixels of the screen, to be painted over; gives what is painted.

    picture: (H, W, 1 or 3) uint8. Returns (H, W) bool. The end of a stroke reruns the page, or the fragment that this
    is in. A picture of the same size keeps the mask, another size starts anew. ValueError where a picture is not one.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or not picture.size:
        raise ValueError(f"a picture is (H, W, 1 or 3) uint8, not {picture.shape} {picture.dtype}")
    height, width = picture.shape[:2]
    if max(height, width) > LARGEST:
        raise ValueError(f"a picture of {height} × {width}: no side may have more than {LARGEST} pixels")
    _check_side(side)
    drawn = _drawn(key, (height, width), np.zeros((height, width), bool))
    start = {"bits": _base64(np.packbits(drawn["value"]))}
    data = {"kind": "mask", "side": side, "height": height, "width": width, "picture": _png(picture)}
    reported = _show(key, drawn, {"start": start} | data)
    if reported is not None:
        drawn["value"] = read_mask(reported, height, width)
    return drawn["value"].copy()


def draw_points(key: str, most: int = 3000, extent: float = 1.0, side: int = 360) -> tuple[np.ndarray, np.ndarray]:
    """An empty square of the plane to spray points on; gives them, (N, 2) float32, and their classes, (N,) int64.

    Coordinates go from -extent to extent, class A is 0 and class B is 1, and there are never more than `most` points.
    The end of a stroke reruns the page, or the fragment that this is in. ValueError for sizes that make no sense.
    """
    if not 1 <= most <= MOST:
        raise ValueError(f"1 to {MOST:,} points can be drawn, not {most}")
    if not (math.isfinite(extent) and extent > 0):
        raise ValueError(f"the plane must have an extent, not {extent}")
    _check_side(side)
    drawn = _drawn(key, (most, extent), (np.zeros((0, 2), np.float32), np.zeros(0, np.int64)))
    start = _codes(drawn["value"][0] / extent, drawn["value"][1])
    colours = {"light": LIGHT.categorical[:2], "dark": DARK.categorical[:2]}
    data = {"kind": "points", "side": side, "most": most, "extent": extent, "colours": colours}
    reported = _show(key, drawn, {"start": start, "ready": _ready(min(COUNT, most))} | data)
    if reported is not None:
        drawn["value"] = read_points(reported, most, extent)
    points, labels = drawn["value"]
    return points.copy(), labels.copy()


# ---- ready-made drawings ----


def ring(rng: Rng, y: np.ndarray) -> np.ndarray:
    angle = np.pi * (rng.uniform(0, 1, len(y)) + y)
    return _around(rng, 0.7 * np.cos(angle), 0.7 * np.sin(angle), 0.04)


def moons(rng: Rng, y: np.ndarray) -> np.ndarray:
    angle, turned = rng.uniform(0, np.pi, len(y)), np.where(y == 0, 1, -1)
    return _around(rng, turned * (np.cos(angle) - 0.5) * 0.55, turned * (np.sin(angle) - 0.25) * 0.55, 0.04)


def letter_s(rng: Rng, y: np.ndarray) -> np.ndarray:
    angle, turned = rng.uniform(0.1 * np.pi, 1.5 * np.pi, len(y)), np.where(y == 0, 1, -1)  # two bows that meet at 0
    return _around(rng, turned * 0.38 * np.cos(angle), turned * 0.38 * (np.sin(angle) + 1), 0.03)


def dots(rng: Rng, y: np.ndarray) -> np.ndarray:
    turn = np.arange(len(y)) // 2
    cell = np.where(y == 0, 2 * (turn % 13), 2 * (turn % 12) + 1)  # of 5 × 5, as on a chessboard
    return _around(rng, 0.35 * (cell % 5 - 2), 0.35 * (cell // 5 - 2), 0.025)


READY: dict[str, Callable[[Rng, np.ndarray], np.ndarray]] = {
    "Ring": ring,
    "Two moons": moons,
    "Letter S": letter_s,
    "Grid of dots": dots,
}


def ready_made(name: str, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """One of READY: points within -1 to 1, (count, 2), and their classes, (count,); the same at every call."""
    y = np.arange(count) % 2
    return np.clip(READY[name](np.random.default_rng(0), y), -1, 1).astype(np.float32), y


def _around(rng: Rng, x: np.ndarray, y: np.ndarray, spread: float) -> np.ndarray:
    return np.stack([x, y], axis=1) + spread * rng.standard_normal((len(x), 2))


@functools.lru_cache(8)
def _ready(count: int) -> dict[str, dict[str, str]]:
    return {name: _codes(*ready_made(name, count)) for name in READY}


# ---- what the browser reports, which may be anything ----


def read_mask(reported: Any, height: int, width: int) -> np.ndarray:
    """(H, W) bool from bits in base64, row by row; nothing is painted where they are malformed."""
    try:
        packed = _bytes(reported["bits"], "u1")
    except (TypeError, KeyError, ValueError):
        packed = np.zeros(0, np.uint8)
    if len(packed) != math.ceil(height * width / 8):
        return np.zeros((height, width), bool)
    return np.unpackbits(packed, count=height * width).reshape(height, width).astype(bool)


def read_points(reported: Any, most: int, extent: float) -> tuple[np.ndarray, np.ndarray]:
    """Points, (N, 2), and classes, (N,), from codes and labels in base64; none where they are malformed."""
    none = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    try:
        codes, labels = _bytes(reported["codes"], "<i2"), _bytes(reported["labels"], "u1")
    except (TypeError, KeyError, ValueError):
        return none
    if len(codes) != 2 * len(labels) or len(labels) > most or (codes < -STEPS).any() or (labels > 1).any():
        return none
    return (codes.reshape(-1, 2) / STEPS * extent).astype(np.float32), labels.astype(np.int64)


# ---- to and from the browser ----


def _drawn(key: str, of: tuple, empty: Any) -> dict[str, Any]:
    """What was drawn under that key, which outlives a change of page; empty at first, and where `of` is another."""
    at = f"{key}-drawn"
    if at not in st.session_state or st.session_state[at]["of"] != of:
        st.session_state[at] = {"seed": uuid4().hex, "of": of, "value": empty}
    return st.session_state[at]


def _show(key: str, drawn: dict[str, Any], data: dict[str, Any]) -> Any:
    """Draw the component; gives what it reported of this very drawing, or None."""
    data = {"key": key, "seed": drawn["seed"]} | data
    reported = component("sketch")(key=key, data=data, default={"drawn": None}, on_drawn_change=lambda: None).get(
        "drawn"
    )
    current = isinstance(reported, dict) and reported.get("seed") == drawn["seed"]
    return reported if current else None


def _codes(points: np.ndarray, labels: np.ndarray) -> dict[str, str]:
    """Points within -1 to 1 and their classes, as the browser takes them and `read_points` reads them."""
    codes = np.clip(np.rint(points.astype(np.float64) * STEPS), -STEPS, STEPS)
    return {"codes": _base64(codes.astype("<i2")), "labels": _base64(labels.astype(np.uint8))}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _bytes(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), kind)


def _png(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _check_side(side: int) -> None:
    if side < NARROWEST:
        raise ValueError(f"nobody can draw on {side} pixels of the screen: at least {NARROWEST}")
