"""Data set pictures on the screen, enlarged without blur."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

SIDE = 96  # pixels on the screen


def enlarge(picture: np.ndarray, side: int = SIDE) -> Image.Image:
    """A picture (H, W, C) uint8 with every pixel as a square, about `side` pixels high."""
    whole = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    factor = max(1, side // picture.shape[0])
    return whole.resize((whole.width * factor, whole.height * factor), Image.Resampling.NEAREST)


def gallery(pictures: np.ndarray, captions: Sequence[str], side: int = SIDE) -> None:
    """Pictures (N, H, W, C) uint8 in rows, each over its caption."""
    with st.container(horizontal=True, gap="small"):
        for picture, caption in zip(pictures, captions, strict=True):
            st.image(enlarge(picture, side), caption, width=side, output_format="PNG", alt=caption)
