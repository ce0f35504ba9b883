"""A and B: two inputs, checkpoints or networks, in one input, over many, and where only one of them is right."""

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from explorer.activations.cka import ALL, CKA, FEATURES, FORMS, cka, probed
from explorer.activations.compare import Comparison, Disagreement, compared, difference, disagreements, unit_first
from explorer.activations.feed import dataset, kind_of
from explorer.activations.pace import pace
from explorer.activations.pair import Pair, pair
from explorer.activations.shared import ours, spread
from explorer.attribution.explain import seen
from explorer.charts import activations_compare as charts
from explorer.tried import untried
from explorer.ui.activations.beside import Beside, beside, example
from explorer.ui.activations.question import ACTING, Asked, captured, titled
from explorer.ui.draw import draw
from explorer.ui.heatmaps import Tile, View, heatmaps
from explorer.ui.kept import kept
from explorer.ui.page import plain
from explorer.ui.pickers import choose
from explorer.ui.pictures import enlarge
from explorer.ui.price import Price, ask_first
from explorer.ui.row import one_of
from explorer.ui.worked import worked_out
from explorer.zoo.model import Model

SIDE, THUMB, SHOWN = 136, 84, 12  # of the browser: pixels of a map, of a picture; pictures of one direction
UNITS = 4  # whose maps are drawn
ONE_SCALE = View("signed", 0.85, "shared")
BESIDE = {"fresh": "both untrained", "shuffled": "examples shuffled"}
MAIN, EVERY = "main", "all"


def compare(model: Model, asked: Asked) -> None:
    """Choose A, then how the two are compared."""
    a = beside(model, asked)
    if a.model.card.ref == model.card.ref and a.same_input:
        st.info("A and B are the same now: choose another network, checkpoint or input on either side.",
                icon=":material/equal:")  # fmt: skip
    ways: dict[str, Callable[[Beside, Model, Asked], None]] = {"This input": _one_input, "All layers": _all_layers}
    if kind_of(model) in ("image", "points"):
        ways["Who is right"] = _who_is_right
    if st.session_state.get("compare") not in ways:
        st.session_state.pop("compare", None)
    way = one_of("Compare", list(ways), default="This input", key="compare", label_visibility="collapsed")
    ways[way](a, model, asked)


# One input, or two


