"""The map of the network, and what the chosen box gave out for this input."""

from dataclasses import replace

import numpy as np
import streamlit as st
from PIL import Image

from explorer.activations import Activations, capture
from explorer.activations.modelmap import ModelMap, Node, model_map, resized, size_of, sizes, values
from explorer.charts.modelmap import coloured, histogram, mosaic
from explorer.charts.theme import DARK, LIGHT
from explorer.flops import CONVENTION
from explorer.ui import modelmap as boxes
from explorer.ui.activations.question import KNOWN, Asked, captured
from explorer.ui.activations.takeaway import takeaway
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.links import refused
from explorer.ui.number import number_input
from explorer.ui.page import guard, plain
from explorer.ui.pickers import linked, new_link, to_link
from explorer.zoo.model import Model

MAPS = 12  # of a layer that are shown
ACROSS = 4  # of them in a row
CELLS = 32  # of a strip in a row
LONGEST, WIDEST = 64, 256  # tokens and channels of a strip that are shown
SIDE = 360  # pixels that a picture has about


def modelmap(model: Model, asked: Asked) -> None:
    """The view: every module, what flows between them, what each costs, and what the chosen one gave out."""
    _view(model, asked)


@st.fragment
@guard()
def _view(model: Model, asked: Asked) -> None:
    if st.session_state.get("view") not in (None, "Map"):  # `_open` was pressed, maybe in a run that was broken off
        st.rerun(scope="app")
    size = _size(model, asked)
    found = _map(model, asked, size)
    _told(found, asked, size)
    usual = boxes.usual(found)
    name = linked("map-layer", usual)
    left, right = st.columns([3, 1], gap="medium")
    if new_link("map-layer") and name not in found:
        refused("Layer", "map-layer", name, usual)
    with left:
        name = boxes.modelmap(found, "map-boxes", name if name in found and name else usual)
        st.session_state["map-layer"] = name
        to_link("map-layer", name, usual)
        _legend(found)
    with right, guard():
        _chosen(model, asked, size, found[name], found)
    takeaway(model, replace(asked, layer=name))


@kept("Measuring …", known=KNOWN)
def _map(_model: Model, asked: Asked, size: int | None) -> ModelMap:
    return model_map(_model, asked.given if size is None else resized(asked.given, size))


@kept(known=KNOWN)
def _captured(_model: Model, asked: Asked, size: int) -> Activations:
    return capture(_model, resized(asked.given, size))


def _size(model: Model, asked: Asked) -> int | None:
    """Another size of the input, if one is asked for."""
    most, what = sizes(model)
    if not most:
        return None
    now = st.session_state.get("map-side")
    if now is not None and not 1 <= now <= most:
        st.session_state["map-side"] = None
    words, field = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with words:
        st.markdown(
            "Every module in the order in which it runs. **Click** a box to see inside and to choose it; hover for its "
            "numbers and its lines."
        )
    with field:
        size = number_input(
            f"Try another size ({what})", 1, most, None, key="map-side",
            placeholder=f"as it is: {size_of(asked.given)}",
            help=f"Noise of that size goes through the network, up to {most} {what} here: see what it can take, and "
                 "where it breaks. For a text: the same tokens over again.",
        )  # fmt: skip
    return None if size == size_of(asked.given) else size


def _told(found: ModelMap, asked: Asked, size: int | None) -> None:
    """Whether the pass came through."""
    failed = found.failed
    if failed:
        where = f"in **{plain(failed.name)}**" if failed.name else "in the network's own code"
        given = " · ".join("×".join(map(str, shape)) for shape in failed.in_shapes)
        weights = ", ".join(f"{key} {'×'.join(map(str, shape))}" for key, shape in failed.failure.weights.items())
        fits = f", and its weights are {plain(weights)}" if weights else ""
        st.error(
            f"**This input does not fit:** the pass ended {where} ({plain(failed.kind)}). It was given {plain(given)}"
            f"{fits}. torch says: {plain(failed.failure.error)}",
            icon=":material/broken_image:",
        )
    elif size is not None:
        st.success(f"Size {size} fits: the shapes below are those it takes on now.", icon=":material/check:")


def _legend(found: ModelMap) -> None:
    """What the lines and numbers mean."""
    uncounted = f" Not counted, as no rule is known: {plain(', '.join(found.uncounted))}." if found.uncounted else ""
    when = f"Times are medians of {found.passes} passes of this one example, measured here." if found.passes else ""
    st.caption(
        "Shapes are of one example. Grey lines lead to the next box, blue ones skip some. A dotted line passed "
        "through the code of the box around; the circle says how: + added, ‖ concatenated, × multiplied, A attention, "
        "ƒ other. A full bar is the largest of the boxes drawn folded; percentages are of the whole network. " + when
    )
    with st.expander("How it is counted", icon=":material/functions:"):
        st.caption(
            f"**FLOPs.** {plain(CONVENTION)}{uncounted} A box counts its own code and all that is in it.\n\n"
            "**Parameters** that several modules share are counted once in every box that holds them.\n\n"
            "**Activations** are what the layers give out, in bytes of this pass. What shares the memory of its input "
            "(flatten, dropout at rest, work in place) counts nothing, and neither does what a module's own code makes "
            "in between.\n\n"
            "**Time** is taken around every call of every module, in passes of their own, and includes the modules "
            "inside. One example is little work: much of it may be the price of starting each operator."
        )


