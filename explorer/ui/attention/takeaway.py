"""Take it away: figures for a paper, the weights, the code that makes them, and the link."""

from functools import partial

import streamlit as st

from explorer.attention import AttentionPatterns, export
from explorer.attention.roles import RoleScores
from explorer.attention.script import script
from explorer.charts.figure import Figure
from explorer.errors import ExplorerError
from explorer.source import beside, file_of
from explorer.ui.attention.question import Asked
from explorer.ui.attention.roles import short
from explorer.ui.attention_views import Selection
from explorer.ui.give import give, link, png_of
from explorer.ui.page import plain
from explorer.ui.pickers import choose
from explorer.zoo.model import Model

FIGURES = {"heads": "Lines", "matrix": "Matrix", "grid": "All heads", "image": "Over the picture"}  # by view


def takeaway(
    model: Model, asked: Asked, found: AttentionPatterns, chosen: Selection, scores: RoleScores | None
) -> None:
    """Downloads of what is selected, and a script that stands alone."""
    st.subheader("Take it away", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        views = [view for view in FIGURES if found.patches or view != "image"]
        usual = chosen.view if chosen.view in views else "matrix"
        view = choose("Figure", views, usual, f"figure-{chosen.view}", FIGURES.__getitem__, width=180)
        make = partial(_figure, found, view, chosen, scores)
        give("PNG", lambda: export.png(make(), 3), f"attention-{view}.png")
        give("SVG", lambda: export.svg(make()), f"attention-{view}.svg")
        weights = sum(part.weights.size for part in found.parts)
        if weights <= export.JSON_MOST:
            give("JSON", lambda: export.to_json(found), "attention.json")
        give("NPZ", lambda: export.npz(found), "attention.npz")
        link("It opens this page with this text, part, layer, heads and token. Uploads are not in it.")
    st.caption(
        "The figure shows the heads and the token that are held above, and of each token the lines that hold 75 % of "
        "its attention. JSON and NPZ hold the weights of every head "
        "with their tokens; NPZ also the queries, keys, values and scores."
    )
    with st.expander("The same in PyTorch and transformers", icon=":material/code:"):
        _code(model, asked, found)


def _figure(found: AttentionPatterns, view: str, chosen: Selection, scores: RoleScores | None) -> Figure:
    if view == "heads":
        return export.links(found, chosen.part, chosen.layer, chosen.heads, chosen.token)
    if view == "matrix":
        return export.matrix(found, chosen.part, chosen.layer, chosen.heads)
    if view == "image":
        return export.picture(found, chosen.layer, chosen.heads, chosen.token)
    words = short(scores) if scores else {}
    return export.grid(found, chosen.part, words.get(chosen.part))


def _code(model: Model, asked: Asked, found: AttentionPatterns) -> None:
    """A script that stands alone, and the files it wants beside it."""
    try:
        st.code(script(model, asked.given, asked.second), language="python", height=420)
    except ExplorerError as error:
        st.caption(f"There is no script for this one: {plain(error.wrong)}.")
        return
    files = beside(model)
    with st.container(horizontal=True):
        for name in files:
            give(name, partial(file_of, model, name), name)
        if found.patches:
            give("picture.png", lambda: png_of(found.patches.picture), "picture.png")
    told = "It leaves `weights.npz`, the very numbers of the views above."
    if "model.zip" in files:
        told = f"Put `model.zip` beside the script, which unpacks it. {told}"
    elif files or found.patches:
        told = f"Put the files beside the script. {told}"
    st.caption(told)
