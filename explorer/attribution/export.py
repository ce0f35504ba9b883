"""Maps to take away: arrays, pictures, and figures fit to be published."""

import base64
import io
import json
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, PngImagePlugin

from explorer.attribution.base import METHODS, Attribution
from explorer.charts.figure import safe
from explorer.charts.theme import LIGHT

SHOWS = ("signed", "size", "for", "against")  # what of a map is drawn, as the page calls it
QUANTILE = 0.995  # of the sizes: what is beyond it is drawn like it
STEEP = 0.7  # below 1, weak evidence is more visible than its share
PALE = 0.6  # how far the picture under a map fades to white, at most
SIDE, GAP, LETTERS, BAR = 220, 24, 15, 8  # of a figure: pixels of a map, between two, of letters, of a colour bar
FONT = "Helvetica, Arial, sans-serif"


def npy(found: Attribution) -> bytes:
    """The map as a NumPy file, (H, W) float32."""
    file = io.BytesIO()
    np.save(file, found.scores, allow_pickle=False)
    return file.getvalue()


def limit(maps: Sequence[Attribution]) -> float:
    """What the strongest colour stands for: nearly the largest size in the maps."""
    return float(max((np.quantile(np.abs(found.scores), QUANTILE) for found in maps), default=0)) or 1.0


def overlay(found: Attribution, show: str = "signed", opacity: float = 0.75, top: float | None = None) -> np.ndarray:
    """The map over its picture, (H, W, 3) uint8: blue speaks against the class, orange for it, nothing is clear.

    show: one of SHOWS. opacity: 0 is the picture alone, 1 the map alone. top: of the colour scale; None: the map's own.
    """
    if show not in SHOWS:
        raise ValueError(f"{show!r} is not one of {', '.join(SHOWS)}")
    values = found.scores / (top or limit([found]))
    values = {"signed": values, "size": np.abs(values), "for": values.clip(0), "against": values.clip(max=0)}[show]
    values = values.clip(-1, 1)
    stops = LIGHT.sequential if show == "size" else LIGHT.diverging
    colours = paint(values if show == "size" else (values + 1) / 2, stops)  # (H, W, 3)
    grey = np.repeat(found.picture.mean(2, keepdims=True), 3, 2)
    share = min(1.0, 2 * opacity)
    under = found.picture * (1 - share) + grey * share  # (H, W, C) broadcast to 3
    under = under + (255 - under) * PALE * opacity
    strength = (np.abs(values)[..., None] ** STEEP) * opacity if opacity < 1 else 1.0
    return (under * (1 - strength) + colours * strength).round().astype(np.uint8)


def png(found: Attribution, show: str = "signed", opacity: float = 0.75, side: int = 512) -> bytes:
    """The overlay as a PNG of at least `side` pixels, every pixel a sharp square; what made it is in its text."""
    picture = _sharp(overlay(found, show, opacity), side)
    about = PngImagePlugin.PngInfo()
    about.add_itxt("attribution", json.dumps(_facts(found, show, opacity)))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=about, optimize=True)
    return file.getvalue()


def svg(found: Attribution, show: str = "signed", opacity: float = 0.75) -> str:
    """One map as a figure: its title, its overlay, and the colour scale with its numbers."""
    return grid_svg([found], show, opacity)


