"""A real picture to begin with: one of the network's own test split, or one that the person brings."""

import numpy as np
import streamlit as st

from explorer import data
from explorer.ui import uploads
from explorer.ui.page import plain
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.pictures import batches, fit

USUAL = 3  # the test picture that is shown first


def source(model: Denoiser, most: int = 512, key: str = "example") -> np.ndarray:
    """The chosen picture as the network would have it, (H, W, C) uint8, at most so many pixels a side."""
    channels, height, width = model.card.shape
    scale = min(1.0, most / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    left, right = st.columns(2, vertical_alignment="bottom")
    with right, st.popover("Your own picture", width="stretch"):
        own = uploads.picture("A picture", f"{key}-upload")
    if own is not None:
        return _sized(own.image, channels, size)
    test = own_test(model)
    if test is None:
        left.caption("Its own data are not here: this is a soft gradient, until you bring a picture.")
        ramp = np.linspace(0, 255, width)[None, :, None] * np.linspace(0.3, 1, height)[:, None, None]
        return _sized(np.repeat(ramp, channels, 2).astype(np.uint8), channels, size)
    last = len(test) - 1
    if st.session_state.get(key, 0) > last:  # of a network whose test split is larger
        st.session_state[key] = min(USUAL, last)
    index = left.slider("Test picture", 0, last, min(USUAL, last), key=key, bind="query-params")
    told = test.captions[index] if test.captions else f"a real {test.labels[test.y[index]]}"
    left.caption(plain(told))
    return _sized(test.x[index], channels, size)


def own_test(model: Denoiser) -> data.Dataset | None:
    """The test split that a network's data have, where they are known."""
    if not model.card.dataset:
        return None
    return data.load(model.card.dataset, "test", **dict(model.card.dataset_settings))


def _sized(picture: object, channels: int, size: tuple[int, int]) -> np.ndarray:
    """A picture of any size in the network's channels, its middle at this size."""
    (pixels,) = batches(picture, channels)
    return fit(pixels, *size)[0].permute(1, 2, 0).numpy()
