"""One choice in a row, which is never empty."""

from collections.abc import Sequence
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")


def one_of(label: str, options: Sequence[T], default: T, key: str, **about: Any) -> T:
    """A row of which one is chosen, `?key=` in the URL.

    Streamlit keeps a person from emptying a row that needs a choice, but not a link, `?key=`: there it is the default.
    So it is where another page's row of the same name had what this one has not; else that would be in the link.
    """
    if st.session_state.get(key, default) not in options:
        st.session_state[key] = default
    value = st.segmented_control(label, options, default=default, key=key, required=True, bind="query-params", **about)
    if value is None:
        st.rerun()
    return value