def _one_input(a: Beside, model: Model, asked: Asked) -> None:
    first, second = captured(a.model, a.asked), captured(model, asked)
    found = worked_out(
        ("compare", a.asked.ref, a.asked.key, asked.ref, asked.key),
        lambda on_step: compared(a.model, first, model, second),
        "Comparing …",
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        _pictures(a, model, asked)
        _said(found)
    with right:
        if not found.layers:
            st.info(_nothing(found), icon=":material/compare_arrows:")
        else:
            chosen = _layer(found, second)
            _depth(found, a, chosen)
    if found.layers:
        _units(a, model, asked, chosen)


def _pictures(a: Beside, model: Model, asked: Asked) -> None:
    if asked.given.pixels is None or asked.given.pixels.ndim != 4:
        return
    with st.container(horizontal=True, gap="small"):
        for name, one in (("A", a.asked), ("B", asked)):
            st.image(enlarge(one.given.pixels[0], 112), f"{name}'s input", width=112, output_format="PNG",
                     alt=f"{name}'s input")  # fmt: skip


def _said(found: Comparison) -> None:
    """What A and B answer."""
    answers = found.answers
    if answers is None:
        st.caption("These networks name nothing, so only their layers are compared.")
        return
    same = "Both say" if answers.said_a == answers.said_b else "A says"
    told = f"{same} **{plain(answers.said_a)}**"
    told += "." if same == "Both say" else f", B says **{plain(answers.said_b)}**."
    st.markdown(told)
    if answers.note:
        st.caption(plain(answers.note))
    if len(answers.labels):
        most = int(np.abs(answers.change).argmax())
        draw(
            charts.answers,
            answers.labels,
            answers.a,
            answers.b,
            key="compare-answers",
            says="The likeliest answers of A and B",
        )
        if np.abs(answers.change[most]) >= 0.0005:
            st.caption(f"Changes most: {plain(answers.labels[most])}, {answers.change[most]:+.1%} from A to B.")


def _nothing(found: Comparison) -> str:
    both = f"{len(found.unlike)} have the same name but another shape. " if found.unlike else ""
    return (
        "No layer of A and B has the same name and shape, so their values can't be subtracted. "
        f"{both}Their answers stand here; **All layers** compares what the layers tell apart, whatever their shape."
    )


def _layer(found: Comparison, second: Any) -> str:
    """The layer that is looked at; usually the one with maps where A and B are least alike."""
    names = [layer.name for layer in found.layers if layer.shape]
    if st.session_state.get("compare-clicked") in names:
        st.session_state["compare-layer"] = st.session_state.pop("compare-clicked")
    maps = [layer for layer in found.layers if len(layer.shape) == 3 and layer.shape[-1] > 3]
    maps = [layer for layer in maps if layer.kind.startswith(ACTING)] or maps
    usual = min(maps or found.layers, key=lambda layer: np.inf if np.isnan(layer.cosine) else layer.cosine)
    return choose("Layer", names, usual.name, "compare-layer", lambda name: titled(second[name]))


def _depth(found: Comparison, a: Beside, chosen: str) -> None:
    """The cosine by depth, beside that of two inputs of A that have nothing to do with each other."""
    reference = _reference(a)
    draw(
        charts.depth, found, reference, chosen, key="compare-depth", says="The cosine of A and B in every layer",
        on_select=_take_layer, selection_mode=["layer"],
    )  # fmt: skip
    layer = found[chosen]
    told = [f"{code(chosen)}: cosine {layer.cosine:.3f}, ‖B − A‖ is {layer.distance:.2f} of ‖A‖."]
    if reference is not None:
        told.append(
            "The second line is how alike **any two inputs** are in A: below it, A and B differ more than that."
        )
    rest = [
        f"{len(names)} only in {side}" for side, names in (("A", found.only_a), ("B", found.only_b)) if names
    ] + ([f"{len(found.unlike)} with another shape"] if found.unlike else [])  # fmt: skip
    if rest:
        told.append(f"{len(found.layers)} layers have the same name and shape; not compared: {', '.join(rest)}.")
    st.caption(" ".join(told))


def _take_layer() -> None:
    picked = st.session_state["compare-depth"]["selection"].get("layer") or []
    if picked:
        st.session_state["compare-clicked"] = picked[0]["layer"]


def _reference(a: Beside) -> Comparison | None:
    """A beside itself on another test example: how alike two inputs are that have nothing to do with each other."""
    test = dataset(a.model)
    if test is None or kind_of(a.model) == "text" or len(test) < 12:
        return None
    other = next(one for one in (example(a.model, 10), example(a.model, 11)) if one.key != a.asked.key)
    return worked_out(
        ("compare", a.asked.ref, a.asked.key, other.ref, other.key),
        lambda on_step: compared(a.model, captured(a.model, a.asked), a.model, captured(a.model, other)),
        "Comparing …",
    )


def _units(a: Beside, model: Model, asked: Asked, name: str) -> None:
    """The units of one layer that differ most."""
    layer = captured(model, asked)[name]
    kind = kind_of(model)
    grid = kind in ("image", "noise")
    found = difference(captured(a.model, a.asked)[name].output, layer.output, UNITS if grid else 2 * UNITS, grid)
    st.markdown(f"**The {len(found.units)} units of {code(name)} that differ most**")
    if found.a.ndim == 3:
        _maps(found, layer.kind, a, model, asked)
        return
    if found.a.ndim == 2:
        tokens = [one.given.tokens or range(found.a.shape[1]) for one in (a.asked, asked)]
        tokens = [one if len(one) == found.a.shape[1] else range(found.a.shape[1]) for one in tokens]
        draw(
            charts.states, found, *([str(token) for token in one] for one in tokens), key="compare-states",
            says="The states of the tokens in A and in B, and their difference",
        )  # fmt: skip
        st.caption("Orange is positive, blue negative; **one scale** for all three.")
        return
    draw(charts.units, found, key="compare-units", says="The values of the units that differ most, in A and in B")


def _maps(found: Any, kind: str, a: Beside, model: Model, asked: Asked) -> None:
    under = [_under(one, given) if kind != "Softmax" else None for one, given in ((a.model, a.asked), (model, asked))]
    tiles = []
    for unit, one, other, change, share in zip(found.units, found.a, found.b, found.change, found.share, strict=True):
        for title, values, picture in (("A", one, under[0]), ("B", other, under[1]), ("B − A", change, under[1])):
            note = f"{share:.0%} of the difference" if title == "B − A" else f"{values.min():.2g} to {values.max():.2g}"
            tiles.append(_tile(f"unit {unit} · {title}", note, values, picture))
    heatmaps(tiles, "compare-maps", ONE_SCALE, SIDE)
    st.caption("Orange is positive, blue negative, **one scale for all** unless you choose otherwise above the maps.")


def _under(model: Model, asked: Asked) -> np.ndarray | None:
    """What the network sees, to lay maps over."""
    if kind_of(model) == "image":
        return seen(model, asked.given.inputs["x"])
    pixels = asked.given.pixels
    return pixels[0] if pixels is not None and pixels.ndim == 4 else None


def _tile(title: str, note: str, values: np.ndarray, picture: np.ndarray | None) -> Tile:
    """A map over a picture, each of its values as a rectangle."""
    if picture is None:
        side = max(1, 64 // max(values.shape))
        picture = np.full((values.shape[0] * side, values.shape[1] * side, 1), 128, np.uint8)
    if picture.shape[2] not in (1, 3):
        picture = picture[..., :1]
    rows, columns = (np.arange(size) * small // size for size, small in zip(picture.shape, values.shape, strict=False))
    return Tile(title, note, values[rows][:, columns], picture)


# Many inputs


def _all_layers(a: Beside, model: Model, asked: Asked) -> None:
    """CKA of every layer with every other, beside what chance or the architectures alone give."""
    refs = (a.model.card.ref, model.card.ref)
    fresh = ours(a.model) and ours(model)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        form = choose("Estimate", list(FORMS), "minibatch", "cka-form", FORMS.__getitem__)
        features = choose("Of a layer", list(FEATURES), "flattened", "cka-features", FEATURES.__getitem__)
        which = choose("Layers", [MAIN, EVERY], MAIN, "cka-layers",
                       {MAIN: "the main ones", EVERY: f"all, up to {ALL}"}.__getitem__)  # fmt: skip
        against = choose("Beside it", [*BESIDE] if fresh else ["shuffled"], "fresh" if fresh else "shuffled",
                         "cka-beside", BESIDE.__getitem__)  # fmt: skip
        count = st.slider("Examples", 100, 1000, 500, 100, key="cka-count", bind="query-params")
    layers = _probed(*refs)
    seconds, common = count * sum(one.seconds for one in layers), ("cka", *refs, which, form, features, count)
    works = {(*common, fresh): seconds for fresh in ([None, 0] if against == "fresh" else [None])}
    ask_first(works)
    names = [None if which == MAIN else spread([place.name for place in one.places], ALL) for one in layers]
    found, *others = (_cka(key, refs, names, form, features, count) for key in works)
    chance = others[0].matrix if others else found.chance
    cell = _cell(found)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**CKA of A, down, with B, across**")
        draw(
            charts.matrix, found.matrix, found.layers_a, found.layers_b, cell, key="cka-matrix",
            says="How alike each layer of A is to each layer of B", on_select=_take_cell, selection_mode=["cell"],
        )  # fmt: skip
    with right:
        st.markdown(f"**The same, {BESIDE[against]}**")
        draw(
            charts.matrix, chance, found.layers_a, found.layers_b, cell, small=True, key="cka-beside-matrix",
            says=f"The same, {BESIDE[against]}: what more than that there is was learned",
        )  # fmt: skip
        _read(found, chance, cell, against)
    _pair(a, model, asked, found, cell)


@kept("Finding the layers …")
def _probed(ref_a: str, ref_b: str) -> Any:
    return probed(ref_a, ref_b)


def _cka(key: tuple, refs: tuple[str, str], names: list[Any], form: str, features: str, count: int) -> CKA:
    """Kept under a key whose last part is the seed of two untrained networks in place of these, or None."""
    return worked_out(
        key,
        lambda on_step: cka(*refs, None, *names, form, features, count, fresh=key[-1], on_step=on_step),
        "Comparing all layers …",
    )


def _cell(found: CKA) -> tuple[str, str]:
    """The two layers that are looked at: usually those before the answers, where classes lie apart."""
    state = st.session_state
    if "cka-clicked" in state:
        state["a-layer"], state["b-layer"] = state.pop("cka-clicked")
    left, right = st.columns(2)
    with left:
        one = choose("A's layer", found.layers_a, found.layers_a[-2:][0], "a-layer", str)
    with right:
        other = choose("B's layer", found.layers_b, found.layers_b[-2:][0], "b-layer", str)
    return one, other


def _take_cell() -> None:
    picked = st.session_state["cka-matrix"]["selection"].get("cell") or []
    if picked:
        st.session_state["cka-clicked"] = (picked[0]["a"], picked[0]["b"])


def _read(found: CKA, chance: np.ndarray, cell: tuple[str, str], against: str) -> None:
    """The matrix in a few sentences."""
    row, column = found.layers_a.index(cell[0]), found.layers_b.index(cell[1])
    value, expected = found.matrix[row, column], chance[row, column]
    told = [f"{code(cell[0])} and {code(cell[1])}: **{value:.2f}**, {BESIDE[against]} {expected:.2f}."]
    if against == "fresh":
        told.append("Untrained networks see alike, too: only what goes beyond is learned alike.")
        if value < expected - 0.1:
            told.append("Here training has driven the two apart.")
    if found.form == "full":
        told.append("Over all examples at once CKA is biased upwards: shuffled examples show by how much.")
    silent = int((~np.isfinite(found.matrix)).sum())
    if silent:
        told.append(f"{silent} cells are empty: a layer there does not vary over these examples.")
    batches = f", minibatches of {found.batch}" if found.form == "minibatch" else ""
    told.append(f"{found.count} examples of {plain(found.dataset)}{batches}; colours from 0 to 1 on both sides.")
    st.caption(" ".join(told))


def _pair(a: Beside, model: Model, asked: Asked, matrix: CKA, cell: tuple[str, str]) -> None:
    """The same examples in two layers, and units that do the same in both."""
    refs = (a.model.card.ref, model.card.ref)
    found: Pair = worked_out(
        ("pair", *refs, *cell, matrix.features, matrix.count),
        lambda on_step: pair(*refs, *cell, None, matrix.features, matrix.count, on_step=on_step),
        "Looking into the two layers …",
        Price(("pair", *refs), matrix.count),
    )
    st.markdown(f"**The same {matrix.count} examples in both layers**")
    left, right = st.columns(2, gap="large")
    for place, side, points, explained in (
        (left, "A", found.points_a, found.explained_a), (right, "B", found.points_b, found.explained_b)
    ):  # fmt: skip
        with place:
            layer = cell[0 if side == "A" else 1]
            draw(
                charts.cloud, points, found.y, found.labels, f"{side} · {layer}", explained, key=f"cka-cloud-{side}",
                says=f"The examples in {layer} of {side}, by class",
            )  # fmt: skip
    st.caption(
        "Along the two directions of largest variance; B is turned and mirrored to lie over A, which CKA does not see. "
        f"Over all examples at once, unbiased, CKA is {found.value:.2f}."
    )
    _matched(a, model, asked, found)


def _matched(a: Beside, model: Model, asked: Asked, found: Pair) -> None:
    """The units that go up and down together, and what they show of the input at hand."""
    if not found.matches:
        return
    told = ", ".join(f"{one.a} and {one.b} ({one.correlation:+.2f})" for one in found.matches)
    st.markdown("**Units that go up and down together**")
    st.caption(f"A's and B's, by the correlation of their means over positions across the examples: {told}.")
    tiles = []
    sides = (("A", found.layer_a, a.model, a.asked), ("B", found.layer_b, model, asked))
    for number, match in enumerate(found.matches):
        for side, name, one, given in sides:
            outputs = captured(one, given)
            if kind_of(one) not in ("image", "noise") or name not in outputs:
                return
            values = unit_first(outputs[name].output)
            if values.ndim != 3:
                return
            unit = match.a if side == "A" else match.b
            note = f"pair {number + 1}, correlation {match.correlation:+.2f}"
            tiles.append(_tile(f"{side} · unit {unit}", note, values[unit], _under(one, given)))
    heatmaps(tiles, "cka-matches", View("signed", 0.85), SIDE)


# Right and wrong


def _price(a: Model, b: Model) -> Price | None:
    """What it costs to ask two networks about B's test examples; none where nothing is to be asked, or can be told."""
    found = dataset(b)
    if found is None or dataset(a) is None:
        return None
    due = {one: untried(one, b.card, found) for one in (a, b)}
    if not (count := sum(due.values())):
        return None
    seconds = sum(many * pace(one) for one, many in due.items() if many)
    return Price(("tried", a.card.ref, b.card.ref, count), count, seconds / count)


def _who_is_right(a: Beside, model: Model, asked: Asked) -> None:
    """The test examples that only one of the two gets right."""
    refs = (a.model.card.ref, model.card.ref)
    found: Disagreement = worked_out(
        ("disagreements", *refs), lambda on_step: disagreements(*refs), "Asking both about the test examples …",
        _price(a.model, model),
    )  # fmt: skip
    left, right = st.columns([2, 3], gap="large")
    counts = found.table
    only_a, only_b = int(counts[0, 1]), int(counts[1, 0])
    with left:
        draw(charts.table, found, key="compare-table", says=f"Only A is right {only_a} times, only B {only_b} times")
    with right:
        st.markdown(
            f"Of {len(found.index)} test examples of {plain(found.dataset)}, **A** gets {found.right_a.mean():.1%} "
            f"right and **B** {found.right_b.mean():.1%}."
        )
        st.markdown(_verdict(found.p, only_a, only_b))
        if found.left_out:
            st.caption(f"{found.left_out} examples are left out: only one of the two knows their class.")
    if kind_of(model) == "points":
        draw(charts.where, found, dataset(model).x[found.index], key="compare-where", says="Where A and B disagree")
        return
    for side, said, sure in (("a", found.said_b, found.sure_b), ("b", found.said_a, found.sure_a)):
        _gallery(model, found, side, said, sure)


def _verdict(p: float, only_a: int, only_b: int) -> str:
    if not only_a + only_b:
        return "They are right and wrong on the very same examples."
    better = "A" if only_a > only_b else "B"
    chance = "less than 0.1%" if p < 0.001 else f"{p:.1%}"
    hint = f"so {better} is probably better here" if p < 0.05 else "so neither is shown to be better"
    return (
        f"They disagree on {only_a + only_b}: only A is right on {only_a}, only B on {only_b}. Were both equally good, "
        f"so uneven a split would come up in {chance} of such tests (McNemar), {hint}."
    )


def _gallery(model: Model, found: Disagreement, side: str, said: tuple[str, ...], sure: np.ndarray) -> None:
    """Test pictures that only one side gets right; a click opens one."""
    places = found.only(side)
    name, other = side.upper(), "B" if side == "a" else "A"
    st.markdown(f"**Only {name} is right: {len(places)}**")
    if not len(places):
        st.caption("There is no such picture.")
        return
    st.caption(f"Those first that {other} was surest of; what {other} says stands below. A click opens the picture.")
    test = dataset(model)
    with st.container(horizontal=True, gap="small"):
        for place in places[:SHOWN]:
            index = int(found.index[place])
            with st.container(width=THUMB + 24, gap=None):
                told = f"{found.labels[found.y[place]]}, called {said[place]} by {other}"
                st.image(enlarge(test.x[index], THUMB), width=THUMB, output_format="PNG", alt=told)
                st.button(plain(said[place]), key=f"compare-open-{side}-{index}", type="tertiary",
                          help=plain(f"{told}, {sure[place]:.0%} sure"), on_click=_open, args=(index,))  # fmt: skip


def _open(index: int) -> None:
    st.session_state["example"] = index
    st.session_state["compare"] = "This input"


def code(name: str) -> str:
    """The name of a layer as code: nothing in it can end the code."""
    return f"`{name.replace('`', '')}`"
