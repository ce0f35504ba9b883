"""What a person takes away from a page: files that are made when they are asked for, and the link."""

import io
import mimetypes
from collections.abc import Callable
from urllib.parse import urlencode

import numpy as np
import PIL.Image
import streamlit as st


def give(label: str, make: Callable[[], bytes | str], name: str) -> None:
    """A button that hands over a file; `make` runs when it is pressed. The name says of what kind it is."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    st.download_button(label, make, name, kind, icon=":material/download:", on_click="ignore", key=f"give-{label}")


def link(note: str) -> None:
    """The link to the page as it is now, with a note on what it keeps."""
    with st.popover("Link", icon=":material/link:"):
        st.code(address(), language=None)
        st.caption(note)


def address(**changed: str | None) -> str:
    """The address of the page as it is now; `changed` is another there, or not there at all."""
    base = (st.context.url or "").split("?")[0]
    now = {name: st.query_params.get_all(name) for name in st.query_params} | changed
    asked = urlencode({name: value for name, value in now.items() if value is not None}, doseq=True)
    return f"{base}?{asked}" if asked else base


def png_of(pixels: np.ndarray) -> bytes:
    """A picture, (H, W, C) uint8 of one or three colours, as a PNG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
