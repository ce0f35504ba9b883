"""Take it away: pictures, numbers, the code that makes them, a report, and the link."""

import streamlit as st

from explorer.attribution.arena import Question
from explorer.attribution.base import METHODS, Attribution
from explorer.attribution.export import grid_png, grid_svg, npy, png, svg
from explorer.attribution.measures import Measured
from explorer.attribution.report import report
from explorer.attribution.script import script
from explorer.errors import ExplorerError
from explorer.source import weights_file
from explorer.ui.give import address, give, link, png_of
from explorer.ui.heatmaps import View
from explorer.ui.page import plain
from explorer.ui.pickers import choose
from explorer.zoo.model import Model


def takeaway(
    model: Model,
    question: Question,
    found: list[Attribution],
    measured: list[Measured],
    titles: list[str],
    view: View,
) -> None:
    """Downloads of one map and of all, and the code of one."""
    st.subheader("Take it away", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = [one.method for one in found]
        method = choose("Map", names, names[0], "take", lambda name: METHODS[name].facts["title"], width=260)
        one = found[names.index(method)]
        give("PNG", lambda: png(one, view.show, view.opacity), f"{method}.png")
        give("SVG", lambda: svg(one, view.show, view.opacity).encode(), f"{method}.svg")
        give("NPY", lambda: npy(one), f"{method}.npy")
    with st.container(horizontal=True):
        shared = view.scale == "shared"
        give("All as PNG", lambda: grid_png(found, view.show, view.opacity, shared), "arena.png")
        give("All as SVG", lambda: grid_svg(found, view.show, view.opacity, shared).encode(), "arena.svg")
        give("Report", lambda: _report(model, found, measured, titles), "report.html")
        link("It opens this page with these settings, number for number. Uploads are not in it.")
    with st.expander("The same in PyTorch and Captum", icon=":material/code:"):
        _code(one)


def _report(model: Model, found: list[Attribution], measured: list[Measured], titles: list[str]) -> bytes:
    rows = [{"method": title, **one.values} for one, title in zip(measured, titles, strict=True)]
    title = f"What speaks for “{model.labels[found[0].target]}”?"
    return report(title, found, model.labels, rows, address()).encode()


def _code(one: Attribution) -> None:
    """A script that stands alone, and the files it wants beside it."""
    try:
        st.code(script(one), language="python", height=420)
    except ExplorerError as error:
        st.caption(f"There is no script for this one: {plain(error.wrong)}.")
        return
    with st.container(horizontal=True):
        give("picture.png", lambda: png_of(one.picture), "picture.png")
        if one.ref.startswith(("zoo:", "run:")):
            give("model.safetensors", lambda: weights_file(one.ref).read_bytes(), "model.safetensors")
    st.caption("Put the files beside the script; it leaves `scores.npy`, the very numbers of the map above.")
