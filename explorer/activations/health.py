"""How well are the layers? Spread, zeros, dead units, saturation, and how much of the gradient reaches each."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from explorer.activations.base import CALL
from explorer.activations.capture import calm, chosen, first_tensor, plain
from explorer.activations.feed import TIME, Feed, opened, room
from explorer.activations.health_loss import Task, task
from explorer.errors import ExplorerError
from explorer.turns import TURNS
from explorer.zoo.model import Model

COUNT = 128  # examples unless one says how many
BATCH = 32  # examples that pass at a time, at the most
BINS = 60  # of a histogram
FLAT = 0.97  # of the way to its limit, where a squashing function counts as flat
NEAR = 0.01  # of a layer's root mean square: what is smaller counts as near zero
STILL = 1e-6  # of the largest value in its layer: a unit that changes less never varies
DIRECTIONS = 512  # units at most whose covariance is worked out
KEPT = 4  # tensors of its size, about, that a value takes on its way there and back

DEAD = 0.1  # share of a layer's units from which it is told
FLAT_SHARE = 0.5  # share of saturated values from which it is told, of what is flat at both ends
ZERO_SHARE = 0.95  # the same of what is flat below zero only, where half is usual
APART = 100  # times above or below the median from which a spread stands out
FADED = 1000  # times below the largest from which a gradient is told to vanish

Shape = tuple[int, ...]
Step = Callable[[float], None]

RECTIFIED = ("ReLU", "ReLU6", "ReLUSquaredActivation", "Threshold")  # nothing below zero comes out
SQUASHING = ("Tanh", "Sigmoid", "Softsign", "Hardtanh", "ReLU6", "Hardsigmoid")  # flat at both ends
SATURATED: Mapping[str, Callable[[nn.Module, Tensor], Tensor]] = {  # kind → which outputs lie in its flat part
    "Tanh": lambda part, x: x.abs() > FLAT,
    "Softsign": lambda part, x: x.abs() > FLAT,
    "Sigmoid": lambda part, x: (2 * x - 1).abs() > FLAT,
    "Hardtanh": lambda part, x: (x <= part.min_val) | (x >= part.max_val),
    "Hardsigmoid": lambda part, x: (x <= 0) | (x >= 1),
    "Hardswish": lambda part, x: x == 0,
    "ReLU": lambda part, x: x == 0,
    "ReLU6": lambda part, x: (x <= 0) | (x >= 6),
    "ReLUSquaredActivation": lambda part, x: x == 0,
    "ELU": lambda part, x: x < -FLAT * part.alpha,
    "CELU": lambda part, x: x < -FLAT * part.alpha,
}
ON_MAPS = ("Conv", "BatchNorm", "GroupNorm", "InstanceNorm", "MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
ON_LAST = ("Linear", "Conv1D", "LayerNorm", "RMSNorm", "Embedding", "MultiheadAttention", "LSTM", "GRU", "RNN")
FLAT_PART = {  # what the flat part is, in words
    "Tanh": f"beyond ±{FLAT}",
    "Softsign": f"beyond ±{FLAT}",
    "Sigmoid": f"within {(1 - FLAT) / 2:.3g} of 0 or 1",
    "Hardtanh": "at either limit",
    "Hardsigmoid": "at 0 or 1",
    "Hardswish": "exactly 0",
    "ReLU": "exactly 0",
    "ReLU6": "at 0 or 6",
    "ReLUSquaredActivation": "exactly 0",
    "ELU": f"beyond −{FLAT} α",
    "CELU": f"beyond −{FLAT} α",
}


@dataclass(frozen=True)
class LayerHealth:
    """One call of one layer over a sample."""

    name: str  # as in `Layer.name`
    kind: str
    shape: Shape  # of what it gives for one example
    units: int  # channels of maps, features of tokens and vectors
    values: int  # that were seen
    mean: float
    std: float
    low: float
    high: float
    zeros: float  # share of the values that are exactly zero
    dead: int | None  # units that are never above zero (of a ReLU) or never vary; None where all are constant
    saturated: float | None  # share in the flat part; None where there is none
    gradient: float | None  # ‖∂L/∂output‖ over the sample, L its mean loss; None where the loss does not depend on it
    broken: int = 0  # values that are no numbers, or endless; they count as zero in all the rest

    @property
    def dead_means(self) -> str:
        """When a unit of it counts as dead."""
        return "never above zero" if self.kind in RECTIFIED else "never varies"

    @property
    def squashes(self) -> bool:
        """Whether it is flat at both ends, so that a saturated value passes no gradient whatever it means."""
        return self.kind in SQUASHING


@dataclass(frozen=True)
class WeightHealth:
    """One parameter, and the gradient that reaches it."""

    name: str  # as in named_parameters()
    layer: str  # the listed layer that it belongs to; "" where none does
    size: int
    norm: float
    gradient: float | None  # ‖∂L/∂w‖; None where no gradient reaches it, or none was asked for

    @property
    def ratio(self) -> float | None:
        """‖∂L/∂w‖ / ‖w‖; None where either is missing."""
        return self.gradient / self.norm if self.gradient is not None and self.norm else None


@dataclass(frozen=True, eq=False)
class Health:
    """All layers of a network over a sample, in the order in which they finish, and all its weights."""

    ref: str
    layers: tuple[LayerHealth, ...]
    weights: tuple[WeightHealth, ...]
    loss: float
    loss_means: str  # what the loss is, in words
    examples: str  # what the examples are, in words
    count: int  # examples
    left_out: dict[str, str]  # layers that are not told → why
    note: str = ""  # why there are no gradients, where there are none
    seconds: float = 0.0

    def __contains__(self, name: str) -> bool:
        return any(layer.name == name for layer in self.layers)

    def __getitem__(self, name: str) -> LayerHealth:
        """A layer by its name; raises ExplorerError where it is not told."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        why = self.left_out.get(name, "none of that name was looked at")
        raise ExplorerError(f"The layer {name!r}", why, "Choose another")

    @property
    def nbytes(self) -> int:
        """Bytes, about."""
        return 400 * (len(self.layers) + len(self.weights) + len(self.left_out) + 1)


