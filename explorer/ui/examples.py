"""Choose an example for a model: one of its own test split, or a picture that the person brings."""

from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from explorer import data
from explorer.ui import uploads
from explorer.ui.page import plain
from explorer.ui.pictures import enlarge
from explorer.zoo.model import Model

SIDE = 256  # pixels on the screen


def example(model: Model) -> tuple[Any, int | None]:
    """An input for the model, shown, and its true class where that is known."""
    own = uploads.picture("Your own picture", "picture") if model.card.task == "image-classification" else None
    if own is not None:
        st.image(own.image, plain(f"{own.name}, {own.image.width} × {own.image.height}"), width=SIDE, alt=own.name)
        return own.image, None
    if not model.card.dataset:
        return _grey(model), None
    test = data.load(model.card.dataset, "test", **model.card.dataset_settings)
    if st.session_state.get("example", 0) >= len(test):  # of another model before this one
        st.session_state["example"] = 0
    index = st.slider("Test example", 0, len(test) - 1, 0, key="example", bind="query-params")
    name = plain(test.captions[index] if test.captions else test.labels[test.y[index]])
    if test.task == "image":
        st.image(enlarge(test.x[index], SIDE), name, width=SIDE, alt=name)
    else:
        st.caption(f"({test.x[index, 0]:.2f}, {test.x[index, 1]:.2f}), truly {name}")
    return test.x[index : index + 1], int(test.y[index])


def _grey(model: Model) -> Image.Image:
    """Something to show before a picture is brought: soft noise, which every network answers somehow."""
    noise = np.random.default_rng(0).normal(128, 40, model.card.shape[1:]).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(noise)
    st.image(picture, "Noise, until you bring a picture", width=SIDE, alt="Noise")
    return picture
