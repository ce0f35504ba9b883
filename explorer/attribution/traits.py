"""What a network is made of, as far as the methods must know: measured once, by letting one example pass."""

import threading
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS
from torch import nn

from explorer.attribution import graph, layers
from explorer.attribution.rollout import weights
from explorer.zoo.model import Model

if TYPE_CHECKING:
    from torch import fx

LINEAR = (
    nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity, nn.Dropout,
    nn.Dropout2d, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ConstantPad2d, nn.ZeroPad2d, nn.Unflatten,
)  # fmt: skip
REPEATABLE = (nn.Dropout, nn.Dropout2d, nn.Identity, nn.Flatten)


@dataclass(frozen=True, eq=False)
class Traits:
    """What a network is made of."""

    maps: layers.Found
    relus: int
    unruly: tuple[str, ...]  # kinds of layers for which DeepLIFT has no rule
    unruled: tuple[str, ...]  # kinds of layers and operations for which LRP has no rule
    attention: int  # layers of attention whose weights can be read
    grid: tuple[int, int, int] | None  # of their tokens: prefix, height, width
    graph: "fx.Graph | None"  # of the network's calls, where they could be followed
    tangled: bool  # ReLUs that are functions, or used more than once
    hidden: bool  # ReLUs that are functions, in a net whose calls could not be followed


_known: weakref.WeakKeyDictionary[Model, Traits] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def traits(model: Model) -> Traits:
    """The traits of an image classifier, kept for as long as the model is."""
    with _lock:
        found = _known.get(model)
    if found is None:
        found = _measure(model)
        with _lock:
            _known[model] = found
    return found


def _measure(model: Model) -> Traits:
    x = torch.rand(1, *model.card.shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    with model.borrow() as net:
        graph.in_place_off(net)
        calls = _calls(net, x)
        found = layers.find(net, x)
        attention = weights(net, x)
        followed = graph.follow(net, x)
        with torch.enable_grad():
            relus = graph.relu_steps(net(x.clone().requires_grad_()))
    kinds = {type(part) for part in calls}
    functions = relus > sum(count for part, count in calls.items() if isinstance(part, nn.ReLU))
    twice = [part for part, count in calls.items() if count > 1 and not isinstance(part, REPEATABLE)]
    tangled = functions or bool(twice)
    unruly = {kind.__name__ for kind in kinds if kind not in SUPPORTED_NON_LINEAR and not issubclass(kind, LINEAR)}
    unruly |= graph.bent(followed)
    if tangled and followed is None:
        unruly.add(f"a {type(twice[0]).__name__} that is used twice" if twice else "a ReLU that is a function")
    tokens = attention[0].shape[-1] if attention else 0
    return Traits(
        maps=found,
        relus=relus,
        unruly=tuple(sorted(unruly)),
        unruled=graph.unruled(followed, net, {*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS}),
        attention=len(attention),
        grid=layers.grid(tokens, model.card.shape[1:]) if attention else None,
        graph=followed,
        tangled=tangled,
        hidden=functions and followed is None,
    )


def _calls(net: nn.Module, x: torch.Tensor) -> Counter[nn.Module]:
    """How often each leaf is called in one pass."""
    calls: Counter[nn.Module] = Counter()

    def count(part: nn.Module, inputs: Any, output: Any) -> None:
        calls[part] += 1

    handles = [part.register_forward_hook(count) for part in net.modules() if not any(part.children())]
    try:
        with torch.inference_mode():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return calls
