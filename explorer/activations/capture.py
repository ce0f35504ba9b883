"""Every layer's values in one pass of a network, whatever its layers give out and however they are used."""

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from explorer.activations.base import CALL, Activations, Layer
from explorer.activations.feed import Feed, feed, opened, room
from explorer.errors import ExplorerError
from explorer.turns import TURNS
from explorer.zoo.model import Model

WANTS = ("output", "input", "weight", "gradient")
_written: weakref.WeakKeyDictionary[Model, set[str]] = weakref.WeakKeyDictionary()  # layers that followers write into


@dataclass(frozen=True, eq=False)
class Call:
    """One call of one layer, while its pass goes on."""

    name: str  # with its number, from the second on
    part: nn.Module
    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any]
    output: Any
    versions: tuple[int, ...]  # how often its first output and its first input had been written into

    @property
    def tensors(self) -> tuple[Tensor | None, Tensor | None]:
        """Its first output and its first input."""
        return first_tensor(self.output), first_tensor((*self.inputs, *self.keywords.values()))

    @property
    def spoiled(self) -> bool:
        """Whether what followed has written into them since."""
        return self.versions != _versions(self.tensors)


def capture(
    ref: str | Model,
    x: Any = None,
    layers: Sequence[str] | None = None,
    want: Sequence[str] = ("output",),
    limit: int | None = None,
    target: int | None = None,
) -> Activations:
    """What the layers of a network give out for these examples.

    x: as of `feed`: pictures, points, texts, or a Feed; None is the first test example.
    layers: names as in named_modules(); None takes all but the network itself, in the order in which they finish.
    want: of "output", "input", "weight" and "gradient" (of the sum of the examples' scores: the logit of the class
    `target`, or of the one that each is given; of what has no classes half the squared answer).
    limit: bytes; the layers that come after it is reached are left out, and named in `left_out`. None: what fits here.
    Raises ExplorerError for a layer or a wish that there isn't. The shared network is never touched.
    """
    unknown = [one for one in want if one not in WANTS]
    if unknown:
        raise ExplorerError(f"The wish {unknown[0]!r}", "it can't be captured", f"Choose of: {', '.join(WANTS)}")
    began, model = TURNS.clock(), opened(ref)
    given = feed(model, x)
    with model.borrow() as net, calm(net):
        names = chosen(net, layers)
        if "gradient" in want:
            calls, answer, gradients = _with_gradients(given, net, names, target)
        else:
            (calls, answer), gradients = passed(given, net, names), {}
        kept, left_out = _told(calls, gradients, want, room() if limit is None else limit)
    ran = {call.name.partition(CALL)[0] for call in calls}
    left_out |= {name: "it did not run in this pass" for name in names if name not in ran}
    keep = None if given.keep is None else given.keep.cpu().numpy()
    return Activations(model.card.ref, kept, array(answer), left_out, keep, TURNS.clock() - began)


def chosen(net: nn.Module, layers: Sequence[str] | None) -> list[str]:
    """The names of the layers asked for; raises ExplorerError for one that there isn't, or none at all."""
    names = [name for name, _ in net.named_modules() if name]
    if layers is None:
        return names
    some = f"Choose of: {', '.join(names[:40])}{' …' if len(names) > 40 else ''}"
    for name in layers:
        if name not in names:
            raise ExplorerError(f"The layer {name!r}", "this model has none of that name", some)
    if not layers:
        raise ExplorerError("The layers", "none was chosen", some)
    return list(layers)


@contextmanager
def calm(net: nn.Module) -> Iterator[None]:
    """A borrowed tree whose layers write into no input of theirs, for the length of a `with`."""
    busy = [part for part in net.modules() if getattr(part, "inplace", False)]
    for part in busy:
        part.inplace = False
    try:
        yield
    finally:
        for part in busy:
            part.inplace = True


