"""Films of pictures under one transport bar: played, scrubbed and read pixel by pixel in the browser.

frame = film([Track((Reel("xₜ", pictures, limits),), labels)], key="steps")
"""

import base64
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from explorer.ui.kept import kept
from explorer.ui.scrub import scrub

LOSSLESS = 1_500_000  # values of a sheet, beyond which it is compressed with loss
LARGEST = 256  # pixels on a side of a frame that is compressed with loss
QUALITY = 80


@dataclass(frozen=True, eq=False)
class Reel:
    """One picture a frame."""

    title: str  # plain text: "xₜ", "predicted x₀", "predicted noise"
    frames: np.ndarray  # (F, H, W, C) uint8, C is 1 or 3
    limits: np.ndarray | None = None  # (F,) the value that 255 stands for, 0 for its negative; None: not to be read
    signed: bool = False  # C = 1: in the diverging colours, zero that of the page, rather than grey

    def __post_init__(self) -> None:
        frames, limits = self.frames, self.limits
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] not in (1, 3) or not frames.size:
            raise ValueError(f"{self.title}: frames are (F, H, W, 1 or 3) uint8, not {frames.shape} {frames.dtype}")
        if limits is not None and limits.shape != frames.shape[:1]:
            raise ValueError(f"{self.title}: limits {limits.shape} of {len(frames)} frames")
        if limits is not None and not (np.isfinite(limits) & (limits >= 0)).all():
            raise ValueError(f"{self.title}: not all limits are finite and positive")
        if self.signed and frames.shape[3] != 1:
            raise ValueError(f"{self.title}: only one channel can be painted signed")


@dataclass(frozen=True)
class Equation:
    """A step in numbers: result = Σ factor · what a reel shows."""

    result: str  # "x₈₀₁"
    terms: tuple[tuple[float, str, int | None], ...]  # factor, symbol, the reel whose value it is; None: not shown
    note: str = ""  # one plain sentence under it


@dataclass(frozen=True, eq=False)
class Track:
    """Reels side by side that go through the same frames."""

    reels: tuple[Reel, ...]
    labels: tuple[str, ...]  # (F,) what is told of each frame: "step 3 of 20 · t = 851"
    title: str = ""  # "" where there is one track alone
    note: str = ""  # small, beside the title: "20 evaluations · 410 ms"
    equations: tuple[Equation | None, ...] = ()  # (F,) the step from each frame to the next; None for the last

    def __post_init__(self) -> None:
        if not self.labels or not self.reels:
            raise ValueError(f"{self.title}: a track needs reels and a label for every frame")
        for reel in self.reels:
            if len(reel.frames) != len(self.labels):
                raise ValueError(f"{reel.title}: {len(reel.frames)} frames under {len(self.labels)} labels")
        if self.equations and len(self.equations) != len(self.labels):
            raise ValueError(f"{self.title}: {len(self.equations)} equations of {len(self.labels)} frames")
        for equation in filter(None, self.equations):
            for _, symbol, reel in equation.terms:
                if reel is not None and not (0 <= reel < len(self.reels) and self.reels[reel].limits is not None):
                    raise ValueError(f"{equation.result}: no reel {reel} to read {symbol} from")


def film(tracks: Sequence[Track], key: str, at: int | None = None, side: int = 200) -> int:
    """Draw tracks under one bar, a square picture `side` pixels wide; gives the frame where the person rests.

    Frames are those of the longest track, from 0; shorter ones run at the same share of their way. A wide picture is as
    large as a square one. See `scrub` for `at` and for what reruns.
    """
    data = {"side": side} | encode(tracks)
    return scrub("film", key, [len(track.labels) for track in tracks], at, data)


def encode(tracks: Sequence[Track]) -> dict[str, Any]:
    """Tracks as the browser takes them: each reel one image of all its frames, the same image sent once."""
    sheets: dict[str, int] = {}  # address → which it is
    sent = [
        {
            "title": track.title,
            "note": track.note,
            "labels": track.labels,
            "equations": [equation and _equation(equation) for equation in track.equations],
            "reels": [_reel(reel, sheets) for reel in track.reels],
        }
        for track in tracks
    ]
    return {"tracks": sent, "sheets": list(sheets)}


def _reel(reel: Reel, sheets: dict[str, int]) -> dict[str, Any]:
    exact = reel.frames.size <= LOSSLESS
    frames = reel.frames if exact else _shrunk(reel.frames)
    digest = hashlib.sha256(frames).hexdigest()
    address = _address(f"{digest} {frames.shape}", exact, frames)
    return {
        "title": reel.title,
        "sheet": sheets.setdefault(address, len(sheets)),
        "columns": _columns(len(frames)),
        "height": frames.shape[1],
        "width": frames.shape[2],
        "channels": frames.shape[3],
        "limits": None if reel.limits is None else [float(f"{limit:.6g}") for limit in reel.limits],
        "signed": reel.signed,
        "exact": exact,
    }


def _equation(equation: Equation) -> dict[str, Any]:
    terms = [(float(factor), symbol, reel) for factor, symbol, reel in equation.terms]
    return {"result": equation.result, "terms": terms, "note": equation.note}


def _columns(count: int) -> int:
    return math.isqrt(count - 1) + 1  # a square sheet: no format takes a side of more than 16,383 pixels


def _shrunk(frames: np.ndarray) -> np.ndarray:
    """(F, H, W, C) → (F, ≤ LARGEST, ≤ LARGEST, C)"""
    height, width = frames.shape[1:3]
    share = LARGEST / max(height, width)
    if share >= 1:
        return frames
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = [np.asarray(_image(frame).resize(size, Image.Resampling.BOX)) for frame in frames]
    return np.stack(small).reshape(len(frames), size[1], size[0], frames.shape[3])


@kept(small=True)
def _address(digest: str, exact: bool, _frames: np.ndarray) -> str:
    """One image of all frames, row by row, as a data URL. digest: names the frames, which are not hashed again."""
    count, height, width, channels = _frames.shape
    columns = _columns(count)
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = _frames
    sheet = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    image = _image(sheet.reshape(rows * height, columns * width, channels))
    file = io.BytesIO()
    if exact:  # 0 takes a thirtieth of the time of the usual 4, and a seventh more bytes
        image.save(file, "WEBP", lossless=True, exact=True, method=0)
    else:
        image.save(file, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
