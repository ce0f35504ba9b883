"""Who says whether a sample is what was asked for: a classifier of ours that has learned the same data."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from explorer import zoo
from explorer.data.base import Dataset
from explorer.errors import ExplorerError
from explorer.zoo import shapes_judge
from explorer.zoo.card import Card
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.sources.zoo import SHIPPED


class Judge(Protocol):
    """Somebody who reads pictures."""

    attributes: tuple[str, ...]

    def asked(self, real: Dataset) -> list[str]:
        """The condition that each real example would be asked for by."""

    def right(self, pictures: np.ndarray, asked: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        """(attributes, N) how much of each is as asked, NaN where nothing was asked; and what is seen, in words."""

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """(N, D) what the network makes of each picture before it names anything."""


class ClassJudge:
    """A classifier: the class it names is the one that was asked for, or not."""

    attributes = ("class",)

    def __init__(self, model: Model) -> None:
        self.model = model

    def asked(self, real: Dataset) -> list[str]:
        return [real.labels[label] for label in real.y]

    def right(self, pictures: np.ndarray, asked: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        said = [self.model.labels[label] for label in self.model.predict(pictures).argmax(1)]
        wanted = [float(one == name) if name else np.nan for one, name in zip(said, asked, strict=True)]
        return np.array([wanted]), tuple(said)

    def features(self, pictures: np.ndarray) -> np.ndarray:
        found: list[Tensor] = []
        with self.model.borrow() as net, torch.inference_mode():
            last = [part for part in net.modules() if isinstance(part, nn.Linear)][-1]
            handle = last.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0].flatten(1)))
            try:
                for start in range(0, len(pictures), 256):
                    net(self.model.preprocess(pictures[start : start + 256]))
            finally:
                handle.remove()
        return torch.cat(found).float().cpu().numpy()


class ShapesJudge:
    """The judge of drawn shapes: colour and shape of every object, and how they lie."""

    attributes = ("colour", "shape", "relation")

    def __init__(self, judge: shapes_judge.Judge) -> None:
        self.judge, self.features = judge, judge.features

    def asked(self, real: Dataset) -> list[str]:
        return list(real.captions)

    def right(self, pictures: np.ndarray, asked: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        seen = self.judge.see(pictures)
        rows = [_compared(one, shapes_judge.parse(caption)) for one, caption in zip(seen, asked, strict=True)]
        return np.array(rows, float).T, tuple(_words(one) for one in seen)


def _compared(seen: shapes_judge.Seen, asked: shapes_judge.Seen) -> tuple[float, float, float]:
    """The share of the asked objects whose colour, and whose shape, is there; and whether they lie as asked.

    Objects are paired in the order that suits them better, so that a wrong place is no wrong colour. They lie as asked
    when their number and direction are right and the first is where it should be; one alone lies as asked when it is
    alone.
    """
    orders = [seen.things, seen.things[::-1]]
    pairs = [list(zip(order, asked.things, strict=False)) for order in orders]
    best = max(
        range(2), key=lambda number: sum(a == c for one, want in pairs[number] for a, c in zip(one, want, strict=True))
    )
    count = len(asked.things)
    colour = sum(one[0] == want[0] for one, want in pairs[best]) / count
    shape = sum(one[1] == want[1] for one, want in pairs[best]) / count
    return colour, shape, float(seen.lies == asked.lies and (count == 1 or best == 0))


def _words(seen: shapes_judge.Seen) -> str:
    names = [" ".join(thing) for thing in seen.things]
    return names[0] if len(names) == 1 else f"{names[0]} | {names[1]}, {seen.lies}"


def judge_of(model: Denoiser, ref: str = "") -> Judge:
    """The judge of what a network draws: the classifier of a ref, else the judge or the best classifier that ships.

    Raises ExplorerError where that one has learned something else, or none has learned these data.
    """
    card = model.card
    beside = SHIPPED / zoo.parse(card.ref).name / shapes_judge.FILE if card.ref.startswith("zoo:") else None
    if beside and beside.is_file() and not ref:
        return ShapesJudge(shapes_judge.load(beside.parent))
    known = [zoo.load(ref).card] if ref else zoo.cards("image-classification")
    known = [other for other in known if judges(other, card)]
    if not known:
        raise ExplorerError(
            f"A judge for {card.ref}", f"no network here has learned to name {card.dataset or 'its data'}",
            "Train a classifier on the same data first",
        )  # fmt: skip
    return ClassJudge(zoo.load(max(known, key=lambda other: other.metrics.get("test accuracy", 0)).ref))


def judges(other: Card, card: Card) -> bool:
    """Whether a classifier can read what a network draws: it has learned the same data, and its classes."""
    same = card.dataset and other.dataset == card.dataset and other.task == "image-classification"
    return bool(same and set(card.labels) <= set(other.labels))
