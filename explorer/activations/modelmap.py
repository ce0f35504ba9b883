"""The map of a network: its modules in the order in which they run, what flows between them, and what each costs."""

import math
import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from explorer.activations.base import CALL
from explorer.activations.capture import first_tensor, mapped, plain
from explorer.activations.feed import Feed, feed, kind_of, opened
from explorer.errors import ExplorerError
from explorer.flops import operations
from explorer.settings import settings
from explorer.zoo.model import Model

Shape = tuple[int, ...]
ROOT = ""  # the name of the network itself, as in named_modules()
SEPARATE = 6  # calls of one layer in one call of its parent that are told apart; more are one node
TOLD = 10  # operators of a way that are named
LEAST, MOST = 3, 11  # passes whose median is the time
PATIENCE = 0.25  # seconds that the passes may take, once the least are done
BREAKS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)
PLAIN = {  # how an operator's name begins → in words
    "scaled_dot_product": "attention",
    "native_multi_head_attention": "attention",
    "safe_softmax": "softmax",
}
MOVES = frozenset(  # operators that move numbers, and change none
    """
    alias as_strided chunk clone contiguous copy detach expand flatten narrow permute reshape reshape_alias select slice
    split split_with_sizes squeeze t to_copy transpose unbind unflatten unsafe_view unsqueeze view
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Failure:
    """Why a pass ended in a module."""

    error: str  # the first line of what torch said
    weights: Mapping[str, Shape]  # its own, which what came in had to fit


@dataclass(frozen=True)
class Node:
    """A module in one pass; of a layer without layers inside, one of its calls in one call of its parent."""

    name: str  # as in named_modules(), "" the network itself; and "#2" from its second call on
    kind: str  # the class of the module
    parent: str | None  # the name of the node that it is in; None: it is the network
    depth: int  # 0 is the network
    calls: int  # how often the module ran
    in_shapes: tuple[Shape, ...]  # of the tensors that it was first given
    out_shape: Shape | None  # of the first tensor that it last gave out; None: none, or it did not finish
    parameters: int  # its own and those inside, shared ones once; 0 from the second call on
    flops: int  # its own and those inside, of all its calls
    bytes: int  # given out by the layers inside; what shares the memory of its input counts nothing
    milliseconds: float | None  # of all its calls; None where it did not finish
    ran: bool  # it began, or something in it did
    failure: Failure | None = None
    note: str = ""

    @property
    def module(self) -> str:
        """The name of the module, whichever call it is."""
        return self.name.partition(CALL)[0]


@dataclass(frozen=True)
class Link:
    """A tensor's way from one node to another."""

    inside: str  # the node whose code passed it on
    source: str | None  # who gave it out; None: it came in with the input of `inside`
    target: str | None  # who was given it; None: it went out with the output of `inside`
    through: tuple[str, ...] = ()  # what the code of `inside` did with it on the way, in operators of torch


@dataclass(frozen=True, eq=False)
class ModelMap:
    """All modules of a network in one pass of one example."""

    ref: str
    nodes: tuple[Node, ...]  # each before those inside it, these in the order in which they ran; the network first
    links: tuple[Link, ...]  # as the code of the modules passed tensors on
    in_shapes: tuple[Shape, ...]  # what the network was given
    passes: int  # whose median the milliseconds are; 0 where the pass failed
    uncounted: tuple[str, ...] = ()  # operators that ran and that no rule of operations is known for

    def __getitem__(self, name: str) -> Node:
        """A node by its name; raises ExplorerError where there is none of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes[1:40])
        raise ExplorerError(f"The layer {name!r}", "this network has none of that name", f"Choose one of: {names}")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __contains__(self, name: str) -> bool:
        return any(node.name == name for node in self.nodes)

    @property
    def root(self) -> Node:
        """The network itself: the totals."""
        return self.nodes[0]

    @property
    def failed(self) -> Node | None:
        """The module in which the pass ended, if it did not come through."""
        return next((node for node in self.nodes if node.failure), None)

    @property
    def edges(self) -> tuple[Link, ...]:
        """The links between neighbours: every box with what flows from its input, between its parts, to its output."""
        return lift(self.links, {node.name: node.parent for node in self.nodes})

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return 600 * len(self.nodes) + 200 * len(self.links)


@dataclass(frozen=True)
class Values:
    """What a layer gave out, in a few numbers."""

    mean: float
    std: float
    low: float
    high: float
    zeros: float  # share of exact zeros
    odd: int  # how many are not finite: of these nothing else is counted


def values(output: np.ndarray) -> Values:
    """The numbers of an output of any shape in short; NaN where none is finite."""
    numbers = np.asarray(output, np.float64).reshape(-1)
    finite = numbers[np.isfinite(numbers)]
    odd = len(numbers) - len(finite)
    if not len(finite):
        return Values(*[math.nan] * 4, 0.0, odd)
    return Values(finite.mean(), finite.std(), finite.min(), finite.max(), float((finite == 0).mean()), odd)


def model_map(ref: str | Model, x: Any = None, time_it: bool = True) -> ModelMap:
    """The modules of a network with what one pass of this example takes in each.

    x: as of `feed`: a picture, points, a text, a Feed, None for the first test example; or a tensor (N, …) that goes in
    just as it is, whatever its size. A pass that fails is no error: the map then ends at the module in which it did,
    with what came in and the weights that it should have fitted. time_it: measure milliseconds in passes of their own.
    """
    model = opened(ref)
    given = _as_it_is(model, x) if isinstance(x, Tensor) else feed(model, x)
    with model.borrow() as net, torch.inference_mode(False), torch.no_grad():
        given = plain(given)
        trace = Trace(net, given)
        failure = None
        with hooked(net, trace), trace:
            try:
                trace.end(given.run(net))
            except ExplorerError:
                raise
            except BREAKS as error:
                failure = Failure(f"{error}".strip().partition("\n")[0] or type(error).__name__, trace.weights())
        passes, times = (0, {}) if failure or not time_it else timed(net, given)
        return _assembled(model.card.ref, net, trace, failure, passes, times)


def resized(given: Feed, size: int) -> Feed:
    """Another input of the same kind and another size, to see what holds and what breaks: one example of noise.

    size: pixels on a side of a picture or of a denoiser's state; of a text its tokens, the given ones over again.
    Raises ExplorerError for what has no size, and above the limits of this server.
    """
    most, what = sizes(given.model)
    if not most:
        raise ExplorerError("Another input size", "points have two coordinates, and no other size", "Leave it as it is")
    if not 1 <= size <= most:
        raise ExplorerError(f"An input of {size} {what}", f"this server allows 1 to {most}", "Choose a size in between")
    if kind_of(given.model) == "text":
        length, times = size_of(given), math.ceil(size / size_of(given))
        inputs = {name: value[:1] for name, value in given.inputs.items()}
        for name, value in inputs.items():
            if not name.startswith("decoder_") and value.shape[1:] == (length,):
                inputs[name] = value.repeat(1, times)[:, :size]  # (1, size)
    else:
        x = given.inputs["x"]
        noise = torch.randn(1, x.shape[1], size, size, generator=torch.Generator().manual_seed(0))
        inputs = {"x": noise.to(x)}
    return replace(given, inputs=inputs, conditions=given.conditions[:1], y=None, keep=None, pixels=None, tokens=())


def sizes(model: Model) -> tuple[int, str]:
    """The largest input that may be tried here, 0 where there is no size, and what is counted."""
    if kind_of(model) == "text":
        return settings().limits.tokens, "tokens"
    return (0, "") if len(model.card.shape) == 1 else (settings().limits.image_side, "pixels a side")


def size_of(given: Feed) -> int:
    """The size of an input, as `resized` counts it."""
    return (given.inputs["input_ids"] if kind_of(given.model) == "text" else given.inputs["x"]).shape[-1]


def lift(links: Iterable[Link], parents: Mapping[str, str | None]) -> tuple[Link, ...]:
    """Links between neighbours, of links between any two nodes of a tree of boxes.

    A link from a to b becomes one between the two boxes that hold them and lie in one box, and links inside these:
    from a to the output of its box, and from the input of the other box to b. What is passed through stands outermost.
    parents: node → the box that it lies in; None of the outermost.
    """
    found: dict[tuple[str, str | None, str | None], tuple[str, ...]] = {}

    def chain(name: str) -> list[str]:  # from the outermost box to the node
        names = [name]
        while (parent := parents[names[-1]]) is not None:
            names.append(parent)
        return names[::-1]

    def add(inside: str, source: str | None, target: str | None, through: tuple[str, ...] = ()) -> None:
        if source is None or source != target:
            found[inside, source, target] = _joined(found.get((inside, source, target), ()), through)

    def enter(boxes: list[str], through: tuple[str, ...] = ()) -> None:
        for box, part in pairwise(boxes):
            add(box, None, part, through)
            through = ()

    def leave(boxes: list[str], through: tuple[str, ...] = ()) -> None:
        for box, part in pairwise(boxes):
            add(box, part, None, through)
            through = ()

    for link in links:
        source, target = link.source, link.target
        if source is None and target is None:
            add(link.inside, None, None, link.through)
            continue
        left, right = (chain(link.inside if name is None else name) for name in (source, target))
        if source is None and link.inside in right:
            enter(right[len(left) - 1 :], link.through)
        elif target is None and link.inside in left:
            leave(left[len(right) - 1 :], link.through)
        else:
            level = next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
            if level is None:  # one lies in the other
                if len(left) < len(right):
                    enter(right[len(left) - 1 :], link.through)
                elif len(right) < len(left):
                    leave(left[len(right) - 1 :], link.through)
                continue
            leave(left[level:])
            add(left[level - 1], left[level], right[level], link.through)
            enter(right[level:])
    return tuple(Link(*key, through) for key, through in found.items())


# ---- one pass, watched ----

Origin = dict[str | None, tuple[str, ...]]  # who gave it out, None is the input → the operators since


@dataclass(eq=False)
class Frame:
    """One call of one module, while it lasts."""

    key: str
    part: nn.Module
    inputs: list[Tensor]
    known: dict[int, tuple[weakref.ref, Origin]] = field(default_factory=dict)  # id → the tensor, and where it is from
    counts: dict[str, int] = field(default_factory=dict)  # module → how often it was called by this one

    def learn(self, tensor: Tensor, origin: Origin) -> None:
        self.known[id(tensor)] = (weakref.ref(tensor), origin)

    def recall(self, tensor: Tensor) -> Origin | None:
        found = self.known.get(id(tensor))
        return found[1] if found and found[0]() is tensor else None

    def name(self, name: str, part: nn.Module) -> str:
        """The key of one more call from here: with its number if the module has none inside."""
        self.counts[name] = self.counts.get(name, 0) + 1
        number = self.counts[name]
        return name if number == 1 or any(part.children()) else f"{name}{CALL}{number}"


@dataclass(eq=False)
class Seen:
    """What was seen of one node."""

    order: int  # when it first began
    calls: int = 0
    in_shapes: tuple[Shape, ...] = ()
    out_shape: Shape | None = None
    flops: int = 0  # its own code's
    bytes: int = 0


class Trace(TorchDispatchMode):
    """Follows every tensor through one pass: which module gave it out, what the code between did, what it cost."""

    def __init__(self, net: nn.Module, given: Feed) -> None:
        super().__init__()
        inputs = [*given.inputs.values(), *([] if given.time is None else [given.time])]
        self.stack = [Frame(ROOT, net, inputs)]
        for tensor in inputs:
            self.stack[0].learn(tensor, {None: ()})
        self.seen = {ROOT: Seen(0, 1, _shapes(inputs))}
        self.links: dict[tuple[str, str | None, str | None], tuple[str, ...]] = {}
        self.used: set[int] = set()  # ids of the parameters that operators were given
        self.unknown: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        frame, name = self.stack[-1], func._overloadpacket.__name__
        counted = operations(func, args, kwargs, out)
        if counted is None:
            self.unknown.add(name)
        self.seen[frame.key].flops += counted or 0
        step = _word(name)
        origin: Origin = {}
        for tensor in tensors((args, kwargs)):
            if isinstance(tensor, nn.Parameter):
                self.used.add(id(tensor))
            for source, through in self.origin(tensor).items():
                origin[source] = _joined(origin.get(source, ()), (*through, step))
        for tensor in tensors(out):
            frame.learn(tensor, origin)
        return out

    def origin(self, tensor: Tensor) -> Origin:
        """Where a tensor is from, as the module that runs sees it; what outer ones know came in with its input."""
        found = self.stack[-1].recall(tensor)
        if found is None:
            outer = any(frame.recall(tensor) for frame in self.stack[:-1])
            return {None: ()} if outer else {}
        return found

    def begin(self, name: str, part: nn.Module, given: Any) -> None:
        """A module is called."""
        frame = self.stack[-1]
        key, inputs = frame.name(name, part), tensors(given)
        seen = self.seen.setdefault(key, Seen(len(self.seen)))
        seen.calls += 1
        seen.in_shapes = seen.in_shapes or _shapes(inputs)
        for tensor in inputs:
            for source, through in self.origin(tensor).items():
                self.link(frame.key, source, key, through)
        self.stack.append(Frame(key, part, inputs))
        for tensor in inputs:
            self.stack[-1].learn(tensor, {None: ()})
        if isinstance(part, nn.Embedding):
            _check_rows(part, inputs)

    def finish(self, output: Any) -> None:
        """The module that was called last is done."""
        frame, outputs = self.stack[-1], tensors(output)
        seen = self.seen[frame.key]
        if outputs:
            seen.out_shape = tuple(outputs[0].shape)
        shared = {_place(tensor) for tensor in frame.inputs}
        new = {_place(tensor): tensor.nbytes for tensor in outputs if _place(tensor) not in shared}
        seen.bytes += sum(new.values())
        self.outward(outputs)
        self.stack.pop()
        for tensor in outputs:
            self.stack[-1].learn(tensor, {frame.key: ()})

    def outward(self, outputs: list[Tensor]) -> None:
        """Link what goes out of the module that runs with where it is from."""
        frame = self.stack[-1]
        for tensor in outputs if frame.counts else ():
            for source, through in self.origin(tensor).items():
                self.link(frame.key, source, None, through)

    def end(self, answer: Any) -> None:
        """The pass is over."""
        self.outward(tensors(answer))
        found = first_tensor(answer)
        self.seen[ROOT].out_shape = None if found is None else tuple(found.shape)
        self.seen[ROOT].bytes = sum(tensor.nbytes for tensor in tensors(answer))

    def link(self, inside: str, source: str | None, target: str | None, through: tuple[str, ...]) -> None:
        key = inside, source, target
        self.links[key] = _joined(self.links.get(key, ()), through)

    def weights(self) -> dict[str, Shape]:
        """The shapes of the weights of the module that runs."""
        return {name: tuple(one.shape) for name, one in self.stack[-1].part.named_parameters(recurse=False)}


@contextmanager
def hooked(net: nn.Module, watch: Any) -> Iterator[None]:
    """Tell `watch` when each module of a borrowed tree begins and finishes, but for the network itself."""

    def begin(name: str) -> Callable[..., None]:
        return lambda part, args, kwargs: watch.begin(name, part, (args, kwargs))

    def finish(part: nn.Module, args: Any, output: Any) -> None:
        watch.finish(output)

    handles = []
    try:
        for name, part in net.named_modules():
            if name:
                handles.append(part.register_forward_pre_hook(begin(name), with_kwargs=True))
                handles.append(part.register_forward_hook(finish))
        yield
    finally:
        for handle in handles:
            handle.remove()


class Clock:
    """Takes the time of each call of each module; on a GPU it waits for the work before it looks."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: dict[str, float] = {}
        self.stack: list[tuple[Frame, float]] = [(Frame(ROOT, nn.Identity(), []), 0.0)]

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def begin(self, name: str, part: nn.Module, given: Any) -> None:
        self.stack.append((Frame(self.stack[-1][0].name(name, part), part, []), self.now()))

    def finish(self, output: Any) -> None:
        now = self.now()
        frame, began = self.stack.pop()
        self.times[frame.key] = self.times.get(frame.key, 0.0) + now - began


def timed(net: nn.Module, given: Feed) -> tuple[int, dict[str, float]]:
    """How many passes were made, and each node's median time in them, in milliseconds."""
    device = next(iter(given.inputs.values())).device
    found: list[dict[str, float]] = []
    start = time.perf_counter()
    while len(found) < LEAST or (len(found) < MOST and time.perf_counter() - start < PATIENCE):
        clock = Clock(device)
        with hooked(net, clock):
            began = clock.now()
            given.run(net)
            clock.times[ROOT] = clock.now() - began
        found.append(clock.times)
    return len(found), {key: 1000 * statistics.median(one.get(key, 0.0) for one in found) for key in found[0]}


# ---- from what was seen to a tree ----


def _assembled(
    ref: str, net: nn.Module, trace: Trace, failure: Failure | None, passes: int, times: Mapping[str, float]
) -> ModelMap:
    parts = dict(net.named_modules())
    failed = trace.stack[-1].key if failure else None
    merged = {key: key.partition(CALL)[0] for key in _too_often(trace.seen)}  # more calls than are told apart
    seen, times = _merge_seen(trace.seen, merged), _merge_times(times, merged)
    failed = merged.get(failed, failed)
    inside: dict[str, list[str]] = {}  # module → the keys of what is in it
    for name, part in parts.items():
        if name:
            box = name.rpartition(".")[0]
            again = [key for key in seen if key.startswith(f"{name}{CALL}")] if not any(part.children()) else []
            inside.setdefault(box, []).extend([name, *again])
    first: dict[str, float] = {}  # key → when it, or anything in it, first began

    def began(key: str) -> float:
        if key not in first:
            own = seen[key].order if key in seen else math.inf
            first[key] = min([own, *map(began, inside.get(key, ()))])
        return first[key]

    nodes: list[Node] = []

    def visit(key: str, parent: str | None, depth: int) -> Node:
        """Add a node and all that is in it."""
        place = len(nodes)
        nodes.append(None)
        held = [visit(part, key, depth + 1) for part in sorted(inside.get(key, ()), key=began)]
        name, one = key.partition(CALL)[0], seen.get(key)
        running = [node for node in held if node.ran]
        measured = times.get(key, sum(node.milliseconds or 0 for node in running) if running and passes else None)
        nodes[place] = Node(
            key, type(parts[name]).__name__, parent, depth,
            sum(other.calls for told, other in seen.items() if told.partition(CALL)[0] == name),
            one.in_shapes if one else (),
            one.out_shape if one else None,
            0 if key != name else sum(weight.numel() for weight in parts[name].parameters()),
            (one.flops if one else 0) + sum(node.flops for node in held),
            sum(node.bytes for node in held) if running else one.bytes if one else 0,
            measured,
            math.isfinite(began(key)),
            failure if key == failed else None,
            _note(parts[name], one, running, trace.used),
        )  # fmt: skip
        return nodes[place]

    visit(ROOT, None, 0)
    links: dict[tuple[str, str | None, str | None], tuple[str, ...]] = {}
    for key, through in trace.links.items():
        kept = tuple(merged.get(name, name) for name in key)
        links[kept] = _joined(links.get(kept, ()), through)
    return ModelMap(
        ref, tuple(nodes), tuple(Link(*key, through) for key, through in links.items()), seen[ROOT].in_shapes, passes,
        tuple(sorted(trace.unknown)),
    )  # fmt: skip


def _note(part: nn.Module, seen: Seen | None, running: list[Node], used: set[int]) -> str:
    """What is unusual about how a module ran."""
    if seen or running:
        return "" if seen else "a list of modules: whoever holds it calls them"
    if any(id(weight) in used for weight in part.parameters()):
        return "it did not run itself: its parent computes with its weights"
    return "it did not run in this pass"


def _too_often(seen: Mapping[str, Seen]) -> list[str]:
    numbers = {key: int(key.partition(CALL)[2] or 1) for key in seen}
    often = {key.partition(CALL)[0] for key, number in numbers.items() if number > SEPARATE}
    return [key for key in seen if CALL in key and key.partition(CALL)[0] in often]


def _merge_seen(seen: Mapping[str, Seen], merged: Mapping[str, str]) -> dict[str, Seen]:
    kept = {key: replace(one) for key, one in seen.items() if key not in merged}
    for key, name in merged.items():
        one, into = seen[key], kept[name]
        into.calls, into.flops, into.bytes = into.calls + one.calls, into.flops + one.flops, into.bytes + one.bytes
        into.out_shape = one.out_shape
    return kept


def _merge_times(times: Mapping[str, float], merged: Mapping[str, str]) -> dict[str, float]:
    kept = {key: value for key, value in times.items() if key not in merged}
    for key in merged:
        if key in times:
            kept[merged[key]] = kept.get(merged[key], 0.0) + times[key]
    return kept


def _as_it_is(model: Model, x: Tensor) -> Feed:
    """A tensor as the input of a network, whether it fits or not."""
    x = x.to(model.device)
    if kind_of(model) == "text":
        return Feed(model, {"input_ids": x, "attention_mask": torch.ones_like(x)})
    if kind_of(model) == "noise":
        given = feed(model)
        return replace(given, inputs={"x": x}, conditions=given.conditions * len(x))
    return Feed(model, {"x": x})


def _check_rows(part: nn.Embedding, inputs: list[Tensor]) -> None:
    """Ask before torch does: on a GPU a row that isn't there ends the whole process."""
    if inputs and inputs[0].numel() and not inputs[0].is_floating_point():
        low, high = (int(one) for one in torch.aminmax(inputs[0]))
        wrong = high if high >= part.num_embeddings else low
        if not 0 <= wrong < part.num_embeddings:
            raise IndexError(f"row {wrong} was asked for, and the table has the rows 0 to {part.num_embeddings - 1}")


def tensors(value: Any) -> list[Tensor]:
    """All tensors in any nesting of tuples, lists and dicts, in order."""
    found: list[Tensor] = []
    mapped(value, found.append)
    return found


def _shapes(values: list[Tensor]) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape) for tensor in values)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _word(name: str) -> str:
    """An operator as a person names it; "" for one that only moves numbers."""
    name = name.strip("_")
    name = next((word for start, word in PLAIN.items() if name.startswith(start)), name)
    return "" if name in MOVES else name


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Both, each word once, the first few."""
    return tuple(dict.fromkeys((*one, *other)))[:TOLD]
