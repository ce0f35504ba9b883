"""What a data set is, and how one is opened by name."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from explorer.errors import ExplorerError
from explorer.params import check
from explorer.registry import Registry
from explorer.settings import settings
from explorer.store import Store

DATASETS = Registry("dataset")  # facts: task, shape of one example, number of classes; photographs, where they are
SPLITS = ("train", "validation", "test")
SEEDS = 2**32  # a seed is a whole number below this

_store = Store(lambda: settings().limits.cache)


@dataclass(frozen=True, eq=False)
class Roles:
    """What is known of the words of one text."""

    parts: tuple[str, ...]  # the part of speech of each word
    links: Mapping[str, tuple[tuple[int, tuple[int, ...]], ...]]  # role → (word, the words that it depends on), …

    # Words are counted from 0, without special tokens. Where one text is turned into another, the word is counted in
    # the answer and those that it depends on in the question.


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set with everything that is known to be true about it.

    The arrays are read-only, because everybody who asks for this split shares them.
    """

    name: str
    split: str  # train | validation | test
    task: str  # image | points | text | text-pairs
    x: np.ndarray  # image: (N, H, W, C) uint8, C is 1 or 3; points: (N, 2) float32, about -1 to 1; text: (N, T) int64
    y: np.ndarray  # (N,) int64, the class; text: (N, T') int64, the tokens to predict, -100 where there is none
    labels: tuple[str, ...]  # y indexes it: the classes, or the vocabulary
    masks: np.ndarray | None = None  # (N, H, W) bool, the pixels of the object that y names
    captions: tuple[str, ...] | None = None  # parallel to x
    tags: np.ndarray | None = None  # (N,) int64, the class that the corner tag announces
    tag_boxes: np.ndarray | None = None  # (N, 4) int64, where the tag is: top, left, bottom, right, end excluded
    texts: tuple[str, ...] | None = None  # parallel to x
    answers: tuple[str, ...] | None = None  # of text-pairs, parallel to x
    roles: tuple[Roles, ...] | None = None  # parallel to x
    tokenizer: str = ""  # of text: the JSON of a `tokenizers` tokenizer that gives x from texts

    def __post_init__(self) -> None:
        for array in self._arrays():
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example as torch sees it: (C, H, W) or (2,)."""
        return (*self.x.shape[3:], *self.x.shape[1:3]) if self.task == "image" else self.x.shape[1:]

    @property
    def tag_masks(self) -> np.ndarray | None:
        """The exact pixels of each corner tag, (N, H, W) bool; None where there are no tags."""
        if self.tag_boxes is None:
            return None
        top, left, bottom, right = self.tag_boxes.T[:, :, None]  # each (N, 1)
        row, column = np.arange(self.x.shape[1]), np.arange(self.x.shape[2])
        inside_rows = (top <= row) & (row < bottom)  # (N, H)
        inside_columns = (left <= column) & (column < right)  # (N, W)
        return inside_rows[:, :, None] & inside_columns[:, None, :]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the split takes, near enough."""
        return sum(array.nbytes for array in self._arrays()) + sum(
            len(text) for texts in (self.captions, self.texts, self.answers) for text in texts or ()
        )

    def _arrays(self) -> list[np.ndarray]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, np.ndarray)]


@dataclass(frozen=True)
class About:
    """What a menu says of a data set without opening it."""

    name: str  # what `load` takes
    title: str  # what a person reads
    summary: str
    task: str
    shape: tuple[int, ...]
    classes: int
    photographs: bool = False  # of things, which stay what they are when mirrored or shifted


def one_line(text: str) -> str:
    """What a person wrote as one line that can be shown: no control characters, none that turn the writing round."""
    shown = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown.split())


def load(name: str, split: str = "test", seed: int = 0, **values: Any) -> Dataset:
    """One split of a data set, by its name in the menu; the same arguments give the same data.

    name: one of `DATASETS`, or `own:<id>` for what a person brought.
    seed: draws the data where they are made, and the division into splits where they are not.
    values: the settings of that data set.
    Raises ExplorerError for an unknown name, split or setting. What was loaded is kept for the next who asks,
    up to a limit in bytes; two who ask for the same at once wait for one load.
    """
    asked = f"The dataset {name!r}"
    if split not in SPLITS:
        raise ExplorerError(asked, f"it has no split {split!r}", f"Choose one of: {', '.join(SPLITS)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ExplorerError(asked, f"the seed {seed!r} is not a whole number from 0 to {SEEDS - 1}", "Use 0, say")
    make = _own(name) if name.startswith("own:") else DATASETS[name].make
    values = check(make, values, asked)
    key = (name, split, seed, *sorted(values.items()))
    return _store.get(key, lambda: make(split, seed, **values))


def about(name: str) -> About:
    """What a menu says of a data set: a registered one or `own:<id>`; raises ExplorerError for any other name."""
    if name.startswith("own:"):
        from explorer.data import own

        return own.about(name)
    entry = DATASETS[name]
    return About(name, name, entry.summary, **entry.facts)


def stream(seed: int, split: str) -> np.random.Generator:
    """The random numbers of one split: every (seed, split) has its own."""
    return np.random.default_rng([seed, SPLITS.index(split)])


def divide(y: np.ndarray, shares: tuple[float, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Indices of one part per share and then of the rest, every class divided alike.

    A class gives at least one example to each part, as long as it has that many.
    """
    parts: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        counts = [max(1, round(share * len(members))) for share in shares]
        for part, indices in zip(parts, np.split(members, np.cumsum(counts)), strict=True):
            part.append(indices)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def _own(name: str) -> Any:
    from explorer.data import own

    return own.opener(name)
