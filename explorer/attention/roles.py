"""What does this head do? Every head, scored on data in which it is known who depends on whom.

A role says, for a token that looks (the query), which tokens it should look at (the keys). The score of a head is the
share of its attention that lies there, averaged over all places where the role occurs. Beside it stands the same share
for shuffled keys: those of another place with the same role, as far away, or any keys where the role itself is a matter
of distance. A head has a role only by as much as the one exceeds the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from explorer import data, zoo
from explorer.attention.attend import attend
from explorer.attention.base import AttentionPatterns, Part
from explorer.data.base import Dataset, Roles
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.zoo.model import Model

TEXTS = 200
CLEAR = 0.1  # by how much a head's score must exceed the shuffled one to be named after the role
ROUND = 3  # digits that are kept in a file
ARRAYS = ("mass", "shuffled", "entropy", "sparsity", "distance")
DELIMITERS = set(".,;:!?[]()-=\"'")

Place = tuple[int, tuple[int, ...]]  # a query and the keys that it should look at


@dataclass(frozen=True)
class Role:
    """Something that a head may do."""

    name: str
    about: str  # one sentence
    distance: bool = False  # it is a matter of distance alone: shuffled keys are any keys
    predicts: bool = False  # in a causal network the query is the token before, which predicts this one
    apart: bool = False  # only where something stands between: else it would be the role of a neighbour


ROLES = {
    role.name: role
    for role in (
        Role("previous token", "Looks at the token just before.", distance=True),
        Role("next token", "Looks at the token just after.", distance=True),
        Role("first token", "Looks at the very first token, where heads rest that have nothing to say.", distance=True),
        Role("same token", "Looks at other places with the same token."),
        Role("delimiter", "Looks at full stops and special tokens.", distance=True),
        Role("induction", "Looks at what came after the same token before: what followed once may follow again."),
        Role("agreement", "From a verb, or what predicts it, to a subject further off.", predicts=True, apart=True),
        Role("coreference", "From a pronoun, or what predicts it, to whom it means.", predicts=True, apart=True),
        Role("adjective", "From a noun to its adjective."),
        Role("object", "From an object to its verb, over what stands between.", apart=True),
        Role("year", "From each digit of the year to where it comes from.", predicts=True),
        Role("month", "From each digit of the month to where it comes from.", predicts=True),
        Role("day", "From each digit of the day to where it comes from.", predicts=True),
        Role("origin", "From each number of the answer to where it stood in the question.", predicts=True),
        Role("class token", "Patches look at the class token.", distance=True),
        Role("neighbours", "A patch looks at the patches around it.", distance=True),
        Role("the object", "The class token looks at the object that names the picture."),
    )
}


@dataclass(frozen=True, eq=False)
class PartScores:
    """The heads of one part: R roles, L layers, H heads."""

    roles: tuple[str, ...]
    counts: tuple[int, ...]  # (R,) places where each occurred
    mass: np.ndarray  # (R, L, H) mean share of the attention on the right keys, 0 to 1
    shuffled: np.ndarray  # (R, L, H) the same for shuffled keys
    entropy: np.ndarray  # (L, H) of a row, in nats, mean over all queries
    sparsity: np.ndarray  # (L, H) Gini index of a row, 0 (even) to 1 (one key alone), mean (Hurley and Rickard 2009)
    distance: np.ndarray  # (L, H) mean distance looked at, in tokens or patches; NaN across two texts

    @property
    def best(self) -> np.ndarray:
        """The role in which each head exceeds the shuffled score most, (L, H); -1 where none is clear."""
        gain = self.mass - self.shuffled
        return (
            np.where(gain.max(0) >= CLEAR, gain.argmax(0), -1) if len(self.roles) else np.full(self.entropy.shape, -1)
        )

    def head(self, role: str) -> tuple[int, int]:
        """The head (layer, head) that exceeds the shuffled score of a role most."""
        gain = (self.mass - self.shuffled)[self.roles.index(role)]
        layer, head = np.unravel_index(gain.argmax(), gain.shape)
        return int(layer), int(head)


@dataclass(frozen=True, eq=False)
class RoleScores:
    """Every head of a network, scored."""

    ref: str
    dataset: str
    examples: int
    parts: Mapping[str, PartScores]  # by the name of the part

    def telling(self) -> tuple[str, int, int] | None:
        """Part, layer and head with the clearest role that is no matter of distance; None where none is clear."""
        found = []
        for name, part in self.parts.items():
            for role in part.roles:
                layer, head = part.head(role)
                row = part.roles.index(role), layer, head
                gain = part.mass[row] - part.shuffled[row]
                if not ROLES[role].distance and gain >= CLEAR:
                    found.append((gain, name, layer, head))
        return max(found)[1:] if found else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, rounded."""
        parts = {
            name: {field: _plain(value) for field, value in asdict(part).items()} for name, part in self.parts.items()
        }
        return {"ref": self.ref, "dataset": self.dataset, "examples": self.examples, "parts": parts}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RoleScores":
        """The scores of `to_json`."""
        parts = {
            name: PartScores(
                tuple(part["roles"]), tuple(part["counts"]),
                **{name: np.array(part[name], float) for name in ARRAYS},
            )
            for name, part in values["parts"].items()
        }  # fmt: skip
        return cls(values["ref"], values["dataset"], values["examples"], parts)