@dataclass(frozen=True, eq=False)
class UnitHealth:
    """One layer over a sample, unit by unit: U units."""

    layer: LayerHealth  # without its gradient
    edges: np.ndarray  # (BINS + 1,) of the histogram
    counts: np.ndarray  # (BINS,) values in each bin, exact zeros left out
    mean: np.ndarray  # (U,)
    low: np.ndarray  # (U,)
    high: np.ndarray  # (U,)
    active: np.ndarray  # (U,) share of the examples in which it is above zero somewhere
    above: np.ndarray  # (U,) share of its values above zero
    dead: np.ndarray  # (U,) bool
    near: float  # share of the values below NEAR of the layer's root mean square
    directions: float | None  # participation ratio of the units' covariance, 1 to U; None of too many units
    count: int  # examples

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        arrays = (self.edges, self.counts, self.mean, self.low, self.high, self.active, self.above, self.dead)
        return sum(array.nbytes for array in arrays)


@dataclass(frozen=True)
class Finding:
    """Something that stands out, with the rule that it breaks."""

    layer: str  # "" of the whole network
    words: str  # a sentence without the layer's name
    rule: str  # from when on it is told


def health(
    ref: str | Model,
    count: int = COUNT,
    time_in: float = TIME,
    given: Feed | None = None,
    layers: Sequence[str] | None = None,
    batch: int | None = None,
    on_step: Step = lambda share: None,
) -> Health:
    """How every layer of a network does over examples of its own data, and how much of the loss's gradient reaches it.

    The network is in evaluation mode. Gradients are those of the mean loss over the sample. given: other examples, with
    their truth in `y`. layers: names as in named_modules(); None takes the innermost ones that do something. time_in:
    of a denoiser, how far examples are noised. Only sums are kept: memory does not grow with the sample.
    Raises ExplorerError for a layer that there isn't.
    """
    began, model = TURNS.clock(), opened(ref)
    asked = task(model, count, time_in, given)
    # Gradients of all weights must fit beside them.
    graph = model.bytes <= room()
    with model.borrow() as net, calm(net):
        plan = probe(net, asked, layers)
        size = batch or plan.batch
        seen = plan.seen()
        weights = dict(net.named_parameters())
        loss, found = _there_and_back(net, asked, seen, weights if graph else {}, size, on_step)
        norms = {name: float(weight.detach().double().norm()) for name, weight in weights.items()}
        sizes = {name: weight.numel() for name, weight in weights.items()}
    owners = _owners(weights, list(seen))
    told = tuple(
        WeightHealth(name, owners[name], sizes[name], norms[name],
                     float(found[name].double().norm()) if name in found else None)
        for name in weights
    )  # fmt: skip
    note = "" if graph else f"Its weights take {model.bytes / 2**20:,.0f} MB: gradients of them have no room here."
    return Health(
        model.card.ref, tuple(one.told(name) for name, one in seen.items()), told, loss, asked.loss, asked.examples,
        len(asked.given), plan.left_out, note, TURNS.clock() - began,
    )  # fmt: skip


