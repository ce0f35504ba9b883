"""Who is here: every open page says so every few seconds."""

import secrets
import threading
import time

import streamlit as st

from explorer import belongings, housekeeping
from explorer.settings import settings
from explorer.ui.person import person

GONE = 90.0  # seconds of silence after which a page is closed; browsers let hidden ones speak once a minute

_lock = threading.Lock()
_here: dict[str, tuple[str, float]] = {}  # session → whose it is, and when it last spoke (time.monotonic())


def be_here() -> None:
    """This session is here; the first of all lets the housekeeping begin."""
    housekeeping.begin()
    session = st.session_state.setdefault("presence", secrets.token_hex(8))
    with _lock:
        _here[session] = (person(), time.monotonic())
        _forget()
    if settings().shared:
        belongings.see(person())


def sessions() -> dict[str, int]:
    """How many pages each person has open."""
    found: dict[str, int] = {}
    with _lock:
        _forget()
        for owner, _ in _here.values():
            found[owner] = found.get(owner, 0) + 1
    return found


def _forget() -> None:
    """Whoever has been silent for long is gone; under the lock."""
    before = time.monotonic() - GONE
    for session in [session for session, (_, spoke) in _here.items() if spoke < before]:
        del _here[session]
