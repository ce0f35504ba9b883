"""Who is asking: nobody in particular on a person's own computer, a browser on a shared server."""

import hashlib
import secrets
from itertools import cycle

import streamlit as st

from explorer.belongings import LOCAL
from explorer.settings import settings

COOKIE = "_streamlit_xsrf"  # a random token that Streamlit gives each browser, against forged requests


def person() -> str:
    """The owner of runs and uploads; on a shared server one for each browser, which nobody else can guess."""
    if not settings().shared:
        return LOCAL
    if "person" not in st.session_state:
        secret = token(st.context.cookies.get(COOKIE, "")) or secrets.token_bytes(16)
        st.session_state["person"] = hashlib.sha256(secret).hexdigest()[:32]
    return st.session_state["person"]


def token(cookie: str) -> bytes | None:
    """The token inside the cookie `2|mask|masked token|time`, which is masked anew at every page load."""
    try:
        _, mask, masked, _ = cookie.strip("\"'").split("|")
        return bytes(a ^ b for a, b in zip(bytes.fromhex(masked), cycle(bytes.fromhex(mask)), strict=False))
    except ValueError:
        return None
