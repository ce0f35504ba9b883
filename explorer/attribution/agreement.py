"""Where methods agree, and where they don't."""

from collections.abc import Sequence

import numpy as np

from explorer.attribution.base import Attribution


def ranks(scores: np.ndarray) -> np.ndarray:
    """The size of a map as ranks from 0 (nothing) to 1 (most), (H, W); equal sizes share their mean rank."""
    from scipy.stats import rankdata

    size = np.abs(scores)
    return ((rankdata(size, axis=None) - 1) / max(1, size.size - 1)).reshape(size.shape)


def agreement(maps: Sequence[Attribution]) -> np.ndarray:
    """Spearman's rank correlation of the sizes of every two maps, (maps, maps); NaN for a map that is flat."""
    return correlation([ranks(found.scores).ravel() for found in maps])


def correlation(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's correlation of every two rows; NaN where one is constant."""
    table = np.stack(rows)
    centred = table - table.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return centred @ centred.T / np.outer(length, length)


def disagreement(maps: Sequence[Attribution]) -> np.ndarray:
    """How far the methods' ranks of each pixel lie apart: their standard deviation, (H, W), from 0 to 0.5."""
    return np.stack([ranks(found.scores) for found in maps]).std(0)
