"""What one layer gave out: an array in, a histogram or colours out."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts.theme import TRAINING

BINS = 36
GAP = 1  # cells between two maps


def histogram(output: np.ndarray) -> alt.Chart:
    """How often a layer gave out which numbers; what is not finite is left out."""
    numbers = output[np.isfinite(output)].astype(np.float64)
    counts, edges = np.histogram(numbers, BINS)
    frame = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "numbers": counts})
    frame["zero"] = 0
    bare = alt.Axis(tickCount=5, grid=False)
    return (
        alt.Chart(frame)
        .mark_rect(color=TRAINING)
        .encode(
            x=alt.X("from:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=bare),
            x2="to:Q",
            y=alt.Y("numbers:Q", title=None, axis=alt.Axis(tickCount=3, format="~s")),
            y2="zero:Q",
            tooltip=[
                alt.Tooltip("from:Q", format=".3g"),
                alt.Tooltip("to:Q", format=".3g"),
                alt.Tooltip("numbers:Q", format=","),
            ],
        )
        .properties(height=130)
    )


def coloured(values: np.ndarray, colours: Sequence[str], low: float, high: float) -> np.ndarray:
    """Numbers (…) between two limits as colours (…, 4) uint8 along a palette; what is not finite is clear."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours], float)  # (S, 3)
    finite = np.isfinite(values)
    share = np.where(finite, (np.where(finite, values, low) - low) / (high - low or 1.0), 0).clip(0, 1)
    at = share * (len(stops) - 1)
    below = np.minimum(at.astype(int), len(stops) - 2)
    mixed = stops[below] + (stops[below + 1] - stops[below]) * (at - below)[..., None]
    return np.concatenate([mixed.round(), np.where(finite, 255, 0)[..., None]], -1).astype(np.uint8)


def mosaic(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures (N, H, W, 4) side by side in rows, clear between them."""
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + GAP) - GAP, min(columns, count) * (width + GAP) - GAP, 4), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet
