"""Take it away: the numbers of every layer, a figure of one, the code that makes them, and the link."""

from functools import partial

import streamlit as st

from explorer.activations import export
from explorer.activations.script import inputs, script
from explorer.errors import ExplorerError
from explorer.source import beside, file_of
from explorer.ui.activations.question import Asked, captured, usual_layer
from explorer.ui.give import give, link, png_of
from explorer.ui.page import plain
from explorer.zoo.model import Model


def takeaway(model: Model, asked: Asked) -> None:
    """Downloads of what the layers gave out for this input, a figure of one, and a script that stands alone.

    The figure is of `asked.layer`; one that gave out no numbers, as a box of the map may, gives way to the usual one.
    """
    st.subheader("Take it away", anchor=False)
    found = captured(model, asked)
    drawn = {layer.name for layer in found if layer.output is not None and layer.output.ndim > 1}
    name = asked.layer if asked.layer in drawn else usual_layer(found)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        give("PNG", lambda: png_of(export.figure(found[name])), "layer.png")
        give("SVG", lambda: export.svg(found[name], model.card.ref), "layer.svg")
        give("NPZ", lambda: export.npz(found), "activations.npz")
        give("CSV", lambda: export.to_csv(found), "layers.csv")
        link("It opens this page with this network, input, view and layer. Uploads are not in it.")
    st.caption(
        f"PNG and SVG show `{name}` on one scale; NPZ holds every layer's values, CSV a row of statistics for each."
    )
    if found.left_out:
        with st.popover(f"{len(found.left_out)} layers are not there", icon=":material/visibility_off:"):
            for layer, why in list(found.left_out.items())[:200]:
                st.caption(f"`{layer}`: {plain(why)}")
    with st.expander("The same in plain PyTorch", icon=":material/code:"):
        _code(model, asked)


def _code(model: Model, asked: Asked) -> None:
    """A script that stands alone, and the files it wants beside it."""
    try:
        st.code(script(asked.given), language="python", height=420)
    except ExplorerError as error:
        st.caption(f"There is no script for this one: {plain(error.wrong)}.")
        return
    with st.container(horizontal=True):
        give("inputs.npz", partial(inputs, asked.given), "inputs.npz")
        for file in beside(model):
            give(file, partial(file_of, model, file), file)
    st.caption("Put the files beside the script; it leaves `activations.npz`, the very values of every layer.")
