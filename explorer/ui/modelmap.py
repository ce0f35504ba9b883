"""The map of a network as nested boxes that fold in the browser, with no round trip; a click on one chooses it.

name = modelmap(model_map("zoo:shapes-resnet"), key="map", chosen="stage1.0.relu1")
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from explorer.activations.modelmap import ROOT, ModelMap, Node, lift
from explorer.charts.theme import DARK, LIGHT
from explorer.ui.component import component

FITS = 18  # boxes that a screen shows
AMPLE = 12  # boxes up to which whole levels are open at first
SAME = 4  # neighbours of one make from which on they are one box
MARK = "…"  # in the name of a box that stands for several neighbours
FAMILIES = {  # family → how the classes of its modules are called
    "convolution": r"conv(?!.*(block|norm))|patch_?embed",
    "normalisation": r"norm",
    "attention": r"attention|attn",
    "linear": r"linear|bilinear|conv1d$|lmhead|dense$",
    "activation": r"relu|gelu|silu|swish|sigmoid|tanh|softmax|softplus|mish|^elu|activation|glu$",
    "pooling": r"pool|upsample|downsample",
    "embedding": r"embed|position|time",
    "recurrent": r"lstm|gru|rnn",
}
HUES = {  # family → its place in the colours of categories
    "convolution": 0, "linear": 1, "attention": 2, "embedding": 3, "activation": 4, "normalisation": 9, "pooling": 6,
    "recurrent": 7,
}  # fmt: skip
ORDER = (*HUES,)


def modelmap(found: ModelMap, key: str, chosen: str = "", height: int = 760) -> str:
    """Draw a map, at most `height` pixels high; gives the name of the node that was clicked last, or `chosen`.

    A click reruns the page, or the fragment that the map is in. Folding and the bars' quantity stay in the browser.
    """
    sent = encode(found, chosen)
    state = component("modelmap")(
        key=key,
        data={"key": key, "height": height, **sent},
        default={"chosen": None},
        on_chosen_change=lambda: None,
    )
    return _read(state.get("chosen"), found, chosen)


def usual(found: ModelMap) -> str:
    """The node that is chosen at first: the first activation with maps that is seen at once, or any with values."""
    tree = Tree(found)
    seen = [node for node in tree.seen(tree.first()) if node.out_shape and tree.is_leaf(node.name)]
    acting = [node for node in seen if family(node.kind) == "activation"]
    maps = [node for node in [*acting, *seen] if len(node.out_shape) == 4]
    others = [node for node in seen if len(node.out_shape) > 2] or seen or [n for n in found.nodes[1:] if n.out_shape]
    return next((node.name for node in (*maps, *others)), ROOT)


def encode(found: ModelMap, chosen: str = "") -> dict[str, Any]:
    """A map as the browser takes it: nodes in a list, each with the places of those inside, and links by box."""
    tree = Tree(found)
    names = [*tree.parents]
    at = {name: place for place, name in enumerate(names)}
    links: dict[int, list[Any]] = {}
    for link in tree.links():
        ends = (-1 if name is None else at[name] for name in (link.source, link.target))
        links.setdefault(at[link.inside], []).append([*ends, list(link.through)])
    opened = tree.first() | ({*tree.above(chosen)} if chosen in tree.parents else set())
    failed = found.failed
    if failed:
        opened |= {*tree.above(failed.name)}
    return {
        "ref": found.ref,
        "sized": [list(shape) for shape in found.in_shapes],
        "nodes": [tree.told(name, at) for name in names],
        "links": links,
        "opened": sorted(at[name] for name in opened),
        "chosen": at.get(chosen, -1),
        "passes": found.passes,
        "families": ORDER,
        "colours": {
            theme: [palette.categorical[hue] for hue in HUES.values()]
            for theme, palette in (("light", LIGHT), ("dark", DARK))
        },
    }


class Tree:
    """The boxes of a map, with neighbours of one make in a box of their own."""

    def __init__(self, found: ModelMap) -> None:
        self.found = found
        self.nodes = {node.name: node for node in found.nodes}
        self.inside: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.groups: dict[str, list[str]] = {}  # name of a box of neighbours → their names
        self.repeats: dict[str, str] = {}  # box → what it holds many of
        for node in found.nodes[1:]:
            self.inside[node.parent].append(node.name)
        self._makes: dict[str, Any] = {}
        for name in [*self.inside]:
            self._group(name)
        self.parents: dict[str, str | None] = {}
        self._enter(ROOT, None)

    def _enter(self, name: str, parent: str | None) -> None:
        self.parents[name] = parent
        for part in self.inside[name]:
            self._enter(part, name)

    def _make(self, name: str) -> Any:
        """What a module is made of, whatever its sizes."""
        if name not in self._makes:
            self._makes[name] = self.nodes[name].kind, *map(self._make, self.inside[name])
        return self._makes[name]

    def _group(self, box: str) -> None:
        """Put neighbours of one make, each with something inside, into a box of their own."""
        parts, found = self.inside[box], []
        rows: list[list[str]] = []
        for name in parts:
            same = rows and self.nodes[name].ran and self._make(rows[-1][-1]) == self._make(name)
            rows[-1].append(name) if same else rows.append([name])
        for row in rows:
            many = len(row) >= SAME and self.inside[row[0]]
            title = f"{len(row)} × {self.nodes[row[0]].kind}"
            if many and len(row) == len(parts):
                self.repeats[box] = title
            elif many:
                group = f"{row[0]}{MARK}{row[-1]}"
                self.groups[group], self.inside[group], self.repeats[group] = row, list(row), title
                found.append(group)
                continue
            found += row
        self.inside[box] = found

    def is_leaf(self, name: str) -> bool:
        return not self.inside[name]

    def links(self):
        """What flows between neighbours."""
        return lift(self.found.links, self.parents)

    def above(self, name: str) -> list[str]:
        """The boxes around a node, and the node itself if it is one."""
        names = [] if self.is_leaf(name) else [name]
        while (name := self.parents[name]) is not None:
            names.append(name)
        return names

    def first(self) -> set[str]:
        """The boxes open at first: levels while there is ample room, then one way down, where most is computed."""
        opened = {ROOT}
        while True:
            closed = self._closed(self._shown(opened), opened)
            if not closed or len(self._shown(opened | {*closed})) > AMPLE:
                break
            opened |= {*closed}
        deep = [name for name in closed if self._closed(self.inside[name], set())]
        way = sorted(deep or closed, key=lambda name: -self._flops(name))[:1]
        while way and len(self._shown(opened | {*way})) <= FITS:
            opened |= {*way}
            way = self._closed(self.inside[way[0]], opened)[:1]
        return opened

    def _flops(self, name: str) -> int:
        return sum(self.nodes[part].flops for part in self.groups.get(name, [name]))

    def _closed(self, names: Iterable[str], opened: set[str]) -> list[str]:
        """Those of some boxes that could be opened."""
        return [name for name in names if name not in opened and self.inside[name] and self._ran(name)]

    def seen(self, opened: set[str]) -> list[Node]:
        """The nodes that are drawn while these boxes are open."""
        return [self.nodes[name] for name in self._shown(opened) if name in self.nodes]

    def _shown(self, opened: set[str]) -> list[str]:
        rows: list[str] = []

        def visit(box: str) -> None:
            for name in self.inside[box]:
                rows.append(name)
                if name in opened:
                    visit(name)

        visit(ROOT)
        return rows

    def _ran(self, name: str) -> bool:
        return name in self.groups or self.nodes[name].ran

    def told(self, name: str, at: Mapping[str, int]) -> dict[str, Any]:
        """One node as the browser takes it."""
        inside = [at[part] for part in self.inside[name]]
        common = {"name": name, "inside": inside, "repeats": self.repeats.get(name, "")}
        if name in self.groups:
            parts = [self.nodes[part] for part in self.groups[name]]
            first, last = (part.rpartition(".")[2] for part in (self.groups[name][0], self.groups[name][-1]))
            return common | {
                "title": f"{first} {MARK} {last}",
                "kind": "",
                "family": -1,
                "ran": True,
                "group": True,
                "shape": list(parts[-1].out_shape or ()),
                "given": [],
                "calls": 1,
                "note": "neighbours of one make",
                **{what: sum(getattr(part, what) or 0 for part in parts) for what in COSTS},
            }
        node = self.nodes[name]
        box, _, last = name.rpartition(".")
        numbered = last.partition("#")[0].isdecimal()
        return common | {
            "title": f"{box.rpartition('.')[2]}.{last}" if numbered and box else last,
            "kind": node.kind,
            "family": ORDER.index(found) if (found := family(node.kind)) and not inside else -1,
            "ran": node.ran,
            "shape": None if node.out_shape is None else list(node.out_shape),
            "given": [list(shape) for shape in node.in_shapes],
            "calls": node.calls,
            "note": node.note,
            "failure": None if node.failure is None else {
                "error": node.failure.error[:400],
                "weights": {key: list(shape) for key, shape in node.failure.weights.items()},
            },
            **{what: getattr(node, what) for what in COSTS},
        }  # fmt: skip


COSTS = ("flops", "parameters", "bytes", "milliseconds")


def family(kind: str) -> str:
    """What sort of layer a class is, "" where no name says."""
    if kind == "Conv1D":  # of transformers: a linear layer
        return "linear"
    name = kind.lower()
    return next((one for one, pattern in FAMILIES.items() if re.search(pattern, name)), "")


def _read(reported: Any, found: ModelMap, otherwise: str) -> str:
    """What the browser reported, which may be anything, and of another network."""
    try:
        if reported["ref"] == found.ref and reported["name"] in found:
            return str(reported["name"])
    except (TypeError, KeyError):
        pass
    return otherwise
