"""Real handwritten digits, 8×8 pixels, shipped inside scikit-learn."""

import importlib.util
from pathlib import Path
from typing import Annotated

import numpy as np

from explorer.data.base import DATASETS, SPLITS, Dataset, divide
from explorer.params import Slider


@DATASETS.register("digits", task="image", shape=(1, 8, 8), classes=10)
def digits(
    split: str,
    seed: int,
    imbalance: Annotated[
        int,
        Slider(
            1,
            50,
            help="How many times rarer a 9 is than a 0 among the digits to learn from, with a steady slope between; "
            "1 leaves them all. Validation and test stay as they are.",
            paper="https://arxiv.org/abs/1906.07413",
        ),
    ] = 1,
) -> Dataset:
    """1,797 digits that real people wrote, shrunk to 8×8 pixels.

    About 70 % train, 10 % validation and 20 % test, every digit divided alike; the seed decides which goes where.
    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test part).
    """
    levels, y = scanned()
    pictures = np.round(levels * (255 / 16)).astype(np.uint8)[..., None]  # (1797, 8, 8, 1)
    validation, test, train = divide(y, (0.1, 0.2), np.random.default_rng(seed))
    chosen = dict(zip(SPLITS, (train, validation, test), strict=True))
    if split == "train" and imbalance > 1:
        chosen[split] = thinned(y, chosen[split], imbalance)
    labels = tuple(str(digit) for digit in range(10))
    return Dataset("digits", split, "image", pictures[chosen[split]], y[chosen[split]], labels)


def scanned() -> tuple[np.ndarray, np.ndarray]:
    """Levels of ink from 0 to 16, (1797, 8, 8), and the digits, (1797,), from the file inside scikit-learn.

    Its own `load_digits` would bring pandas, SciPy and Arrow along, 137 MB of a worker that wants nothing else of them.
    """
    (folder,) = importlib.util.find_spec("sklearn").submodule_search_locations
    table = np.loadtxt(Path(folder, "datasets", "data", "digits.csv.gz"), delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def thinned(y: np.ndarray, chosen: np.ndarray, imbalance: int) -> np.ndarray:
    """Of the examples `chosen`, in order, the first so many of each class k of K: imbalance^(-k/(K-1)) of them.

    y: (N,) the classes; one of each class stays. Source: Cao et al. 2019, section 4, "long-tailed imbalance".
    """
    classes = y.max() + 1
    kept = []
    for k in range(classes):
        of_k = chosen[y[chosen] == k]
        kept.append(of_k[: max(1, round(len(of_k) * imbalance ** (-k / (classes - 1))))])
    return np.sort(np.concatenate(kept))
