"""Do two networks compute alike? Linear CKA between all their layers, over many examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from explorer import data
from explorer.activations.base import CALL
from explorer.activations.feed import Feed, opened, room
from explorer.activations.shared import (
    ALL,
    TRIED,
    Place,
    Probed,
    channel_axis,
    examples,
    handed,
    opened_net,
    probe,
    spread,
)
from explorer.errors import ExplorerError
from explorer.turns import TURNS
from explorer.zoo.model import Model

FORMS = {  # how it is estimated → in words
    "minibatch": "minibatches, unbiased",
    "full": "all examples at once, biased upwards",
}
FEATURES = {  # what of a layer counts → in words
    "flattened": "every number",
    "averaged": "averaged over positions",
}
LEAST = 4  # examples of which the unbiased estimate can be made
PASS = 50  # examples that pass at once
Told = Callable[[float], None]
Piece = dict[str, tuple[int, int]]  # name of a layer → which of its numbers


@dataclass(frozen=True, eq=False)
class CKA:
    """How alike the layers of two networks are over the same examples."""

    ref_a: str
    ref_b: str
    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]
    matrix: np.ndarray  # (A, B) float64, 1 alike up to rotation and scale; NaN where a layer does not vary
    chance: np.ndarray  # (A, B) the same with B's examples shuffled
    form: str
    features: str
    count: int  # examples
    batch: int  # of a minibatch; `count` of the full form
    dataset: str
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.matrix.nbytes + self.chance.nbytes


def cka(
    ref_a: str | Model,
    ref_b: str | Model,
    dataset: str | data.Dataset | None = None,
    layers_a: Sequence[str] | None = None,
    layers_b: Sequence[str] | None = None,
    form: str = "minibatch",
    features: str = "flattened",
    count: int = 500,
    batch: int = 100,
    fresh: int | None = None,
    seed: int = 0,
    on_step: Told | None = None,
) -> CKA:
    """Linear CKA between the layers of two networks, as a matrix layers × layers.

    dataset: its test split is shown to both; None: B's own data. layers: names; None: the main ones.
    form: "full" is ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features over all examples (Kornblith et al. 2019, "Similarity of
    neural network representations revisited", equation 3 with a linear kernel), which is too high where a layer has
    more numbers than there are examples. "minibatch" is free of that: means of the unbiased HSIC over minibatches
    (Nguyen et al. 2021, "Do wide and deep networks learn the same things?", equation 3; Song et al. 2012, equation 5).
    features: "flattened", as in the papers, or "averaged" over the positions of maps and over the tokens of a text.
    fresh: compare the same architectures with weights drawn from this seed, and for B from the next, instead.
    seed: draws the examples, and shuffles them for `chance`. on_step: told the share that is done.
    Raises ExplorerError for networks that can't take the same examples, and for what there isn't.
    """
    began = TURNS.clock()
    _check(form, features, batch)
    a, b = opened(ref_a), opened(ref_b)
    both = examples(a, b, dataset, count, seed)
    if both.count < LEAST:
        raise ExplorerError(f"CKA over {both.count} examples", f"it takes {LEAST} at least", "Bring more examples")
    side_a = Side(a, both.a, layers_a, features, fresh)
    side_b = Side(b, both.b, layers_b, features, None if fresh is None else fresh + 1)
    same = a is b and side_a.names == side_b.names and fresh is None
    sides = [side_a] if same else [side_a, side_b]
    bounds = _bounds(both.count, both.count if form == "full" else min(batch, both.count))
    _fits(sum(len(side.names) for side in sides), bounds[0][1])
    measured = _Measured(len(side_a.names), len(side_b.names), unbiased=form == "minibatch")
    dice = np.random.default_rng(seed)
    step = _counter(sum(side.passes(stop - start) for start, stop in bounds for side in sides), on_step)
    for start, stop in bounds:
        grams = [side.grams(start, stop, step) for side in sides]  # (layers, n, n)
        measured.add(grams[0], grams[-1], torch.from_numpy(dice.permutation(stop - start)))
    return CKA(
        a.card.ref, b.card.ref, side_a.names, side_b.names, measured.matrix(), measured.matrix(shuffled=True),
        form, features, both.count, bounds[0][1], both.name, TURNS.clock() - began,
    )  # fmt: skip


def linear_cka(x: np.ndarray, y: np.ndarray, unbiased: bool = False) -> float:
    """Linear CKA of two matrices of features, (N, p) and (N, q), with whichever is smaller, features or examples.

    unbiased: with the unbiased HSIC of Song et al. 2012, equation 5, which takes 4 examples at least.
    """
    x, y = (torch.from_numpy(np.asarray(one, np.float64)) for one in (x, y))
    if not unbiased and max(x.shape[1], y.shape[1]) < len(x):
        x, y = x - x.mean(0), y - y.mean(0)
        return float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))
    measured = _Measured(1, 1, unbiased)
    measured.add(gram(x)[None], gram(y)[None], torch.arange(len(x)))
    return float(measured.matrix()[0, 0])


def gram(features: Tensor) -> Tensor:
    """XXᵀ of centred features, (N, p) → (N, N)."""
    centred = features - features.mean(0)
    return centred @ centred.T


def debiased(a: Tensor, b: Tensor) -> float:
    """CKA with the unbiased HSIC, of two Gram matrices (n, n)."""
    measured = _Measured(1, 1, unbiased=True)
    measured.add(a[None], b[None], torch.arange(len(a)))
    return float(measured.matrix()[0, 0])


def probed(ref_a: str | Model, ref_b: str | Model, dataset: str | data.Dataset | None = None) -> tuple[Probed, Probed]:
    """The layers of two networks that `cka` can compare, and what the passes of both cost here."""
    a, b = opened(ref_a), opened(ref_b)
    both = examples(a, b, dataset, TRIED)
    return probe(a, both.a(0, TRIED)), probe(b, both.b(0, TRIED))


class _Measured:
    """HSIC between the layers of two networks, summed over minibatches, and the same with shuffled examples."""

    def __init__(self, a: int, b: int, unbiased: bool) -> None:
        self._unbiased = unbiased
        self._cross, self._shuffled = np.zeros((a, b)), np.zeros((a, b))
        self._a, self._b = np.zeros(a), np.zeros(b)

    def add(self, a: Tensor, b: Tensor, order: Tensor) -> None:
        """Another minibatch: Gram matrices (A, n, n) and (B, n, n); `order` (n,) shuffles the examples of B."""
        hsic = _unbiased if self._unbiased else _biased
        self._cross += hsic(a, b)
        self._shuffled += hsic(a, b[:, order][:, :, order])
        self._a += np.array([hsic(one[None], one[None])[0, 0] for one in a])
        self._b += np.array([hsic(one[None], one[None])[0, 0] for one in b])

    def matrix(self, shuffled: bool = False) -> np.ndarray:
        """CKA, (A, B)."""
        selves = np.outer(self._a, self._b)
        cross = self._shuffled if shuffled else self._cross
        positive = (self._a > 0)[:, None] & (self._b > 0)
        return np.divide(cross, np.sqrt(np.where(positive, selves, 1)), out=np.full_like(cross, np.nan), where=positive)


def _biased(a: Tensor, b: Tensor) -> np.ndarray:
    """tr(K H L H) of every two centred Gram matrices, (A, n, n) and (B, n, n) → (A, B)."""
    return (a.flatten(1) @ b.flatten(1).T).double().numpy()


def _unbiased(a: Tensor, b: Tensor) -> np.ndarray:
    """HSIC₁ of every two Gram matrices (Song et al. 2012, equation 5), (A, n, n) and (B, n, n) → (A, B)."""
    n = a.shape[-1]
    a, b = (_without_diagonal(one) for one in (a, b))
    rows_a, rows_b = a.sum(2), b.sum(2)  # (A, n), (B, n)
    traces = a.flatten(1) @ b.flatten(1).T  # (A, B)
    sums = torch.outer(rows_a.sum(1), rows_b.sum(1)) / ((n - 1) * (n - 2))
    return ((traces + sums - 2 / (n - 2) * rows_a @ rows_b.T) / (n * (n - 3))).double().numpy()


def _without_diagonal(grams: Tensor) -> Tensor:
    grams = grams.clone()
    grams.diagonal(dim1=1, dim2=2).zero_()
    return grams


class Side:
    """One network of two, and the Gram matrices of its layers over some of the examples."""

    def __init__(
        self, model: Model, get: Callable[[int, int], Feed], names: Sequence[str] | None, features: str,
        fresh: int | None = None,
    ) -> None:  # fmt: skip
        found = probe(model, get(0, TRIED))
        if names is not None and not names:
            raise ExplorerError(f"The layers of {model.card.ref}", "none was chosen", "Choose one at least")
        self._model, self._get, self._features, self._fresh = model, get, features, fresh
        self._space = torch.empty(0)
        self.names = tuple(found.main if names is None else spread(names, ALL))
        self._places = found.named(self.names, model.card.ref)
        if not self.names:
            raise ExplorerError(model.card.ref, "no layer of it can be compared", "Choose another network")

    def passes(self, count: int) -> int:
        """How often `count` examples pass: what their layers give is held at once as far as it fits."""
        return len(self._pieces(count))

    def grams(self, start: int, stop: int, step: Callable[[], None]) -> Tensor:
        """The Gram matrix of every layer over some of the examples, (layers, n, n) float64 on the CPU."""
        found = {name: torch.zeros(stop - start, stop - start, dtype=torch.float64) for name in self.names}
        with opened_net(self._model, self._fresh) as net, torch.inference_mode():
            for piece in self._pieces(stop - start):
                for name, values in self._held(net, start, stop, piece).items():
                    centred = values.sub_(values.mean(0))
                    found[name] += (centred @ centred.T).cpu().double()
                step()
        return torch.stack([*found.values()])

    def values(self, start: int, stop: int) -> np.ndarray:
        """What its first layer gives, (n, numbers) float32, which must fit."""
        with opened_net(self._model, self._fresh) as net, torch.inference_mode():
            place = self._places[0]
            return self._held(net, start, stop, {place.name: (0, self._size(place))})[place.name].cpu().numpy()

    def _size(self, place: Place) -> int:
        return place.size if self._features == "flattened" else place.channels

    def _held(self, net: nn.Module, start: int, stop: int, piece: Piece) -> dict[str, Tensor]:
        """What the layers of a piece give, (n, numbers) each, in memory that the next piece writes into again."""
        count = stop - start
        numbers = count * sum(last - first for first, last in piece.values())
        if self._space.numel() < numbers:
            self._space = torch.empty(numbers, device=self._model.device)
        parts = self._space[:numbers].split([count * (last - first) for first, last in piece.values()])
        held = {name: part.view(count, -1) for name, part in zip(piece, parts, strict=True)}
        for low in range(0, count, PASS):
            given = self._get(start + low, start + min(low + PASS, count))

            def take(called: str, part: nn.Module, tensor: Tensor | None, low: int = low, given: Feed = given) -> None:
                if called in piece:
                    first, last = piece[called]
                    rows = read(called, tensor, given, self._features)[:, first:last]
                    held[called][low : low + PASS] = rows

            with handed(net, list(dict.fromkeys(name.partition(CALL)[0] for name in piece)), take):
                given.run(net)
        return held

    def _pieces(self, count: int) -> list[Piece]:
        """Which numbers of which layers are held at once, so that all of them fit."""
        most = max(1, room() // (4 * count))  # numbers of one example
        pieces: list[Piece] = [{}]
        left = most
        for place in self._places:
            size, low = self._size(place), 0
            while low < size:
                high = min(size, low + left)
                pieces[-1][place.name] = (low, high)
                left, low = left - (high - low), high
                if not left:
                    pieces.append({})
                    left = most
        return [piece for piece in pieces if piece]


def read(called: str, tensor: Tensor, given: Feed, features: str) -> Tensor:
    """What a layer gives as one row of numbers for each example, (N, p) float32; tokens that only fill are nothing."""
    values = tensor.float()
    keep = _keep(called, values, given)
    if keep is not None:
        values = values * keep[..., None]
    if features == "averaged" and values.ndim > 2:
        places = 1 if channel_axis(values.ndim) == values.ndim - 1 else tuple(range(2, values.ndim))
        values = values.mean(places) if keep is None else values.sum(1) / keep.sum(1, keepdim=True)
    return values.flatten(1)


def _keep(called: str, values: Tensor, given: Feed) -> Tensor | None:
    """(N, T) which tokens are none that only fill, where these are states of tokens."""
    if given.keep is None or values.ndim != 3:
        return None
    masks = [given.keep, given.inputs["attention_mask"].bool()]
    if "encoder" in called.split("."):  # an encoder-decoder's `keep` is of its decoder
        masks.reverse()
    return next((mask for mask in masks if mask.shape[1] == values.shape[1]), None)


def _bounds(count: int, size: int) -> list[tuple[int, int]]:
    """Minibatches of about one size, (start, stop)."""
    edges = np.linspace(0, count, max(1, min(round(count / size), count // LEAST)) + 1).astype(int)
    return [(int(start), int(stop)) for start, stop in pairwise(edges)]


def _counter(total: int, on_step: Told | None) -> Callable[[], None]:
    """Call it once for each of `total` passes."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done / total)

    return step


def _check(form: str, features: str, batch: int) -> None:
    for word, value, known in (("form", form, FORMS), ("features", features, FEATURES)):
        if value not in known:
            raise ExplorerError(f"The {word} {value!r}", "there is none of that name", f"Choose of: {', '.join(known)}")
    if batch < LEAST:
        raise ExplorerError(f"Minibatches of {batch}", f"the estimate takes {LEAST} examples", "Use 100, say")


def _fits(layers: int, size: int) -> None:
    """Raise ExplorerError where the Gram matrices would not fit."""
    if 8 * layers * size**2 > room():
        most = int((room() / (8 * layers)) ** 0.5)
        raise ExplorerError(
            f"{layers} layers over {size} examples at once", f"that takes {8 * layers * size**2 / 2**20:,.0f} MB",
            f"Take {most} examples, fewer layers, or minibatches",
        )  # fmt: skip
