"""Figures for a paper: a few primitives on white ground, drawn as SVG and, by PIL, as PNG. No browser is needed."""

import base64
import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont, PngImagePlugin

INK, GREY, FRAME = "#000000", "#5A6470", "#B9C1CA"
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
FINE = 4  # pixels: cells at least so large are drawn one by one, smaller ones as a picture
LEVELS = 64  # colours of a scale
STEPS = 20  # straight pieces that a curve is drawn as in a PNG


@dataclass(frozen=True)
class Text:
    """A line of letters; (x, y) is where its baseline begins, has its middle, or ends."""

    words: str
    x: float
    y: float
    size: float = 12
    colour: str = INK
    anchor: str = "start"  # start | middle | end
    upright: bool = False  # read from below
    bold: bool = False


@dataclass(frozen=True)
class Box:
    """A rectangle, filled, or drawn with a line inside its edges."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    line: str | None = None
    thick: float = 1


@dataclass(frozen=True, eq=False)
class Strokes:
    """Lines of one colour; where they cross, they are no darker than one."""

    ends: np.ndarray  # (N, 4) x and y of where each begins and ends
    colour: str
    width: float = 1.0
    opacity: float = 1.0
    bend: float = 0.0  # 0 is straight; else how far a curve runs level at either end, as a share of its width


@dataclass(frozen=True, eq=False)
class Cells:
    """A matrix as coloured cells, sharp at any size; those at zero have the colour of the page."""

    x: float
    y: float
    width: float
    height: float
    shares: np.ndarray  # (R, C), 0 to 1, of the way through the colours
    colours: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture whose pixels are sharp squares."""

    x: float
    y: float
    width: float
    height: float
    pixels: np.ndarray  # (H, W, 3) or (H, W, 1) uint8


Primitive = Text | Box | Strokes | Cells | Picture


@dataclass(frozen=True, eq=False)
class Figure:
    """Primitives on a white ground, the first at the bottom; sizes in pixels."""

    title: str
    width: float
    height: float
    parts: tuple[Primitive, ...]


def svg(figure: Figure) -> str:
    """The figure as SVG: vectors, and pictures only where cells are smaller than four pixels."""
    width, height = (f"{side:.0f}" for side in (figure.width, figure.height))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="{FONT}">',
            f"<title>{safe(figure.title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *(line for part in figure.parts for line in _WRITE[type(part)](part)),
            "</svg>\n",
        ]
    )


def png(figure: Figure, scale: float = 2) -> bytes:
    """The figure as PNG, `scale` pixels for each of its own."""
    canvas = Image.new("RGB", (round(figure.width * scale), round(figure.height * scale)), "white")
    for part in figure.parts:
        _DRAW[type(part)](canvas, part, scale)
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Title", figure.title.encode(errors="replace").decode())
    file = io.BytesIO()
    canvas.save(file, "PNG", pnginfo=about, dpi=(96 * scale, 96 * scale), optimize=True)
    return file.getvalue()


