"""What does this unit want? The examples that drive it most, where in them, and how much of one class it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from explorer.activations.base import CALL
from explorer.activations.capture import calm, first_tensor, passed, plain, watched
from explorer.activations.feed import TIME, Feed, dataset, feed, kind_of, room, sample
from explorer.data import Dataset
from explorer.errors import ExplorerError
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

MOST = 1000  # examples that are looked through
BATCH = 50  # that pass at once
NOISE = 16  # pictures of noise, where a network's own data are not here
LAST = ("Conv1d", "BatchNorm1d", "MaxPool1d", "AvgPool1d")  # kinds whose (N, K, T) has the units before the places
FEW = 10  # tokens of one kind, below which their mean says nothing
SHUFFLES = 5  # of the labels, for what selectivity is by chance
SMOOTH = 32  # of a picture's side, one part in this many smooths a gradient of which a share is marked
EACH = 12  # bytes that a profile holds of one unit and sample, at the most
MORCOS = "Morcos et al. 2018, On the importance of single directions for generalization, section 2"


@dataclass(frozen=True, eq=False)
class Examples:
    """The network's own examples, prepared as they are asked for."""

    model: Model
    count: int
    data: Dataset | None  # None: noise, or a text of the person's own
    whole: Feed | None  # all of them, except of pictures that are cheap to prepare again

    @property
    def nbytes(self) -> int:
        """Bytes of what is held ready."""
        return 0 if self.whole is None else sum(tensor.nbytes for tensor in self.whole.inputs.values())

    def take(self, rows: Sequence[int]) -> Feed:
        """Some of the examples, by their numbers."""
        rows = np.asarray(rows, dtype=np.int64)
        if self.whole is not None:
            return picked(self.whole, rows)
        return replace(feed(self.model, self.data.x[rows]), y=self.data.y[rows], pixels=self.data.x[rows])


