"""Choose an example for a model: one of its own test split, or a picture that the person brings."""

import io
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from explorer import data
from explorer.data.own_pictures import FORMATS, UNREADABLE
from explorer.errors import ExplorerError
from explorer.settings import MB, settings
from explorer.ui.page import plain
from explorer.ui.pictures import enlarge
from explorer.zoo.model import Model

SIDE = 256  # pixels on the screen


def example(model: Model) -> tuple[Any, int | None]:
    """An input for the model, shown, and its true class where that is known."""
    upload = None
    if model.card.task == "image-classification":
        upload = st.file_uploader(
            "Your own picture",
            type=["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"],
            max_upload_size=max(1, settings().limits.upload // MB),
            key="picture",
        )
    if upload is not None:
        picture = opened(upload)
        st.image(picture, plain(f"{upload.name}, {picture.width} × {picture.height}"), width=SIDE)
        return picture, None
    if not model.card.dataset:
        return _grey(model), None
    test = data.load(model.card.dataset, "test", **model.card.dataset_settings)
    index = st.slider("Test example", 0, len(test) - 1, 0, key="example", bind="query-params")
    name = plain(test.captions[index] if test.captions else test.labels[test.y[index]])
    if test.task == "image":
        st.image(enlarge(test.x[index], SIDE), name, width=SIDE, alt=name)
    else:
        st.caption(f"({test.x[index, 0]:.2f}, {test.x[index, 1]:.2f}), truly {name}")
    return test.x[index : index + 1], int(test.y[index])


def opened(upload: Any) -> Image.Image:
    """The uploaded file as a picture; what is none, or is damaged, is refused."""
    try:
        picture = Image.open(io.BytesIO(upload.getvalue()), formats=FORMATS)
        if picture.width * picture.height > settings().limits.image_pixels:
            raise Image.DecompressionBombError
        picture.load()
    except Image.DecompressionBombError:
        most = settings().limits.image_pixels
        raise ExplorerError(upload.name, f"it has more than {most:,} pixels", "Make it smaller first") from None
    except UNREADABLE as error:
        raise ExplorerError(upload.name, "it is not a picture that can be read", "Choose another file") from error
    return picture


def _grey(model: Model) -> Image.Image:
    """Something to show before a picture is brought: soft noise, which every network answers somehow."""
    noise = np.random.default_rng(0).normal(128, 40, model.card.shape[1:]).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(noise)
    st.image(picture, "Noise, until you bring a picture", width=SIDE)
    return picture
