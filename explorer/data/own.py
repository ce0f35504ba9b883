"""What a person brings: checked once, kept under a name that nobody can guess, opened like any other data set."""

import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np

from explorer import belongings
from explorer.belongings import LOCAL
from explorer.data.base import SPLITS, About, Dataset, divide, one_line
from explorer.data.cache import DAMAGED
from explorer.data.own_pictures import read_pictures
from explorer.data.own_points import read_points
from explorer.data.own_text import LENGTH, read_text, texts_of
from explorer.data.text import everything, words_of
from explorer.errors import ExplorerError
from explorer.params import Choice, check
from explorer.settings import settings

NAME = re.compile(r"own:([0-9a-f]{32})")
DRAWN = {"validation": 0.1, "test": 0.2}  # shares of what lies in no folder of that split
CLASSES = 100  # at most
TITLE = 60  # characters
PICTURES, POINTS = "Your pictures", "Your points"


def add_images(
    source: Path | BinaryIO, name: str = "", side: Annotated[int, Choice((32, 64))] = 64, owner: str = LOCAL
) -> str:
    """Take a folder of class folders with pictures, or a zip of one; the name to load it by.

    source: a path, which a shared server refuses, or an open file. Above the class folders there may be folders called
    train, test and validation; a split that has no folder is drawn from train by the seed at load.
    side: each picture is cropped to its middle square and resized to this many pixels.
    Raises ExplorerError that names what is wrong. Up to 5 % of the pictures may be unusable: they are left out, and
    the summary says which. A path that leads outside, a link or a bomb always refuses the whole.
    """
    side = check(add_images, {"side": side}, PICTURES)["side"]
    _refuse_path(source, PICTURES)
    found = read_pictures(source, side, PICTURES)
    labels, y = _numbered(found.labels, PICTURES)
    given = np.array([SPLITS.index(split) for split in found.splits], np.int8)
    _check_counts(y, given, labels, PICTURES)
    summary = f"{len(y):,} pictures of {len(labels)} classes that a person brought."
    if found.left_out:
        summary += f" Left out: {'; '.join(found.left_out[:5])}{'; …' if len(found.left_out) > 5 else ''}."
    facts = {"title": _title(name, "own pictures"), "summary": summary, "task": "image", "labels": labels}
    return _keep({"x": found.x, "y": y, "given": given}, facts, owner)


def add_points(source: Path | BinaryIO, name: str = "", drawn: bool = False, owner: str = LOCAL) -> str:
    """Take a CSV with two columns of numbers and then one of labels, with or without a header; the name to load it by.

    source: a path, which a shared server refuses, or an open file. Each column is moved and scaled to -1 to 1. drawn:
    they are drawn by hand, taken as they lie, and may be of one class alone.
    Raises ExplorerError that names the line that is wrong.
    """
    _refuse_path(source, POINTS)
    places, rows = read_points(source, POINTS)
    labels, y = _numbered(rows, POINTS, 1 if drawn else 2)
    given = np.zeros(len(y), np.int8)
    _check_counts(y, given, labels, POINTS)
    low, high = places.min(0), places.max(0)
    half = np.maximum(high / 2 - low / 2, np.finfo(np.float64).tiny)  # halved first: the difference may overflow
    x = ((places - (low / 2 + high / 2)) / half if not drawn else places).astype(np.float32)
    summary = f"{len(y):,} points of {len(labels)} classes that a person brought."
    facts = {"title": _title(name, "own points"), "summary": summary, "task": "points", "labels": labels}
    return _keep({"x": x, "y": y, "given": given}, facts | {"drawn": drawn}, owner)


def add_text(content: str, name: str = "", owner: str = LOCAL) -> str:
    """Take a text of some pages, which a language model then learns to continue or to restore; the name to load it by.

    Raises ExplorerError for a text that is too short or too long.
    """
    x, tokenizer = read_text(content)
    y, given = np.zeros(len(x), np.int64), np.zeros(len(x), np.int8)
    summary = f"A text of {len(content):,} characters that a person brought, in {len(x):,} pieces of {LENGTH} tokens."
    facts = {"title": _title(name, "own text"), "summary": summary, "task": "text", "labels": words_of(tokenizer)}
    return _keep({"x": x, "y": y, "given": given}, facts, owner, tokenizer)


def about(name: str) -> About:
    """What a menu says of one of them; raises ExplorerError where there is none of that name."""
    facts = _facts(name)
    return About(
        name, facts["title"], facts["summary"], facts["task"], tuple(facts["shape"]), classes=len(facts["labels"])
    )


def opener(name: str) -> Callable[[str, int], Dataset]:
    """The function that loads one split of it; raises ExplorerError where there is none of that name."""
    facts = _facts(name)
    if facts["task"] == "text":
        return _text_opener(name, facts)

    def own(split: str, seed: int) -> Dataset:
        try:
            with np.load(_folder(name) / "data.npz", allow_pickle=False) as file:
                x, y, given = file["x"], file["y"], file["given"]
        except DAMAGED as error:
            raise _damaged(name) from error
        chosen = _chosen(y, given, split, seed)
        return Dataset(name, split, facts["task"], x[chosen], y[chosen], tuple(facts["labels"]))

    return own