def paint(shares: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Amounts from 0 to 1, (H, W), as colours between the given ones, (H, W, 3), 0 to 255."""
    stops = np.array([ImageColor.getrgb(colour) for colour in colours], float)
    at = shares * (len(stops) - 1)
    return np.stack([np.interp(at, np.arange(len(stops)), channel) for channel in stops.T], -1)


def embedded(pixels: np.ndarray) -> str:
    """Pixels (H, W, 3 or 1) uint8 as an address that holds them."""
    file = io.BytesIO()
    _image(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def wide(words: str, size: float = 12) -> float:
    """Pixels that a line of letters takes, in a font that is wider than most."""
    return _font(24).getlength(_drawable(words)) * size / 24


def shortened(words: str, size: float, room: float) -> str:
    """The words as far as they fit into so many pixels, with … where some were left out."""
    if wide(words, size) <= room:
        return words
    return next((cut for end in range(len(words), 0, -1) if wide(cut := words[:end].rstrip() + "…", size) <= room), "…")


def wrapped(words: str, size: float, room: float) -> list[str]:
    """The words in lines, none of them wider than so many pixels unless a word alone is."""
    lines: list[str] = []
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and wide(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


# ---- SVG ----


def _write_text(text: Text) -> Iterator[str]:
    where = f'x="{_n(text.x)}" y="{_n(text.y)}"'
    if text.upright:
        where = f'transform="translate({_n(text.x)} {_n(text.y)}) rotate(-90)"'
    weight = ' font-weight="600"' if text.bold else ""
    anchor = f' text-anchor="{text.anchor}"' if text.anchor != "start" else ""
    yield f'<text {where} font-size="{_n(text.size)}" fill="{text.colour}"{anchor}{weight}>{safe(text.words)}</text>'


def _write_box(box: Box) -> Iterator[str]:
    inside = box.thick / 2 if box.line else 0
    line = f' stroke="{box.line}" stroke-width="{_n(box.thick)}"' if box.line else ""
    yield (
        f'<rect x="{_n(box.x + inside)}" y="{_n(box.y + inside)}" width="{_n(box.width - 2 * inside)}" '
        f'height="{_n(box.height - 2 * inside)}" fill="{box.fill or "none"}"{line}/>'
    )


def _write_strokes(strokes: Strokes) -> Iterator[str]:
    path = []
    for x0, y0, x1, y1 in strokes.ends.tolist():
        level = strokes.bend * (x1 - x0)
        via = (
            f"C{_n(x0 + level)} {_n(y0)} {_n(x1 - level)} {_n(y1)} {_n(x1)} {_n(y1)}"
            if level
            else f"L{_n(x1)} {_n(y1)}"
        )
        path.append(f"M{_n(x0)} {_n(y0)}{via}")
    faint = f' stroke-opacity="{strokes.opacity:.2f}"' if strokes.opacity < 1 else ""
    yield (
        f'<path d="{"".join(path)}" fill="none" stroke="{strokes.colour}" stroke-width="{strokes.width:.2f}"{faint} '
        'stroke-linecap="round"/>'
    )


def _write_cells(cells: Cells) -> Iterator[str]:
    """Cells as a path for each colour, in units of a cell; a run of equal neighbours is one rectangle."""
    rows, columns = cells.shares.shape
    across, down = cells.width / columns, cells.height / rows
    if min(across, down) < FINE:
        yield from _write_picture(Picture(cells.x, cells.y, cells.width, cells.height, _coloured(cells, 2)))
        return
    levels = _levels(cells.shares)
    paths: dict[int, list[str]] = {}
    for row, values in enumerate(levels):
        starts = np.flatnonzero(np.diff(values, prepend=-1))
        for start, end in zip(starts, [*starts[1:], columns], strict=True):
            if values[start]:
                paths.setdefault(int(values[start]), []).append(f"M{start} {row}h{end - start}v1h{start - end}z")
    place = f"translate({_n(cells.x)} {_n(cells.y)}) scale({across:.4f} {down:.4f})"
    yield f'<g transform="{place}" shape-rendering="crispEdges">'
    for level, runs in sorted(paths.items()):
        yield f'<path fill="{_scale(cells.colours)[level]}" d="{"".join(runs)}"/>'
    yield "</g>"


def _write_picture(picture: Picture) -> Iterator[str]:
    yield (
        f'<image x="{_n(picture.x)}" y="{_n(picture.y)}" width="{_n(picture.width)}" height="{_n(picture.height)}" '
        f'preserveAspectRatio="none" style="image-rendering:pixelated" href="{embedded(picture.pixels)}"/>'
    )


def _n(value: float) -> str:
    """A number with as few digits as a pixel's tenth needs."""
    return f"{value:.1f}".removesuffix(".0")


def safe(words: str) -> str:
    """Letters as XML takes them: control characters and halves of characters can't stand there."""
    return html.escape(re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", words))


# ---- PNG ----


def _draw_text(canvas: Image.Image, text: Text, scale: float) -> None:
    font, words = _font(text.size * scale, text.bold), _drawable(text.words)
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[text.anchor]
    if not text.upright:
        ImageDraw.Draw(canvas).text((text.x * scale, text.y * scale), words, text.colour, font, anchor)
        return
    left, top, right, bottom = font.getbbox(words, anchor=anchor)  # from where the baseline begins
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), words, 255, font, anchor)
    turned = mask.transpose(Image.Transpose.ROTATE_90)
    canvas.paste(text.colour, (round(text.x * scale + top), round(text.y * scale - right)), turned)


def _draw_box(canvas: Image.Image, box: Box, scale: float) -> None:
    left, top, right, bottom = _corners(box, scale)
    ImageDraw.Draw(canvas).rectangle(
        (left, top, max(left, right - 1), max(top, bottom - 1)), box.fill, box.line, max(1, round(box.thick * scale))
    )