@contextmanager
def watched(
    net: nn.Module, names: Sequence[str], copied: Collection[str] = (), graph: bool = False
) -> Iterator[list[Call]]:
    """Every call of the named layers inside the `with`, in the order in which they finish.

    copied: layers whose followers write into what they gave, so that copies are kept. graph: what follows goes on with
    a copy, so that gradients can be taken with respect to what was kept.
    """
    calls: list[Call] = []
    count: dict[str, int] = {}
    parts = dict(net.named_modules())

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def keep(part: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> Any:
            count[name] = count.get(name, 0) + 1
            called = name if count[name] == 1 else f"{name}{CALL}{count[name]}"
            if name in copied:
                inputs, keywords, output = (mapped(one, Tensor.clone) for one in (inputs, keywords, output))
            versions = _versions((first_tensor(output), first_tensor((*inputs, *keywords.values()))))
            calls.append(Call(called, part, inputs, keywords, output, versions))
            return tree_map_only(Tensor, Tensor.clone, output) if graph else None

        return parts[name].register_forward_hook(keep, with_kwargs=True)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name in names:
            handles.append(watch(name))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def passed(given: Feed, net: nn.Module, names: Sequence[str]) -> tuple[list[Call], Tensor]:
    """One pass that copies only what followers write into; the first time, when that is not known, maybe a second."""
    spoiled = _written.setdefault(given.model, set())
    with torch.inference_mode(False), torch.no_grad():  # in inference mode tensors don't count what is written
        given = plain(given)
        while True:
            with watched(net, names, frozenset(spoiled)) as calls:
                answer = given.run(net)
            more = {call.name.partition(CALL)[0] for call in calls if call.spoiled} - spoiled
            if not more:
                return calls, answer
            spoiled |= more


def plain(given: Feed) -> Feed:
    """The same inputs as tensors that may take part in gradients, wherever they were made."""
    tensors = {name: value.clone() if value.is_inference() else value for name, value in given.inputs.items()}
    return replace(given, inputs=tensors)


def score(given: Feed, answer: Tensor, target: int | None = None) -> Tensor:
    """One number whose gradient is asked for: the sum of the examples' logits of a class, or of the answers given.

    Of texts it is summed over the tokens; of a denoiser, and of an encoder without a head, half the squared answer.
    """
    if given.time is not None or given.model.card.task == "feature-extraction":
        return answer.square().sum() / 2
    if target is None:
        best = answer.amax(-1)
    elif 0 <= target < answer.shape[-1]:
        best = answer[..., target]
    else:
        raise ExplorerError(f"The class {target}", "the network has none of that number",
                            f"Choose 0 to {answer.shape[-1] - 1}")  # fmt: skip
    return best[given.keep].sum() if given.keep is not None and best.ndim == 2 else best.sum()


def _with_gradients(
    given: Feed, net: nn.Module, names: Sequence[str], target: int | None
) -> tuple[list[Call], Tensor, dict[str, Tensor]]:
    """One pass there and back; gradients by the name of the call, where the answer depends on it."""
    with torch.inference_mode(False), torch.enable_grad():
        given = plain(given)
        net.requires_grad_(True)  # only so that a graph is built: of texts no input can ask for gradients
        try:
            with watched(net, names, graph=True) as calls:
                answer = given.run(net)
            asked = {call.name: call.tensors[0] for call in calls}
            asked = {name: tensor for name, tensor in asked.items() if tensor is not None and tensor.requires_grad}
            total = score(given, answer, target)
            found = torch.autograd.grad(total, [*asked.values()], allow_unused=True) if asked else ()
        finally:
            net.requires_grad_(False)
    return calls, answer, {name: one for name, one in zip(asked, found, strict=True) if one is not None}


def _told(
    calls: list[Call], gradients: Mapping[str, Tensor], want: Sequence[str], limit: int
) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """What was seen as arrays, up to a limit in bytes."""
    layers: list[Layer] = []
    left_out: dict[str, str] = {}
    held, seen = 0, set()
    for call in calls:
        output, given = call.tensors
        tensors = [tensor for tensor, name in ((output, "output"), (given, "input")) if name in want]
        tensors += [gradients[call.name]] if call.name in gradients else []
        needs = sum(tensor.numel() * 4 for tensor in tensors if tensor is not None and id(tensor) not in seen)
        if held + needs > limit:
            left_out[call.name] = f"there was no more room: the pass is held to {limit / 2**20:,.0f} MB"
            continue
        held += needs
        seen |= {id(tensor) for tensor in tensors}
        own = dict(call.part.named_parameters(recurse=False)) if "weight" in want else {}
        layers.append(
            Layer(
                call.name, type(call.part).__name__,
                array(output) if "output" in want else None,
                array(given) if "input" in want else None,
                array(gradients.get(call.name)),
                {name: array(one.detach().clone()) for name, one in own.items()},
                _note(call.output, output),
            )
        )  # fmt: skip
    return tuple(layers), left_out


def _note(output: Any, shown: Tensor | None) -> str:
    """What of an output is not shown."""
    if isinstance(output, Tensor):
        return ""
    if shown is None:
        return "it gives out no tensor" if output is not None else "it gives out nothing"
    tensors: list[Tensor] = []
    mapped(output, tensors.append)
    others = f", the first of {len(tensors)} tensors" if len(tensors) > 1 else ""
    return f"it gives out a {type(output).__name__}{others}"


def array(tensor: Tensor | None) -> np.ndarray | None:
    """A tensor as floats on the CPU; whole numbers stay whole."""
    if tensor is None:
        return None
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor in any nesting of tuples, lists and dicts (transformers' outputs are dicts)."""
    if isinstance(value, Tensor):
        return value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nesting with every tensor changed; what is neither stays as it is."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: mapped(part, change) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(mapped(part, change) for part in value)
    return value


def _versions(tensors: tuple[Tensor | None, ...]) -> tuple[int, ...]:
    return tuple(-1 if tensor is None or tensor.is_inference() else tensor._version for tensor in tensors)
