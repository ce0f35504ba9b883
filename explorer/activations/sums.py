"""The very sum behind one number: what a layer multiplied, added and bent to give out exactly this value."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import pooling
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from explorer.activations.capture import Call, calm, chosen, first_tensor, passed
from explorer.activations.feed import Feed, feed, opened
from explorer.attribution.layers import PREFIXES
from explorer.errors import ExplorerError
from explorer.zoo.model import Model

CLOSE = 1e-3  # of the largest number involved: what float32, and TF32 on a GPU, may be off; beyond it is another sum
PROBES = 24  # numbers of a tensor that are looked at before two others are called its terms
LATEST = 14  # tensors of which three may be its terms
SAME = "the same number"
COLOURS = ("red", "green", "blue")
QUERIES = ("query", "q_proj", "to_q", "q", "q_lin")
KEYS = ("key", "k_proj", "to_k", "k", "k_lin")
VALUES = ("value", "v_proj", "to_v", "v", "v_lin")


@dataclass(frozen=True, eq=False)
class Step:
    """One layer's arithmetic at one place: Σ patch · kernel + bias, or a formula of a few numbers."""

    layer: str  # as in `Activations.names`
    kind: str
    formula: str
    value: float  # worked out here, in float64, from what the layer was given
    captured: float = math.nan  # what the network itself gave out there
    numbers: tuple[tuple[str, float], ...] = ()  # the symbols of the formula
    patch: np.ndarray | None = None  # (C, …) what is read, one entry for each name
    kernel: np.ndarray | None = None  # as `patch`: what each number of it is multiplied by
    names: tuple[str, ...] = ()  # (C,)
    bias: float | None = None
    window: tuple[int, ...] = ()  # where the patch begins on each axis of its maps; negative: in the padding
    learned: bool = False  # whether the kernel is weights of the layer
    note: str = ""

    @property
    def products(self) -> np.ndarray:
        """(C,) what each name adds to the sum, float64."""
        if self.patch is None:
            return np.zeros(0)
        product = self.patch.astype(np.float64) * self.kernel
        return product.reshape(len(product), -1).sum(1)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(one.nbytes for one in (self.patch, self.kernel) if one is not None)