def examine(
    ref: str | Model,
    layer: str,
    count: int = COUNT,
    time_in: float = TIME,
    given: Feed | None = None,
    batch: int | None = None,
    bins: int = BINS,
    on_step: Step = lambda share: None,
) -> UnitHealth:
    """One layer over the sample, unit by unit, with the histogram of all its values.

    Two passes: the first finds the range, which the bins of the second share evenly. layer: as in `Layer.name`; the
    other arguments as of `health`. Raises ExplorerError for a layer that there isn't, or that gives out no numbers.
    """
    model = opened(ref)
    asked = task(model, count, time_in, given)
    with model.borrow() as net, calm(net):
        plan = probe(net, asked, [layer.partition(CALL)[0]])
        if layer not in plan.axes:
            why = plan.left_out.get(layer, "it did not run so often")
            raise ExplorerError(f"The layer {layer!r}", why, "Choose another")
        size = batch or plan.batch
        first = plan.seen()[layer]
        ran(net, asked, {layer: first}, size, lambda share: on_step(share / 2))
        second = Counted(first, bins)
        ran(net, asked, {layer: second}, size, lambda share: on_step((1 + share) / 2))
    return UnitHealth(
        first.told(layer), second.edges, second.counts, second.mean, first.unit_low, first.unit_high,
        first.active / first.examples, second.above, first.dead_units(), second.near, second.directions(),
        len(asked.given),
    )  # fmt: skip


def stands_out(found: Health) -> tuple[Finding, ...]:
    """What of a network's health is worth a look, by rules of thumb that each finding tells; empty where nothing is."""
    findings = [
        Finding(layer.name, f"gives out {layer.broken:,} values that are no numbers or endless", "from one on")
        for layer in found.layers
        if layer.broken
    ]
    for layer in found.layers:
        if layer.dead and layer.units > 1 and layer.dead > DEAD * layer.units:
            share = layer.dead / layer.units
            words = f"{layer.dead:,} of its {layer.units:,} units are dead, {share:.0%}: {layer.dead_means}"
            findings.append(Finding(layer.name, words, f"from {DEAD:.0%} on"))
        if layer.saturated is not None and layer.saturated > (FLAT_SHARE if layer.squashes else ZERO_SHARE):
            limit = FLAT_SHARE if layer.squashes else ZERO_SHARE
            words = f"{layer.saturated:.0%} of its values lie in the flat part ({FLAT_PART[layer.kind]})"
            findings.append(Finding(layer.name, words, f"from {limit:.0%} on for {layer.kind}"))
    return (*findings, *_through_depth(found), *_gradients(found))


def _through_depth(found: Health) -> Iterator[Finding]:
    """Layers whose spread has nothing of the others'; the last, the answer, may have any."""
    inner = [layer for layer in found.layers[:-1] if layer.std > 0]
    if len(inner) < 3:
        return
    middle = float(np.median([layer.std for layer in inner]))
    for layer, times, word in (
        (max(inner, key=lambda one: one.std), lambda one: one.std / middle, "above"),
        (min(inner, key=lambda one: one.std), lambda one: middle / one.std, "below"),
    ):
        if times(layer) > APART:
            words = f"the spread, {layer.std:.3g}, is {times(layer):,.0f} times {word} the median layer's, {middle:.3g}"
            yield Finding(layer.name, words, f"from {APART} times on")


