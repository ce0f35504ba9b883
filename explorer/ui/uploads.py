"""The one place where files of a person's come in.

A browser holds to the kinds and sizes that it is told; a program that speaks like one need not. So the size is looked
at again here, and of what kind a file is its content tells: of pictures in `explorer.data.picture`, of data in
`explorer.data.own`.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import streamlit as st
from PIL import Image

from explorer.data.base import one_line
from explorer.data.picture import Picture, read_picture
from explorer.errors import ExplorerError
from explorer.settings import MB, settings
from explorer.store import ANSWERS
from explorer.turns import TURNS
from explorer.ui.page import refuse

PICTURES = ("png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff")
NAME = 80  # letters


class Brought:
    """A picture that somebody brought: nothing but its pixels, and what to call it."""

    def __init__(self, upload: Any) -> None:
        content = content_of(upload)
        self.name = name_of(upload)
        self.key = hashlib.sha256(content).hexdigest()  # the same for the same file
        found = ANSWERS.get(("upload", self.key), lambda: _read(content, self.name))
        self.image: Image.Image = found.image
        self.moves: bool = found.moves  # the file has more frames than this


def _read(content: bytes, name: str) -> Picture:
    with TURNS.take():
        return read_picture(content, name)


def picture(label: str, key: str) -> Brought | None:
    """A place to bring a picture to; None until there is one. A file that is none is told, and loses nothing."""
    upload = uploader(label, PICTURES, key)
    try:
        return None if upload is None else Brought(upload)
    except ExplorerError as error:
        refuse(error)
        return None


def uploader(label: str, kinds: Sequence[str], key: str) -> Any:
    """A place to bring a file to, whose content `content_of` gives."""
    most = max(1, settings().limits.upload // MB)
    return st.file_uploader(label, type=list(kinds), max_upload_size=most, key=key)


def content_of(upload: Any) -> bytes:
    """What is in the file; raises ExplorerError where it is larger than this server takes."""
    content, most = upload.getvalue(), settings().limits.upload
    if len(content) > most:
        raise ExplorerError(name_of(upload), f"it is larger than {most / MB:,.3g} MB", "Bring a smaller file")
    return content


def name_of(upload: Any) -> str:
    """The file's name as one line that can be shown."""
    return one_line(upload.name)[-NAME:] or "Your file"