@dataclass(frozen=True, eq=False)
class Profile:
    """How strongly every unit of one layer answers to every sample: S samples, K units.

    A sample is an example; of texts it is a token, where the layer has a state for each.
    """

    ref: str
    layer: str
    kind: str  # image | points | text | noise, as `kind_of`
    highest: np.ndarray  # (S, K) float32, the largest over its places
    average: np.ndarray  # (S, K) float32, the mean over its places; the same array where there is one place only
    rectified: np.ndarray  # (S, K) float32, the mean of what is above zero; the same array where nothing is below
    place: np.ndarray | None  # (S, K) int32, where the largest is, counted in `grid` row by row; None: one place only
    grid: tuple[int, ...]  # of the places of one example: (H, W), (T,), ()
    skipped: int  # tokens before the grid that belong to no place: the class token
    example: np.ndarray  # (S,) the example that each sample is of
    position: np.ndarray | None  # (S,) of tokens, the place in the text
    classes: np.ndarray | None  # (S,) the class, or the token; -1 where none is known
    labels: tuple[str, ...]  # classes indexes it
    variance: np.ndarray  # (K,) over all samples and places
    low: np.ndarray  # (K,) the smallest value of all
    high: np.ndarray  # (K,) the largest value of all
    examples: int  # that were looked through
    given: bool  # whether they are the network's own data

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return self.highest.shape[1]

    @property
    def signed(self) -> bool:
        """Whether the layer gives out values below zero."""
        return bool((self.low < 0).any())

    @property
    def dead(self) -> np.ndarray:
        """(K,) bool: units that give the same value whatever they are shown."""
        return self.high - self.low <= 1e-6 * np.maximum(np.abs(self.high), np.abs(self.low))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, each counted once."""
        held = (self.highest, self.average, self.rectified, self.place, self.example, self.position, self.classes)
        return sum(array.nbytes for array in {id(one): one for one in held if one is not None}.values())

    def values(self, by: str) -> np.ndarray:
        """(S, K): the largest over the places of each sample, or their mean.

        by: "max" or "mean". Raises ExplorerError for anything else.
        """
        if by not in ("max", "mean"):
            raise ExplorerError(f"The order {by!r}", "there is none of that name", "Choose one of: max, mean")
        return self.highest if by == "max" else self.average


@dataclass(frozen=True, eq=False)
class Selectivity:
    """How much the units of a layer are each of one class: K units, C classes that were seen."""

    index: np.ndarray  # (K,) 0: all classes alike, 1: one class alone; NaN where the unit is never above zero
    best: np.ndarray  # (K,) the class of the largest mean, as an index of `classes`
    shuffled: np.ndarray  # (SHUFFLES, K) the same index with the labels exchanged at random
    classes: np.ndarray  # (C,) the classes that were seen often enough
    counts: np.ndarray  # (C,) samples of each
    means: np.ndarray  # (C, K) of the rectified values

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(one.nbytes for one in (self.index, self.best, self.shuffled, self.means))


@dataclass(frozen=True, eq=False)
class ByClass:
    """One unit, class by class, the strongest first."""

    names: tuple[str, ...]  # (C,)
    means: np.ndarray  # (C,) of the unit's averages, sign and all
    margins: np.ndarray  # (C,) half of a 95% interval of each
    counts: np.ndarray  # (C,)
    auc: float  # how well the unit tells its first class from all others; 0.5 is chance, NaN where there is one class


@dataclass(frozen=True, eq=False)
class Region:
    """What of the input one unit reads at one place, by its gradient: n examples."""

    masks: np.ndarray  # (n, H, W) bool, of the input as the network takes it
    shares: np.ndarray  # (n,) of the input that the mask covers
    on_object: np.ndarray  # (n,) share of the mask that lies on the object; NaN where that isn't known
    object_share: np.ndarray  # (n,) share of the picture that is object: what a mask anywhere would have

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.masks.nbytes + 3 * self.shares.nbytes


def examples(model: Model, count: int = MOST, time: float = TIME, own: Feed | None = None) -> Examples:
    """The first test examples of a network's own data, at most `count`; noise where these are not here.

    time: of a denoiser, how far they are noised. own: of a language model whose data are not here, the person's text.
    """
    found = dataset(model)
    if found is None:
        whole = own if own is not None and kind_of(model) == "text" else sample(model, min(count, NOISE), time=time)
        return Examples(model, len(whole), None, whole)
    count = min(count, len(found))
    if kind_of(model) == "image":
        return Examples(model, count, found, None)
    return Examples(model, count, found, sample(model, count, time=time))


def profile(
    given: Examples, layer: str, on_step: Callable[[float], None] = lambda share: None, limit: int | None = None
) -> Profile:
    """How strongly every unit of a layer answers to every example, held by its largest value, its mean and its place.

    A unit is a channel of maps (N, K, …) and a feature of states (N, T, K) or (N, K). Of a vision transformer the
    class token is left out, of texts the tokens that only fill. limit: bytes; fewer examples are kept where they need
    more. Raises ExplorerError for a layer that does not run, or that does not answer to each example by itself.
    """
    model, kind = given.model, kind_of(given.model)
    limit = room() // 2 if limit is None else limit
    parts: list[_Part] = []
    held, done = 0, 0
    with model.borrow() as net, calm(net):
        for start in range(0, given.count, BATCH):
            some = given.take(range(start, min(start + BATCH, given.count)))
            calls, _ = passed(some, net, [layer.partition(CALL)[0]])
            call = next((call for call in calls if call.name == layer), None)
            if call is None:
                raise ExplorerError(f"The layer {layer!r}", "it did not run in this pass", "Choose another layer")
            part = _part(some, layer, type(call.part).__name__, first_tensor(call.output), kind)
            part.example += start
            parts.append(part)
            held += EACH * part.highest.size
            done = start + len(some)
            on_step(done / given.count)
            if held > limit:
                break
    highest, average, rectified = (_stacked(parts, name) for name in ("highest", "average", "rectified"))
    same = parts[0].place is None
    number = sum(part.size for part in parts)
    mean = sum(part.total for part in parts) / number
    low, high = (np.stack([getattr(part, name) for part in parts]) for name in ("low", "high"))
    classes, labels = _classes(given, parts, kind, model)
    return Profile(
        ref=model.card.ref,
        layer=layer,
        kind=kind,
        highest=highest,
        average=highest if same else average,
        rectified=rectified if (low < 0).any() else highest if same else average,
        place=None if same else _stacked(parts, "place"),
        grid=parts[0].grid,
        skipped=parts[0].skipped,
        example=_stacked(parts, "example"),
        position=None if parts[0].position is None else _stacked(parts, "position"),
        classes=classes,
        labels=labels,
        variance=np.maximum(sum(part.squares for part in parts) / number - mean**2, 0),
        low=low.min(0),
        high=high.max(0),
        examples=done,
        given=given.data is not None,
    )


def order(found: Profile, unit: int, by: str = "max", count: int = 12, least: bool = False) -> np.ndarray:
    """The samples that drive a unit most, or least, (count,); the first of equals comes first.

    Of tokens each text gives its strongest (or weakest) one only. Raises ExplorerError for a unit that there isn't.
    """
    check(found, unit)
    values = found.values(by)[:, unit]
    ranked = np.argsort(values if least else -values, kind="stable")
    if found.position is not None:
        _, first = np.unique(found.example[ranked], return_index=True)
        ranked = ranked[np.sort(first)]
    return ranked[:count]


def check(found: Profile, unit: int) -> None:
    """Raises ExplorerError for a unit that there isn't."""
    if not 0 <= unit < found.units:
        raise ExplorerError(f"Unit {unit} of {found.layer}", f"it has {found.units} of them",
                            f"Choose 0 to {found.units - 1}")  # fmt: skip