def score(ref: str | Model, dataset: str = "", examples: int = TEXTS, seed: int = 0,
          progress: Callable[[float], None] = lambda share: None) -> RoleScores:  # fmt: skip
    """Score every head on test examples whose truth is known; the same arguments give the same numbers.

    dataset: "" takes the network's own where that has roles or masks, else `story`.
    seed: draws the examples and the shuffled keys. progress: is told the share that is done.
    Raises ExplorerError where the network can't read the data.
    """
    model = zoo.load(ref) if isinstance(ref, str) else ref
    test = _data(model, dataset)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(test))[:examples]
    tallies: dict[str, _Tally] = {}
    for done, index in enumerate(chosen):
        found = _read(model, test, int(index))
        for part in found.parts:
            tally = tallies.setdefault(part.name, _Tally(part))
            tally.rows(part, found)
            for role, places in _places(part, found, test, int(index)):
                tally.add(ROLES[role], places)
        progress((done + 1) / len(chosen))
    parts = {name: tally.scores(rng) for name, tally in tallies.items()}
    return RoleScores(model.card.ref, test.name, len(chosen), parts)


def course(found: RoleScores) -> dict[str, float]:
    """The best head's score for each role, above that of shuffled keys; over all parts."""
    best: dict[str, float] = {}
    for part in found.parts.values():
        gain = (part.mass - part.shuffled).max((1, 2))
        for role, value in zip(part.roles, gain, strict=True):
            best[role] = max(best.get(role, 0.0), float(value))
    return best


def recorded(ref: str) -> RoleScores | None:
    """The scores that ship with a network; None where none do."""
    return RoleScores.from_json(values) if (values := _shipped(ref, "roles.json")) else None


def recorded_course(ref: str) -> dict[int, dict[str, float]]:
    """The course of a shipped network's scores over its training, step → role → score; empty where none ships."""
    return {int(step): found for step, found in (_shipped(ref, "course.json") or {}).items()}


def _shipped(ref: str, file: str) -> Any:
    from explorer.zoo.sources.zoo import SHIPPED

    parsed = zoo.parse(ref)
    path = SHIPPED / parsed.name / file
    return files.read_json(path) if parsed.source == "zoo" and path.is_file() else None


