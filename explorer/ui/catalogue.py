"""Networks of the Hugging Face Hub that are known to open, with their size and whether they fit this server."""

from collections.abc import Callable

import streamlit as st

from explorer.ui.page import plain
from explorer.zoo.card import GENERATION_TASKS
from explorer.zoo.catalogue import CATALOGUE, Entry, fits

KINDS = {
    "text-generation": "They write on",
    "fill-mask": "They fill gaps",
    "text2text-generation": "They turn one text into another",
    "text-classification": "They name texts",
    "feature-extraction": "They represent texts",
    "image-classification": "They name pictures",
    "image-generation": "They draw",
    "text-to-image": "They draw from words",
}


def catalogue(wanted: Callable[[Entry], bool]) -> None:
    """A menu of those that are wanted on this page."""
    with st.popover("Networks of the Hub", icon=":material/cloud_download:", width="stretch"):
        st.caption(
            "They are downloaded when you choose one, as safetensors only, and run here. What is too large for this "
            "server is greyed out."
        )
        for task, title in KINDS.items():
            entries = [entry for entry in CATALOGUE if entry.task == task and wanted(entry)]
            if entries:
                st.markdown(f"**{title}**")
            for entry in sorted(entries, key=lambda entry: entry.parameters):
                _row(entry)


def attends(entry: Entry) -> bool:
    """A language model, or a transformer that names pictures."""
    if entry.task in GENERATION_TASKS:
        return False
    return entry.task != "image-classification" or any(word in entry.name.lower() for word in ("vit", "deit", "dino"))


def generates(entry: Entry) -> bool:
    """A diffusion model."""
    return entry.task in GENERATION_TASKS


def _row(entry: Entry) -> None:
    size = f"{entry.parameters / 1e6:,.0f} M parameters, {entry.bytes / 2**20:,.0f} MB"
    st.button(
        f"{plain(entry.name)} · :gray[{size} · {plain(entry.note)}]", key=f"hub-{entry.name}", on_click=_take,
        args=(entry.ref,), type="tertiary", disabled=not fits(entry),
        help=None if fits(entry) else "Too large for this server",
    )  # fmt: skip


def _take(ref: str) -> None:
    st.session_state["model"] = ref
