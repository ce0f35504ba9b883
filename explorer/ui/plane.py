"""Clouds of points of the plane in motion, side by side under one transport bar, in the browser.

frame = plane([Cloud(points, labels)], key="flow")
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.ui.scrub import scrub

POINTS = 2000  # of a cloud that are drawn, the first ones: two clouds of 26 frames are 420 KB in base64
STEPS = 4095  # from one edge to the other, as many as 12 bits hold: a tenth of a pixel
FULL = 95  # percentile of the lengths at which an arrow is drawn in full: one long one must not shrink the others
FINE = 32767  # steps of an arrow on either side of zero


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points of the plane on their way."""

    points: np.ndarray  # (F, N, 2)
    labels: tuple[str, ...]  # (F,) what is told of each frame
    title: str = ""
    note: str = ""  # small, beside the title
    groups: np.ndarray | None = None  # (N,) small whole numbers, each with its colour
    names: tuple[str, ...] = ()  # of the groups
    places: np.ndarray | None = None  # (G, 2) where arrows start
    arrows: np.ndarray | None = None  # (F, G, 2), drawn at a readable length, on one scale a frame
    behind: np.ndarray | None = None  # (M, 2) faint points that do not move: the data

    def __post_init__(self) -> None:
        frames, count = self.points.shape[:2] if self.points.ndim == 3 else (0, 0)
        self._check("points", self.points, (frames, count, 2))
        if not frames or not count or len(self.labels) != frames:
            raise ValueError(f"{self.title}: points {self.points.shape} under {len(self.labels)} labels")
        if self.groups is not None:
            whole = np.issubdtype(self.groups.dtype, np.integer)
            if self.groups.shape != (count,) or not whole or self.groups.min() < 0:
                raise ValueError(f"{self.title}: groups are ({count},) whole numbers from 0, not {self.groups.shape}")
            if self.names and self.groups.max() >= len(self.names):
                raise ValueError(f"{self.title}: {len(self.names)} names of {self.groups.max() + 1} groups")
        if (self.places is None) != (self.arrows is None):
            raise ValueError(f"{self.title}: arrows need places, and places arrows")
        if self.places is not None:
            self._check("places", self.places, (len(self.places), 2))
            self._check("arrows", self.arrows, (frames, len(self.places), 2))
        if self.behind is not None:
            self._check("behind", self.behind, (len(self.behind), 2))

    def _check(self, name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
        if values.shape != shape:
            raise ValueError(f"{self.title}: {name} {values.shape}, not {shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{self.title}: not all {name} are finite")


def plane(clouds: Sequence[Cloud], key: str, at: int | None = None, extent: float = 3.0, side: int = 360) -> int:
    """Draw clouds under one bar, each `side` pixels wide and high; gives the frame where the person rests.

    extent: the plane is drawn from -extent to extent; what is outside stands pale at its edge. Frames are those of the
    longest cloud, from 0; shorter ones run at the same share of their way. See `scrub` for `at` and for what reruns.
    """
    data = {"side": side} | encode(clouds, extent)
    return scrub("plane", key, [len(cloud.labels) for cloud in clouds], at, data)


def encode(clouds: Sequence[Cloud], extent: float) -> dict[str, Any]:
    """Clouds as the browser takes them. Raises ValueError where the extent is not positive."""
    if not extent > 0:
        raise ValueError(f"no such extent: {extent}")
    return {"extent": extent, "clouds": [_cloud(cloud, extent) for cloud in clouds]}


def _cloud(cloud: Cloud, extent: float) -> dict[str, Any]:
    count = cloud.points.shape[1]
    fewer = f"{POINTS:,} of {count:,} points drawn" if count > POINTS else ""
    return {
        "title": cloud.title,
        "note": " · ".join(filter(None, (cloud.note, fewer))),
        "labels": cloud.labels,
        "count": min(count, POINTS),
        "points": _codes(cloud.points[:, :POINTS], extent),
        "groups": None if cloud.groups is None else cloud.groups[:POINTS].tolist(),
        "names": cloud.names,
        "behind": None if cloud.behind is None else _codes(cloud.behind[:POINTS], extent),
        **({} if cloud.arrows is None else _arrows(cloud.places, cloud.arrows, extent)),
    }


def _codes(points: np.ndarray, extent: float) -> str:
    """(…, 2): x and y of 12 bits each, three bytes a point; points outside are moved to the edge."""
    shares = np.clip(points.astype(np.float64) / extent, -1, 1) / 2 + 0.5
    x, y = np.moveaxis(np.rint(shares * STEPS).astype("<u4"), -1, 0)
    words = (x | y << 12).reshape(-1)  # (points,)
    return base64.b64encode(words.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()).decode()


def _arrows(places: np.ndarray, arrows: np.ndarray, extent: float) -> dict[str, Any]:
    """Arrows as shares of the length of a full one, which none exceeds."""
    lengths = np.linalg.norm(arrows.astype(np.float64), axis=-1)  # (F, G)
    full = np.percentile(lengths, FULL, axis=-1)  # (F,)
    shares = arrows / np.maximum(np.maximum(lengths, full[:, None]), 1e-12)[..., None]
    codes = np.rint(shares * FINE).astype("<i2")
    return {
        "places": _codes(places, extent),
        "arrows": base64.b64encode(codes.tobytes()).decode(),
        "full": [float(f"{length:.3g}") for length in full],
    }
