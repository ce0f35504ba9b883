"""Which units of a layer does a network need most? Each alone, and the worst that can be taken one after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from explorer.activations.base import CALL
from explorer.activations.feed import TIME, Feed, dataset, feed, opened
from explorer.activations.surgery import Cut, Table, Trial, axis_of, changed, own, table, trial
from explorer.errors import ExplorerError
from explorer.jobs.study import Study
from explorer.turns import TURNS
from explorer.zoo.model import Model

SCREEN = 64  # units up to which every one is tried at every step
KEPT = 24  # of more units, those whose own damage is the largest are tried
STEPS, COUNT, SEEDS = 6, 64, 5
MOST_STEPS, MOST_COUNT = 10, 500
STUDY = Study("search", "explorer.activations.greedy:run", "searches")


@dataclass(frozen=True, eq=False)
class Singles:
    """By how much the loss rises without each of U units of a layer alone."""

    layer: str
    rise: np.ndarray  # (U,) float32
    loss: float  # of the intact network
    count: int  # examples
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return self.rise.nbytes


@dataclass(frozen=True)
class Search:
    """What to look for: the most damaging units of a layer, one after the other."""

    ref: str
    layer: str
    steps: int = STEPS
    count: int = COUNT  # examples by which they are chosen; as many others measure what is lost
    seeds: int = SEEDS  # random orders beside it
    share: float = TIME  # of a denoiser, how far the examples are noised


@dataclass(frozen=True, eq=False)
class Greedy:
    """The units that were taken, and what was lost with each: S of them, R random orders."""

    layer: str
    units: np.ndarray  # (S,) in the order in which they were taken
    rise: np.ndarray  # (S,) of the loss, over the examples by which they are chosen
    loss: np.ndarray  # (S + 1,) over other examples, the first intact
    accuracy: np.ndarray  # (S + 1,) over other examples; NaN of denoisers
    random_loss: np.ndarray  # (R, S + 1) where units go in a random order
    random_accuracy: np.ndarray  # (R, S + 1)
    singles: np.ndarray  # (U,) the rise without each alone, over the examples by which they are chosen
    tried: int  # units that were tried at every step; fewer than U where the others were screened out
    count: int  # examples that measure
    chosen_by: int  # examples that choose
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(one.nbytes for one in (self.singles, self.loss, self.random_loss)) * 2


def singles(
    ref: str | Model,
    layer: str,
    x: Any = None,
    count: int | None = None,
    share: float = TIME,
    on_step: Callable[[float], None] = lambda share: None,
) -> Singles:
    """By how much the loss rises where each unit of a layer is zero, alone.

    count: over so many test examples, against the truth. None: for the example x, as of `feed`, against what the intact
    network itself answers (-ln p in nats, the mean over tokens; of a denoiser its mean squared change).
    """
    began, model = TURNS.clock(), opened(ref)
    given = None if count is not None else feed(model, x)
    with table(model) as on:
        asked = trial(model, count, share=share) if count is not None else own(on, given)
        with resumed(on, asked.given, layer) as width:
            loss = _loss(on, asked, layer, ())
            rise = np.empty(width, np.float32)
            for unit in range(width):
                rise[unit] = _loss(on, asked, layer, (unit,)) - loss
                on_step((unit + 1) / width)
    return Singles(layer, rise, loss, len(asked.given), TURNS.clock() - began)


def greedy(
    ref: str | Model,
    layer: str,
    steps: int = STEPS,
    count: int = COUNT,
    seeds: int = SEEDS,
    share: float = TIME,
    on_step: Callable[[float], None] = lambda share: None,
) -> Greedy:
    """Take the unit whose loss hurts most, then, without it, the next, and so on.

    At each step every unit that is left is tried; of more than 64 the 24 that hurt most alone. The loss over `count`
    test examples decides; `count` others then measure what is lost, there and in `seeds` random orders.
    Raises ExplorerError for a layer that there isn't, and where the network's own data are not here.
    """
    began, model = TURNS.clock(), opened(ref)
    _check(Search(model.card.ref, layer, steps, count, seeds, share))
    size = len(dataset(model) or ())
    count = min(count, max(1, size // 2)) if size else count
    chooses, measures = trial(model, count, share=share), trial(model, count, count, share)
    done = 0
    with table(model) as on:
        with resumed(on, chooses.given, layer) as width:
            steps = min(steps, width)
            kept = width if width <= SCREEN else KEPT
            whole = passes(width, steps, seeds)

            def step() -> None:
                nonlocal done
                done += 1
                on_step(min(1.0, done / whole))

            loss = _loss(on, chooses, layer, ())
            alone = np.empty(width, np.float32)
            for unit in range(width):
                alone[unit] = _loss(on, chooses, layer, (unit,)) - loss
                step()
            left = [int(unit) for unit in np.argsort(-alone, kind="stable")[:kept]]
            taken, rises = [left.pop(0)], [float(alone.max())]
            while len(taken) < steps and left:
                found = []
                for unit in left:
                    found.append(_loss(on, chooses, layer, (*taken, unit)) - loss)
                    step()
                best = int(np.argmax(found))
                taken.append(left.pop(best))
                rises.append(found[best])
        with resumed(on, measures.given, layer):
            course = _course(on, measures, layer, taken, step)
            orders = [np.random.default_rng(seed).permutation(width)[: len(taken)].tolist() for seed in range(seeds)]
            random = np.array([_course(on, measures, layer, order, step) for order in orders])  # (R, 2, S + 1)
    random = random.reshape(seeds, 2, len(taken) + 1)
    return Greedy(
        layer, np.array(taken), np.array(rises), *course, random[:, 0], random[:, 1], alone, kept, len(measures.given),
        len(chooses.given), TURNS.clock() - began,
    )  # fmt: skip


def passes(width: int, steps: int = STEPS, seeds: int = SEEDS) -> int:
    """How often the examples will pass through what comes after a layer of so many units."""
    kept = width if width <= SCREEN else KEPT
    steps = min(steps, width)
    return width + sum(kept - taken for taken in range(1, steps)) + (seeds + 1) * steps


def _course(on: Table, asked: Trial, layer: str, order: Sequence[int], step: Callable[[], None]) -> np.ndarray:
    """(2, S + 1) loss and accuracy as units go in an order."""
    found = []
    for taken in range(len(order) + 1):
        answers = _answer(on, asked, layer, order[:taken])
        found.append((float(asked.losses(answers).mean()), float(asked.right(answers).mean())))
        if taken:
            step()
    return np.array(found).T


def _loss(on: Table, asked: Trial, layer: str, units: Sequence[int]) -> float:
    return float(asked.losses(_answer(on, asked, layer, units)).double().mean())


def _answer(on: Table, asked: Trial, layer: str, units: Sequence[int]) -> Tensor:
    cut = Cut(layer, tuple(units))
    return on.run(asked.given, {cut.place: lambda x: changed(x, cut)} if units else {})


@contextmanager
def resumed(on: Table, given: Feed, layer: str) -> Iterator[int]:
    """Inside the `with`, passes of these very examples begin at a layer: what comes before is remembered, not redone.

    Gives how many units the layer has. Layers that finished before it, and the layer itself, hand out what they gave;
    the answer has the same bits. Only layers that give one tensor are remembered, and none of a network in which one
    module stands at two places.
    """
    if layer.partition(CALL)[0] not in on.parts:
        raise on.unknown(layer)
    memory, width = _remembered(on, given, layer)
    counts: dict[str, int] = {}
    several = {name for name, _ in memory}

    def replay(name: str, part: nn.Module) -> Callable[..., Any]:
        compute = part.forward

        def forward(*inputs: Any, **keywords: Any) -> Any:
            counts[name] = counts.get(name, 0) + 1
            kept = memory.get((name, counts[name]))
            return compute(*inputs, **keywords) if kept is None else kept.clone()

        return forward

    def begin(part: nn.Module, inputs: Any) -> None:
        counts.clear()

    # A denoiser is run by its parts, so each of the first level begins to count its own layers anew.
    heads = [on.net, *(on.net.values() if isinstance(on.net, nn.ModuleDict) else ())]
    handles = []
    try:
        for name in several:
            on.parts[name].forward = replay(name, on.parts[name])
        for head in heads:
            handles.append(head.register_forward_pre_hook(begin))
        yield width
    finally:
        for handle in handles:
            handle.remove()
        for name in several:
            vars(on.parts[name]).pop("forward", None)


def _remembered(on: Table, given: Feed, layer: str) -> tuple[dict[tuple[str, int], Tensor], int]:
    """What the outermost layers gave that finished before a layer did, by name and number of the call; its width."""
    target, _, number = layer.partition(CALL)
    shared = sum(1 for _ in on.net.named_modules()) != sum(1 for _ in on.net.named_modules(remove_duplicate=False))
    memory: dict[tuple[str, int], Tensor] = {}
    counts: dict[str, int] = {}
    inside: set[str] = set()  # of layers that are remembered as a whole
    width, over = 0, False

    def watch(name: str) -> Callable[..., None]:
        def keep(part: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal over
            counts[name] = counts.get(name, 0) + 1
            if over:
                return
            over = name == target and counts[name] == int(number or 1)
            if isinstance(output, Tensor) and name not in inside and not target.startswith(f"{name}."):
                under = {one for one in on.parts if one.startswith(f"{name}.")}
                inside.update(under)
                for key in [key for key in memory if key[0] in under]:
                    del memory[key]
                memory[name, counts[name]] = output.clone()

        return keep

    def look(x: Tensor) -> Tensor:
        nonlocal width
        changed(x, Cut(layer))  # refuses what has no units
        width = x.shape[axis_of(x)]
        return x

    handles = []
    try:
        if not shared:
            for name, part in on.parts.items():
                if not _elsewhere(on, name, target):
                    handles.append(part.register_forward_hook(watch(name)))
        on.run(given, {(layer, False): look})
    finally:
        for handle in handles:
            handle.remove()
    return memory, width


def _elsewhere(on: Table, name: str, target: str) -> bool:
    """Whether a layer is of another part of a denoiser than the one that is looked at, such as its text encoder."""
    return isinstance(on.net, nn.ModuleDict) and name.partition(".")[0] != target.partition(".")[0]


def _check(asked: Search) -> None:
    if not (1 <= asked.steps <= MOST_STEPS and 2 <= asked.count <= MOST_COUNT and 1 <= asked.seeds <= 20):
        raise ExplorerError(
            f"{asked.steps} units by {asked.count} examples against {asked.seeds} random orders",
            f"it takes 1 to {MOST_STEPS} units, 2 to {MOST_COUNT} examples and 1 to 20 orders", "Choose anew",
        )  # fmt: skip


def start(asked: Search, owner: str) -> str:
    """Queue a search for a worker; returns the id under which it is found from now on."""
    _check(asked)
    return STUDY.start(asdict(asked), owner)


def run(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: search, and leave what it found in the folder."""
    return STUDY.answer(request, report, stopping, lambda on_step: greedy(**request["asked"], on_step=on_step))


def asked_of(id: str) -> Search:
    """What was asked; raises ExplorerError where there is no such search."""
    return Search(**STUDY.asked(id))


def found_of(id: str) -> Greedy | None:
    """What was found; None where it has not ended well."""
    return STUDY.found(id, Greedy)