def index_of(means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The class selectivity index of every unit, (K,), from the mean of each class: means (C, K), counts (C,).

    (μ_max − μ_−max) / (μ_max + μ_−max), μ_−max the mean over the samples of all other classes; NaN where both are 0.
    Source: Morcos et al. 2018, "On the importance of single directions for generalization", section 2, "Quantifying
    class selectivity". It is between 0 and 1 for values that are never negative.
    """
    best = means.argmax(0)  # (K,)
    top = means[best, np.arange(means.shape[1])]
    totals = (means * counts[:, None]).sum(0)
    rest = (totals - top * counts[best]) / (counts.sum() - counts[best])
    with np.errstate(invalid="ignore", divide="ignore"):
        return (top - rest) / (top + rest)


def selectivity(found: Profile, seed: int = 0) -> Selectivity | None:
    """How much each unit of a layer is of one class; None where there are not two classes.

    What is below zero counts as zero, as behind a ReLU: the index is made for values that are never negative. Chance is
    the same index with the labels exchanged at random: with few samples a class it is not 0.
    """
    if found.classes is None:
        return None
    classes, counts = np.unique(found.classes[found.classes >= 0], return_counts=True)
    often = counts >= (FEW if found.position is not None else 1)
    classes, counts = classes[often], counts[often]
    if len(classes) < 2:
        return None
    rows = np.flatnonzero(np.isin(found.classes, classes))
    belongs = np.searchsorted(classes, found.classes[rows])  # (R,)
    values = found.rectified[rows]
    means = _means(values, belongs, counts)
    dice = np.random.default_rng(seed)
    shuffled = [index_of(_means(values, dice.permutation(belongs), counts), counts) for _ in range(SHUFFLES)]
    return Selectivity(index_of(means, counts), means.argmax(0), np.stack(shuffled), classes, counts, means)


def by_class(found: Profile, chances: Selectivity, unit: int) -> ByClass:
    """The mean of a unit over the samples of each class with its 95% interval, and how well it tells its first class.

    The area under the ROC curve holds for values of any sign: the chance that an example of the class drives the unit
    more than one of any other class does (Hanley and McNeil 1982; scikit-learn's roc_auc_score).
    """
    from sklearn.metrics import roc_auc_score

    check(found, unit)
    rows = np.isin(found.classes, chances.classes)
    values, classes = found.average[rows, unit].astype(np.float64), found.classes[rows]
    belongs = np.searchsorted(chances.classes, classes)
    means = np.bincount(belongs, values) / chances.counts
    spread = np.bincount(belongs, (values - means[belongs]) ** 2) / np.maximum(chances.counts - 1, 1)
    margins = np.where(chances.counts > 1, 1.96 * np.sqrt(spread / chances.counts), np.nan)
    ranked = np.argsort(-means, kind="stable")
    return ByClass(
        names=tuple(found.labels[number] for number in chances.classes[ranked]),
        means=means[ranked],
        margins=margins[ranked],
        counts=chances.counts[ranked],
        auc=float(roc_auc_score(belongs == ranked[0], values)) if np.isfinite(values).all() else float("nan"),
    )


def region(given: Examples, found: Profile, unit: int, samples: Sequence[int], share: float = 1.0) -> Region:
    """What of its input a unit reads at the place where it answers most, in each of some examples.

    The gradient of that one value with respect to the input is zero exactly where a small change of a pixel changes
    nothing: outside the receptive field, and behind whatever is switched off in this example (a ReLU below zero, the
    losers of a maximum). share: 1 marks all that has a gradient; less the fewest pixels that hold so much of its size
    (smoothed by a Gaussian of a 32nd of the side), the effective receptive field of Luo et al. 2016, "Understanding the
    effective receptive field", section 2.
    Raises ExplorerError where the input is no picture.
    """
    from scipy.ndimage import gaussian_filter

    check(found, unit)
    samples = np.asarray(samples, dtype=np.int64)
    rows = found.example[samples]
    some = given.take(rows)
    if some.inputs.get("x") is None or some.inputs["x"].ndim != 4:
        raise ExplorerError("The region that a unit reads", "these inputs are no pictures", "Open one that reads them")
    sizes = gradient(some, found, unit, samples).abs().sum(1).cpu().numpy()  # (n, H, W)
    if share < 1:  # neighbours together, not speckles
        sizes = gaussian_filter(sizes, (0, *(side / SMOOTH for side in sizes.shape[1:])))
    masks = np.stack([largest(one, share) for one in sizes])
    shares = masks.mean((1, 2))
    truth = objects(given, rows, masks.shape[1:])
    nothing = np.full(len(rows), np.nan)
    if truth is None:
        return Region(masks, shares, nothing, nothing)
    with np.errstate(invalid="ignore"):
        on_object = (masks & truth).sum((1, 2)) / masks.sum((1, 2))
    return Region(masks, shares, on_object, truth.mean((1, 2)))


def over_plane(given: Feed, found: Profile, unit: int, extent: float, side: int = 48) -> np.ndarray:
    """What a unit answers to every point of the plane from -extent to extent, (side, side), y upwards.

    given: one example, whose condition and time hold for all. Of a denoiser the points are its noised states.
    Raises ExplorerError where the network reads no points.
    """
    check(found, unit)
    if found.kind != "points" and given.inputs["x"].ndim != 2:
        raise ExplorerError("The plane", "this network reads no points", "Open one that does")
    line = (np.arange(side) + 0.5) / side * 2 * extent - extent
    x, y = np.meshgrid(line, line)
    grid = np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)
    states = given.model.preprocess(grid) if found.kind == "points" else torch.from_numpy(grid).to(given.model.device)
    conditions = given.conditions[:1] * len(grid)
    many = replace(given, inputs={"x": states}, conditions=conditions, y=None, pixels=None)
    whole = profile(Examples(given.model, len(grid), None, many), found.layer, limit=2**62)  # all of them
    return whole.highest[:, unit].reshape(side, side)


def gradient(some: Feed, found: Profile, unit: int, samples: np.ndarray) -> Tensor:
    """Of a unit at its strongest place in each example, with respect to the inputs `x`, (n, C, H, W)."""
    name = found.layer.partition(CALL)[0]
    with some.model.borrow() as net, calm(net), torch.inference_mode(False), torch.enable_grad():
        some = plain(some)
        x = some.inputs["x"].detach().clone().requires_grad_(True)
        with watched(net, [name], graph=True) as calls:
            replace(some, inputs={**some.inputs, "x": x}).run(net)
        call = next(call for call in calls if call.name == found.layer)
        states = units_last(first_tensor(call.output), type(call.part).__name__)  # (n, …, K)
        flat = states.reshape(len(states), -1, states.shape[-1])[..., unit]  # (n, places)
        places = 0 if found.place is None else found.skipped + found.place[samples, unit]
        at = torch.as_tensor(np.broadcast_to(places, len(flat)).astype(np.int64), device=flat.device)
        total = flat[torch.arange(len(flat), device=flat.device), at].sum()
        if not total.requires_grad:  # a layer that does not read the input
            return torch.zeros_like(x)
        (back,) = torch.autograd.grad(total, [x], allow_unused=True)
    return torch.zeros_like(x) if back is None else back


def largest(sizes: np.ndarray, share: float) -> np.ndarray:
    """The fewest pixels that hold this share of the sum, as bool; 1 takes all that are not zero."""
    if share >= 1:
        return sizes > 0
    flat = sizes.ravel().astype(np.float64)
    ranked = np.argsort(-flat, kind="stable")
    reached = np.cumsum(flat[ranked])
    mask = np.zeros(flat.size, bool)
    if reached[-1] > 0:
        mask[ranked[: np.searchsorted(reached, share * reached[-1] * (1 - 1e-12)) + 1]] = True
    return mask.reshape(sizes.shape)


def objects(given: Examples, rows: np.ndarray, size: tuple[int, ...]) -> np.ndarray | None:
    """Where the true object is, (n, H, W) bool; None where it isn't known for pictures of this size."""
    masks = None if given.data is None else given.data.masks
    return masks[rows] if masks is not None and masks.shape[1:] == tuple(size) else None


def units_last(states: Tensor, kind: str) -> Tensor:
    """What a layer gave out with its units as the last axis: (N, …, K).

    kind: the class of the module. Maps (N, K, H, W) have them second; so have (N, H, W, K), the states of a Swin
    transformer, them last, which is seen where two sides are equal and the last axis is another.
    """
    if states.ndim == 3 and kind in LAST:
        return states.movedim(1, -1)
    if states.ndim < 4 or (states.ndim == 4 and states.shape[1] == states.shape[2] != states.shape[3]):
        return states
    return states.movedim(1, -1)


def picked(given: Feed, rows: np.ndarray) -> Feed:
    """Some of the examples of a feed, by their numbers."""
    at = torch.as_tensor(rows)
    return replace(
        given,
        inputs={name: value[at.to(value.device)] for name, value in given.inputs.items()},
        conditions=tuple(given.conditions[row] for row in rows) if given.conditions else (),
        keep=None if given.keep is None else given.keep[at.to(given.keep.device)],
        y=None if given.y is None else given.y[rows],
        pixels=None if given.pixels is None else given.pixels[rows],
    )


def class_token(places: int) -> int:
    """How many tokens come before those of the patches: one where only the others fill a square."""
    return int(round((places - 1) ** 0.5) ** 2 == places - 1 and round(places**0.5) ** 2 != places)


@dataclass(eq=False)
class _Part:
    """What is held of one batch: n samples."""

    highest: np.ndarray
    average: np.ndarray
    rectified: np.ndarray
    place: np.ndarray | None
    example: np.ndarray
    position: np.ndarray | None
    classes: np.ndarray | None
    grid: tuple[int, ...]
    skipped: int
    size: int  # values of each unit
    total: np.ndarray  # (K,)
    squares: np.ndarray  # (K,)
    low: np.ndarray  # (K,)
    high: np.ndarray  # (K,)


def _part(some: Feed, layer: str, kind: str, states: Tensor | None, takes: str) -> _Part:
    asked = f"The units of {layer}"
    if states is None or states.ndim < 2 or not states.is_floating_point():
        raise ExplorerError(asked, "it gives out no numbers for each example", "Choose another layer")
    if len(states) != len(some):
        raise ExplorerError(asked, f"it gives {len(states)} rows for {len(some)} examples, none of them one's own",
                            "Choose a layer that reads the examples")  # fmt: skip
    states = units_last(states.detach().float(), kind)
    if takes == "text" and states.ndim == 3:
        return _tokens(some, layer, states)
    if takes == "text" and states.ndim > 3:
        raise ExplorerError(asked, "it gives a value for each pair of tokens, not for each token",
                            "Choose another layer, or look at its heads on the page Attention")  # fmt: skip
    grid, skipped = tuple(states.shape[1:-1]), 0
    flat = states.reshape(len(states), -1, states.shape[-1])  # (n, places, K)
    if takes == "image" and len(grid) == 1 and (skipped := class_token(grid[0])):
        flat, grid = flat[:, 1:], (round((grid[0] - 1) ** 0.5),) * 2
    elif len(grid) == 1 and round(grid[0] ** 0.5) ** 2 == grid[0]:
        grid = (round(grid[0] ** 0.5),) * 2
    rows = np.arange(len(flat))
    classes = some.y if some.y is not None and some.y.ndim == 1 else None
    if flat.shape[1] == 1:
        return _summed(flat[:, 0], None, None, rows, None, classes, (), skipped, flat)
    highest, place = flat.max(1)
    return _summed(highest, flat.mean(1), place, rows, None, classes, grid, skipped, flat)


def _tokens(some: Feed, layer: str, states: Tensor) -> _Part:
    """Every token that counts as a sample of its own."""
    ids, keep = _side(some, layer, states.shape[1])
    rows, positions = keep.nonzero(as_tuple=True)
    values = states[rows, positions]  # (tokens, K)
    at, position, read = (one.cpu().numpy() for one in (rows, positions, ids[rows, positions]))
    return _summed(values, None, None, at, position, read, (), 0, values[:, None])


def _side(some: Feed, layer: str, length: int) -> tuple[Tensor, Tensor]:
    """The tokens whose states a layer gives out, and which of them count: those of the encoder, or of the decoder."""
    encoder = some.inputs["input_ids"], some.inputs.get("attention_mask", torch.ones_like(some.inputs["input_ids"])) > 0
    sides = [encoder]
    if "decoder_input_ids" in some.inputs:
        decoder = some.inputs["decoder_input_ids"], some.keep
        reads = ".encoder." in f".{layer}." or layer.endswith(("encoder_attn.k_proj", "encoder_attn.v_proj"))
        sides = [encoder, decoder] if reads else [decoder, encoder]
    for ids, keep in sides:
        if ids.shape[1] == length:
            return ids, keep
    raise ExplorerError(f"The units of {layer}", f"it gives {length} states, which are not one for each token",
                        "Choose another layer")  # fmt: skip


def _summed(
    highest: Tensor, average: Tensor | None, place: Tensor | None, example: np.ndarray, position: np.ndarray | None,
    classes: np.ndarray | None, grid: tuple[int, ...], skipped: int, flat: Tensor,
) -> _Part:  # fmt: skip
    top = _numpy(highest)
    double = flat.double()
    return _Part(
        highest=top,
        average=top if average is None else _numpy(average),
        rectified=_numpy(flat.clamp(min=0).mean(1)),
        place=None if place is None else place.cpu().numpy().astype(np.int32),
        example=example.astype(np.int64),
        position=position,
        classes=classes,
        grid=grid,
        skipped=skipped,
        size=flat.shape[0] * flat.shape[1],
        total=double.sum((0, 1)).cpu().numpy(),
        squares=double.square().sum((0, 1)).cpu().numpy(),
        low=_numpy(flat.amin((0, 1))),
        high=_numpy(flat.amax((0, 1))),
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _stacked(parts: list[_Part], name: str) -> np.ndarray:
    return np.concatenate([getattr(part, name) for part in parts])


def _classes(given: Examples, parts: list[_Part], kind: str, model: Model) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """What each sample is of, and the names."""
    if any(part.classes is None for part in parts):
        return None, ()
    classes = _stacked(parts, "classes")
    if kind == "text" and isinstance(model, TextModel):
        seen, classes = np.unique(classes, return_inverse=True)
        return classes, tuple(model.token(int(number)) for number in seen)
    labels = model.labels or (given.data.labels if given.data is not None else ())
    return (classes, labels) if labels and classes.max() < len(labels) else (None, ())


def _means(values: np.ndarray, belongs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over each class, (C, K)."""
    ranked = np.argsort(belongs, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(values[ranked].astype(np.float64), starts, axis=0) / counts[:, None]
