"""Sources of ours for scripts that stand alone: a function with all that it calls, and a network with its weights.

What a script holds is the source that ran here, with the decorators and annotations for menus taken off. So it can't
say anything else than the page does.
"""

import ast
import builtins
import inspect
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from explorer import models, runs, zoo
from explorer.zoo import own
from explorer.zoo.card import GENERATION_TASKS, TEXT_TASKS
from explorer.zoo.model import Model

OURS = "explorer"
UNHARMED = 'sys.modules["torchvision"] = None  # not needed here, and one built for another torch stops transformers'
TORCHVISION = """
try:
    import torchvision
except RuntimeError:  # it was built for another torch, and describes operators that are missing; none is needed here
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def imports(lines: Iterable[str]) -> list[str]:
    """Lines of imports in order: what is from the future first, then whole modules."""
    return sorted(lines, key=lambda line: ("__future__" not in line, line.split()[0] != "import", line))


def told(words: str) -> str:
    """A line of documentation for a script, which stays one whatever a folder is called."""
    return '"""' + words.replace("\\", "/").replace('"', "'") + '"""'


def keywords(values: Mapping[str, Any]) -> str:
    """Values as they are written after the arguments of a call."""
    return "".join(f", {name}={value!r}" for name, value in values.items())


def own_network(model: Model, parts: "Parts") -> list[str]:
    """The lines that make `net`, an architecture of ours, from model.safetensors (see `weights_file`)."""
    make = models.MODELS[model.card.architecture].make
    parts.add(make)
    parts.imports.add("from safetensors.torch import load_file")
    return [
        f"net = {make.__name__}({model.card.shape}, {len(model.card.labels)}{keywords(model.card.settings)})",
        'net.load_state_dict(load_file("model.safetensors"))',
        "net.eval().requires_grad_(False)",
    ]


def picture(model: Model) -> list[str]:
    """The lines that make `picture`, (H, W, C) uint8, and `x`, (1, C, H, W) as a network takes it, from picture.png."""
    return [
        'picture = np.asarray(Image.open("picture.png"))',
        "picture = picture[..., None] if picture.ndim == 2 else picture  # (H, W, C)",
        f"mean = torch.tensor({model.card.mean}).view(1, -1, 1, 1)",
        f"std = torch.tensor({model.card.std}).view(1, -1, 1, 1)",
        "x = (torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255 - mean) / std  # (1, C, H, W)",
    ]


def weights_file(ref: str) -> Path:
    """The file of weights that the script of a `zoo:` or `run:` model wants beside it as model.safetensors."""
    from explorer.zoo.sources import run
    from explorer.zoo.sources.zoo import SHIPPED

    parsed = zoo.parse(ref)
    if parsed.source == "zoo":
        return SHIPPED / parsed.name / "model.safetensors"
    settled = run.settle(parsed)
    return runs.checkpoint(runs.folder(settled.name), settled.step)


def beside(model: Model) -> tuple[str, ...]:
    """The names of the files that a script wants beside it, for `file_of`; none for what it opens by name."""
    if zoo.parse(model.card.ref).source not in ("zoo", "run"):
        return ()
    packed = model.card.task in TEXT_TASKS or model.card.task in GENERATION_TASKS
    return ("model.zip",) if packed else ("model.safetensors",)


def file_of(model: Model, name: str) -> bytes:
    """The contents of a file that a script wants beside it: one of `beside`."""
    return own.zipped(model) if name == "model.zip" else weights_file(model.card.ref).read_bytes()


_parsing = threading.RLock()  # Python 3.11 can't parse in two threads: "AST constructor recursion depth mismatch"


class Parts:
    """Sources of ours that a function needs, each once, in an order in which they can stand, and their imports.

    instead: sources for functions, by their names, that a script does without.
    """

    def __init__(self, instead: Mapping[str, str] | None = None) -> None:
        self.sources: list[str] = []
        self.imports: set[str] = set()
        self._seen: set[str] = set()
        self._instead = instead or {}

    def add(self, thing: Callable[..., Any] | type) -> None:
        """A function or class of ours, after everything that it needs."""
        with _parsing:
            self._add(thing)

    def _add(self, thing: Callable[..., Any] | type) -> None:
        if thing.__qualname__ in self._seen:
            return
        self._seen.add(thing.__qualname__)
        if thing.__qualname__ in self._instead:
            self.sources.append(self._instead[thing.__qualname__])
            return
        source, names, called = _bared(thing)
        self._needs(names, sys.modules[thing.__module__])
        for other in called:
            self.add(other)
        self.sources.append(source)

    def _needs(self, names: Iterable[str], module: ModuleType) -> None:
        for name in names:
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
        if name not in _imports(module):
            return False
        node, alias = _imports(module)[name]
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == OURS:
            self._assigned(alias.name, sys.modules[node.module])
        else:
            alone = ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], 0)
            self.imports.add(ast.unparse(alone))
        return True

    def _assigned(self, name: str, module: ModuleType) -> None:
        """Take over the line that gives a constant of ours its value."""
        if name in self._seen:
            return
        self._seen.add(name)
        for node in _tree(module).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            bound = {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            if name in bound:
                self._seen |= bound
                self._needs(_names(node.value), module)
                self.sources.append(ast.unparse(node) + "\n")


@cache
def source_of(thing: Callable[..., Any] | type) -> str:
    """The lines of a function or class, from the margin on."""
    with _parsing:  # Python looks for a class in the tree of its module
        return textwrap.dedent(inspect.getsource(thing))


@cache
def _bared(thing: Callable[..., Any] | type) -> tuple[str, list[str], list[Callable[..., Any]]]:
    """A function or class as a script has it, the names that it reads, and what of ours it calls by its module."""
    source, module = source_of(thing), sys.modules[thing.__module__]
    bare = _Bare(vars(module))
    tree = ast.fix_missing_locations(bare.visit(ast.parse(source)))
    verbatim = isinstance(thing, type) and "Annotated" not in source and not bare.registers
    return source if verbatim else ast.unparse(tree) + "\n", _names(tree), bare.called


def _names(tree: ast.AST) -> list[str]:
    """The names that a piece of code reads and does not import itself, sorted."""
    nodes = [*ast.walk(tree)]
    inside = {alias.asname or alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
              for alias in node.names}  # fmt: skip
    return sorted({node.id for node in nodes if isinstance(node, ast.Name)} - inside)


@cache
def _tree(module: ModuleType) -> ast.Module:
    """What a module is made of, to be looked at only."""
    return ast.parse(inspect.getsource(module))


@cache
def _imports(module: ModuleType) -> dict[str, tuple[ast.Import | ast.ImportFrom, ast.alias]]:
    """The imports of a module, the first that binds a name."""
    found: dict[str, tuple[ast.Import | ast.ImportFrom, ast.alias]] = {}
    for node in ast.walk(_tree(module)):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            found.setdefault((alias.asname or alias.name).split(".")[0], (node, alias))
    return found


class _Bare(ast.NodeTransformer):
    """Takes off what is there for menus and readers of types, and calls methods of ours by their bare name."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self.called: list[Callable[..., Any]] = []  # functions of ours that were named by their module
        self.registers = False  # a class that a menu of ours lists

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
        kept = [each for each in node.decorator_list if not self._ours(each)]
        self.registers = len(kept) < len(node.decorator_list)
        node.decorator_list = kept
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
