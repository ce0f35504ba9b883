"""Real handwritten digits, 8×8 pixels, shipped inside scikit-learn."""

import numpy as np

from explorer.data.base import DATASETS, SPLITS, Dataset, divide


@DATASETS.register("digits", task="image", shape=(1, 8, 8), classes=10)
def digits(split: str, seed: int) -> Dataset:
    """1,797 digits that real people wrote, shrunk to 8×8 pixels.

    About 70 % train, 10 % validation and 20 % test, every digit divided alike; the seed decides which goes where.
    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test part).
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = np.round(found.images * (255 / 16)).astype(np.uint8)[..., None]  # 16 levels, (1797, 8, 8, 1)
    validation, test, train = divide(found.target, (0.1, 0.2), np.random.default_rng(seed))
    chosen = dict(zip(SPLITS, (train, validation, test), strict=True))[split]
    labels = tuple(str(digit) for digit in range(10))
    return Dataset("digits", split, "image", pictures[chosen], found.target[chosen].astype(np.int64), labels)
