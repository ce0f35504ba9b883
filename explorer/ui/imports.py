"""What pages need is imported once, in one thread, where many people come to a new server at the same time.

Each page imports what it shows with, which takes seconds of a core. Thirty threads that do so at once take no less of
it in all, hinder each other, and may find halves of packages whose parts import each other.
"""

import importlib
import logging
import threading

import streamlit as st

from explorer.memory import set_aside
from explorer.turns import TURNS

WORDS = "The server has just started: a few seconds …"
HEAVY = (  # in the order in which they need each other
    "torch", "altair", "scipy.ndimage", "transformers", "diffusers", "captum.attr", "captum.metrics",
    "explorer.runs.database", "explorer.training", "explorer.attribution", "explorer.attention", "explorer.diffusion",
    "explorer.activations",
)  # fmt: skip
USUAL = ("digits", "shapes")  # data of the models that pages open with
LIGHT = ("Home", "This server")  # pages that need none of it

log = logging.getLogger("explorer")
_begin = threading.Lock()
_begun: list[threading.Thread] = []
_done = threading.Event()


def begin() -> None:
    """Import everything beside what else goes on; only the first call does anything."""
    with _begin:
        if not _begun:
            _begun.append(threading.Thread(target=_import, name="imports", daemon=True))
            _begun[0].start()


def wait() -> None:
    """Wait until everything is imported; Streamlit ends the wait of somebody who has gone."""
    begin()
    if not _done.is_set():
        with st.spinner(WORDS):
            while not _done.wait(0.1):
                TURNS.wanted()


def _import() -> None:
    try:
        for name in HEAVY:
            importlib.import_module(name)
        from explorer.runs import database

        database.imported()
    except Exception:
        log.exception("Importing ahead failed; a page that needs it will say why")
    finally:
        set_aside()
        _done.set()
    _make_data()


def _make_data() -> None:
    """Have the pictures that several views look at made before somebody waits for them: a new server draws its own."""
    from explorer import data

    try:
        for name in USUAL:
            data.load(name, "test")
    except Exception:
        log.exception("Making data ahead failed; a page that needs them will say why")
