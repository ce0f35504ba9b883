"""Data set pictures on the screen, enlarged without blur."""

import io
from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

from explorer.content import digest
from explorer.store import ANSWERS

SIDE = 96  # pixels on the screen


def enlarge(picture: np.ndarray, side: int = SIDE) -> bytes:
    """A picture (H, W, C) uint8 as PNG, with every pixel as a square, about `side` pixels high; made once for all."""
    return ANSWERS.get(("enlarged", digest(picture), side), lambda: _png(picture, side))


def _png(picture: np.ndarray, side: int) -> bytes:
    whole = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    factor, file = max(1, side // picture.shape[0]), io.BytesIO()
    whole.resize((whole.width * factor, whole.height * factor), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def gallery(pictures: np.ndarray, captions: Sequence[str], side: int = SIDE) -> None:
    """Pictures (N, H, W, C) uint8 in rows, each over its caption."""
    with st.container(horizontal=True, gap="small"):
        for picture, caption in zip(pictures, captions, strict=True):
            st.image(enlarge(picture, side), caption, width=side, output_format="PNG", alt=caption)
