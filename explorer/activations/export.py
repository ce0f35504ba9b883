"""Activations to take away: the numbers, the statistics, and figures fit to be published."""

import csv
import io

import numpy as np

from explorer.activations.base import Activations, Layer
from explorer.attribution.export import embedded, paint
from explorer.charts.figure import safe
from explorer.charts.theme import LIGHT

COLUMNS = ("layer", "kind", "shape", "mean", "deviation", "least", "greatest", "zeros")
SIDE, GAP, ROW = 72, 8, 10  # of a figure: pixels of a map, between two, maps in a row
MOST = 100  # maps of a figure
FONT = "Helvetica, Arial, sans-serif"


def npz(found: Activations) -> bytes:
    """Every layer's output under its name, and the answer, as a NumPy archive."""
    file = io.BytesIO()
    outputs = {layer.name: layer.output for layer in found if layer.output is not None}
    np.savez_compressed(file, **outputs, **({} if "answer" in outputs else {"answer": found.answer}))
    return file.getvalue()


def table(found: Activations) -> list[dict[str, object]]:
    """One row a layer: its shape for one example, and how its values are spread."""
    rows = []
    for layer in found:
        values = layer.output
        if values is None or not values.size:
            continue
        numbers = (values.mean(dtype=np.float64), values.std(dtype=np.float64), values.min(), values.max(),
                   np.mean(values == 0))  # fmt: skip
        shape = "×".join(map(str, values.shape[1:]))
        rows.append(dict(zip(COLUMNS, (layer.name, layer.kind, shape, *map(float, numbers)), strict=True)))
    return rows


def to_csv(found: Activations) -> str:
    """`table` as a CSV file."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(table(found))
    return file.getvalue()


def figure(layer: Layer, row: int = 0) -> np.ndarray:
    """A layer's maps side by side on one scale, as pixels (H, W, 3): blue is negative, orange positive.

    Of what has no maps the values are one picture, units along the width. The first MOST maps.
    """
    values = layer.output[row]
    maps = values[:MOST] if values.ndim == 3 else np.atleast_2d(values)[None]  # (K, h, w)
    limit = float(np.abs(maps).max()) or 1.0
    cells = [_enlarged(_colours(one / limit)) for one in maps]
    height, width = max(cell.shape[0] for cell in cells), max(cell.shape[1] for cell in cells)
    columns = min(ROW, len(cells))
    rows = -(-len(cells) // columns)
    page = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for place, cell in enumerate(cells):
        top, left = GAP + (place // columns) * (height + GAP), GAP + (place % columns) * (width + GAP)
        page[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return page


def svg(layer: Layer, ref: str, row: int = 0) -> str:
    """The figure of a layer with its name and its scale."""
    pixels = figure(layer, row)
    height, width = pixels.shape[:2]
    limit = float(np.abs(layer.output[row]).max())
    words = safe(f"{ref} · {layer.name} · {layer.kind} · colours from −{limit:.3g} to {limit:.3g}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 28}" '
            f'viewBox="0 0 {width} {height + 28}">',
            f'<rect width="{width}" height="{height + 28}" fill="#ffffff"/>',
            f'<image width="{width}" height="{height}" href="{embedded(pixels)}"/>',
            f'<text x="{GAP}" y="{height + 18}" font-family="{FONT}" font-size="13" fill="#55606d">{words}</text>',
            "</svg>\n",
        ]
    )


def _colours(values: np.ndarray) -> np.ndarray:
    """Values from -1 to 1 in the colours of signed values, (h, w, 3) uint8."""
    return paint((values.clip(-1, 1) + 1) / 2, LIGHT.diverging).round().astype(np.uint8)


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """Every pixel as a square, so that a small map has about SIDE pixels a side."""
    times = max(1, SIDE // max(pixels.shape[:2]))
    return pixels.repeat(times, 0).repeat(times, 1)
