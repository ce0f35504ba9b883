"""A number that is typed."""

import contextlib
import math
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException


def number_input(label: str, *args: Any, key: str, **about: Any) -> Any:
    """st.number_input, `?key=` in the URL; a number without an end in a link, which breaks it, is none."""
    bind = "query-params"
    if _endless(st.query_params.get(key, "")):
        bind = None  # for this once: Streamlit reads what the link said at first
        with contextlib.suppress(StreamlitAPIException):  # it was bound before, and keeps what it had
            del st.query_params[key]
    return st.number_input(label, *args, key=key, **about | {"bind": bind})


def _endless(text: str) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False
