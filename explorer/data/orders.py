"""Numbers to be put into another order: the smallest problems that attention alone can solve."""

import zlib
from collections.abc import Callable
from typing import Annotated

import numpy as np

from explorer.data.base import DATASETS, Dataset, Roles, stream
from explorer.data.text import IGNORED, everything, numbered, tokenizer, vocabulary
from explorer.params import Slider

SIZES = {"train": 6000, "validation": 300, "test": 600}
LONGEST = 16
NUMBERS = tuple(map(str, range(100)))
WORDS = vocabulary(["=", *NUMBERS])
LENGTH = 2 * LONGEST + 3  # question, "=", answer, [START], [END]

Count = Annotated[int, Slider(2, LONGEST, help="How many numbers each example has")]


@DATASETS.register("sort", task="text", shape=(LENGTH,), classes=len(WORDS))
def sort(split: str, seed: int, numbers: Count = 8) -> Dataset:
    """Different numbers below 100 and then the same in rising order: "31 7 50 = 7 31 50"."""
    return _make("sort", split, seed, numbers, np.argsort)


@DATASETS.register("reverse", task="text", shape=(LENGTH,), classes=len(WORDS))
def reverse(split: str, seed: int, numbers: Count = 8) -> Dataset:
    """Different numbers below 100 and then the same from back to front: "31 7 50 = 50 7 31"."""
    return _make("reverse", split, seed, numbers, lambda row: np.arange(len(row))[::-1])


def _make(name: str, split: str, seed: int, count: int, order: Callable[[np.ndarray], np.ndarray]) -> Dataset:
    """Only what follows "=" is to be predicted."""
    rng = stream(seed, split)
    sentences, roles = [], []
    while len(sentences) < SIZES[split]:
        row = rng.choice(len(NUMBERS), count, replace=False)
        if _split_of(row) != split:
            continue
        taken = order(row)
        sentences.append([*(NUMBERS[i] for i in row), "=", *(NUMBERS[i] for i in row[taken])])
        links = tuple((count + 1 + place, (int(origin),)) for place, origin in enumerate(taken))
        roles.append(Roles(("number",) * count + ("sign",) + ("number",) * count, {"origin": links}))
    x = numbered(sentences, WORDS, LENGTH)
    y = everything(x)
    y[:, : count + 2] = IGNORED  # [START], the question and "="
    return Dataset(
        name, split, "text", x, y, WORDS,
        texts=tuple(map(" ".join, sentences)), roles=tuple(roles), tokenizer=tokenizer(WORDS),
    )  # fmt: skip


def _split_of(row: np.ndarray) -> str:
    """The one split in which a question may stand."""
    return {0: "validation", 1: "test"}.get(zlib.crc32(row.astype("<i8").tobytes()) % 8, "train")
