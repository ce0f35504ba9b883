"""One layer: all its units, one of them large, and the very sum behind one of its numbers."""

import numpy as np
import streamlit as st

from explorer.activations import Feed
from explorer.activations.feed import dataset, kind_of
from explorer.activations.maps import EXAMPLES, Box, Selectivity, Units, ends, maps, order, receptive, selectivity
from explorer.activations.maps import statistics as measured
from explorer.activations.sums import Sum, very_sum
from explorer.errors import ExplorerError
from explorer.ui.activations.question import Asked, captured
from explorer.ui.feature_maps import Detail, Overview, feature_maps, named
from explorer.ui.page import guard, plain
from explorer.ui.pickers import choose, linked, segments, to_link
from explorer.ui.worked import worked_out
from explorer.zoo.model import Model

PAGE = 64  # tiles at a time
ORDERS = {"index": "Index", "mean": "Mean", "variance": "Variance", "selectivity": "Selectivity"}
SCALES = {"local": "Each map", "layer": "Layer", "global": "All layers"}
SORTED = {
    "index": "in the network's own order",
    "mean": "the largest mean first",
    "variance": "the largest variance over places first",
    "selectivity": "the most selective first",
}


def layer(model: Model, asked: Asked) -> None:
    """Overview, unit, formula."""
    _layer(model, asked)


@st.fragment
@guard()
def _layer(model: Model, asked: Asked) -> None:
    found = captured(model, asked)
    units = maps(found[asked.layer], _shape(asked.given))
    by, scale = _controls(model, units)
    selective = _selective(model, asked) if by == "selectivity" else None
    ranked = order(units, by, selective)
    unit, row, column = _chosen(asked, units)
    shown, pages = _page(ranked)
    colours = ends(units, scale, found)
    told = " ".join(filter(None, (_said(units, by, shown, pages, selective), _scaled(units, scale, colours, shown))))
    st.caption(told)
    place = units.place(unit, row, column)
    total, refusal = _summed(model, asked, place)
    box = _box(model, asked, place)
    weights = found[asked.layer].kind == "Softmax"  # maps of queries and keys, which lie on no picture
    seen = None if weights else _seen(asked.given)
    facts = _facts(units, unit, selective, box)
    if seen is not None and box is not None:
        box = _over(box, _shape(asked.given), seen.shape[:2])
    overview = Overview(units, shown, colours, _notes(units, by, shown, selective), _rows(asked.given, units))
    detail = Detail(unit, row, column, facts, seen, None if weights else box, total, refusal)
    feature_maps(overview, detail, "maps-drawn", _pick)


# ---- controls ----


def _controls(model: Model, units: Units) -> tuple[str, str]:
    """The order of the tiles and the scale of their colours, in the URL; of one number each, what makes sense there."""
    single = units.form == "vector"
    with st.container(horizontal=True, gap="medium"):
        test = dataset(model)
        classed = test is not None and test.y.ndim == 1 and bool(model.labels)
        orders = [one for one in ORDERS if (one != "selectivity" or classed) and not (single and one == "variance")]
        titles = ORDERS | ({"mean": "Value"} if single else {})
        by = segments("Sorted by", orders, "maps-sort", titles.__getitem__)
        scales = [one for one in SCALES if not (single and one == "local")]
        scale = segments("Colours end at the largest of", scales, "maps-scale", SCALES.__getitem__)
    return by, scale