def grid_svg(maps: Sequence[Attribution], show: str = "signed", opacity: float = 0.75, shared: bool = False) -> str:
    """Maps side by side, each with its title and its scale, or all on one; the figure says which."""
    columns = min(4, max(1, len(maps)))
    rows = -(-len(maps) // columns)
    cell = SIDE + GAP, SIDE + GAP + 3 * LETTERS + BAR + 12
    width, height = columns * cell[0] + GAP, rows * cell[1] + 2 * LETTERS + GAP
    top = limit(maps) if shared else None
    parts = [_cell(found, show, opacity, top, GAP + cell[0] * (place % columns), GAP + cell[1] * (place // columns))
             for place, found in enumerate(maps)]  # fmt: skip
    scale = "one scale for all maps" if shared else "each map on its own scale"
    parts.append(_text(f"{_words(maps[0])} · {scale}", GAP, height - LETTERS, 12, "#55606d") if maps else "")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def grid_png(maps: Sequence[Attribution], show: str = "signed", opacity: float = 0.75, shared: bool = False) -> bytes:
    """The overlays side by side in one PNG, with their names."""
    from PIL import ImageDraw, ImageFont

    columns = min(4, max(1, len(maps)))
    top = limit(maps) if shared else None
    drawn = [_sharp(overlay(found, show, opacity, top), SIDE) for found in maps]
    side = max(max(picture.size) for picture in drawn)
    cell = side + GAP, side + GAP + 2 * LETTERS
    whole = Image.new("RGB", (columns * cell[0] + GAP, -(-len(maps) // columns) * cell[1] + GAP + 2 * LETTERS), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(LETTERS)
    for place, (found, picture) in enumerate(zip(maps, drawn, strict=True)):
        x, y = GAP + cell[0] * (place % columns), GAP + cell[1] * (place // columns)
        pen.text((x, y), METHODS[found.method].facts["title"], "#17212E", font)
        whole.paste(picture, (x, y + LETTERS + 6))
    scale = "one scale for all maps" if shared else "each map on its own scale"
    pen.text((GAP, whole.height - 2 * LETTERS), f"{_words(maps[0])} · {scale}", "#55606d", ImageFont.load_default(12))
    about = PngImagePlugin.PngInfo()
    about.add_itxt("attributions", json.dumps([_facts(found, show, opacity) for found in maps]))
    file = io.BytesIO()
    whole.save(file, "PNG", pnginfo=about, optimize=True)
    return file.getvalue()


def embedded(pixels: np.ndarray) -> str:
    """Pixels (H, W, 3 or 1) uint8 as an address that holds them."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _cell(found: Attribution, show: str, opacity: float, top: float | None, x: int, y: int) -> str:
    """One map of a figure, its upper left corner at (x, y)."""
    high = top or limit([found])
    height, width = found.scores.shape
    tall = SIDE * height / max(height, width)
    wide = SIDE * width / max(height, width)
    low = {"signed": -high, "against": -high}.get(show, 0.0)
    upper = 0.0 if show == "against" else high
    stops = {"signed": LIGHT.diverging, "size": LIGHT.sequential, "for": LIGHT.diverging[5:],
             "against": LIGHT.diverging[:5]}[show]  # fmt: skip
    below = y + LETTERS + 8 + SIDE + 6
    steps = len(stops)
    bar = [f'<rect x="{x + wide * i / steps:.1f}" y="{below}" width="{wide / steps + 0.5:.1f}" height="{BAR}" '
           f'fill="{colour}"/>' for i, colour in enumerate(stops)]  # fmt: skip
    return "\n".join(
        [
            _text(METHODS[found.method].facts["title"], x, y + LETTERS - 2, LETTERS, "#17212E", weight=600),
            f'<image x="{x}" y="{y + LETTERS + 8}" width="{wide:.1f}" height="{tall:.1f}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="{embedded(overlay(found, show, opacity, top))}"/>',
            *bar,
            _text(f"{low:.3g}", x, below + BAR + 13, 11, "#55606d"),
            _text(f"{upper:.3g}", x + wide, below + BAR + 13, 11, "#55606d", anchor="end"),
        ]
    )


def _text(words: str, x: float, y: float, size: int, colour: str, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-family="{FONT}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}" text-anchor="{anchor}">{safe(words)}</text>'
    )


def _words(found: Attribution) -> str:
    """What was explained, in a line."""
    against = "" if found.versus is None else f" rather than {found.versus}"
    return f"{found.ref}, class {found.target}{against}, score {found.score:.3g}"


def _facts(found: Attribution, show: str, opacity: float) -> dict[str, object]:
    """All that is needed to make the map again."""
    return {
        "ref": found.ref, "method": found.method, "settings": dict(found.settings), "target": found.target,
        "versus": found.versus, "layer": found.layer, "seed": found.seed, "score": found.score, "show": show,
        "opacity": opacity,
    }  # fmt: skip


def _sharp(pixels: np.ndarray, side: int) -> Image.Image:
    """Enlarged without blur to at least `side` pixels on the longer side."""
    factor = max(1, -(-side // max(pixels.shape[:2])))
    whole = Image.fromarray(pixels)
    return whole.resize((whole.width * factor, whole.height * factor), Image.Resampling.NEAREST)


def paint(values: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Amounts from 0 to 1, (H, W), as colours between the given ones, (H, W, 3)."""
    stops = np.array([ImageColor.getrgb(colour) for colour in colours], float)
    at = values * (len(stops) - 1)
    return np.stack([np.interp(at, np.arange(len(stops)), channel) for channel in stops.T], -1)
