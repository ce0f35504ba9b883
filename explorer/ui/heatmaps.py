"""Heat maps over pictures, side by side: drawn, compared and restyled in the browser, with no round trip.

view = heatmaps([Tile("Grad-CAM", "12 ms · 1 pass", scores, picture)], key="maps")
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np
import streamlit as st
from PIL import Image

from explorer.charts.theme import DARK, LIGHT
from explorer.ui.component import component
from explorer.ui.links import refused
from explorer.ui.pickers import follow, to_link

SHOWS = ("signed", "size", "for", "against")
SCALES = ("each", "shared")
STEPS = 32767  # of the scale on either side of zero, as many as 16 bits hold
ROBUST = 99.5  # percentile of the sizes at which the colours end: a single pixel must not bleach all others


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture and the map that is laid over it."""

    title: str  # plain text
    note: str  # small, below the map: "12 ms · 1 pass"
    values: np.ndarray | None  # (H, W) signed; None: the picture alone
    picture: np.ndarray  # (H, W, C) uint8, C is 1 or 3
    mask: np.ndarray | None = None  # (H, W) bool, where the true object is
    warning: str = ""  # stands in place of a map that could not be made, or below one that has a fault

    def __post_init__(self) -> None:
        picture = self.picture
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or not picture.size:
            raise ValueError(f"{self.title}: a picture is (H, W, 1 or 3) uint8, not {picture.shape} {picture.dtype}")
        if self.values is not None:
            if self.values.shape != picture.shape[:2]:
                raise ValueError(f"{self.title}: values {self.values.shape} over a picture {picture.shape}")
            if not np.isfinite(self.values).all():
                raise ValueError(f"{self.title}: not all values are finite")
        if self.mask is not None and self.mask.shape != picture.shape[:2]:
            raise ValueError(f"{self.title}: a mask {self.mask.shape} over a picture {picture.shape}")


@dataclass(frozen=True)
class View:
    """What the person chose to see of the maps."""

    show: str = "signed"  # one of SHOWS: signed values, their sizes, the positive alone, the negative alone
    opacity: float = 0.75  # of the map over the picture; 1: the map alone, 0: the picture alone
    scale: str = "each"  # one of SCALES: colours end at each map's own limit, or all at the largest
    outline: bool = True  # of the true object

    def __post_init__(self) -> None:
        if self.show not in SHOWS or self.scale not in SCALES or not 0 <= self.opacity <= 1:
            raise ValueError(f"no such view: {self}")


USUAL = View()


def heatmaps(tiles: Sequence[Tile], key: str, view: View = USUAL, side: int = 200, prefix: str | None = None) -> View:
    """Draw a grid of tiles, each at least `side` pixels wide, two in a row on a phone; gives what the person chose.

    view: how it starts, unless the link says another. A change in the browser reruns the page, or the fragment that
    the grid is in. prefix: of the names `show`, `opacity`, `scale` and `outline` in the link; None: the key and a dash.
    """
    prefix, usual, seed = f"{key}-" if prefix is None else prefix, view, f"{key}-seed"
    view = _linked(prefix, usual)
    if key not in st.session_state or seed not in st.session_state:  # first drawn, or drawn again
        st.session_state[seed] = {"view": asdict(view), "id": uuid4().hex}
    state = component("heatmaps")(
        key=key,
        data={"key": key, "seed": st.session_state[seed], "side": side, **encode(tiles)},
        default={"view": asdict(view)},
        on_view_change=lambda: None,
    )
    now = _read(state.get("view"), view)
    for name, text in _words(now).items():
        st.session_state[prefix + name] = text
        to_link(prefix + name, text, _words(usual)[name])
    return now


def _words(view: View) -> dict[str, str]:
    """A view as it stands in the link."""
    opacity, outline = f"{view.opacity:g}", str(view.outline).lower()
    return {"show": view.show, "opacity": opacity, "scale": view.scale, "outline": outline}


def _linked(prefix: str, usual: View) -> View:
    """The view that the link asks for; what it can't have is told, and as usual."""
    found = usual
    for name, text in _words(usual).items():
        asked = follow(prefix + name, text)
        try:
            found = replace(found, **{name: _READ[name](asked)})
        except (KeyError, ValueError):
            refused(f"`{prefix}{name}`", prefix + name, asked, text)
    return found


_READ: dict[str, Callable[[str], Any]] = {
    "show": str, "opacity": float, "scale": str, "outline": {"true": True, "false": False}.__getitem__,
}  # fmt: skip


def encode(tiles: Sequence[Tile]) -> dict[str, Any]:
    """Tiles as the browser takes them. Pictures and masks that several share are sent once."""
    pictures, masks = _Shared(), _Shared()
    drawn = [
        {
            "title": tile.title,
            "note": tile.note,
            "warning": tile.warning,
            "height": tile.picture.shape[0],
            "width": tile.picture.shape[1],
            "picture": pictures.index(_png(tile.picture)),
            "mask": None if tile.mask is None else masks.index(np.packbits(tile.mask.astype(bool)).tobytes()),
            **({} if tile.values is None else _quantised(tile.values)),
        }
        for tile in tiles
    ]
    palettes = {
        name: {"signed": palette.diverging, "size": palette.sequential}
        for name, palette in (("light", LIGHT), ("dark", DARK))
    }
    return {"tiles": drawn, "pictures": pictures.sent, "masks": masks.sent, "palettes": palettes}


class _Shared:
    """Blobs in base64, each once."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._at: dict[bytes, int] = {}

    def index(self, blob: bytes) -> int:
        if blob not in self._at:
            self._at[blob] = len(self.sent)
            self.sent.append(base64.b64encode(blob).decode())
        return self._at[blob]


def _quantised(values: np.ndarray) -> dict[str, Any]:
    """values = codes / STEPS * limit, to half a step; the colours end at `robust`."""
    sizes = np.abs(values.astype(np.float64))
    limit = float(sizes.max())
    robust = float(np.percentile(sizes, ROBUST)) or limit  # a map of a few pixels has its colours too
    codes = np.rint(values.astype(np.float64) / (limit or 1.0) * STEPS).astype("<i2")
    return {"codes": base64.b64encode(codes.tobytes()).decode(), "limit": limit, "robust": robust}


def _png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(file, "PNG")
    return file.getvalue()


def _read(reported: Any, otherwise: View) -> View:
    """What the browser reported, which may be anything."""
    try:
        return View(reported["show"], float(reported["opacity"]), reported["scale"], bool(reported["outline"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        return otherwise