def _page(ranked: np.ndarray) -> tuple[np.ndarray, int]:
    """The tiles that are drawn now: all, or one page of them."""
    pages = -(-len(ranked) // PAGE)
    if pages == 1:
        return ranked, 1

    def title(page: str) -> str:
        first = (int(page) - 1) * PAGE
        return f"{first + 1} to {min(first + PAGE, len(ranked))} of {len(ranked)}"

    page = choose("Units", [str(at + 1) for at in range(pages)], "1", "maps-page", title)
    return ranked[(int(page) - 1) * PAGE : int(page) * PAGE], pages


def _chosen(asked: Asked, units: Units) -> tuple[int, int, int]:
    """The unit and the pixel of the link; else the unit with the largest mean, and its largest value."""
    state = st.session_state
    before, state["maps-of"] = state.get("maps-of"), (asked.ref, asked.layer)
    if before not in (None, state["maps-of"]) and st.query_params.get("unit") == state.get("unit-seen"):
        state["unit"] = state["pixel"] = ""  # numbers of another layer's units
    count, height, width = units.values.shape
    usual = int(units.values.reshape(count, -1).mean(1).argmax())
    unit = _number(linked("unit", ""), count)
    row, column = units.peak(usual if unit is None else unit)
    pixel = [_number(part, size) for part, size in zip(linked("pixel", "").split(","), (height, width), strict=False)]
    if len(pixel) == 2 and None not in pixel:
        row, column = pixel
    if unit is None and state["unit"]:
        st.warning(f"The layer has no unit {plain(state['unit'])}: it has {count}, counted from 0.")
        state["unit"] = ""
    to_link("unit", state["unit"], "")
    to_link("pixel", state["pixel"], "")
    return usual if unit is None else unit, row, column


def _number(text: str, count: int) -> int | None:
    """A whole number below `count`."""
    return int(text) if text.isdecimal() and len(text) < 8 and int(text) < count else None


def _pick(unit: int, row: int | None, column: int) -> None:
    """A click: a tile chooses its unit and where it is largest, a pixel chooses itself."""
    st.session_state["unit"] = str(unit)
    st.session_state["pixel"] = "" if row is None else f"{row},{column}"
    for key in ("unit", "pixel"):
        to_link(key, st.session_state[key], "")


# ---- what is worked out ----


def _selective(model: Model, asked: Asked) -> Selectivity:
    key = ("selectivity", asked.ref, asked.layer)
    return worked_out(key, lambda on_step: selectivity(model, asked.layer, EXAMPLES, on_step), "Asking test examples …")


def _summed(model: Model, asked: Asked, place: tuple[int, ...]) -> tuple[Sum | None, str]:
    """The sum, or why there is none."""
    key = ("sum", asked.ref, asked.key, asked.layer, place)
    try:
        return worked_out(key, lambda _: very_sum(model, asked.given, asked.layer, place), "Adding up …"), ""
    except ExplorerError as error:
        return None, str(error)


def _box(model: Model, asked: Asked, place: tuple[int, ...]) -> Box | None:
    if _shape(asked.given) is None:
        return None
    key = ("field", asked.ref, asked.key, asked.layer, place)
    return worked_out(key, lambda _: _Held(receptive(model, asked.given, asked.layer, place)), "Looking back …").box


def _over(box: Box, shape: tuple[int, int], picture: tuple[int, int]) -> Box:
    """A box of the input in the pixels of the picture that is drawn, which has more of them where latents go in."""
    down, across = picture[0] / shape[0], picture[1] / shape[1]
    edges = (box.top * down, box.left * across, box.bottom * down, box.right * across)
    return Box(*(round(edge) for edge in edges))


class _Held:
    """A box, or that there is none, as the store keeps it."""

    nbytes = 64

    def __init__(self, box: Box | None) -> None:
        self.box = box


# ---- what is said ----


def _shape(given: Feed) -> tuple[int, int] | None:
    """Height and width of the picture that goes in; None where none does."""
    x = given.inputs.get("x")
    return tuple(x.shape[-2:]) if x is not None and x.ndim == 4 else None


def _seen(given: Feed) -> np.ndarray | None:
    """The picture as the network sees it, (H, W, C) uint8: cropped, and with its noise; None of other inputs."""
    if _shape(given) is None:
        return None
    x = given.inputs["x"][0].float().cpu().numpy()  # (C, H, W)
    if x.shape[0] not in (1, 3):  # latents
        return None if given.pixels is None else given.pixels[0]
    card = given.model.card
    if kind_of(given.model) == "noise":
        values = x / 2 + 0.5
    else:
        values = x * np.reshape(card.std or (1.0,), (-1, 1, 1)) + np.reshape(card.mean or (0.0,), (-1, 1, 1))
    return np.ascontiguousarray((values.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0))


def _rows(given: Feed, units: Units) -> tuple[str, ...]:
    """Names of the tokens, where they are those of the text."""
    if units.form != "tokens":
        return ()
    count = units.values.shape[1]
    if len(given.tokens) == count:
        return given.tokens
    return tuple(f"row {at}" for at in range(count))


def _notes(units: Units, by: str, shown: np.ndarray, selective: Selectivity | None) -> tuple[str, ...]:
    """What stands beside each tile's number: what it is sorted by."""
    return tuple(one.replace("-", "−") for one in _measures(units, by, shown, selective))


def _measures(units: Units, by: str, shown: np.ndarray, selective: Selectivity | None) -> tuple[str, ...]:
    flat = units.values.reshape(len(units), -1)
    if units.form == "vector" and selective is None:
        return ("",) * len(shown)
    if selective is not None:
        return tuple(f"{selective.labels[selective.classes[at]]} {selective.scores[at]:.2f}" for at in shown)
    if by == "variance" and flat.shape[1] > 1:
        return tuple(f"σ² {flat[at].var():.3g}" for at in shown)
    return tuple(f"{'μ ' if flat.shape[1] > 1 else ''}{flat[at].mean():.3g}" for at in shown)


def _said(units: Units, by: str, shown: np.ndarray, pages: int, selective: Selectivity | None) -> str:
    """How many units there are and in which order they stand."""
    count, height, width = units.values.shape
    what = {
        "maps": f"{count} maps of {height}×{width}",
        "patches": f"{count} units on the grid of {height}×{width} patches",
        "tokens": f"{count} units of {height} tokens",
        "vector": f"{count} units, one number each",
    }[units.form]
    words = [f"{what}{f', {len(shown)} of them drawn' if pages > 1 else ''}, {SORTED[by]}"]
    words += [named(units, shown)] if units.form in ("maps", "patches") else []
    words += [units.note] if units.note else []
    said = plain("; ".join(filter(None, words))) + "."
    if selective is not None:
        positive = ", of their positive parts" if units.signed else ""
        said += (
            f" Selectivity is (μ_max − μ_rest) / (μ_max + μ_rest) of the mean activation by class{positive}, over "
            f"{selective.examples} test examples ([Morcos et al. 2018](https://arxiv.org/abs/1803.06959)); the class "
            "is that of μ_max."
        ).replace("_", "\\_")
    return said


def _scaled(units: Units, scale: str, colours: np.ndarray, shown: np.ndarray) -> str:
    """Which colours mean what."""
    sign = "blue is negative, orange positive" if units.signed else "the stronger the colour, the larger"
    low, high = f"{colours[shown].min():.3g}", f"{colours[shown].max():.3g}"
    end = {
        "local": f"colours end at each map's own largest size, {low} to {high}, so sizes can't be compared",
        "layer": f"colours of all units end at {high}, the largest size in this layer",
        "global": f"colours of all units end at {high}, the largest size in any layer of this pass",
    }[scale]
    return f"{sign[0].upper()}{sign[1:]}; {end}."


def _facts(units: Units, unit: int, selective: Selectivity | None, box: Box | None) -> tuple[tuple[str, str], ...]:
    """A unit in numbers."""
    one = measured(units, unit)
    if units.form == "vector":
        facts = [("value", f"{one.most:.5g}")]
    else:
        where = f"row {one.peak[0]}, column {one.peak[1]}" if units.form != "tokens" else f"token {one.peak[0]}"
        facts = [
            ("smallest", f"{one.least:.4g}"),
            ("mean", f"{one.mean:.4g}"),
            ("largest", f"{one.most:.4g} at {where}"),
            ("zeros", f"{one.zeros:.1%}"),
        ]
    if selective is not None:
        name = selective.labels[selective.classes[unit]]
        facts.append(("selective for", f"{name}, {selective.scores[unit]:.2f}"))
    if box is not None:
        facts.append(("can depend on", f"{box.size} of the input, from row {box.top}, column {box.left}"))
    return tuple((name, text.replace("-", "−")) for name, text in facts)
