"""A model on the screen: its card and its layers."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from explorer.content import digest
from explorer.ui.kept import kept
from explorer.ui.page import plain
from explorer.zoo.card import TEXT_TASKS
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.outline import Layer, outline
from explorer.zoo.text import TextModel

KNOWN = dict.fromkeys((Model, TextModel, Denoiser), lambda model: model.card.ref)


def card_of(model: Model) -> None:
    """What is known of a model, in one line of figures and one of words."""
    card = model.card
    with st.container(horizontal=True, key="figures"):
        for name, value in card.metrics.items():
            if name.endswith(("accuracy", "as asked")):
                st.metric(name.capitalize(), f"{value:.1%}")
        st.metric("Parameters", f"{card.parameters:,}")
        if card.task in TEXT_TASKS:
            st.metric("Tokens at most", card.shape[0])
        else:
            st.metric("Input", " × ".join(map(str, card.shape)))
            if card.labels:
                st.metric("Classes", len(card.labels))
        st.metric("Memory", f"{model.bytes / 2**20:.1f} MB")
    words = [f"**{plain(card.title)}**", plain(card.architecture)]
    words += [f"trained on {plain(card.dataset)}"] if card.dataset else []
    words += [plain(card.made)] if card.made else []
    st.caption(" · ".join(words))


def answered(model: Model, x: Any) -> np.ndarray:
    """The probabilities of the classes for one example, as `Model.predict` takes it, (classes,)."""
    return _answered(model, digest(np.asarray(x)), x)


@kept(known=KNOWN)
def _answered(model: Model, content: str, _x: Any) -> np.ndarray:
    return model.predict(_x)[0]


@kept(known=KNOWN)
def _outline(model: Model) -> list[Layer]:
    return outline(model)


def layers_of(model: Model) -> None:
    """The layers in the order in which they run."""
    layers = _outline(model)
    with st.expander(f"Its {len(layers)} layers", icon=":material/layers:"):
        table = pd.DataFrame(
            {
                "layer": [layer.name for layer in layers],
                "kind": [layer.kind for layer in layers],
                "output": [" × ".join(map(str, layer.shape)) for layer in layers],
                "parameters": [layer.parameters for layer in layers],
            }
        )
        st.dataframe(table, hide_index=True, width="stretch", height="content")
