"""A and B: what two networks, two checkpoints or two inputs do differently, layer by layer and answer by answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer import data
from explorer.activations.base import Activations
from explorer.activations.capture import capture
from explorer.activations.feed import Feed, dataset, feed, kind_of, opened
from explorer.activations.shared import channel_axis, same_kind
from explorer.errors import ExplorerError
from explorer.tried import TRIED, tried
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel


@dataclass(frozen=True)
class Likeness:
    """One layer, in A and in B."""

    name: str
    kind: str  # the class of the module
    shape: tuple[int, ...]  # of one example
    cosine: float  # of the two outputs as vectors, NaN where either is all zeros
    distance: float  # ‖B − A‖ / ‖A‖, NaN where A is all zeros


@dataclass(frozen=True, eq=False)
class Answers:
    """What A and B answer: K names that both can say."""

    labels: tuple[str, ...]  # (K,)
    a: np.ndarray  # (K,) probabilities
    b: np.ndarray  # (K,)
    said_a: str
    said_b: str
    note: str  # what is compared, as a sentence

    @property
    def change(self) -> np.ndarray:
        """(K,) by how much B's probability exceeds A's."""
        return self.b - self.a


@dataclass(frozen=True, eq=False)
class Comparison:
    """What can be compared of two passes, and what can't."""

    layers: tuple[Likeness, ...]  # in both by name, with equal shapes, in the order of B
    unlike: dict[str, str]  # in both by name, but of two shapes → the shapes, as a clause
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    answers: Answers | None  # None where one of them names nothing

    @property
    def nbytes(self) -> int:
        """Bytes, near enough."""
        named = 0 if self.answers is None else 3 * self.answers.a.nbytes
        return named + 200 * (len(self.layers) + len(self.unlike) + len(self.only_a) + len(self.only_b))

    def __getitem__(self, name: str) -> Likeness:
        return next(layer for layer in self.layers if layer.name == name)


def compare(ref_a: str | Model, ref_b: str | Model, x: Any = None, x_b: Any = None) -> Comparison:
    """The same input through two networks, or two inputs through one or two.

    x: one input, as of `feed`: what A is given, and B too unless `x_b` is there; None is B's first test example.
    Raises ExplorerError for networks that take inputs of different kinds.
    """
    a, b = opened(ref_a), opened(ref_b)
    same_kind(a, b)
    first = feed(b) if x is None else None  # B's first test example
    given_b = first if first is not None and x_b is None else feed(b, x if x_b is None else x_b)
    given_a = feed(a, x) if first is None else _as_taken(a, first)
    return compared(a, capture(a, given_a), b, capture(b, given_b))


def _as_taken(a: Model, first: Feed) -> Feed:
    """The first test example of another network as A takes it."""
    if a is first.model:
        return first
    if kind_of(a) == "text":
        found = dataset(first.model)
        return feed(a, found.texts[0] if found is not None and found.texts else None)
    return feed(a, first.pixels, first.conditions[0] if first.conditions else None)


def compared(a: Model, first: Activations, b: Model, second: Activations) -> Comparison:
    """What two passes of one example each have in common; see `compare`."""
    theirs = {layer.name: layer for layer in first if layer.output is not None}
    layers: list[Likeness] = []
    unlike: dict[str, str] = {}
    own = [layer for layer in second if layer.output is not None]
    for layer in own:
        other = theirs.get(layer.name)
        if other is None:
            continue
        if other.output.shape != layer.output.shape:
            unlike[layer.name] = f"{_shape(other.output)} in A, {_shape(layer.output)} in B"
        elif layer.output.dtype.kind == "f":
            layers.append(_likeness(layer.name, layer.kind, other.output, layer.output))
    mine = {layer.name for layer in own}
    only_a = tuple(name for name in theirs if name not in mine)
    only_b = tuple(layer.name for layer in own if layer.name not in theirs)
    return Comparison(tuple(layers), unlike, only_a, only_b, answers(a, first, b, second))


def _likeness(name: str, kind: str, a: np.ndarray, b: np.ndarray) -> Likeness:
    first, second = (one.ravel().astype(np.float64) for one in (a, b))
    length, other = np.linalg.norm(first), np.linalg.norm(second)
    cosine = float(np.clip(first @ second / (length * other), -1, 1)) if length and other else float("nan")
    distance = float(np.linalg.norm(second - first) / length) if length else float("nan")
    return Likeness(name, kind, b.shape[1:], cosine, distance)


def _shape(output: np.ndarray) -> str:
    return "×".join(map(str, output.shape[1:]))


def answers(a: Model, first: Activations, b: Model, second: Activations) -> Answers | None:
    """The probabilities of the names that both networks can answer; of decoders of the next token.

    None where a network names nothing: a denoiser, or an encoder whose answer is a state for each token.
    """
    found_a, found_b = _probabilities(a, first), _probabilities(b, second)
    if found_a is None or found_b is None:
        return None
    (names_a, values_a), (names_b, values_b) = found_a, found_b
    places = {name: index for index, name in enumerate(names_a)}
    shared = [(places[name], index) for index, name in enumerate(names_b) if name in places]
    note = ""
    if not len(shared) == len(names_a) == len(names_b):
        many = f"{len(shared) or 'None'} of A's {len(names_a)} and B's {len(names_b)} answers"
        note = f"{many} {'is' if len(shared) == 1 else 'are'} in both by name; the rest can't be compared."
    at_a, at_b = (np.array([one[side] for one in shared], int) for side in (0, 1))
    return Answers(
        tuple(names_b[index] for index in at_b), values_a[at_a], values_b[at_b],
        names_a[int(values_a.argmax())], names_b[int(values_b.argmax())], note,
    )  # fmt: skip