def _gradients(found: Health) -> Iterator[Finding]:
    """Layers that the loss hardly reaches."""
    reached = [layer for layer in found.layers if layer.gradient is not None]
    owned = [weight for weight in found.weights if weight.gradient == 0 and weight.size > 1]
    for weight in owned[:3]:
        yield Finding(weight.layer, f"no gradient at all reaches its weights {weight.name}", "exactly zero")
    live = [layer for layer in reached if layer.gradient > 0]
    if len(live) < 2:
        return
    strongest = max(live, key=lambda one: one.gradient)
    weakest = min(live, key=lambda one: one.gradient)
    times = strongest.gradient / weakest.gradient
    if times <= FADED:
        return
    earlier = live.index(weakest) < live.index(strongest)
    words = (
        f"the gradient here, {weakest.gradient:.2g}, is {times:,.0f} times below that at {strongest.name}, "
        f"{strongest.gradient:.2g}: it {'vanishes on its way back' if earlier else 'grows on its way back'}"
    )
    yield Finding(weakest.name, words, f"from {FADED:,} times on")


@dataclass(frozen=True)
class Plan:
    """What a first pass told of a network's layers."""

    axes: dict[str, int]  # call → the axis of its units, counted from the end
    kinds: dict[str, str]  # call → the class of its module
    left_out: dict[str, str]  # layer → why it is not told
    shared: frozenset[str]  # calls that give one thing for all examples
    batch: int  # examples that may pass at a time

    def seen(self) -> dict[str, "Seen"]:
        """Where each call's outputs are summed up, still empty."""
        return {name: Seen(axis, self.kinds[name], name in self.shared) for name, axis in self.axes.items()}


@dataclass
class Seen:
    """What is summed up of one call of a layer: batches of its outputs in, moments and extremes out."""

    axis: int
    kind: str
    shared: bool = False  # the same output serves all examples of a batch, so its gradients add up
    shape: Shape = ()
    examples: int = 0
    values: int = 0
    mean: float = 0.0
    squares: float = 0.0  # summed squares of the distance from the mean
    zeros: int = 0
    saturated: int = 0
    broken: int = 0
    gradient: float | Tensor = 0.0  # summed squares; what is shared keeps the sum itself
    reached: bool = False
    unit_low: np.ndarray = field(default_factory=lambda: np.empty(0))  # (U,)
    unit_high: np.ndarray = field(default_factory=lambda: np.empty(0))
    active: np.ndarray = field(default_factory=lambda: np.empty(0))  # (U,) examples in which it is above zero

    def add(self, part: nn.Module, x: Tensor, kept: Tensor | None) -> None:
        """One batch. x: (n, …) floats; kept: (n, T) bool, which of its tokens count."""
        self.shape = tuple(x.shape[1:])
        x = x.movedim(self.axis, -1)  # (n, …, U)
        values = x if kept is None else x[kept]
        count = values.numel()
        if not count:
            return
        spread, mean = (float(one) for one in torch.var_mean(values.float(), correction=0))
        if not math.isfinite(spread):
            fine = torch.isfinite(x)
            self.broken += int((~(fine if kept is None else fine[kept])).sum())
            x = x.where(fine, 0)
            values = x if kept is None else x[kept]
            spread, mean = (float(one) for one in torch.var_mean(values.double(), correction=0))
        spread *= count
        apart = mean - self.mean  # Chan, Golub and LeVeque 1979: how the moments of two parts make those of both
        self.squares += spread + apart**2 * self.values * count / (self.values + count)
        self.mean += apart * count / (self.values + count)
        self.values += count
        self.zeros += count - int(torch.count_nonzero(values))
        if self.kind in SATURATED and self.kind not in ("ReLU", "Hardswish", "ReLUSquaredActivation"):
            self.saturated += int(torch.count_nonzero(SATURATED[self.kind](part, values)))
        low, high = _extremes(x, kept)  # (n, U)
        self._extend(*(one.float().cpu().numpy() for one in (low, high)))

    def _extend(self, low: np.ndarray, high: np.ndarray) -> None:
        active = (high > 0).sum(0)
        self.examples += len(high)
        if not self.unit_low.size:
            self.unit_low, self.unit_high, self.active = low.min(0), high.max(0), active
            return
        self.unit_low = np.minimum(self.unit_low, low.min(0))
        self.unit_high = np.maximum(self.unit_high, high.max(0))
        self.active = self.active + active

    def reach(self, gradient: Tensor) -> None:
        """The gradient of the loss with respect to one batch of its outputs."""
        self.reached = True
        self.gradient = self.gradient + (gradient.float() if self.shared else float(gradient.float().norm()) ** 2)

    @property
    def gradient_norm(self) -> float | None:
        """Over all batches; None where the loss does not depend on it."""
        if not self.reached:
            return None
        return float(self.gradient.norm()) if isinstance(self.gradient, Tensor) else math.sqrt(self.gradient)

    @property
    def std(self) -> float:
        """Of all values."""
        return math.sqrt(self.squares / self.values) if self.values else 0.0

    def dead_units(self) -> np.ndarray:
        """Which units are dead, (U,) bool."""
        if self.kind in RECTIFIED:
            return self.unit_high <= 0
        largest = max(abs(float(self.unit_low.min())), abs(float(self.unit_high.max())))
        return self.unit_high - self.unit_low <= STILL * largest

    def told(self, name: str) -> LayerHealth:
        """What was seen, as numbers."""
        dead = self.dead_units()
        constant = dead.all() and self.kind not in RECTIFIED  # as is what does not depend on the example
        plain_zeros = self.kind in ("ReLU", "Hardswish", "ReLUSquaredActivation")
        flat = self.zeros if plain_zeros else self.saturated
        return LayerHealth(
            name, self.kind, self.shape, len(dead), self.values, self.mean, self.std,
            float(self.unit_low.min()), float(self.unit_high.max()), self.zeros / self.values,
            None if constant else int(dead.sum()),
            flat / self.values if self.kind in SATURATED else None,
            self.gradient_norm,
            self.broken,
        )  # fmt: skip


