"""A layer's output as units with a map each: put back on the picture's grid, ordered, and scaled for the eye."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.activations.base import CALL, Layer
from explorer.activations.capture import calm, capture, chosen, first_tensor
from explorer.activations.feed import Feed, opened, sample
from explorer.activations.sums import bend
from explorer.attribution.layers import grid
from explorer.errors import ExplorerError
from explorer.zoo.model import Model

ORDERS = ("index", "mean", "variance", "selectivity")
SCALES = ("local", "layer", "global")
FIRST = ("GroupNorm", "BatchNorm1d", "Conv1d", "InstanceNorm1d", "MaxPool1d", "AvgPool1d")  # (N, units, places)
EXAMPLES = 200  # that selectivity is measured on
BATCH = 50


@dataclass(frozen=True, eq=False)
class Units:
    """What K units of one layer give out for one example, each with a map of its own."""

    layer: str
    form: str  # maps | patches: tokens back on the picture's grid | tokens: one row for each | vector: one number each
    values: np.ndarray  # (K, h, w) float32; tokens (K, T, 1), a vector (K, 1, 1)
    prefix: int = 0  # tokens before the patches, which have no place on the grid
    first: bool = True  # whether the units are the first axis of the layer's output, as of maps
    note: str = ""  # what is not shown, as a clause

    def __len__(self) -> int:
        return len(self.values)

    @property
    def signed(self) -> bool:
        """Whether any value is negative."""
        return bool((self.values < 0).any())

    @property
    def limits(self) -> np.ndarray:
        """(K,) the largest size in each map."""
        return np.abs(self.values).reshape(len(self), -1).max(1)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.values.nbytes

    def place(self, unit: int, row: int, column: int) -> tuple[int, ...]:
        """Where a unit's pixel is in the layer's output of one example."""
        if self.form == "maps":
            return unit, row, column
        if self.form == "vector":
            return (unit,)
        token = self.prefix + row * self.values.shape[2] + column
        return (unit, token) if self.first else (token, unit)

    def peak(self, unit: int) -> tuple[int, int]:
        """The row and the column where a unit's value is largest."""
        row, column = np.unravel_index(self.values[unit].argmax(), self.values.shape[1:])
        return int(row), int(column)


@dataclass(frozen=True)
class Statistics:
    """One map in numbers."""

    least: float
    mean: float
    most: float
    peak: tuple[int, int]  # row and column of the largest
    zeros: float  # share of values that are zero


@dataclass(frozen=True, eq=False)
class Selectivity:
    """How much more each unit answers to its best class than to all others."""

    scores: np.ndarray  # (K,) 0: to all alike, 1: to one class alone
    classes: np.ndarray  # (K,) the best class of each
    labels: tuple[str, ...]
    examples: int

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.scores.nbytes + self.classes.nbytes


@dataclass(frozen=True)
class Box:
    """Rows and columns of the input, the last ones outside."""

    top: int
    left: int
    bottom: int
    right: int
    nbytes: int = 64

    @property
    def size(self) -> str:
        """Height × width, in words."""
        return f"{self.bottom - self.top}×{self.right - self.left}"


