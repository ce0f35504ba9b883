"""The same examples for two networks, and the layers of each that are compared over them."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from explorer import data, models
from explorer.activations.base import CALL
from explorer.activations.capture import calm, chosen, first_tensor
from explorer.activations.feed import Feed, dataset, feed, kind_of, sample
from explorer.errors import ExplorerError
from explorer.models.base import initialise
from explorer.zoo.model import Model

MAIN, ALL = 24, 64  # layers of one network: at the most of the main ones, and of all
ENOUGH = 10  # main layers, from which on the insides of blocks are left out
TRIED = 4  # examples that show what a network's layers give
KINDS = {"image": "pictures", "points": "points", "text": "texts", "noise": "noised examples"}
ACTING = ("ReLU", "SiLU", "GELU", "NewGELU", "Tanh", "Sigmoid", "Mish", "ELU", "Hardswish")
SHAPERS = ("Flatten", "Dropout", "Identity", "Unflatten", "Dropout2d")  # they compute nothing of their own


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples of one data set, each as two networks take it."""

    a: Callable[[int, int], Feed]  # (start, stop) → those examples for A
    b: Callable[[int, int], Feed]
    count: int
    name: str  # of the data set
    y: np.ndarray | None = None  # (N,) the true classes
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A call of a layer that gives other numbers for other examples."""

    name: str  # with its number, from its second call in a pass on
    kind: str  # the class of the module
    shape: tuple[int, ...]  # of one example

    @property
    def size(self) -> int:
        """Numbers that it gives for one example."""
        return int(np.prod(self.shape))

    @property
    def channels(self) -> int:
        """How many of them are left when positions are averaged."""
        return self.shape[channel_axis(len(self.shape) + 1) - 1]


def channel_axis(dimensions: int) -> int:
    """Which axis of a batch tells units apart: 1 of maps (N, C, H, W), the last of states (N, T, D) and of (N, D)."""
    return 1 if dimensions > 3 else dimensions - 1


def same_kind(a: Model, b: Model) -> None:
    """Raise ExplorerError where no example can be given to both networks."""
    first, second = kind_of(a), kind_of(b)
    if first != second:
        raise ExplorerError(
            f"{a.card.ref} beside {b.card.ref}",
            f"the one takes {KINDS[first]}, the other {KINDS[second]}",
            "Choose two networks that take the same kind of input",
        )


def examples(a: Model, b: Model, source: str | data.Dataset | None = None, count: int = 500, seed: int = 0) -> Examples:
    """Up to `count` test examples for both networks, of B's own data unless `source` says which.

    Pictures and points are drawn from the split by `seed`, and each network prepares them in its own way. Of texts and
    denoisers the first ones are taken; denoisers are given the same noise. Raises ExplorerError where there are none
    that both can take.
    """
    same_kind(a, b)
    kind = kind_of(b)
    found = data.load(source, "test") if isinstance(source, str) else source or dataset(b) or dataset(a)
    asked = f"Examples for {a.card.ref} and {b.card.ref}"
    if found is None:
        raise ExplorerError(asked, "the data of neither are known here", "Choose one network whose data ship, as zoo:…")
    if kind == "noise":
        if (a.card.dataset, a.card.dataset_settings) != (b.card.dataset, b.card.dataset_settings):
            wrong = f"the one draws {a.card.dataset or 'what is not known'}, the other {b.card.dataset or 'the same'}"
            raise ExplorerError(asked, wrong, "Choose two denoisers of the same data")
        count = min(count, len(found))
        return Examples(*(sample(model, count).rows for model in (a, b)), count, found.name, *_classes(found, count))
    if kind == "text":
        count = min(count, len(found))
        return Examples(*(_reading(model, found, count) for model in (a, b)), count, found.name)
    if found.task != kind:
        raise ExplorerError(asked, f"{found.name} has no {KINDS[kind]}", f"Choose data with {KINDS[kind]}")
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    x = found.x[order]
    feeds = ((lambda start, stop, model=model: feed(model, x[start:stop])) for model in (a, b))
    return Examples(*feeds, len(x), found.name, found.y[order], found.labels)


def _classes(found: data.Dataset, count: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    return (found.y[:count], found.labels) if found.y.ndim == 1 and found.labels else (None, ())


def _reading(model: Model, found: data.Dataset, count: int) -> Callable[[int, int], Feed]:
    """The texts of a data set for one network: its own as they are, those of others by their letters."""
    own = dataset(model)
    if own is not None and own.name == found.name:
        return sample(model, count).rows
    if found.texts is None:
        raise ExplorerError(f"{found.name} for {model.card.ref}", "it has no texts", "Choose data with texts")
    return feed(model, list(found.texts[:count])).rows


def ours(model: Model) -> bool:
    """Whether its architecture is one of this project's, so that it can be had with new weights."""
    return model.card.architecture in models.MODELS


@contextmanager
def opened_net(model: Model, fresh: int | None = None) -> Iterator[nn.Module]:
    """A borrowed tree of a network; with `fresh` a copy of it whose weights are drawn anew from that seed.

    Raises ExplorerError where weights can't be drawn: of architectures that are not ours.
    """
    with model.borrow() as net:
        if fresh is None:
            yield net
            return
        if not ours(model):
            raise ExplorerError(
                f"{model.card.ref} with new weights", "only architectures of this project are drawn anew here",
                "Compare with shuffled examples instead",
            )  # fmt: skip
        blank = copy.deepcopy(net).to(memory_format=torch.contiguous_format)  # random numbers go by places in memory
    initialise(blank, torch.Generator().manual_seed(fresh))
    yield blank.to(model.device, memory_format=torch.channels_last)  # as `Model` has it


