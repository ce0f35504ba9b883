"""By layer: how a class activation map changes with depth."""

import streamlit as st

from explorer.attribution import METHODS, map_layers, why
from explorer.attribution.arena import Question, Settings, ask
from explorer.ui.attribution.maps import show, tiles
from explorer.ui.page import guard
from explorer.ui.transport import transport
from explorer.zoo.model import Model


def by_layer(model: Model, question: Question, methods: dict[str, Settings]) -> None:
    """Play through the layers."""
    layers = map_layers(model)
    if not layers:
        st.info("This network has no layer that still knows where things are.", icon=":material/block:")
        return
    chosen = {name: values for name, values in methods.items() if METHODS[name].facts["layer"]}
    chosen = chosen or dict.fromkeys(("grad_cam", "hirescam"), ())
    st.caption(f"The automatic choice is `{layers[-1].name}`: {why(model)}. Early layers see edges, late ones objects.")
    _film(question, chosen, layers)


@st.fragment
@guard()
def _film(question: Question, chosen: dict[str, Settings], layers) -> None:
    at = transport(
        "Layer", range(len(layers)), key="depth", format=lambda i: f"{layers[i].name} · {layers[i].size} · "
        f"{layers[i].channels} channels",
    )  # fmt: skip
    asked = Question(question.ref, question.example, question.target, question.versus, layers[at].name, question.seed)
    show(tiles(ask(asked, chosen), question.example.mask), "by-layer", 260)