class _Tally:
    """The sums of one part while the examples go by."""

    def __init__(self, part: Part) -> None:
        self.shape = part.weights.shape[:2]
        self.places: dict[str, list[tuple[np.ndarray, Place]]] = {}  # role → the row of all heads (L, H, K), the place
        self.entropy, self.sparsity, self.distance = (np.zeros(self.shape) for _ in range(3))
        self.count = 0
        self.causal = part.causal
        self.reach = True

    def rows(self, part: Part, found: AttentionPatterns) -> None:
        """Take in what does not depend on any role."""
        weights = part.weights.astype(np.float64)  # (L, H, Q, K)
        self.entropy -= np.where(weights > 0, weights * np.log(np.maximum(weights, 1e-30)), 0).sum((2, 3))
        self.sparsity += _gini(weights, part.causal).sum(2)
        apart = distances(part, found)
        self.reach = apart is not None
        if apart is not None:
            self.distance += (weights * apart).sum((2, 3))
        self.count += weights.shape[2]
        self.part = part

    def add(self, role: Role, places: Sequence[Place]) -> None:
        """Take in the places of a role."""
        weights = self.part.weights
        for query, keys in places:
            if keys:
                self.places.setdefault(role.name, []).append((weights[:, :, query], (query, keys)))

    def scores(self, rng: np.random.Generator) -> PartScores:
        """The means over everything."""
        names = [name for name in ROLES if name in self.places]
        mass, shuffled = (np.zeros((len(names), *self.shape)) for _ in range(2))
        for index, name in enumerate(names):
            found = self.places[name]
            mass[index] = np.mean([row[..., list(keys)].sum(-1) for row, (_, keys) in found], 0)
            shuffled[index] = np.mean(list(self._shuffled(ROLES[name], found, rng)) or [np.zeros(self.shape)], 0)
        distance = self.distance / self.count if self.reach else np.full(self.shape, np.nan)
        counts = tuple(len(self.places[name]) for name in names)
        return PartScores(
            tuple(names), counts, mass, shuffled, self.entropy / self.count, self.sparsity / self.count, distance
        )

    def _shuffled(self, role: Role, found: list, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The attention of every place on wrong keys: as far away as those of another place, or anywhere."""
        order = rng.permutation(len(found))
        for (row, (query, keys)), other in zip(found, order, strict=True):
            allowed = query + 1 if self.causal else row.shape[-1]
            anywhere = np.setdiff1d(np.arange(allowed), keys)
            wrong = anywhere[:0]
            if not role.distance:
                _, (elsewhere, others) = found[other]
                moved = np.array([query + key - elsewhere if self.reach else key for key in others])
                wrong = np.intersect1d(moved, anywhere)
            if not len(wrong):
                wrong = rng.permutation(anywhere)[: len(keys)]
            if len(wrong):
                yield row[..., wrong].sum(-1) * (len(keys) / len(wrong))


def distances(part: Part, found: AttentionPatterns) -> np.ndarray | None:
    """How far each key is from each query, (Q, K): tokens, or patches in the plane; None between two texts."""
    if part.name == "cross":
        return None
    if found.patches is None:
        return np.abs(np.arange(len(part.queries))[:, None] - np.arange(len(part.keys)))
    row, column = np.divmod(np.arange(found.patches.rows * found.patches.columns), found.patches.columns)
    apart = np.zeros((len(part.queries), len(part.keys)))  # to and from the class token: none
    before = found.patches.before
    apart[before:, before:] = np.hypot(row[:, None] - row, column[:, None] - column)
    return apart


def _gini(weights: np.ndarray, causal: bool) -> np.ndarray:
    """The Gini index of every row over the keys that it may see, (…, Q)."""
    ordered = np.sort(weights, -1)[..., ::-1]  # the largest first
    keys = weights.shape[-1]
    count = np.minimum(np.arange(weights.shape[-2]) + 1, keys) if causal else np.full(weights.shape[-2], keys)
    rank = np.arange(keys) + 0.5  # what lies beyond `count` is zero
    return 1 - 2 * (ordered * rank).sum(-1) / count


def _data(model: Model, dataset: str) -> Dataset:
    """The test split to score on."""
    own = model.card.dataset
    name = dataset or (own if own and not own.startswith("own:") else "story")
    values = dict(model.card.dataset_settings) if name == own else {}
    test = data.load(name, "test", **values)
    picture = model.card.task == "image-classification"
    fits = test.masks is not None if picture else test.roles is not None
    if not fits or (test.task == "text-pairs") != (model.card.task == "text2text-generation"):
        raise ExplorerError(
            f"Scoring the heads of {model.card.ref}", f"{name} holds no truth that its heads could be scored on",
            "Choose another data set, or one of the shipped networks",
        )  # fmt: skip
    return test


def _read(model: Model, test: Dataset, index: int) -> AttentionPatterns:
    if test.task == "image":
        return attend(model, test.x[index])
    return attend(model, test.texts[index], test.answers[index] if test.answers else None)


def _places(part: Part, found: AttentionPatterns, test: Dataset, index: int) -> Iterator[tuple[str, list[Place]]]:
    """Where each role occurs in one example."""
    if found.patches is not None:
        yield from _in_picture(found, test.masks[index])
        return
    if part.name != "cross":
        yield from _in_order(part)
    roles = test.roles[index]
    if part.name == "cross":
        tokens = {word: (token,) for token, word in enumerate(_counted(found.words))}
        for role, links in roles.links.items():
            yield role, [(place, _tokens(depends, tokens)) for place, depends in links if place < len(part.queries)]
    elif test.answers is None:
        yield from _known(part, found, roles)


def _counted(words: Sequence[int | None]) -> Iterator[int]:
    """The words in order; what belongs to none gets a number that no word has."""
    for token, word in enumerate(words):
        yield -1 - token if word is None else word


def _known(part: Part, found: AttentionPatterns, roles: Roles) -> Iterator[tuple[str, list[Place]]]:
    """The roles that the data set knows, in tokens instead of words."""
    tokens: dict[int, tuple[int, ...]] = {}
    for token, word in enumerate(found.words):
        if word is not None:
            tokens[word] = (*tokens.get(word, ()), token)
    for name, links in roles.links.items():
        role = ROLES[name]
        ahead = part.causal and role.predicts
        places = []
        for word, depends in links:
            if word in tokens and not (role.apart and any(abs(word - one) == 1 for one in depends)):
                query = tokens[word][0] - 1 if ahead else tokens[word][-1]
                places.append((query, _tokens(depends, tokens)))
        yield name, places


def _tokens(words: Sequence[int], tokens: Mapping[int, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(token for word in words for token in tokens.get(word, ()))


def _in_order(part: Part) -> Iterator[tuple[str, list[Place]]]:
    """The roles that the order of the tokens decides."""
    count, tokens = len(part.queries), part.queries
    earlier: dict[str, list[int]] = {}
    same: list[Place] = []
    induced: list[Place] = []
    for place, token in enumerate(tokens):
        before = earlier.setdefault(token, [])
        if before and token not in DELIMITERS:
            induced.append((place, tuple(one + 1 for one in before)))
        before.append(place)
    for place, token in enumerate(tokens):
        others = tuple(one for one in earlier[token] if one != place and (not part.causal or one < place))
        if token not in DELIMITERS:
            same.append((place, others))
    yield "previous token", [(place, (place - 1,)) for place in range(1, count)]
    if not part.causal:
        yield "next token", [(place, (place + 1,)) for place in range(count - 1)]
    yield "first token", [(place, (0,)) for place in range(2, count)]
    yield "same token", same
    yield "induction", induced
    stops = [place for place, token in enumerate(tokens) if place and (token in DELIMITERS or token[:1] == "[")]
    yield (
        "delimiter",
        [
            (place, tuple(stop for stop in stops if stop != place and (not part.causal or stop < place)))
            for place in range(2, count)
        ],
    )


def _in_picture(found: AttentionPatterns, mask: np.ndarray) -> Iterator[tuple[str, list[Place]]]:
    """The roles of patches."""
    patches = found.patches
    before, rows, columns = patches.before, patches.rows, patches.columns
    if before:
        yield "class token", [(before + patch, (0,)) for patch in range(rows * columns)]
    around = []
    for row in range(rows):
        for column in range(columns):
            near = tuple(
                before + r * columns + c
                for r in range(max(0, row - 1), min(rows, row + 2))
                for c in range(max(0, column - 1), min(columns, column + 2))
                if (r, c) != (row, column)
            )
            around.append((before + row * columns + column, near))
    yield "neighbours", around
    share = mask[: rows * (mask.shape[0] // rows), : columns * (mask.shape[1] // columns)]
    share = share.reshape(rows, share.shape[0] // rows, columns, -1).mean((1, 3))
    inside = tuple(before + int(patch) for patch in np.flatnonzero(share.ravel() >= 0.5))
    if before and inside:
        yield "the object", [(0, inside)]


def _plain(value: Any) -> Any:
    """An array as nested lists of rounded numbers."""
    return np.round(value, ROUND).tolist() if isinstance(value, np.ndarray) else list(value)