class Counted:
    """What a second look at a layer counts, once its range is known."""

    def __init__(
        self,
        first: Seen,
        bins: int = BINS,
        low: float | None = None,
        high: float | None = None,
        directions: bool = True,
    ) -> None:
        self.axis, self.kind = first.axis, first.kind
        low = float(first.unit_low.min()) if low is None else low
        high = float(first.unit_high.max()) if high is None else high
        if low == high:
            low, high = low - 0.5, high + 0.5
        self.edges = np.linspace(low, high, bins + 1)
        self.counts = np.zeros(bins, np.int64)
        self._small = NEAR * math.hypot(first.mean, first.std)
        self._near = self._rows = 0
        units = len(first.unit_low)
        self._sum = torch.zeros(units, dtype=torch.float64)
        self._above = torch.zeros(units, dtype=torch.float64)
        self._products = torch.zeros(units, units, dtype=torch.float64) if directions and units <= DIRECTIONS else None
        self._middle = first.mean  # products around it lose less to rounding

    def add(self, part: nn.Module, x: Tensor, kept: Tensor | None) -> None:
        """One batch, as of `Seen.add`."""
        x = x.movedim(self.axis, -1).float()
        rows = (x if kept is None else x[kept]).reshape(-1, x.shape[-1])  # (rows, U)
        rows = rows.where(torch.isfinite(rows), 0)
        low, high, bins = float(self.edges[0]), float(self.edges[-1]), len(self.counts)
        counts = torch.histc(rows, bins, low, high).cpu()
        zeros = rows.numel() - int(torch.count_nonzero(rows))
        if zeros:
            counts -= zeros * torch.histc(torch.zeros(1), bins, low, high)
        self.counts += counts.long().numpy()
        self._near += int((rows.abs() < self._small).sum())
        self._rows += len(rows)
        self._sum += rows.sum(0, dtype=torch.float64).cpu()
        self._above += (rows > 0).sum(0).cpu()
        if self._products is not None:
            moved = rows - self._middle
            self._products += (moved.T @ moved).double().cpu()

    @property
    def mean(self) -> np.ndarray:
        """Of each unit, (U,)."""
        return (self._sum / self._rows).numpy()

    @property
    def above(self) -> np.ndarray:
        """The share of each unit's values above zero, (U,)."""
        return (self._above / self._rows).numpy()

    @property
    def near(self) -> float:
        """The share of values near zero."""
        return self._near / (self._rows * len(self._sum))

    def directions(self) -> float | None:
        """The participation ratio (Σλ)² / Σλ² of the eigenvalues λ of the units' covariance.

        About how many directions share the variance: 1 where all units go together, U where all are independent and
        equally strong. None where the units are too many or nothing varies.
        """
        if self._products is None:
            return None
        mean = self._sum / self._rows - self._middle
        covariance = self._products / self._rows - mean[:, None] * mean
        whole, squares = float(covariance.trace()), float(covariance.square().sum())
        return whole**2 / squares if whole > 0 and squares > 0 else None