def maps(layer: Layer, shape: tuple[int, int] | None = None) -> Units:
    """A layer's output for its first example as units with a map each.

    (N, K, h, w) stays as it is; (N, T, K) of patches goes back on the grid of a picture of `shape` (height, width);
    other tokens stay a column of rows; (N, K) is one number for each unit.
    Raises ExplorerError for a layer without numbers, and for outputs of other shapes.
    """
    if layer.output is None or not layer.output.size:
        raise ExplorerError(f"The layer {layer.name!r}", layer.note or "it gives out no numbers", "Choose another")
    output = np.nan_to_num(layer.output[0].astype(np.float32))
    more = f"it ran on {len(layer.output)} rows at once, the first is shown" if len(layer.output) > 1 else ""
    note = ", ".join(filter(None, (layer.note, more)))
    if output.ndim == 3:
        return Units(layer.name, "maps", output, note=note)
    if output.ndim == 1:
        return Units(layer.name, "vector", output[:, None, None], note=note)
    if output.ndim != 2:
        raise ExplorerError(f"The layer {layer.name!r}", f"what it gives out has the shape {layer.output.shape}",
                            "Choose a layer with maps, tokens or units")  # fmt: skip
    first = layer.kind in FIRST
    tokens = output.T if first else output  # (T, K)
    found = grid(len(tokens), shape) if shape else None
    if found is None:
        return Units(layer.name, "tokens", np.ascontiguousarray(tokens.T)[:, :, None], first=first, note=note)
    prefix, height, width = found
    if prefix:
        before = "the class token has" if prefix == 1 else f"the {prefix} tokens before the patches have"
        note = ", ".join(filter(None, (note, f"{before} no place on the grid and is left out")))
    patches = tokens[prefix:].T.reshape(-1, height, width)  # (K, h, w)
    return Units(layer.name, "patches", np.ascontiguousarray(patches), prefix, first, note)


def order(units: Units, by: str = "index", selective: Selectivity | None = None) -> np.ndarray:
    """(K,) the units in an order of ORDERS, the largest first; by index as they are."""
    if by == "index":
        return np.arange(len(units))
    flat = units.values.reshape(len(units), -1).astype(np.float64)
    if by == "selectivity" and selective is not None:
        key = selective.scores
    elif by == "variance":
        key = flat.var(1) if flat.shape[1] > 1 else np.square(flat[:, 0] - flat.mean())
    elif by == "mean":
        key = flat.mean(1)
    else:
        raise ExplorerError(f"The order {by!r}", "it can't be had here", f"Choose of: {', '.join(ORDERS)}")
    return np.argsort(-key, kind="stable")


def ends(units: Units, scale: str, layers: Iterable[Layer] = ()) -> np.ndarray:
    """(K,) where each map's colours end: at its own largest size, the layer's, or that of all layers of the pass."""
    own = units.limits
    if scale == "local":
        return own
    if scale == "layer":
        return np.full(len(own), own.max())
    if scale == "global":
        sizes = [float(np.abs(one.output[:1]).max()) for one in layers if _sized(one)]
        return np.full(len(own), max([float(own.max()), *sizes]))
    raise ExplorerError(f"The scale {scale!r}", "there is none of that name", f"Choose of: {', '.join(SCALES)}")


def _sized(layer: Layer) -> bool:
    return layer.output is not None and layer.output.size > 0 and np.isfinite(layer.output[:1]).all()


def smaller(values: np.ndarray, most: int) -> np.ndarray:
    """Maps (K, h, w) of at most `most` numbers each, by the mean of the area that each number now stands for."""
    height, width = values.shape[1:]
    if height * width <= most:
        return values
    share = (most / (height * width)) ** 0.5
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    if height == 1 or width == 1:
        rows, columns = (1, min(most, width)) if height == 1 else (min(most, height), 1)
    return F.adaptive_avg_pool2d(torch.from_numpy(values)[None], (rows, columns))[0].numpy()


def statistics(units: Units, unit: int) -> Statistics:
    """One unit's map in numbers."""
    values = units.values[unit]
    return Statistics(
        float(values.min()), float(values.mean(dtype=np.float64)), float(values.max()), units.peak(unit),
        float((values == 0).mean()),
    )  # fmt: skip