Take = Callable[[str, nn.Module, Tensor | None], None]  # the call, its module, the first tensor that it gave


@contextmanager
def handed(net: nn.Module, names: Sequence[str], take: Take) -> Iterator[None]:
    """Hand over what every call of some layers gives in one pass, before anything that follows can write into it."""
    parts, count = dict(net.named_modules()), dict.fromkeys(names, 0)

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def give(part: nn.Module, inputs: object, output: object) -> None:
            count[name] += 1
            take(name if count[name] == 1 else f"{name}{CALL}{count[name]}", part, first_tensor(output))

        return parts[name].register_forward_hook(give)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name in names:
            handles.append(watch(name))
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Probed:
    """What can be compared of a network."""

    places: tuple[Place, ...]  # in the order in which they finish
    main: tuple[str, ...]  # the names of blocks and of what stands between them, up to MAIN
    seconds: float  # that one example takes

    def named(self, names: Sequence[str], ref: str) -> list[Place]:
        """The places of some names; raises ExplorerError for one that can't be compared."""
        known = {place.name: place for place in self.places}
        for name in names:
            if name not in known:
                raise ExplorerError(
                    f"The layer {name!r} of {ref}", "there is none that gives other numbers for other examples",
                    f"Choose of: {', '.join(list(known)[:40])}",
                )  # fmt: skip
        return [known[name] for name in names]


def probe(model: Model, given: Feed) -> Probed:
    """The layers that give numbers which differ from example to example, found by letting a few examples pass.

    Where several give the very same tensor, as a block and the last layer in it do, the block stands for them.
    """
    seen: list[tuple[str, nn.Module, Tensor]] = []
    fewer: dict[str, int] = {}  # what stands for the examples has one row less when one is left out

    def count(called: str, part: nn.Module, tensor: Tensor | None) -> None:
        fewer[called] = tensor.shape[0] if tensor is not None and tensor.ndim else 0

    def take(called: str, part: nn.Module, tensor: Tensor | None) -> None:
        follows = fewer.get(called) == len(given) - 1
        if follows and _differs(tensor, len(given)) and type(part).__name__ not in SHAPERS:
            seen.append((called, part, tensor))

    with model.borrow() as net, calm(net), torch.inference_mode():
        for some, use in ((given.rows(0, len(given) - 1), count), (given, take)):
            with handed(net, chosen(net, None), use):
                some.run(net)
        seconds = min(_timed(given, net), _timed(given, net)) / len(given)
        blocks = {name for name, part in net.named_modules() if _is_block(name, part)}
    groups: dict[int, list[tuple[str, nn.Module, Tensor]]] = {}
    for one in seen:
        groups.setdefault(id(one[2]), []).append(one)
    kept = {_stands_for(group)[0] for group in groups.values()}
    found = [one for one in seen if one[0] in kept]
    places = tuple(Place(called, type(part).__name__, tuple(tensor.shape[1:])) for called, part, tensor in found)
    return Probed(places, _main([(called, part) for called, part, _ in found], blocks), seconds)


def _timed(given: Feed, net: nn.Module) -> float:
    began = time.perf_counter()
    given.run(net)
    return time.perf_counter() - began


def _differs(tensor: Tensor, count: int) -> bool:
    """Whether it is floats for each of `count` examples, not all alike."""
    if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.shape[0] != count or not tensor.numel():
        return False
    return not bool((tensor == tensor[:1]).all())


def _is_block(name: str, part: nn.Module) -> bool:
    """One of a row of parts that are alike, such as `layer1.0` or `blocks.3`."""
    plain = isinstance(part, nn.Sequential | nn.ModuleList)
    return name[-1:].isdigit() and not plain and any(True for _ in part.children())


def _stands_for(group: Sequence[tuple[str, nn.Module, Tensor]]) -> tuple[str, nn.Module, Tensor]:
    """Which of the layers that give one tensor is named: the outermost block, else the first that is a layer itself."""
    blocks = [one for one in group if _is_block(one[0].partition(CALL)[0], one[1])]
    layers = [one for one in group if not isinstance(one[1], nn.Sequential | nn.ModuleList)]
    return blocks[-1] if blocks else (layers or group)[0]


def _main(found: Sequence[tuple[str, nn.Module]], blocks: set[str]) -> tuple[str, ...]:
    """Blocks and what stands between them; where these are few, what acts inside the blocks too."""
    names = [called for called, _ in found]
    first = [called for called in names if called.partition(CALL)[0] in blocks]
    between = [
        called for called, part in found
        if called not in first and not _inside(called, blocks)
        and (not any(True for _ in part.children()) or any(True for _ in part.parameters(recurse=False)))
    ]  # fmt: skip
    picked = spread(first, MAIN)
    picked += spread(between, MAIN - len(picked))
    if len(picked) < ENOUGH:
        acting = [called for called, part in found if type(part).__name__.startswith(ACTING) and called not in picked]
        picked += spread(acting, MAIN - len(picked))
    return tuple(name for name in names if name in set(picked))


def _inside(called: str, blocks: set[str]) -> bool:
    parts = called.partition(CALL)[0].split(".")
    return any(".".join(parts[:end]) in blocks for end in range(1, len(parts)))


def spread(names: Sequence[str], most: int) -> list[str]:
    """Up to `most` of some names, as evenly as can be, the first and the last among them."""
    if len(names) <= most:
        return list(names)
    return [names[index] for index in np.unique(np.linspace(0, len(names) - 1, max(most, 0)).round().astype(int))]