def _draw_strokes(canvas: Image.Image, strokes: Strokes, scale: float) -> None:
    """Lines as a mask at twice the size, so that its edges are smooth, through which the colour is put on once."""
    if not len(strokes.ends):
        return
    margin = strokes.width * scale + 2
    xs, ys = strokes.ends[:, 0::2] * scale, strokes.ends[:, 1::2] * scale
    left, top = int(xs.min() - margin), int(ys.min() - margin)
    size = int(xs.max() + margin) - left + 1, int(ys.max() + margin) - top + 1
    mask = Image.new("L", (2 * size[0], 2 * size[1]))
    pen, width = ImageDraw.Draw(mask), max(1, round(2 * scale * strokes.width))
    shift = np.array([left, top])
    for curve in _curves(strokes):  # (points, 2)
        pen.line([tuple(point) for point in 2 * (curve * scale - shift)], round(255 * strokes.opacity), width)
    canvas.paste(strokes.colour, (left, top), mask.reduce(2))


def _curves(strokes: Strokes) -> np.ndarray:
    """The points of each line, (N, points, 2); of a bent one those of a cubic Bézier curve."""
    start, end = strokes.ends[:, None, :2], strokes.ends[:, None, 2:]
    if not strokes.bend:
        return np.concatenate([start, end], 1)
    level = (end - start) * [strokes.bend, 0]
    t = np.linspace(0, 1, STEPS + 1)[:, None]
    near, far = 3 * (1 - t) ** 2 * t * (start + level), 3 * (1 - t) * t**2 * (end - level)
    return (1 - t) ** 3 * start + near + far + t**3 * end


def _draw_cells(canvas: Image.Image, cells: Cells, scale: float) -> None:
    _draw_picture(canvas, Picture(cells.x, cells.y, cells.width, cells.height, _coloured(cells, scale)), scale)


def _draw_picture(canvas: Image.Image, picture: Picture, scale: float) -> None:
    left, top, right, bottom = _corners(picture, scale)
    size = max(1, right - left), max(1, bottom - top)
    canvas.paste(_image(picture.pixels).resize(size, Image.Resampling.BOX), (left, top))


def _corners(part: Box | Picture, scale: float) -> tuple[int, int, int, int]:
    corners = part.x, part.y, part.x + part.width, part.y + part.height
    return tuple(round(corner * scale) for corner in corners)


@lru_cache(64)
def _font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which knows most scripts: from matplotlib (not imported) or this machine; else PIL's own."""
    name = f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    found = find_spec("matplotlib")
    folders = found.submodule_search_locations if found else None
    paths = [str(Path(folder) / "mpl-data/fonts/ttf" / name) for folder in folders or ()]
    for path in (*paths, name):
        try:
            return ImageFont.truetype(path, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _drawable(words: str) -> str:
    """The words with the numbers of those letters that the font does not have."""
    if words.isascii():
        return words
    return "".join(letter if _has(letter) else f"<U+{ord(letter):04X}>" for letter in words)


@lru_cache(4096)
def _has(letter: str) -> bool:
    font = _font(24)
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


# ---- both ----


def _levels(shares: np.ndarray) -> np.ndarray:
    return (shares.clip(0, 1) * (LEVELS - 1)).round().astype(int)


@lru_cache(16)
def _scale(colours: tuple[str, ...]) -> tuple[str, ...]:
    """The colours of all levels."""
    rgb = paint(np.linspace(0, 1, LEVELS)[None], colours)[0].round().astype(int)
    return tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in rgb)


def _coloured(cells: Cells, scale: float) -> np.ndarray:
    """Cells as pixels (H, W, 3), no more than there is room for: then each is the mean of several."""
    scale_of = np.array([ImageColor.getrgb(colour) for colour in _scale(cells.colours)], np.uint8)
    pixels = scale_of[_levels(cells.shares)]
    room = max(1, round(cells.width * scale)), max(1, round(cells.height * scale))
    size = min(pixels.shape[1], room[0]), min(pixels.shape[0], room[1])
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


_WRITE = {
    Text: _write_text, Box: _write_box, Strokes: _write_strokes, Cells: _write_cells, Picture: _write_picture,
}  # fmt: skip
_DRAW = {Text: _draw_text, Box: _draw_box, Strokes: _draw_strokes, Cells: _draw_cells, Picture: _draw_picture}