def selectivity(
    ref: str | Model, layer: str, count: int = EXAMPLES, on_step: Callable[[float], None] | None = None
) -> Selectivity:
    """How selective each unit of a layer is for one class, over test examples.

    (μ_max − μ_rest) / (μ_max + μ_rest) of a unit's mean activation by class, where μ_max is that of the class with the
    largest and μ_rest the mean of all others'. Of activations that may be negative their positive parts are taken,
    as the measure is made for those of a ReLU. Source: Morcos et al. 2018, "On the importance of single directions for
    generalization", section 3.2. Raises ExplorerError where the true classes are not known.
    """
    model = opened(ref)
    given: Feed = sample(model, count)
    if given.y is None or given.y.ndim != 1:
        raise ExplorerError("Selectivity", "the examples of this network have no classes", "Choose another order")
    shape = tuple(given.inputs["x"].shape[-2:]) if given.inputs["x"].ndim == 4 else None
    means: list[np.ndarray] = []
    for batch in given.batches(BATCH):
        seen = capture(model, batch, [layer.partition(CALL)[0]])[layer]
        if seen.output is None or len(seen.output) != len(batch):
            raise ExplorerError("Selectivity", f"{layer} does not run once for each example", "Choose another order")
        means.append(_positive(seen, shape))
        if on_step is not None:
            on_step(sum(map(len, means)) / len(given))
    return selective(np.concatenate(means), given.y, model.labels)


def _positive(layer: Layer, shape: tuple[int, int] | None) -> np.ndarray:
    """(N, K) the mean over places of what is positive."""
    output = np.maximum(layer.output, 0)
    if output.ndim == 4:
        return output.mean((2, 3))
    if output.ndim == 3:
        units = maps(layer, shape)
        return output.mean(2) if units.first else output[:, units.prefix :].mean(1)
    return output


def selective(means: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> Selectivity:
    """Selectivity from each example's mean activation (N, K) and class (N,)."""
    present = np.unique(y)
    if len(present) < 2:
        raise ExplorerError("Selectivity", "all examples are of one class", "Choose another order")
    by_class = np.stack([means[y == one].mean(0) for one in present])  # (classes, K)
    most = by_class.max(0)
    rest = (by_class.sum(0) - most) / (len(present) - 1)
    scores = np.where(most > 0, (most - rest) / np.where(most > 0, most + rest, 1), 0.0)
    return Selectivity(scores, present[by_class.argmax(0)], labels, len(y))


def receptive(ref: str | Model, given: Feed, layer: str, place: tuple[int, ...]) -> Box | None:
    """The part of the picture that one number of a layer can depend on; None where no picture goes in.

    It is where that number's gradient with respect to the input is not zero, as activations let all of it through and
    a maximum is shared by its whole window: what a number reads must not depend on what it finds there.
    """
    model = opened(ref)
    x = given.inputs.get("x")
    if x is None or x.ndim != 4:
        return None
    with model.borrow() as net, calm(net), torch.inference_mode(False), torch.enable_grad():
        name = chosen(net, [layer.partition(CALL)[0]])[0]
        asked = x[:1].detach().clone().requires_grad_()
        with _open(net), _seen(net, name) as outputs:
            one = given.rows(0, 1)
            Feed(model, {**one.inputs, "x": asked}, one.conditions, one.time).run(net)
        at = int(layer.partition(CALL)[2] or 1) - 1
        found = outputs[at][(0, *place)] if at < len(outputs) else None
        if found is None or not found.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(found, asked, allow_unused=True)
    if gradient is None:
        return None
    rows, columns = (gradient[0] != 0).any(0).cpu().numpy().nonzero()  # (H, W)
    if not len(rows):
        return None
    return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)


@contextmanager
def _seen(net: nn.Module, name: str) -> Iterator[list[Tensor | None]]:
    """What every call of one layer gives out, in the graph."""
    outputs: list[Tensor | None] = []

    def keep(part: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(first_tensor(output))

    handle = dict(net.named_modules())[name].register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


@contextmanager
def _open(net: nn.Module) -> Iterator[None]:
    """A borrowed network whose activations and maxima let every gradient through, with the values they have."""

    def through(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if bend(part):
            return inputs[0] + (output - inputs[0]).detach()
        if isinstance(part, nn.MaxPool2d) and part.dilation in (1, (1, 1)) and isinstance(output, Tensor):
            mean = F.avg_pool2d(inputs[0], part.kernel_size, part.stride, part.padding, part.ceil_mode)
            return mean + (output - mean).detach()
        return None

    handles = [
        part.register_forward_hook(through) for part in net.modules() if bend(part) or isinstance(part, nn.MaxPool2d)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