def _chosen(model: Model, asked: Asked, size: int | None, node: Node, found: ModelMap) -> None:
    """What the chosen box gave out."""
    st.markdown(f"##### {plain(node.name)}" if node.name else "##### The network")
    shape = "×".join(map(str, node.out_shape)) if node.out_shape else "no tensor"
    st.caption(f"{plain(node.kind)} · gives out {shape}" + (f" · {plain(node.note)}" if node.note else ""))
    if found.failed:
        st.info("The pass did not come through, so there are no values.", icon=":material/info:")
        return
    seen = captured(model, asked) if size is None else _captured(model, asked, size)
    layer = next((seen[name] for name in (node.name, node.module) if name in seen), None)
    if layer is None or layer.output is None or not layer.output.size:
        why = seen.left_out.get(node.name) or (layer.note if layer else "") or node.note or "it gave out no numbers"
        st.info(f"There are no values to show: {plain(why)}.", icon=":material/info:")
        return
    output = layer.output[:1]
    _numbers(output, node)
    _pictures(output)
    if size is None and output.ndim > 1:
        st.button(
            "Open in the view Layer", icon=":material/layers:", key="map-open", width="stretch",
            on_click=_open, args=(layer.name,),
        )  # fmt: skip


def _open(name: str) -> None:
    st.session_state["view"] = "Layer"
    st.session_state["layer"] = name


def _numbers(output: np.ndarray, node: Node) -> None:
    """Its values in short, and how they are spread."""
    told = values(output)
    shown = [f"**{value:.3g}**".replace("-", "−") for value in (told.mean, told.std, told.low, told.high)]
    st.markdown(f"Mean {shown[0]}, std {shown[1]}  \nfrom {shown[2]} to {shown[3]}, **{told.zeros:.0%}** zeros")
    if told.odd:
        st.warning(f"{told.odd:,} of its numbers are not finite.", icon=":material/warning:")
    if np.isfinite(told.mean):
        draw(
            histogram,
            output,
            key="map-histogram",
            says=f"Histogram of {output.size:,} numbers of {node.name}, from {told.low:.3g} to {told.high:.3g}",
        )


def _pictures(output: np.ndarray) -> None:
    """Its maps as pictures, or its numbers as a strip."""
    palette = DARK if st.context.theme.type == "dark" else LIGHT
    signed = bool((output < 0).any())
    if output.ndim == 4:
        shown = output[0, :MAPS]  # (M, H, W)
        what = f"Maps 0 to {len(shown) - 1} of {output.shape[1]}" if output.shape[1] > 1 else "Its one map"
    elif output.ndim == 3:
        shown = output[:, :LONGEST, :WIDEST]  # (1, T, C)
        what = f"A row for each of {shown.shape[1]} tokens, {shown.shape[2]} of {output.shape[2]} channels"
    else:
        flat = output.reshape(-1)[: CELLS * LONGEST].astype(np.float32)
        rows = -(-len(flat) // CELLS)
        padded = np.full(rows * CELLS if rows > 1 else len(flat), np.nan, np.float32)
        padded[: len(flat)] = flat
        shown = padded.reshape(1, rows, -1)
        what = f"Its {len(flat)} numbers" if len(flat) == output[0].size else f"The first {len(flat)} numbers"
        what += f", {CELLS} in a row" if rows > 1 else ""
    finite = np.abs(shown[np.isfinite(shown)])
    limit = float(finite.max()) if finite.size else 0.0
    low, colours = (-limit, palette.diverging) if signed else (0.0, palette.sequential)
    sheet = mosaic(coloured(shown.astype(np.float32), colours, low, limit), ACROSS)
    scale = f"blue negative, orange positive, ±{limit:.3g}" if signed else f"pale 0, dark {limit:.3g}"
    if not signed and palette is DARK:
        scale = f"dark 0, bright {limit:.3g}"
    factor = max(1, SIDE // sheet.shape[1])
    whole = Image.fromarray(sheet).resize((sheet.shape[1] * factor, sheet.shape[0] * factor), Image.Resampling.NEAREST)
    st.image(whole, f"{what}. One scale for all: {scale}.", width="stretch", output_format="PNG", alt=what)