@dataclass(frozen=True, eq=False)
class Sum:
    """How one number came about, and what becomes of it: steps in the order in which they run."""

    layer: str
    position: tuple[int, ...]  # in the layer's output of one example
    steps: tuple[Step, ...]
    at: int  # which of them is the layer's own

    @property
    def total(self) -> float:
        """The number, worked out here."""
        return self.steps[self.at].value

    @property
    def captured(self) -> float:
        """The number that the network gave out."""
        return self.steps[self.at].captured

    @property
    def root(self) -> Step:
        """The step that adds up: the first."""
        return self.steps[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        return sum(step.nbytes for step in self.steps) + 1024


def very_sum(ref: str | Model, x: Any, layer: str, position: Sequence[int]) -> Sum:
    """How a layer came to the number at `position` of its output of the first example, with every term.

    From a normalisation or an activation it goes back to the sum that it was given, and from a sum on to the
    normalisation and the activation that follow. position: as in `layer.output[0]`: (unit, row, column), (token, unit)
    or (unit,). Each step is worked out in float64 from the tensors captured, and refused where it does not come out.
    Raises ExplorerError for a layer that did not run, a position outside, and a layer that does more than one step.
    """
    model = opened(ref)
    given: Feed = feed(model, x)
    with model.borrow() as net, calm(net):
        calls, _ = passed(given, net, chosen(net, None))
        with torch.inference_mode(False), torch.no_grad():
            return _Tape(net, calls, given).told(layer, tuple(map(int, position)))


class _Tape:
    """All calls of one pass, and which of them made what the others were given."""

    def __init__(self, net: nn.Module, calls: list[Call], given: Feed) -> None:
        self.calls, self.tokens, self.x = calls, given.tokens, given.inputs.get("x")
        self.names = [call.name for call in calls]
        self.outs, self.ins = zip(*(call.tensors for call in calls), strict=True) if calls else ((), ())
        self.owned = [
            (f"{name}.{own}" if name else own, tensor)
            for name, part in net.named_modules()
            if any(part.children())
            for own, tensor in part.named_parameters(recurse=False)
        ]

    # ---- from the layer asked for, back to its sum and on to what bends it ----

    def told(self, layer: str, position: tuple[int, ...]) -> Sum:
        if layer not in self.names:
            raise ExplorerError(f"The layer {layer!r}", "it did not run in this pass", "Choose one that did")
        asked = self.names.index(layer)
        out = self.outs[asked]
        if out is None:
            raise ExplorerError(f"The layer {layer!r}", "it gives out no numbers", "Choose another")
        shape = tuple(out.shape[1:])
        if len(position) != len(shape) or not all(0 <= at < size for at, size in zip(position, shape, strict=True)):
            wrong = f"the layer {layer!r} gives out {shape}"
            raise ExplorerError(f"The position {position}", wrong, "Choose one inside")
        back = self._back(asked, position)
        inner = self._leaf(asked)
        ahead = [] if inner is None else self._ahead(inner, position)
        return Sum(layer, position, (*back, *ahead), len(back) - 1)

    def _back(self, at: int, position: tuple[int, ...]) -> list[Step]:
        """The step at a place, and those before it down to a sum."""
        step, origin = self._step(at, position)
        steps = [step]
        inner = self._leaf(at)
        if origin is None and inner is not None:
            steps = [*self._gathered(inner, step, position), step]
        while origin is not None:
            given, position, before = origin
            found = self._maker(given, position, before)
            if found is None:
                extra = self._added(given, position, before, "what it is given")
                return [extra, *steps] if extra else steps
            try:
                step, origin = self._step(*found)
            except ExplorerError:
                return steps
            if step.formula != SAME:
                steps.insert(0, step)
        return steps

    def _ahead(self, at: int, position: tuple[int, ...]) -> list[Step]:
        """The normalisation and the activation that read this very tensor next."""
        steps: list[Step] = []
        kinds: set[bool] = set()
        while True:
            out = self.outs[at]
            reads = [
                later
                for later in range(at + 1, len(self.calls))
                if self.ins[later] is out and not any(self.calls[later].part.children())
            ]
            bends = [one for one in reads if _normalises(self.calls[one].part) or bend(self.calls[one].part)]
            passes = [one for one in reads if isinstance(self.calls[one].part, nn.Identity | nn.Dropout)]
            if not bends and not passes:
                return steps
            at = (bends or passes)[0]
            if bends:
                normal = _normalises(self.calls[at].part)
                if normal in kinds or (normal and kinds):
                    return steps  # the next layer's own
                kinds.add(normal)
                try:
                    steps.append(self._step(at, position)[0])
                except ExplorerError:
                    return steps

    def _leaf(self, at: int) -> int | None:
        """The innermost call whose output a block gives out as its own; None where it makes one of several."""
        while any(self.calls[at].part.children()):
            out = self.outs[at]
            inner = [one for one in range(at) if _alike(self.outs[one], out) and self._within(one, at)]
            if not inner:
                return None
            at = inner[-1]
        return at

    def _within(self, one: int, other: int) -> bool:
        return self.calls[one].name.startswith(f"{self.calls[other].name.partition('#')[0]}.")

    def _maker(self, given: Tensor, position: tuple[int, ...], before: int) -> tuple[int, tuple[int, ...]] | None:
        """The last call that gave out this tensor, or one that it is a view of, and the place there."""
        value = float(given[(0, *position)])
        for at in range(before - 1, -1, -1):
            out = self.outs[at]
            if out is given:
                return at, position
            same = out is not None and out.data_ptr() == given.data_ptr() and out.numel() == given.numel()
            if same and out.is_contiguous() and given.is_contiguous() and len(out) == len(given):
                flat = int(np.ravel_multi_index(position, given.shape[1:]))
                place = tuple(map(int, np.unravel_index(flat, out.shape[1:])))
                if float(out[(0, *place)]) == value:
                    return at, place
        for at in range(before - 1, -1, -1):  # copies, where a layer that followed wrote into what it was given
            out = self.outs[at]
            if out is not None and out.shape == given.shape and torch.equal(out, given):
                return at, position
        return None

    # ---- one step ----

    def _step(self, at: int, position: tuple[int, ...]) -> tuple[Step, tuple[Tensor, tuple[int, ...], int] | None]:
        """The arithmetic of a call, and where what it bends comes from; raises ExplorerError where it has none."""
        name, call = self.names[at], self.calls[at]
        inner = self._leaf(at)
        if inner is None:
            made = self._mixed(at, position, self.outs[at]) or self._added(self.outs[at], position, at, name)
            if made is None:
                parts = [one for one in self.names[:at] if self._within(self.names.index(one), at)]
                inside = f"Look at the layers inside it: {', '.join(parts[-6:])}" if parts else "Choose another layer"
                raise ExplorerError(
                    f"The sum of {name}", f"a {type(call.part).__name__} does more than one step", inside
                )
            return replace(made, layer=name, kind=type(call.part).__name__), None
        call, out, given = self.calls[inner], self.outs[inner], self.ins[inner]
        part = call.part
        handle = next((hand for kinds, hand in HANDLERS if isinstance(part, kinds)), None)
        handle = handle or BY_NAME.get(type(part).__name__) or (_rms if _is_rms(part) else None)
        back = position
        if isinstance(part, nn.Softmax) and given is not None:
            step, back = _softmax(part, given[0], position), position
        elif handle is not None and given is not None:
            step = handle(part, given, position, out)
            back = position if _normalises(part) else None
        elif bend(part) and given is not None:
            step = _bent(part, float(given[(0, *position)]))
        elif given is not None and given.numel() == out.numel() and torch.equal(given.flatten(), out.flatten()):
            flat = int(np.ravel_multi_index(position, out.shape[1:]))
            back = tuple(map(int, np.unravel_index(flat, given.shape[1:])))
            value = float(given[(0, *back)])
            step = Step("", "", SAME, value, numbers=(("x", value),))
        else:
            kind = type(part).__name__
            raise ExplorerError(f"The sum of {name}", f"the arithmetic of a {kind} is not told here",
                                "Choose a convolution, a linear layer, a pooling, a norm or an activation")  # fmt: skip
        if step.patch is not None and not step.names:
            step = replace(step, names=tuple(f"number {one}" for one in range(len(step.patch))))
        if self._reads_colours(given, step):
            step = replace(step, names=COLOURS)
        step = replace(step, layer=name, kind=type(part).__name__, captured=float(out[(0, *position)]))
        _comes_out(step)
        if isinstance(part, nn.Softmax):
            scores = self._scored(inner, position)
            return (step, None) if scores is None else (replace(step, note=scores), None)
        return step, None if back is None else (given, back, inner)

    def _reads_colours(self, given: Tensor, step: Step) -> bool:
        """Whether a step adds up the three maps of a picture."""
        x = self.x
        alike = x is not None and x.ndim == 4 and x.shape[1] == 3 and x.shape == given.shape
        return alike and step.learned and len(step.names) == 3 and torch.equal(x, given)

    # ---- sums that no layer is: additions, and attention ----

    def _added(self, total: Tensor | None, position: tuple[int, ...], before: int, name: str) -> Step | None:
        """The two or three tensors that add up to this one, found by their numbers."""
        if total is None or total.ndim < 2 or not total.is_floating_point():
            return None
        whole = total[0].cpu()
        terms = self._terms(whole, before)
        half = len(whole) // 2  # of tokens: behind the class token
        flat = np.random.default_rng(0).integers(whole[half:].numel(), size=PROBES)
        if not terms:
            return None
        seen = np.array([one[half:].reshape(-1)[flat].double().numpy() for _, one in terms])  # (terms, PROBES)
        asked = whole[half:].reshape(-1)[flat].double().numpy()
        near = CLOSE / 10 * max(np.abs(asked).max(), 1e-6)
        useful = [at for at, row in enumerate(seen) if np.abs(row).max() > 0 and np.abs(row - asked).max() > near]
        useful = [at for rank, at in enumerate(useful)
                  if not any(np.array_equal(seen[at], seen[later]) for later in useful[rank + 1 :])]  # fmt: skip
        for group in _groups(seen, asked, useful, near):
            values = [float(terms[at][1][position]) for at in group]
            added = sum(terms[at][1][half:].double() for at in group)
            if (added - whole[half:].double()).abs().max() > CLOSE * max(float(whole.abs().max()), 1e-6):
                continue
            step = Step(
                name, "addition", " + ".join("abc"[: len(group)]), float(np.sum(values, dtype=np.float64)),
                float(whole[position]), tuple(zip("abc", values, strict=False)), np.array(values)[:, None],
                np.ones((len(group), 1)), tuple(terms[at][0] for at in group),
                note="Found by their numbers: these tensors add up to it at every place.",
            )  # fmt: skip
            if _near(step):
                return step
        return None

    def _terms(self, whole: Tensor, before: int) -> list[tuple[str, Tensor]]:
        """Every earlier tensor that could be added to this one, in its shape."""
        found: dict[int, tuple[str, Tensor]] = {}
        for name, own in self.owned:
            found[id(own)] = (name, own[0] if own.ndim == whole.ndim + 1 and len(own) == 1 else own)
        for at in range(before + 1):
            for tensor in (*_tensors(self.calls[at].inputs), *_tensors(tuple(self.calls[at].keywords.values()))):
                if tensor.ndim > 1:
                    found.setdefault(id(tensor), (f"given to {self.names[at]}", tensor[0]))
            if at < before and self.outs[at] is not None and self.outs[at].ndim > 1:
                found[id(self.outs[at])] = (self.names[at], self.outs[at][0])
        shaped = []
        for name, tensor in found.values():
            fit = _shaped(tensor, tuple(whole.shape)) if tensor.is_floating_point() else None
            if fit is not None:
                shaped.append((name, fit.cpu()))
        return shaped

    def _attention(self, at: int, heads: int | None = None) -> "_Attention | None":
        """The queries, keys and values that a call's own block projected."""
        block = self.names[at].partition("#")[0]
        for parent in (block, block.rpartition(".")[0], block.rpartition(".")[0].rpartition(".")[0]):
            found = []
            for names in (QUERIES, KEYS, VALUES):
                paths = [name.partition("#")[0].rpartition(".") for name in self.names[: at + 1]]
                calls = [one for one, path in enumerate(paths) if path[0] == parent and path[2] in names]
                found.append(self.outs[calls[-1]] if calls else None)
            joined = [one for one, name in enumerate(self.names[:at]) if name == f"{parent}.c_attn"]  # of GPT-2
            if joined and self.outs[joined[0]].ndim == 3:
                found = [*self.outs[joined[0]].chunk(3, -1)]
            if all(one is not None and one.ndim == 3 for one in found):
                owner = next((call.part for call in self.calls if call.name.partition("#")[0] == parent), None)
                count = heads or next(
                    (getattr(owner, one) for one in ("num_attention_heads", "num_heads", "heads", "n_heads")
                     if isinstance(getattr(owner, one, None), int)), None)  # fmt: skip
                if count and found[0].shape[2] % count == 0:
                    return _Attention(*(one[0].cpu().double().unflatten(1, (count, -1)) for one in found))
        return None

    def _gathered(self, at: int, step: Step, position: tuple[int, ...]) -> list[Step]:
        """Where the strongest term of a projection behind attention comes from: the values of all tokens."""
        given = self.ins[at]
        if not step.learned or given.ndim != 3 or len(position) != 2:
            return []
        unit = int(np.abs(step.products).argmax())
        made = self._mixed(at, (position[0], unit), given)
        if made is None:
            return []
        note = f"{made.note} This is number {unit} of what the heads gathered, the strongest term of the next step."
        return [replace(made, layer=f"{step.layer}: its strongest term", kind="attention", note=note)]

    def _mixed(self, at: int, position: tuple[int, ...], out: Tensor | None) -> Step | None:
        """A value gathered from all tokens, by the weights of the head that the unit belongs to."""
        seen = self._attention(at)
        if out is None or out.ndim != 3 or seen is None or out.shape[2] != seen.value.shape[1] * seen.value.shape[2]:
            return None
        token, unit = position
        head, place = divmod(unit, seen.value.shape[2])
        for causal in (False, True):
            weights = seen.weights(head, token, causal)
            values = seen.value[:, head, place]
            total = float(weights @ values)
            step = Step(
                "", "", "Σ over tokens: weight · value", total, float(out[(0, *position)]),
                (("head", head),), values.numpy()[:, None], weights.numpy()[:, None],
                self._tokens(len(values)), note="The weights are softmax(q·k / √d) of this token's query.",
            )  # fmt: skip
            if _near(step):
                return step
        return None

    def _scored(self, at: int, position: tuple[int, ...]) -> str | None:
        """How the score under a softmax came about, as a sentence."""
        if len(position) != 3:
            return None
        head, query, key = position
        seen = self._attention(at, self.outs[at].shape[1])
        if seen is None:
            return None
        dot = float(seen.query[query, head] @ seen.key[key, head])
        size = seen.query.shape[2]
        score, given = dot / math.sqrt(size), float(self.ins[at][(0, *position)])
        if abs(score - given) > CLOSE * max(abs(given), 1):
            return None
        which = f"query of token {query}, key of token {key}, head {head}"
        return f"s = q·k / √d = {dot:.4g} / √{size} = {score:.4g}: {which}."

    def _tokens(self, count: int) -> tuple[str, ...]:
        if len(self.tokens) == count:
            return tuple(f"{at} {token}" for at, token in enumerate(self.tokens))
        return tuple(f"token {at}" for at in range(count))


@dataclass(frozen=True, eq=False)
class _Attention:
    """What a block of attention projected, of one example."""

    query: Tensor  # (T, heads, d) float64
    key: Tensor
    value: Tensor

    def weights(self, head: int, token: int, causal: bool) -> Tensor:
        """(T,) of one query."""
        scores = self.key[:, head] @ self.query[token, head] / math.sqrt(self.query.shape[2])
        if causal:
            scores = scores.masked_fill(torch.arange(len(scores)) > token, -math.inf)
        return scores.softmax(0)


# ---- sums over windows ----


def _convolution(part: _ConvNd, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """Σ over input maps and the window: x · w, plus the bias."""
    unit, place = position[0], position[1:]
    first, count = _group(part, unit)
    maps = given[0, first : first + count]
    axes = len(place)
    before = [part._reversed_padding_repeated_twice[2 * (axes - 1 - axis)] for axis in range(axes)]
    starts = [at * step - pad for at, step, pad in zip(place, part.stride, before, strict=True)]
    patch = _array(maps)
    for axis, (start, size, gap) in enumerate(zip(starts, part.kernel_size, part.dilation, strict=True)):
        patch = _taken(patch, axis + 1, start + gap * np.arange(size), part.padding_mode)
    kernel = _array(part.weight[unit])
    bias = None if part.bias is None else float(part.bias[unit])
    return _summed("Σ x · w", patch, kernel, bias, tuple(starts), _numbered("map", first, count))


def _transposed(part: _ConvTransposeNd, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """Σ over the inputs whose stamps reach this place: x · w, plus the bias."""
    unit, place = position[0], position[1:]
    each, inputs = part.out_channels // part.groups, part.in_channels // part.groups
    group, own = divmod(unit, each)
    patch = _array(given[0, group * inputs : (group + 1) * inputs])
    kernel = _array(part.weight[group * inputs : (group + 1) * inputs, own])  # (C, …k)
    starts = []
    for axis, at in enumerate(place):
        stamps = np.arange(part.kernel_size[axis])
        far = at + part.padding[axis] - stamps * part.dilation[axis]
        from_ = far // part.stride[axis]
        reach = (far % part.stride[axis] == 0) & (from_ >= 0) & (from_ < patch.shape[axis + 1])
        order = np.argsort(from_[reach])
        starts.append(int(from_[reach].min()) if reach.any() else 0)
        patch = patch.take(from_[reach][order], axis + 1)
        kernel = kernel.take(stamps[reach][order], axis + 1)
    bias = None if part.bias is None else float(part.bias[unit])
    return _summed("Σ x · w", patch, kernel, bias, tuple(starts), _numbered("map", group * inputs, inputs))


def _group(part: _ConvNd, unit: int) -> tuple[int, int]:
    """The first input map that an output map reads, and how many."""
    count = part.in_channels // part.groups
    return unit // (part.out_channels // part.groups) * count, count


def _taken(maps: np.ndarray, axis: int, at: np.ndarray, mode: str) -> np.ndarray:
    """Places along an axis, also those outside, as the padding has them."""
    size = maps.shape[axis]
    outside = (at < 0) | (at >= size)
    if mode == "circular":
        at = at % size
    elif mode == "reflect":
        at = np.abs(at)
        at = np.where(at >= size, 2 * (size - 1) - at, at)
    taken = maps.take(np.clip(at, 0, size - 1), axis)
    if mode == "zeros":
        shape = [1] * maps.ndim
        shape[axis] = len(at)
        taken = np.where(outside.reshape(shape), 0.0, taken)
    return taken


def _pooled(part: nn.Module, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """The mean or the largest of a window of the unit's own map."""
    unit, place = position[0], position[1:]
    own = _array(given[0, unit])  # (…)
    axes = range(len(place))
    largest = isinstance(part, pooling._MaxPoolNd | pooling._AdaptiveMaxPoolNd)
    divisor = 1
    reads = []
    for axis in axes:
        size = own.shape[axis]
        if isinstance(part, pooling._AdaptiveAvgPoolNd | pooling._AdaptiveMaxPoolNd):
            whole = out.shape[2 + axis]
            at = np.arange(place[axis] * size // whole, -(-(place[axis] + 1) * size // whole))
            divisor *= len(at)
        else:
            reach, step, pad = (_of(value, axis) for value in (part.kernel_size, part.stride, part.padding))
            start, gap = place[axis] * step - pad, _of(getattr(part, "dilation", 1), axis)
            at = start + gap * np.arange(reach)
            divisor *= min(start + reach, size + pad) - start
            at = at[(at >= 0) & (at < size)]
        reads.append(at)
    patch = own[np.ix_(*reads)][None]
    starts = tuple(int(at[0]) for at in reads)
    names = (f"map {unit}",)
    if largest:
        kernel = np.zeros_like(patch)
        kernel.flat[patch.argmax()] = 1.0
        return _summed(f"the largest of {patch.size}", patch, kernel, None, starts, names)
    if not getattr(part, "count_include_pad", True):
        divisor = patch.size
    divisor = getattr(part, "divisor_override", None) or divisor
    return _summed(f"Σ x / {divisor}", patch, np.full(patch.shape, 1 / divisor), None, starts, names)


# ---- sums over features ----


def _linear(part: nn.Linear, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """Σ over features: x · w, plus the bias."""
    bias = None if part.bias is None else float(part.bias[position[-1]])
    return _features(given[(0, *position[:-1])], part.weight[position[-1]], bias)


def _turned(part: nn.Module, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """As of a linear layer; GPT-2's keep their weights turned."""
    return _features(given[(0, *position[:-1])], part.weight[:, position[-1]], float(part.bias[position[-1]]))


def _features(given: Tensor, weight: Tensor, bias: float | None) -> Step:
    return _summed("Σ x · w", _array(given)[:, None], _array(weight)[:, None], bias, (), ())


def _looked_up(part: nn.Embedding, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """One number of one row of a table."""
    *place, unit = position
    asked = out[(0, *place)]
    scale = float(getattr(part, "embed_scale", None) or getattr(part, "scalar_embed_scale", None) or 1.0)
    at = -1
    if not given.is_floating_point() and given.ndim == len(place) + 1:
        at = int(given[(0, *place)])
    if not 0 <= at < len(part.weight) or not torch.allclose(part.weight[at] * scale, asked, atol=1e-6):
        off = (part.weight * scale - asked).abs().amax(1)  # a table of places, which makes its rows' numbers itself
        at = int(off.argmin())
    entry = float(part.weight[at, unit])
    if scale == 1:
        return Step("", "", f"row {at:,} of the table, number {unit}", entry, numbers=(("row", at), ("number", unit)))
    return Step("", "", f"row {at:,} of the table, number {unit}, times √d", entry * scale,
                numbers=(("row", at), ("entry", entry), ("√d", scale)))  # fmt: skip


# ---- normalisations ----


def _batch(part: _BatchNorm, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """By the mean and the variance that training left behind."""
    unit, x = position[0], float(given[(0, *position)])
    if isinstance(part, _BatchNorm) and not part.training and part.running_mean is not None:
        mean, variance = float(part.running_mean[unit]), float(part.running_var[unit])
    else:
        group = _array(given[:, unit] if isinstance(part, _BatchNorm) else given[0, unit])
        mean, variance = float(group.mean()), float(group.var())
    return _normal(x, mean, variance, part.eps, _entry(part.weight, unit), _entry(part.bias, unit))


def _layer(part: nn.LayerNorm, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """By the mean and the variance of the token's own features."""
    axes = len(part.normalized_shape)
    own, inner = _array(given[(0, *position[:-axes])]), position[-axes:]
    return _normal(
        float(own[inner]), float(own.mean()), float(own.var()), part.eps,
        _entry(part.weight, inner), _entry(part.bias, inner),
    )  # fmt: skip


def _grouped(part: nn.GroupNorm, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """By the mean and the variance of a group of maps."""
    size = part.num_channels // part.num_groups
    group = position[0] // size
    own = _array(given[0, group * size : (group + 1) * size])
    x = float(given[(0, *position)])
    return _normal(x, float(own.mean()), float(own.var()), part.eps, _entry(part.weight, position[0]),
                   _entry(part.bias, position[0]))  # fmt: skip


def _rms(part: nn.Module, given: Tensor, position: tuple[int, ...], out: Tensor) -> Step:
    """By the root of the mean square of the token's own features."""
    own = _array(given[(0, *position[:-1])])
    eps = getattr(part, "variance_epsilon", None) or getattr(part, "eps", None) or torch.finfo(given.dtype).eps
    x, square, gain = float(own[position[-1]]), float(np.square(own).mean()), _entry(part.weight, position[-1])
    numbers = (("x", x), ("mean x²", square), ("ε", eps), ("γ", 1.0 if gain is None else gain))
    return Step("", "", "x / √(mean x² + ε) · γ", x / math.sqrt(square + eps) * numbers[-1][1], numbers=numbers)


def _normal(x: float, mean: float, variance: float, eps: float, gain: float | None, bias: float | None) -> Step:
    value = (x - mean) / math.sqrt(variance + eps)
    numbers = [("x", x), ("μ", mean), ("σ²", variance), ("ε", eps)]
    formula = "(x − μ) / √(σ² + ε)"
    if gain is not None:
        value, formula = value * gain, f"{formula} · γ"
        numbers.append(("γ", gain))
    if bias is not None:
        value, formula = value + bias, f"{formula} + β"
        numbers.append(("β", bias))
    return Step("", "", formula, value, numbers=tuple(numbers))


def _normalises(part: nn.Module) -> bool:
    return isinstance(part, _BatchNorm | _InstanceNorm | nn.LayerNorm | nn.GroupNorm) or _is_rms(part)


def _is_rms(part: nn.Module) -> bool:
    return type(part).__name__.endswith(("RMSNorm", "T5LayerNorm")) and hasattr(part, "weight")


# ---- activations ----


def _bent(part: nn.Module, x: float) -> Step:
    formula, bent = bend(part)
    return Step("", "", formula, float(bent(x)), numbers=(("x", x),))


def bend(part: nn.Module) -> tuple[str, Callable[[float], float]] | None:
    """The formula of an activation, in words and as a function of one number; None where it is none of these."""
    name = type(part).__name__
    if name == "GELU" and part.approximate == "tanh":
        return BENDS["NewGELUActivation"]
    if name == "LeakyReLU":
        slope = part.negative_slope
        return f"x if x > 0, else {slope:g} · x", lambda x: x if x > 0 else slope * x
    if name == "ELU":
        alpha = part.alpha
        return f"x if x > 0, else {alpha:g} · (eˣ − 1)", lambda x: x if x > 0 else alpha * math.expm1(x)
    return BENDS.get(name)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def _gelu(x: float) -> float:
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


BENDS: dict[str, tuple[str, Callable[[float], float]]] = {
    "ReLU": ("max(0, x)", lambda x: max(0.0, x)),
    "ReLU6": ("min(max(0, x), 6)", lambda x: min(max(0.0, x), 6.0)),
    "GELU": ("x · Φ(x)", _gelu),
    "SiLU": ("x · σ(x)", lambda x: x * _sigmoid(x)),
    "Sigmoid": ("σ(x) = 1 / (1 + e⁻ˣ)", _sigmoid),
    "Tanh": ("tanh(x)", math.tanh),
    "Softplus": ("ln(1 + eˣ)", _softplus),
    "Mish": ("x · tanh(ln(1 + eˣ))", lambda x: x * math.tanh(_softplus(x))),
    "Hardswish": ("x · min(max(0, x + 3), 6) / 6", lambda x: x * min(max(0.0, x + 3), 6.0) / 6),
    "Hardsigmoid": ("min(max(0, x + 3), 6) / 6", lambda x: min(max(0.0, x + 3), 6.0) / 6),
    "NewGELUActivation": ("½ x · (1 + tanh(√(2/π) · (x + 0.0447 x³)))", _gelu_tanh),
    "QuickGELUActivation": ("x · σ(1.702 x)", lambda x: x * _sigmoid(1.702 * x)),
}
BENDS |= {
    "GELUActivation": BENDS["GELU"],
    "SiLUActivation": BENDS["SiLU"],
    "PytorchGELUTanh": BENDS["NewGELUActivation"],
    "GELUTanh": BENDS["NewGELUActivation"],
    "FastGELUActivation": BENDS["NewGELUActivation"],
}


def _softmax(part: nn.Softmax, given: Tensor, position: tuple[int, ...]) -> Step:
    """e to the power of one score, as a share of all along the axis."""
    axis = part.dim - 1 if part.dim > 0 else part.dim
    place = list(position)
    own = place.pop(axis)
    scores = np.moveaxis(_array(given), axis, -1)[tuple(place)]
    largest = float(scores.max())
    rest = float(np.exp(scores - largest).sum())
    value = math.exp(scores[own] - largest) / rest
    numbers = (("s", float(scores[own])), ("Σ eˢ", rest * math.exp(largest) if largest < 300 else math.inf))
    return Step("", "", "eˢ / Σ eˢ", value, numbers=numbers)


HANDLERS: tuple[tuple[Any, Callable[..., Step]], ...] = (
    (_ConvTransposeNd, _transposed),
    (_ConvNd, _convolution),
    (nn.Linear, _linear),
    (nn.Embedding, _looked_up),
    ((pooling._MaxPoolNd, pooling._AvgPoolNd, pooling._AdaptiveAvgPoolNd, pooling._AdaptiveMaxPoolNd), _pooled),
    ((_BatchNorm, _InstanceNorm), _batch),
    (nn.LayerNorm, _layer),
    (nn.GroupNorm, _grouped),
)
BY_NAME: dict[str, Callable[..., Step]] = {"Conv1D": _turned}


# ---- small hands ----


def _summed(
    formula: str, patch: np.ndarray, kernel: np.ndarray, bias: float | None, window: tuple[int, ...], names: Any
) -> Step:
    value = float((patch * kernel).sum()) + (bias or 0.0)
    learned = formula == "Σ x · w"
    formula = formula if bias is None else f"{formula} + b"
    return Step(
        "", "", formula, value, patch=patch, kernel=kernel, names=names, bias=bias, window=window, learned=learned
    )


def _comes_out(step: Step) -> None:
    """Refuse what is not the network's own number: a layer of that name may do something of its own."""
    if not _near(step):
        wrong = f"it comes out as {step.value:.6g} where the network has {step.captured:.6g}"
        do = f"Choose another layer, this {step.kind} does something of its own"
        raise ExplorerError(f"The sum of {step.layer}", wrong, do)


def _near(step: Step) -> bool:
    sizes = [abs(step.captured), 1e-3]
    sizes += [float(np.abs(step.patch * step.kernel).max(initial=0))] if step.patch is not None else []
    return abs(step.value - step.captured) <= CLOSE * max(sizes)


def _groups(seen: np.ndarray, asked: np.ndarray, useful: list[int], near: float):
    """Pairs, then triples, of rows that add up to the one asked for; the latest first."""
    for at in reversed(useful):
        for other in reversed(useful):
            if other < at and np.abs(seen[at] + seen[other] - asked).max() <= near:
                yield (other, at)
    latest = useful[-LATEST:]
    for at in reversed(latest):
        for other in reversed(latest):
            for third in reversed(latest):
                if third < other < at and np.abs(seen[at] + seen[other] + seen[third] - asked).max() <= near:
                    yield (third, other, at)


def _shaped(tensor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """A tensor of one example in another's shape: as it is, one number for each map, or maps as tokens."""
    if tuple(tensor.shape) == shape:
        return tensor
    if tensor.ndim == 1 and len(shape) == 3 and len(tensor) == shape[0]:
        return tensor[:, None, None].expand(shape)
    if tensor.ndim == 3 and len(shape) == 2 and len(tensor) == shape[1]:
        prefix = shape[0] - tensor[0].numel()
        if prefix in PREFIXES:
            return torch.cat([tensor.new_zeros(prefix, shape[1]), tensor.flatten(1).T])
    if tensor.ndim == 2 and len(shape) == 3 and tensor.shape == (shape[1] * shape[2], shape[0]):
        return tensor.T.reshape(shape)
    return None


def _alike(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether they are one tensor, or the same numbers in the same shape: diffusers divide some by 1."""
    if one is None or other is None or one.shape != other.shape:
        return False
    same = one.data_ptr() == other.data_ptr() and one.stride() == other.stride()
    return one is other or same or torch.equal(one, other)


def _tensors(value: Any) -> list[Tensor]:
    parts = value if isinstance(value, tuple | list) else (value,)
    return [one for part in parts if (one := first_tensor(part)) is not None]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _entry(weight: Tensor | None, at: Any) -> float | None:
    return None if weight is None else float(weight[at])


def _of(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple | list) else value)


def _numbered(name: str, first: int, count: int) -> tuple[str, ...]:
    return tuple(f"{name} {at}" for at in range(first, first + count))