def _probabilities(model: Model, found: Activations) -> tuple[Sequence[str], np.ndarray] | None:
    """What one answer can be called, and how probable each is."""
    if model.card.task.endswith("-classification"):
        return model.labels, _softmax(found.answer[0])
    if isinstance(model, TextModel) and model.kind != "encoder":
        kept = found.answer.shape[1] if found.keep is None else int(found.keep[0].sum())
        values = _softmax(found.answer[0, kept - 1])
        return [model.token(number) for number in range(len(values))], values
    return None


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


@dataclass(frozen=True, eq=False)
class Difference:
    """The units of one layer that differ most between A and B: K of them."""

    units: np.ndarray  # (K,) their numbers, the one that differs most first
    a: np.ndarray  # (K, H, W) maps, (K, T) states of tokens, or (K,) values
    b: np.ndarray  # as `a`
    share: np.ndarray  # (K,) of the layer's squared difference

    @property
    def change(self) -> np.ndarray:
        """B − A."""
        return self.b - self.a


def difference(a: np.ndarray, b: np.ndarray, most: int = 4, grid: bool = True) -> Difference:
    """Where the outputs of one layer for one example, (1, …) each and of one shape, differ most.

    grid: states (T, D) whose tokens are patches of a square picture, with or without a class token, are read as maps.
    """
    first, second = unit_first(a, grid), unit_first(b, grid)
    squared = np.square(second - first, dtype=np.float64).reshape(len(first), -1).sum(1)
    units = np.argsort(-squared, kind="stable")[:most]
    return Difference(units, first[units], second[units], squared[units] / (squared.sum() or 1.0))


def unit_first(output: np.ndarray, grid: bool = True) -> np.ndarray:
    """What one layer gives for one example, (1, …) → (units, H, W), (units, T) or (units,)."""
    moved = np.moveaxis(output, channel_axis(output.ndim), 1)[0]  # (units, …)
    if moved.size == len(moved):  # maps of one position
        return moved.ravel()
    if moved.ndim == 2 and grid:
        side = int(moved.shape[1] ** 0.5)
        if side > 1 and moved.shape[1] - side**2 in (0, 1):
            return moved[:, -(side**2) :].reshape(len(moved), side, side)
    return moved.reshape(len(moved), moved.shape[1], -1) if moved.ndim > 3 else moved


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where two classifiers are right over the same N test examples."""

    ref_a: str
    ref_b: str
    dataset: str
    index: np.ndarray  # (N,) in the test split
    y: np.ndarray  # (N,) the true classes, as the data set counts them
    labels: tuple[str, ...]  # of the data set
    said_a: tuple[str, ...]  # (N,)
    said_b: tuple[str, ...]  # (N,)
    sure_a: np.ndarray  # (N,) the probability of what was said
    sure_b: np.ndarray
    right_a: np.ndarray  # (N,) bool
    right_b: np.ndarray
    left_out: int  # examples whose class only one of the two can name

    @property
    def nbytes(self) -> int:
        """Bytes, near enough."""
        return 64 * len(self.index)

    @property
    def table(self) -> np.ndarray:
        """(2, 2) counts: A right and wrong down, B right and wrong across."""
        return np.array([
            [(one & other).sum() for other in (self.right_b, ~self.right_b)] for one in (self.right_a, ~self.right_a)
        ])  # fmt: skip

    @property
    def p(self) -> float:
        """McNemar's exact test: how probable so uneven a split of the disagreements is if both are equally good."""
        from scipy.stats import binomtest

        only_a, only_b = int(self.table[0, 1]), int(self.table[1, 0])
        return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0

    def only(self, side: str) -> np.ndarray:
        """Positions in `index` that only "a" or only "b" got right, those first that the other was surest of."""
        right, wrong, sure = (
            (self.right_a, self.right_b, self.sure_b) if side == "a" else (self.right_b, self.right_a, self.sure_a)
        )
        found = np.flatnonzero(right & ~wrong)
        return found[np.argsort(-sure[found], kind="stable")]


def disagreements(ref_a: str | Model, ref_b: str | Model, most: int = TRIED) -> Disagreement:
    """What two classifiers say of the first test examples of B's own data.

    Answers are compared with the truth by name, and only over classes that both know.
    Raises ExplorerError where one is no classifier, where B's data are not known, and where no class is shared.
    """
    a, b = opened(ref_a), opened(ref_b)
    same_kind(a, b)
    asked = f"{a.card.ref} against {b.card.ref}"
    if kind_of(b) not in ("image", "points"):
        raise ExplorerError(asked, "only classifiers of pictures or points are right or wrong", "Choose two of these")
    found = dataset(b)
    if found is None:
        raise ExplorerError(asked, f"the data that {b.card.ref} learned are not here", "Choose another network as B")
    index = _known_to_both(found, a, b, min(most, len(found)))
    if not len(index):
        raise ExplorerError(asked, "they share no class by name", "Choose two networks that name the same things")
    y = found.y[index]
    said, sure, right = [], [], []
    truth = np.array(found.labels)[y]
    for model in (a, b):
        probabilities = tried(model, b.card, found, most)[index]
        names = np.array(model.labels)[probabilities.argmax(1)]
        said.append(tuple(map(str, names)))
        sure.append(probabilities.max(1))
        right.append(names == truth)
    return Disagreement(
        a.card.ref, b.card.ref, found.name, index, y, found.labels, *said, *sure, *right,
        min(most, len(found)) - len(index),
    )  # fmt: skip


def _known_to_both(found: data.Dataset, a: Model, b: Model, count: int) -> np.ndarray:
    """The test examples whose true class both networks can name."""
    shared = [label in a.labels and label in b.labels for label in found.labels]
    return np.flatnonzero(np.array(shared)[found.y[:count]])
