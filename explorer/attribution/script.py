"""The code panel: one map as a script of its own, in torch and Captum, that leaves the very same numbers.

What it holds is the source that ran here: of the method, of whatever of ours that calls, and of the architecture, with
the decorators and annotations for menus taken off. So it can't say anything else than the page does.
"""

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from explorer import models, runs, zoo
from explorer.attribution import graph, layers
from explorer.attribution.base import METHODS, Attribution
from explorer.attribution.baselines import baseline
from explorer.attribution.explain import NUMBERS, flat, map_layer
from explorer.attribution.traits import traits
from explorer.zoo.model import Model

OURS = "explorer"
SCORE = '''
class Score(nn.Module):
    """One number for each picture: the logit of a class, or by how much it exceeds another's."""

    def __init__(self, net, target, versus=None):
        super().__init__()
        self.net, self.target, self.versus = net, target, versus

    def forward(self, x):
        logits = self.net(x)
        return logits[:, self.target] - (0 if self.versus is None else logits[:, self.versus])
'''
IMPORTS = {
    "from types import SimpleNamespace", "import numpy as np", "import torch", "from PIL import Image",
    "from torch import nn",
}  # fmt: skip


def script(found: Attribution) -> str:
    """A Python script that makes the map of `found` from `picture.png` and saves it as `scores.npy`.

    picture.png is `found.picture`; the weights of a network of ours are expected as `model.safetensors` (see
    `weights_file`). It needs torch, captum and what the model's library is, and nothing of the explorer.
    """
    model = zoo.load(found.ref)
    known = traits(model)
    layer = map_layer(model, found.layer) if found.layer else None
    lrp = found.method == "lrp"
    parts = _Parts()
    parts.add(METHODS[found.method].make)
    parts.add(flat)
    if _asks(found.method, "baseline"):
        parts.add(baseline)
    if lrp or (known.tangled and _asks(found.method, "unrolled")):
        parts.add(graph._rebuild)
    if layer and layer.prefix is not None:
        parts.add(layers.Maps)
    net = _network(model, parts)
    lines = [
        f'"""{METHODS[found.method].facts["title"]} of {found.ref}, class {found.target}, as scores.npy (H, W)."""',
        "",
        "from __future__ import annotations",
        "",
        *sorted(IMPORTS | parts.imports, key=lambda line: (line.split()[0] != "import", line)),
        "",
        *(source + "\n" for source in parts.sources),
        SCORE.strip("\n"),
        "",
        "# 1. The network, and what it looks at",
        *net,
        "for part in net.modules():",
        "    if getattr(part, 'inplace', False):",
        "        part.inplace = False  # gradients need what came before",
        "score = Score(net, " + ", ".join(str(v) for v in (found.target, found.versus)) + ").eval()",
        'picture = np.asarray(Image.open("picture.png"))',
        "picture = picture[..., None] if picture.ndim == 2 else picture  # (H, W, C)",
        f"mean = torch.tensor({model.card.mean}).view(1, -1, 1, 1)",
        f"std = torch.tensor({model.card.std}).view(1, -1, 1, 1)",
        "x = (torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255 - mean) / std  # (1, C, H, W)",
        "",
        "# 2. What the method is given",
        "case = SimpleNamespace(score=score, x=x, picture=picture, out_of_time=False)",
        f"case.batch = max(1, {NUMBERS} // x.numel())",
        f"case.generator = torch.Generator().manual_seed({found.seed})",
        *_given(found, model, layer, lrp, known),
        "",
        "# 3. The map",
        f"raw = {METHODS[found.method].make.__name__}(case{_keywords(found.settings)})  # (1, c, h, w)",
        'np.save("scores.npy", flat(raw, x.shape[-2:]))',
        "",
    ]
    return "\n".join(lines)


def weights_file(ref: str) -> Path:
    """The file of weights that the script of a `zoo:` or `run:` model wants beside it as model.safetensors."""
    from explorer.zoo.sources import run
    from explorer.zoo.sources.zoo import SHIPPED

    parsed = zoo.parse(ref)
    if parsed.source == "zoo":
        return SHIPPED / parsed.name / "model.safetensors"
    settled = run.settle(parsed)
    return runs.checkpoint(runs.folder(settled.name), settled.step)


def _given(found: Attribution, model: Model, layer: layers.MapLayer | None, lrp: bool, known: Any) -> Iterator[str]:
    """The lines that give a case what this method asks it for."""
    if _asks(found.method, "baseline"):
        yield "card = SimpleNamespace(mean=mean.flatten().tolist(), std=std.flatten().tolist())"
        yield "case.model = SimpleNamespace(card=card)"
        yield "case.baseline = lambda name: baseline(case, name)"
    if _asks(found.method, "grid"):
        yield f"case.grid = {known.grid}  # tokens before the patches, and the patches' height and width"
    if _asks(found.method, "unrolled"):
        if lrp or known.tangled:
            yield "calls = torch.fx.Tracer().trace(net)  # every call becomes a module of its own"
            asked = "_rebuild(calls, net, additions), score.target, score.versus"
            yield f"case.unrolled = lambda additions=False: Score({asked})"
        else:
            yield "case.unrolled = lambda additions=False: score"
    if layer is None:
        return
    yield f'layer = dict(net.named_modules())["{layer.name}"]'
    if layer.prefix is None:
        yield "case.maps = layer  # gives maps (1, K, h, w)"
    else:
        size = f"prefix={layer.prefix}, height={layer.height}, width={layer.width}"
        yield f"case.maps = Maps(SimpleNamespace({size}))  # patch tokens back on their grid"
        yield "layer.register_forward_hook(lambda module, inputs, output: case.maps.back(case.maps(output), output))"


