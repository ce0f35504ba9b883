"""How the layers fared as a network learned: one layer's values, and all weights, from checkpoint to checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from explorer import runs, zoo
from explorer.activations.base import CALL
from explorer.activations.capture import calm
from explorer.activations.feed import TIME, Feed
from explorer.activations.health import BINS, COUNT, Counted, Seen, probe, ran
from explorer.activations.health_loss import task
from explorer.errors import ExplorerError

MOST = 24  # checkpoints that are looked at
SHARE = 0.5  # of the work that the first of the two passes takes


@dataclass(frozen=True, eq=False)
class OverTraining:
    """One layer and all weights at S checkpoints of a run."""

    ref: str
    layer: str
    kept: int  # checkpoints that the run has
    steps: np.ndarray  # (S,) those looked at
    edges: np.ndarray  # (BINS + 1,) of the histograms, the same at every checkpoint
    shares: np.ndarray  # (S, BINS) share of all values in each bin, exact zeros left out
    zeros: np.ndarray  # (S,) share of exact zeros
    mean: np.ndarray  # (S,)
    std: np.ndarray  # (S,)
    dead: np.ndarray  # (S,) units; NaN where all are constant
    units: int
    dead_means: str
    modules: tuple[str, ...]  # M modules with weights of their own, in the order of the network
    norms: np.ndarray  # (S, M) ‖w‖ of all weights of a module
    updates: np.ndarray  # (S − 1, M) ‖w_t − w_before‖ / ‖w_before‖; NaN where the weights before are zero
    examples: int

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))


def spread(steps: list[int], most: int = MOST) -> list[int]:
    """At most so many of the steps, evenly chosen, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[place] for place in np.linspace(0, len(steps) - 1, most).round().astype(int)]


def over_training(
    ref: str,
    layer: str,
    count: int = COUNT,
    time_in: float = TIME,
    given: Feed | None = None,
    most: int = MOST,
    on_step: Callable[[float], None] = lambda share: None,
) -> OverTraining:
    """A layer's histogram, its dead units, and how far all weights moved, at the checkpoints of a run.

    ref: `run:<id>`, with or without a step. Other arguments as of `examine`; the examples are the same at each
    checkpoint, and so are the bins: the widest range of all. Raises ExplorerError for what is no run, or has no
    checkpoints.
    """
    parsed = zoo.parse(ref)
    if parsed.source != "run":
        raise ExplorerError(f"The training of {ref}", "its checkpoints were not kept", "Choose a run of your own")
    kept = runs.checkpoints(runs.folder(parsed.name))
    steps = spread(kept, most)
    if not steps:
        raise ExplorerError(f"The training of {ref}", "it has no checkpoints yet", "Wait until it has")
    refs = [f"run:{parsed.name}@{step}" for step in steps]

    seen, norms, updates = [], [], []
    before: dict[str, list[Tensor]] = {}
    for place, one in enumerate(refs):
        seen.append(_looked(one, layer, count, time_in, given))
        now = weights_of(one)
        norms.append([_norm(own) for own in now.values()])
        if before:
            updates.append([moved(before[name], own) for name, own in now.items()])
        before = now
        on_step(SHARE * (place + 1) / len(refs))
    low = min(float(one.unit_low.min()) for one in seen)
    high = max(float(one.unit_high.max()) for one in seen)
    shares = []
    for place, one in enumerate(refs):
        counted = Counted(seen[place], BINS, low, high, directions=False)
        _looked(one, layer, count, time_in, given, counted)
        shares.append(counted.counts / seen[place].values)
        on_step(SHARE + (1 - SHARE) * (place + 1) / len(refs))
    told = [one.told(layer) for one in seen]
    return OverTraining(
        ref, layer, len(kept), np.array(steps), counted.edges, np.array(shares),
        np.array([one.zeros for one in told]), np.array([one.mean for one in told]),
        np.array([one.std for one in told]),
        np.array([np.nan if one.dead is None else one.dead for one in told]), told[0].units, told[0].dead_means,
        tuple(before), np.array(norms), np.array(updates).reshape(-1, len(before)), seen[0].examples,
    )  # fmt: skip


def _looked(
    ref: str, layer: str, count: int, time_in: float, given: Feed | None, counted: Counted | None = None
) -> Seen:
    """What one layer gives out at one checkpoint; counted into bins where these are given."""
    model = zoo.load(ref)
    asked = task(model, count, time_in, None if given is None else replace(given, model=model))
    with model.borrow() as net, calm(net):
        plan = probe(net, asked, [layer.partition(CALL)[0]])
        if layer not in plan.axes:
            raise ExplorerError(f"The layer {layer!r}", plan.left_out.get(layer, "it did not run"), "Choose another")
        seen = plan.seen()[layer]
        ran(net, asked, {layer: counted or seen}, plan.batch, lambda share: None)
    return seen


def weights_of(ref: str) -> dict[str, list[Tensor]]:
    """The weights that each module of a network has itself, by the module's name."""
    with zoo.load(ref).borrow() as net:
        own = {name: [weight.detach() for weight in part.parameters(recurse=False)]
               for name, part in net.named_modules()}  # fmt: skip
    return {name: some for name, some in own.items() if some}


def moved(before: list[Tensor], now: list[Tensor]) -> float:
    """‖now − before‖ / ‖before‖ over all weights of a module; NaN where those before are all zero."""
    length = _norm(before)
    return _norm([one - other for one, other in zip(now, before, strict=True)]) / length if length else float("nan")


def _norm(weights: list[Tensor]) -> float:
    return float(torch.stack([weight.double().square().sum() for weight in weights]).sum().sqrt())
