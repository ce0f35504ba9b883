"""What pages work out, once for everybody who asks the same; the share that is done is shown meanwhile."""

import time
from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st

from explorer.store import ANSWERS
from explorer.turns import TURNS
from explorer.ui.price import Price, ask_first

TELL = 0.2  # seconds between two looks at whether the person has moved on


def worked_out(
    key: Hashable, make: Callable[[Callable[[float], None]], Any], words: str, price: Price | None = None
) -> Any:
    """What `make` gives, kept under a key; it is told how to say the share that is done.

    Saying the share lets Streamlit end the work where the person has moved on. price: what it costs; where that is
    much, a button is drawn and AskFirst raised until the person has agreed.
    """
    if price:
        ask_first({key: price.seconds})

    def begin() -> Any:
        place, said = st.empty(), time.perf_counter()

        def on_step(share: float) -> None:
            nonlocal said
            if time.perf_counter() - said > TELL:
                place.progress(min(share, 1.0), words)
                said = time.perf_counter()

        began = time.thread_time()  # while others compute too, a clock on the wall would tell of them
        try:
            with TURNS.expecting(price.seconds if price else 0.0):
                found = make(on_step)
        finally:
            place.empty()
        if price:
            price.took(time.thread_time() - began)
        return found

    return ANSWERS.get(key, begin)