def _network(model: Model, parts: "_Parts") -> list[str]:
    """The lines that make `net`."""
    parsed = zoo.parse(model.card.ref)
    if parsed.source == "torchvision":
        parts.imports.add("import torchvision")
        return [f'net = torchvision.models.get_model("{parsed.name}", weights="DEFAULT").eval().requires_grad_(False)']
    if parsed.source in ("hf", "file"):
        parts.imports.add("from transformers import AutoModelForImageClassification")
        parts.sources.append(
            textwrap.dedent('''
            class Logits(nn.Module):
                """A transformers classifier as a plain network: pixels in, logits out."""

                def __init__(self, net):
                    super().__init__()
                    self.net = net

                def forward(self, x):
                    return self.net(pixel_values=x).logits
            ''')
        )
        return [
            f'net = AutoModelForImageClassification.from_pretrained({parsed.name!r}, attn_implementation="eager")',
            "net = Logits(net).eval().requires_grad_(False)",
        ]
    make = models.MODELS[model.card.architecture].make
    parts.add(make)
    parts.imports.add("from safetensors.torch import load_file")
    return [
        f"net = {make.__name__}({model.card.shape}, {len(model.card.labels)}{_keywords(model.card.settings)})",
        'net.load_state_dict(load_file("model.safetensors"))',
        "net.eval().requires_grad_(False)",
    ]


def _keywords(values: Any) -> str:
    return "".join(f", {name}={value!r}" for name, value in values.items())


def _asks(method: str, name: str) -> bool:
    """Whether a method's code, or what it calls of ours, asks the case for `name`."""
    parts = _Parts()
    parts.add(METHODS[method].make)
    return any(f"case.{name}" in source for source in parts.sources)


class _Parts:
    """Sources of ours that a function needs, each once, in an order in which they can stand, and their imports."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.imports: set[str] = set()
        self._seen: set[str] = set()

    def add(self, thing: Callable[..., Any] | type) -> None:
        """A function or class of ours, after everything that it needs."""
        if thing.__qualname__ in self._seen:
            return
        self._seen.add(thing.__qualname__)
        module = sys.modules[thing.__module__]
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
        bare = _Bare(vars(module))
        tree = ast.fix_missing_locations(bare.visit(tree))
        self._needs(tree, module)
        for other in bare.called:
            self.add(other)
        plain = isinstance(thing, type) and "Annotated" not in inspect.getsource(thing)
        verbatim = plain and not tree.body[0].decorator_list
        self.sources.append(textwrap.dedent(inspect.getsource(thing)) if verbatim else ast.unparse(tree) + "\n")

    def _needs(self, tree: ast.AST, module: ModuleType) -> None:
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        inside = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
                  for alias in node.names}  # fmt: skip
        for name in sorted(names - inside):
            if name not in vars(module) or hasattr(builtins, name):
                continue
            value = vars(module)[name]
            if isinstance(value, ModuleType) and value.__name__.split(".")[0] == OURS:
                continue  # what is called of it has been taken over already
            home = sys.modules.get(getattr(value, "__module__", ""), None)
            if callable(value) and home and home.__name__.split(".")[0] == OURS:
                self.add(value)
            elif not self._imported(name, module):
                self._assigned(name, module)

    def _imported(self, name: str, module: ModuleType) -> bool:
        """Take over the import that binds a name in a module; a name of ours is looked for where it comes from."""
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            for alias in getattr(node, "names", ()) if isinstance(node, ast.Import | ast.ImportFrom) else ():
                if (alias.asname or alias.name).split(".")[0] != name:
                    continue
                if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == OURS:
                    self._assigned(alias.name, sys.modules[node.module])
                else:
                    alone = (
                        ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0)
                    )
                    self.imports.add(ast.unparse(alone))
                return True
        return False

    def _assigned(self, name: str, module: ModuleType) -> None:
        """Take over the line that gives a constant of ours its value."""
        if name in self._seen:
            return
        self._seen.add(name)
        for node in ast.parse(inspect.getsource(module)).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            bound = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            if name in bound:
                self._seen |= bound
                self._needs(node.value, module)
                self.sources.append(ast.unparse(node) + "\n")


class _Bare(ast.NodeTransformer):
    """Takes off what is there for menus and readers of types, and calls methods of ours by their bare name."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self.called: list[Callable[..., Any]] = []  # functions of ours that were named by their module

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list = [each for each in node.decorator_list if not self._ours(each)]
        node.returns = None
        for argument in (*node.args.args, *node.args.kwonlyargs):
            argument.annotation = None
        for extra in (node.args.vararg, node.args.kwarg):
            if extra:
                extra.annotation = None
        return self.generic_visit(node)

    def _ours(self, decorator: ast.expr) -> bool:
        """Whether a decorator comes from us: it registers something."""
        name = next(node.id for node in ast.walk(decorator) if isinstance(node, ast.Name))
        value = self._names.get(name)
        module = getattr(value, "__module__", None) or type(value).__module__
        return value is not None and module.split(".")[0] == OURS

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            module = self._names.get(node.value.id)
            if isinstance(module, ModuleType) and module.__name__.split(".")[0] == OURS:
                self.called.append(getattr(module, node.attr))
                return ast.copy_location(ast.Name(node.attr, ast.Load()), node)
        return self.generic_visit(node)