def _extremes(x: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value of each unit in each example: (n, U) each, of x (n, …, U)."""
    if x.ndim == 2:
        return x, x
    between = tuple(range(1, x.ndim - 1))
    if kept is None:
        return x.amin(between), x.amax(between)
    there = kept[(..., *(None,) * (x.ndim - 2))]  # (n, T, 1, …)
    return x.masked_fill(~there, math.inf).amin(between), x.masked_fill(~there, -math.inf).amax(between)


def probe(net: nn.Module, asked: Task, layers: Sequence[str] | None = None) -> Plan:
    """What the layers give out for two examples: which do something, and where their units lie.

    layers: None takes the innermost modules that run and change what they are given.
    """
    names = chosen(net, layers)
    calls: dict[str, Tensor | None] = {}
    parts: dict[str, nn.Module] = {}
    same: set[str] = set()

    def look(name: str, part: nn.Module, inputs: tuple, output: object) -> None:
        tensor = first_tensor(output)
        calls[name], parts[name] = None if tensor is None else tensor.detach()[:0], part
        sizes[name] = 0 if tensor is None else tensor.numel()
        shapes[name] = () if tensor is None else tuple(tensor.shape)
        if tensor is not None and tensor is first_tensor(inputs):
            same.add(name)

    sizes: dict[str, int] = {}
    shapes: dict[str, Shape] = {}
    two = asked.rows(0, 2)
    with torch.inference_mode(False), torch.no_grad(), hooked(net, names, look):
        plain(two.given).run(net)
    modules = {name.partition(CALL)[0] for name in calls}
    inner = {name for name in modules if not any(other.startswith(f"{name}.") for other in modules)}
    axes: dict[str, int] = {}
    left_out = {name: "it did not run in this pass" for name in names if name not in modules and layers is not None}
    last: dict[Shape, int] = {}  # where units lay in what was last of this shape
    for name, tensor in calls.items():
        part = parts[name]
        if layers is None and name.partition(CALL)[0] not in inner:
            continue
        if tensor is None or not tensor.is_floating_point() or not sizes[name]:
            left_out[name] = "it gives out no numbers that could be measured"
        elif layers is None and name in same:
            left_out[name] = "it gives on what it is given"
        elif len(shapes[name]) < 2:
            left_out[name] = "it gives one number for each example, or for all"
        else:
            axes[name] = last[shapes[name]] = unit_axis(part, shapes[name], last.get(shapes[name]))
    held = KEPT * 4 * sum(sizes.values()) // len(two.given)
    batch = int(min(BATCH, max(1, room() // max(1, held))))
    shared = frozenset(name for name in axes if shapes[name][0] == 1 and len(two.given) > 1)
    return Plan(axes, {name: type(parts[name]).__name__ for name in axes}, left_out, shared, batch)


def unit_axis(part: nn.Module, shape: Shape, before: int | None = None) -> int:
    """Where the units lie in what a layer gives, counted from the end.

    Channels of maps, features of tokens and of vectors. Layers that only act on each number follow what came before.
    """
    kind = type(part).__name__
    if kind.startswith(ON_MAPS) and kind.endswith(("1d", "2d", "3d", "GroupNorm")):
        return 1 - len(shape)
    if kind.startswith(ON_LAST):
        return -1
    if before is not None:
        return before
    return 1 - len(shape) if len(shape) == 4 else -1


@contextmanager
def hooked(net: nn.Module, names: Sequence[str], look: Callable) -> Iterator[None]:
    """Tell `look(call, module, inputs, output)` of every call of the named layers inside the `with`."""
    parts, count = dict(net.named_modules()), {}

    def hook(name: str) -> torch.utils.hooks.RemovableHandle:
        def tell(part: nn.Module, inputs: tuple, output: object) -> object:
            count[name] = count.get(name, 0) + 1
            return look(name if count[name] == 1 else f"{name}{CALL}{count[name]}", part, inputs, output)

        return parts[name].register_forward_hook(tell)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name in names:
            handles.append(hook(name))
        yield
    finally:
        for handle in handles:
            handle.remove()


def ran(net: nn.Module, asked: Task, seen: Mapping[str, Seen | Counted], size: int, on_step: Step) -> None:
    """Pass the examples through a borrowed tree, batch by batch, each call's output added to what was seen."""
    names = list(dict.fromkeys(name.partition(CALL)[0] for name in seen))
    with torch.inference_mode(False), torch.no_grad():
        for start in range(0, len(asked.given), size):
            part = asked.rows(start, start + size)
            with hooked(net, names, _adding(part.given, seen, graph=False)):
                plain(part.given).run(net)
            on_step(min(1.0, (start + size) / len(asked.given)))


def _adding(given: Feed, seen: Mapping[str, Seen | Counted], graph: bool) -> Callable:
    """A hook that adds outputs to what was seen, and, in a graph, lets their gradients be added too."""

    def look(name: str, part: nn.Module, inputs: tuple, output: object) -> object:
        tensor = first_tensor(output)
        if name not in seen or tensor is None:
            return None
        fitted, kept = _per_example(tensor.detach(), given, name)
        seen[name].add(part, fitted, kept)
        if graph and tensor.requires_grad:
            tensor.register_hook(seen[name].reach)
        return None

    return look


def _per_example(x: Tensor, given: Feed, name: str) -> tuple[Tensor, Tensor | None]:
    """An output with the examples first, and which of its tokens count; one row where it has none for each example."""
    count = len(given)
    if len(x) != count:
        x = x.reshape(count, -1, *x.shape[1:]) if len(x) % count == 0 and len(x) else x[None]
    for tokens in _kept(given, name):
        if x.ndim > 2 and x.shape[:2] == tokens.shape:
            return x, tokens
        if x.ndim > 2 and len(x) == count and x.shape[1] == tokens.shape[1]:
            return x, tokens
    return x, None


def _kept(given: Feed, name: str) -> list[Tensor]:
    """Which tokens count, of the texts that this layer may see: (N, T) bool each."""
    if given.keep is None:
        return []
    mask = given.inputs.get("attention_mask")
    inside = [] if mask is None else [mask.bool()]
    if "decoder_input_ids" not in given.inputs:
        return [given.keep]
    return [*inside, given.keep] if "encoder." in f"{name}." and "decoder." not in name else [given.keep, *inside]


def _there_and_back(
    net: nn.Module, asked: Task, seen: Mapping[str, Seen], weights: Mapping[str, Tensor], size: int, on_step: Step
) -> tuple[float, dict[str, Tensor]]:
    """The mean loss, and the gradient of each weight that it reaches; outputs and their gradients go into `seen`."""
    loss, found = 0.0, {}
    names = list(dict.fromkeys(name.partition(CALL)[0] for name in seen))
    with torch.inference_mode(False), torch.set_grad_enabled(bool(weights)):
        net.requires_grad_(bool(weights))
        try:
            for start in range(0, len(asked.given), size):
                part = asked.rows(start, start + size)
                part = Task(plain(part.given), part.truth, part.loss, part.examples, part.whole, part.own)
                leaves = dict(weights)
                if weights:
                    leaves |= {
                        f"{CALL}{name}": value.requires_grad_()  # so that layers before any weight are reached too
                        for name, value in part.given.inputs.items()
                        if value.is_floating_point()
                    }
                with hooked(net, names, _adding(part.given, seen, bool(weights))):
                    wrong = part.wrong(net)
                loss += float(wrong.detach())
                if weights and wrong.requires_grad:
                    gradients = torch.autograd.grad(wrong, [*leaves.values()], allow_unused=True)
                    for name, one in zip(leaves, gradients, strict=True):
                        if one is not None and name in weights:
                            found[name] = found[name] + one if name in found else one
                on_step(min(1.0, (start + size) / len(asked.given)))
        finally:
            net.requires_grad_(False)
    return loss, found


def _owners(weights: Mapping[str, Tensor], layers: Sequence[str]) -> dict[str, str]:
    """The listed layer of each weight: its own module, else one around it, else the first within its module."""
    found: dict[str, str] = {}
    for name in weights:
        module = name.rpartition(".")[0]
        around = module
        while around and around not in layers:
            around = around.rpartition(".")[0]
        inside = next((layer for layer in layers if not module or layer.startswith(f"{module}.")), "")
        found[name] = around or inside
    return found
