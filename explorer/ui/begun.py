"""The name of what a button has begun is kept, even where the button is pressed again in that moment.

Streamlit ends a script where it next writes state, as it does for the second press. What the first has begun would go
on, and its own person could not find it.
"""

from collections.abc import Callable

import streamlit as st

BEGUN = "begun"  # state → name, of what was begun in a run that was ended


def begin(key: str, start: Callable[[], str]) -> None:
    """Start something, and keep its name as the state `key`. Raises what `start` raises."""
    begun = st.session_state.setdefault(BEGUN, {})
    begun[key] = start()  # into what the session has already, where nothing can end the script
    keep_begun()


def keep_begun() -> None:
    """Keep the names of what was begun; at the beginning of each run, for those of a run that was ended."""
    begun = st.session_state.get(BEGUN, {})
    for key in tuple(begun):
        st.session_state[key] = begun[key]
        del begun[key]