def _text_opener(name: str, facts: dict[str, Any]) -> Callable[[str, int], Dataset]:
    def own(split: str, seed: int) -> Dataset:
        try:
            with np.load(_folder(name) / "data.npz", allow_pickle=False) as file:
                x = file["x"]
            tokenizer = (_folder(name) / "tokenizer.json").read_text(encoding="utf-8")
        except DAMAGED as error:
            raise _damaged(name) from error
        empty = np.zeros(len(x), np.int8)
        x = x[_chosen(empty, empty, split, seed)]
        texts = texts_of(x, tokenizer)
        return Dataset(
            name, split, "text", x, everything(x), tuple(facts["labels"]), texts=texts, tokenizer=tokenizer
        )  # fmt: skip

    return own


def _chosen(y: np.ndarray, given: np.ndarray, split: str, seed: int) -> np.ndarray:
    """The examples of one split: those of its folder, or those that the seed draws from the rest."""
    pool = np.flatnonzero(given == SPLITS.index("train"))
    drawn = _drawn(given)
    parts = divide(y[pool], tuple(DRAWN[name] for name in drawn), np.random.default_rng(seed))
    members = {name: pool[part] for name, part in zip((*drawn, "train"), parts, strict=True)}
    return members[split] if split in members else np.flatnonzero(given == SPLITS.index(split))


def _drawn(given: np.ndarray) -> list[str]:
    """The splits that no folder gave."""
    return [split for split in DRAWN if not (given == SPLITS.index(split)).any()]


def _refuse_path(source: Path | BinaryIO, asked: str) -> None:
    if isinstance(source, Path) and settings().shared:
        raise ExplorerError(asked, "this server is shared and opens no paths", "Upload a file instead")


def _numbered(names: list[str], asked: str, least: int = 2) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes in alphabetical order, and the number of each example's own."""
    labels = tuple(sorted(set(names)))
    if len(labels) < least:
        raise ExplorerError(asked, f"there is one class only, {labels[0]!r}", "Bring at least two classes")
    if len(labels) > CLASSES:
        raise ExplorerError(asked, f"there are {len(labels):,} classes", f"Bring at most {CLASSES}")
    numbers = {label: number for number, label in enumerate(labels)}
    return labels, np.array([numbers[name] for name in names], np.int64)


def _check_counts(y: np.ndarray, given: np.ndarray, labels: tuple[str, ...], asked: str) -> None:
    """Every split that is drawn needs an example of every class, and so does what is left to learn from."""
    fewest = 1 + len(_drawn(given))
    counts = np.bincount(y[given == SPLITS.index("train")], minlength=len(labels))
    worst = int(counts.argmin())
    if counts[worst] < fewest:
        raise ExplorerError(
            asked,
            f"the class {labels[worst]!r} has {counts[worst]} to learn from",
            f"Bring at least {fewest} of each class, so that every split has one",
        )


def _keep(arrays: dict[str, np.ndarray], facts: dict[str, Any], owner: str, tokenizer: str = "") -> str:
    """Write it into a folder of its own, whole or not at all; its name."""
    belongings.allow(owner, more=sum(array.nbytes for array in arrays.values()))
    one = Dataset("", "train", facts["task"], arrays["x"][:1], arrays["y"][:1], facts["labels"])
    name = f"own:{secrets.token_hex(16)}"
    home = settings().data / "own"
    temporary = None
    try:
        home.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=home, prefix=".part-"))
        np.savez(temporary / "data.npz", **arrays)
        (temporary / "about.json").write_text(json.dumps(facts | {"shape": one.shape}), encoding="utf-8")
        (temporary / belongings.OWNER).write_text(owner, encoding="utf-8")
        if tokenizer:
            (temporary / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        temporary.rename(_folder(name))
    except OSError as error:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        raise ExplorerError(
            facts["title"],
            f"it could not be kept ({error.strerror or error})",
            "Make room on the server's disk and try again",
        ) from error
    return name


def _folder(name: str) -> Path:
    """Where it lies; the pattern keeps any path from leading elsewhere."""
    match = NAME.fullmatch(name)
    if not match:
        raise _unknown(name)
    return settings().data / "own" / match[1]


def _facts(name: str) -> dict[str, Any]:
    folder = _folder(name)
    try:
        facts = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        belongings.use(folder)
        return facts
    except FileNotFoundError:
        raise _unknown(name) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(name) from error


def _title(name: str, default: str) -> str:
    """A name that can be shown: one line, not too long."""
    return one_line(name)[:TITLE] or default


def _unknown(name: str) -> ExplorerError:
    return ExplorerError(f"The dataset {name[:60]!r}", "nobody brought one of that name here", "Add it again")


def _damaged(name: str) -> ExplorerError:
    return ExplorerError(f"The dataset {name!r}", "its files are damaged", "Add it again")
