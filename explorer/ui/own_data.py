"""A person's own data: a zip of class folders or a CSV of points, uploaded, or a folder of this computer."""

import os
from io import BytesIO
from pathlib import Path

import streamlit as st

from explorer import data
from explorer.errors import ExplorerError
from explorer.settings import MB, settings
from explorer.ui.controls import controls
from explorer.ui.page import plain, refuse

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
            "A **zip of class folders** (`cats/1.jpg`, `dogs/1.jpg`, …), or a **CSV** with two columns of numbers "
            "and one of labels."
        )
        st.file_uploader(
            f"Up to {limits.upload // MB} MB and {limits.examples:,} examples",
            type=["zip", "csv"],
            max_upload_size=max(1, limits.upload // MB),
            key="own-file",
        )
        controls(data.own.add_images, prefix="own_")
        if not settings().shared:
            st.text_input("Or a folder, zip or CSV on this computer", key="own-path", placeholder="~/pictures")
        st.form_submit_button("Add this data", icon=":material/add:", on_click=_take, key="own-add")
        if error := st.session_state.pop("own-error", None):
            refuse(error)


def _take() -> None:
    """Check what was brought and choose it; a refusal is shown beside the form."""
    upload, path = st.session_state.get("own-file"), st.session_state.get("own-path", "").strip()
    try:
        if upload is None and not path:
            raise ExplorerError("Your own data", "there is no file and no folder", "Choose one first")
        source = BytesIO(upload.getvalue()) if upload is not None else Path(os.path.expanduser(path))
        title = Path(upload.name if upload is not None else path).name
        if title.lower().endswith(".csv"):
            name = data.own.add_points(source, title)
        else:
            name = data.own.add_images(source, title, side=st.session_state["own_side"])
    except ExplorerError as error:
        st.session_state["own-error"] = error
        return
    st.session_state[KEY] = [*st.session_state[KEY], name]
    st.session_state["data"] = name
    st.toast(f"Added {plain(data.about(name).title)}", icon=":material/check:")
