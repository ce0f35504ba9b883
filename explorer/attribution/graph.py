"""Networks rewritten so that methods can hook every step of them: the calls are followed once, and made modules.

DeepLIFT, guided backpropagation, deconvolution and LRP hook modules. They miss a ReLU that is a function, are wrong
where one module is used twice, and LRP also needs additions as modules. `torch.fx` follows the calls of a forward
pass; here each of them gets a module of its own, over the same weights.
"""

import copy
import operator
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from captum.attr._utils.custom_modules import Addition_Module
from torch import fx, nn
from torch.nn import functional

if TYPE_CHECKING:
    from explorer.attribution.base import Score
    from explorer.zoo.model import Model

RELUS = (functional.relu, torch.relu, torch.relu_, functional.relu_)
ADDITIONS = (operator.add, operator.iadd, torch.add)
RESHAPES = (torch.flatten, operator.getitem, getattr)
QUIET = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)  # in evaluation mode they only reshape, if that


def in_place_off(net: nn.Module) -> None:
    """Let no module of a borrowed net work in place: gradients and hooks need what came before."""
    for part in net.modules():
        if getattr(part, "inplace", False):
            part.inplace = False


def follow(net: nn.Module) -> fx.Graph | None:
    """The calls of one forward pass; None where they can't be followed without knowing the picture."""
    try:
        return fx.Tracer().trace(net)
    except Exception:  # whatever a foreign forward pass does with a stand-in for its input  # noqa: BLE001
        return None


def functional_relus(graph: fx.Graph | None) -> int:
    """How many ReLUs are functions or methods, not modules."""
    return sum(_is_relu(node) for node in graph.nodes) if graph else 0


def unruled(graph: fx.Graph | None, net: nn.Module, ruled: set[type]) -> tuple[str, ...]:
    """The kinds of steps for which there is no rule, sorted; a net that can't be followed is one such step."""
    parts = dict(net.named_modules())
    if graph is None:
        leaves = (part for part in parts.values() if not any(part.children()))
        missing = {type(part).__name__ for part in leaves if type(part) not in ruled and not _quiet(part)}
        return tuple(sorted(missing)) or ("a forward pass that depends on its input",)
    missing = set()
    for node in graph.nodes:
        if node.op == "call_module" and type(parts[node.target]) not in ruled and not _quiet(parts[node.target]):
            missing.add(type(parts[node.target]).__name__)
        elif node.op in ("call_function", "call_method") and not (_is_relu(node) or _is_addition(node) or _moves(node)):
            missing.add(str(getattr(node.target, "__name__", node.target)))
    return tuple(sorted(missing))


def unrolled(model: "Model", score: "Score", additions: bool) -> nn.Module:
    """A borrowed score in which every call is a module of its own, over the same weights; the score itself if it can't.

    additions: additions become modules too, and what only reshapes becomes a function, as LRP wants it.
    """
    from explorer.attribution.base import Score
    from explorer.attribution.traits import traits

    known = traits(model)
    if known.graph is None or not (known.tangled or additions):
        return score
    return Score(_rebuild(known.graph, score.net, additions), score.target, score.versus, score.meter).eval()


def _rebuild(graph: fx.Graph, net: nn.Module, additions: bool) -> fx.GraphModule:
    parts: dict[str, Any] = dict(net.named_modules())
    uses = Counter(node.target for node in graph.nodes if node.op == "call_module")
    mine, new = fx.Graph(), {}
    copies: dict[str, Any] = {}

    def module(part: nn.Module, node: fx.Node, arguments: tuple[Any, ...]) -> fx.Node:
        name = f"step_{len(copies)}_{node.name}"
        copies[name] = part
        return mine.call_module(name, arguments)

    for node in graph.nodes:
        arguments = fx.node.map_arg(node.args, new.__getitem__)
        if _is_relu(node):
            new[node] = module(nn.ReLU(), node, arguments[:1])
        elif additions and _is_addition(node) and all(isinstance(argument, fx.Node) for argument in node.args[:2]):
            new[node] = module(Addition_Module(), node, arguments[:2])
        elif node.op == "call_module":
            part = parts[node.target]
            if additions and _quiet(part):
                flat = isinstance(part, nn.Flatten)
                new[node] = (
                    mine.call_function(torch.flatten, (arguments[0], part.start_dim, part.end_dim))
                    if flat
                    else arguments[0]
                )
            else:
                new[node] = module(copy.copy(part) if uses[node.target] > 1 else part, node, arguments)
                new[node].kwargs = fx.node.map_arg(node.kwargs, new.__getitem__)
        else:
            new[node] = mine.node_copy(node, new.__getitem__)
    reads = {node.target: _at(net, node.target) for node in graph.nodes if node.op == "get_attr"}
    return fx.GraphModule(copies | reads, mine)


def _at(net: nn.Module, path: str) -> Any:
    value: Any = net
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _is_relu(node: fx.Node) -> bool:
    return (node.op == "call_function" and node.target in RELUS) or (
        node.op == "call_method" and node.target in ("relu", "relu_")
    )


def _is_addition(node: fx.Node) -> bool:
    return (node.op == "call_function" and node.target in ADDITIONS) or (
        node.op == "call_method" and node.target in ("add", "add_")
    )


def _moves(node: fx.Node) -> bool:
    """Whether a function only reshapes."""
    return node.target in RESHAPES or node.target in ("flatten", "view", "reshape", "size", "contiguous")


def _quiet(part: nn.Module) -> bool:
    return isinstance(part, QUIET)


def private_weights(net: nn.Module) -> nn.Module:
    """The net over weights of its own, for what writes into them."""
    with torch.no_grad():
        return copy.deepcopy(net)
