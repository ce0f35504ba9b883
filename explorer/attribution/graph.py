"""Networks rewritten so that methods can hook every step of them: the calls are followed once, and made modules.

DeepLIFT, guided backpropagation, deconvolution and LRP hook modules. They miss a ReLU that is a function, are wrong
where one module is used twice, and LRP also needs additions as modules. `torch.fx` follows the calls of a forward
pass; here each of them gets a module of its own, over the same weights.
"""

import copy
import functools
import operator
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from explorer.attribution.base import Score
    from explorer.zoo.model import Model

RELUS = (functional.relu, torch.relu, torch.relu_, functional.relu_)
ADDITIONS = (operator.add, operator.iadd, torch.add)
RESHAPES = (torch.flatten, operator.getitem, getattr)
STRAIGHT = {  # functions and methods through which a difference passes in proportion, beside ReLUs
    "add", "add_", "iadd", "sub", "sub_", "isub", "neg", "cat", "concat", "stack", "mean", "sum", "flatten",
    "unflatten", "view", "reshape", "size", "getattr", "getitem", "contiguous", "permute", "transpose", "squeeze",
    "unsqueeze", "expand", "repeat", "chunk", "split", "pad", "dropout", "clone", "float", "to", "dim", "floordiv",
    "adaptive_avg_pool2d", "avg_pool2d", "interpolate", "conv2d", "linear", "batch_norm", "_assert",
}  # fmt: skip
SCALING = {"mul", "mul_", "imul", "truediv", "div", "div_", "itruediv"}  # likewise, where one factor is constant
QUIET = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)  # in evaluation mode they only reshape, if that


class Copy(nn.Module):
    """What came in, as a tensor of its own, with a rule for LRP."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = EpsilonRule()

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def in_place_off(net: nn.Module) -> None:
    """Let no module of a borrowed net work in place: gradients and hooks need what came before."""
    for part in net.modules():
        if getattr(part, "inplace", False):
            part.inplace = False


class Follower(fx.Tracer):
    """Notes the calls of one borrowed net; `trace` itself would change the modules of everybody while it works."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.root, self.graph = net, fx.Graph()
        self._kept = {id(tensor) for tensor in (*net.parameters(), *net.buffers())}

    def follow(self) -> fx.Graph:
        """The calls of one forward pass."""
        leaves = {part: name for name, part in self.root.named_modules() if name and self.is_leaf_module(part, name)}
        try:
            for part, name in leaves.items():
                part.forward = functools.partial(self._note, name)
            answer = self.root(self.create_proxy("placeholder", "x", (), {}))
            self.create_node("output", "output", (self.create_arg(answer),), {})
        finally:
            for part in leaves:
                vars(part).pop("forward", None)
        return self.graph

    def create_arg(self, a: Any) -> Any:
        """As the base class does, but a tensor that was made on the way is an error: it belongs to no module."""
        if isinstance(a, Tensor) and id(a) not in self._kept:
            raise ValueError("a tensor that was made on the way")
        return super().create_arg(a)

    def _note(self, name: str, *args: Any, **kwargs: Any) -> fx.Proxy:
        return self.create_proxy("call_module", name, args, kwargs)


def follow(net: nn.Module, x: Tensor) -> fx.Graph | None:
    """The calls of one forward pass; None where they can't be followed without knowing the picture (1, C, H, W)."""
    try:
        graph = Follower(net).follow()
        with torch.inference_mode():
            same = torch.allclose(_rebuild(graph, net, additions=True)(x), net(x), rtol=1e-3, atol=1e-4)
        return graph if same else None
    except Exception:  # whatever a foreign forward pass does with a stand-in for its input  # noqa: BLE001
        return None


def relu_steps(outputs: Tensor) -> int:
    """How many ReLUs a forward pass went through, modules or not."""
    seen, steps = set(), [outputs.grad_fn]
    while steps:
        step = steps.pop()
        if step is not None and step not in seen:
            seen.add(step)
            steps += [before for before, _ in step.next_functions]
    return sum(step.name().startswith("ReluBackward") for step in seen)


def bent(graph: fx.Graph | None) -> set[str]:
    """The functions and methods, ReLUs aside, through which a difference does not pass in proportion."""
    found = set()
    for node in graph.nodes if graph else ():
        if node.op in ("call_function", "call_method") and not _is_relu(node):
            name = str(getattr(node.target, "__name__", node.target))
            moving = [argument for argument in node.all_input_nodes if argument.op != "get_attr"]
            constant = node.args[1:] and node.args[1] not in moving if "div" in name else len(moving) < 2
            if not (name in STRAIGHT or (name in SCALING and constant)):
                found.add(name)
    return found


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

    def own(node: fx.Node) -> tuple[fx.Node]:
        """A ReLU's input; for LRP, where others read it too, a copy that hands relevance back by a rule of its own."""
        (before,) = node.all_input_nodes
        if not additions or len(before.users) == 1:
            return (new[before],)
        return (module(Copy(), node, (new[before],)),)

    for node in graph.nodes:
        arguments = fx.node.map_arg(node.args, new.__getitem__)
        if _is_relu(node):
            new[node] = module(nn.ReLU(), node, own(node))
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
                if additions and isinstance(part, nn.ReLU):
                    arguments = own(node)
                new[node] = module(_twin(part) if uses[node.target] > 1 else part, node, arguments)
                new[node].kwargs = fx.node.map_arg(node.kwargs, new.__getitem__)
        else:
            new[node] = mine.node_copy(node, new.__getitem__)
    reads = {node.target: _at(net, node.target) for node in graph.nodes if node.op == "get_attr"}
    return fx.GraphModule(copies | reads, mine)


def _twin(part: nn.Module) -> nn.Module:
    """The same leaf again, over the same weights, with room for hooks of its own."""
    twin = copy.copy(part)
    vars(twin).update({name: value.copy() for name, value in vars(part).items() if isinstance(value, dict)})
    return twin


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
    return not node.kwargs and (  # a factor, or a place for the result
        (node.op == "call_function" and node.target in ADDITIONS)
        or (node.op == "call_method" and node.target in ("add", "add_"))
    )


def _moves(node: fx.Node) -> bool:
    """Whether a function only reshapes."""
    return node.target in RESHAPES or node.target in ("flatten", "view", "reshape", "size", "contiguous")


def _quiet(part: nn.Module) -> bool:
    return isinstance(part, QUIET)


def hook_backward(part: nn.Module, hook: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> list[RemovableHandle]:
    """Let `hook(part, grad_input, grad_output)` say what a layer of one input and one output sends back.

    Captum 0.9.0 hooks the tensors before and after a layer themselves. It then takes what came back from other readers
    of its input for the layer's own, and does not see what the next layer's hook made of its output's gradient.
    PyTorch's own hooks of this kind leave a flag on the layer.
    """
    calls: list[list[Tensor]] = []

    def before(part: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        mine, came = inputs[0].clone(), []
        calls.append(came)
        if mine.requires_grad:
            mine.register_hook(lambda back: hook(part, back, came.pop()))
        return (mine,)

    def after(part: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        mine, came = output.clone(), calls.pop()
        if mine.requires_grad:
            mine.register_hook(came.append)
        return mine

    return [part.register_forward_pre_hook(before), part.register_forward_hook(after)]


def private_weights(net: nn.Module) -> nn.Module:
    """The net over weights of its own, for what writes into them."""
    with torch.no_grad():
        return copy.deepcopy(net)
