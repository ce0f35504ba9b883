"""A person's own data: a zip of class folders, a CSV of points or a text, uploaded or pasted, or on this computer."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import streamlit as st

from explorer import data
from explorer.data.own_text import LONGEST
from explorer.errors import ExplorerError
from explorer.settings import MB, settings
from explorer.ui import uploads
from explorer.ui.controls import controls
from explorer.ui.page import plain, refuse
from explorer.ui.person import person

KEY = "own-names"  # in the session: the names of the data sets that were added


def names() -> list[str]:
    """The person's own data sets of this session, and the one that the link names."""
    found = st.session_state.setdefault(KEY, [])
    linked = st.query_params.get("data", "")
    if linked.startswith("own:") and linked not in found:
        try:
            data.about(linked)
        except ExplorerError as error:
            refuse(error)
        else:
            found.append(linked)
    return found


def add() -> None:
    """Take a new data set; once it is checked it is the one that is chosen."""
    limits = settings().limits
    with st.expander("Your own data", icon=":material/upload:"), st.form("own", border=False):
        st.caption(
            "A **zip of class folders** (`cats/1.jpg`, `dogs/1.jpg`, …), a **CSV** with two columns of numbers "
            "and one of labels, or a **text** of some pages."
        )
        told = f"Up to {limits.upload // MB} MB and {limits.examples:,} examples"
        uploads.uploader(told, ("zip", "csv", "txt"), "own-file")
        controls(data.own.add_images, prefix="own_")
        if not settings().shared:
            st.text_input("Or a folder, zip, CSV or text on this computer", key="own-path", placeholder="~/pictures")
        st.text_area("Or paste a text", key="own-text", height=120, max_chars=LONGEST)
        st.form_submit_button("Add this data", icon=":material/add:", on_click=_take, key="own-add")
        if error := st.session_state.pop("own-error", None):
            refuse(error)


def _take() -> None:
    """Check what was brought and choose it; a refusal is shown beside the form."""
    upload, path = st.session_state.get("own-file"), st.session_state.get("own-path", "").strip()
    pasted = st.session_state.get("own-text", "").strip()
    try:
        if upload is None and not path and not pasted:
            raise ExplorerError("Your own data", "there is no file, no folder and no text", "Choose one first")
        if upload is None and not path:
            _choose(data.own.add_text(pasted, pasted[:40], person()))
            return
        source = io.BytesIO(uploads.content_of(upload)) if upload is not None else Path(os.path.expanduser(path))
        title = Path(uploads.name_of(upload) if upload is not None else path).name
        if title.lower().endswith(".csv"):
            name = data.own.add_points(source, title, owner=person())
        elif title.lower().endswith(".txt"):
            name = data.own.add_text(_content(source, title), title, person())
        else:
            name = data.own.add_images(source, title, st.session_state["own_side"], person())
    except ExplorerError as error:
        st.session_state["own-error"] = error
        return
    _choose(name)


def drawn(points: np.ndarray, classes: np.ndarray, letters: str = "AB") -> str:
    """Keep points that were drawn by hand, (N, 2) and (N,), as a data set of the person's; the name to load it by.

    Raises ExplorerError where there are too few of a class.
    """
    file = io.StringIO()
    csv.writer(file).writerows(
        (f"{x:.5f}", f"{y:.5f}", letters[one]) for (x, y), one in zip(points, classes, strict=True)
    )
    name = data.own.add_points(io.BytesIO(file.getvalue().encode()), "drawn points", drawn=True, owner=person())
    st.session_state.setdefault(KEY, []).append(name)
    return name


def _choose(name: str) -> None:
    st.session_state[KEY] = [*st.session_state[KEY], name]
    st.session_state["data"] = name
    st.toast(f"Added {plain(data.about(name).title)}", icon=":material/check:")


def _content(source: io.BytesIO | Path, title: str) -> str:
    """The letters of a text file."""
    if isinstance(source, Path) and settings().shared:
        raise ExplorerError(title, "this server is shared and opens no paths", "Upload a file instead")
    try:
        content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ExplorerError(title, "it is not a text in UTF-8", "Save it as plain text in UTF-8") from None
    except (OSError, ValueError) as error:  # a path may be none
        raise ExplorerError(title, f"it can't be read ({error})", "Choose another file") from error
