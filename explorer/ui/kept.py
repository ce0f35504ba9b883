"""What a page computes, kept for everybody who asks the same, and made when it is somebody's turn."""

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from explorer.store import ANSWERS
from explorer.turns import TURNS

Made = TypeVar("Made", bound=Callable[..., Any])


def kept(
    words: str = "", known: Mapping[type, Callable[[Any], Hashable]] | None = None, small: bool = False
) -> Callable[[Made], Made]:
    """A decorator: answers are kept under the arguments, all pages' together up to a limit in bytes.

    words: shown while it takes its time. known: what stands for arguments of a kind that has no hash, or too slow a
    one. small: it takes some milliseconds, and waits for no turn. Arguments whose names begin with _ don't count. What
    is kept is shared, so nobody may change it; `.forget(…)` lets the answer to those arguments be made anew,
    `.held(…)` says whether it is there.
    """

    def decorate(make: Made) -> Made:
        signature = inspect.signature(make)

        def key(*args: Any, **named: Any) -> Hashable:
            bound = signature.bind(*args, **named)
            bound.apply_defaults()
            asked = (_key(value, known or {}) for name, value in bound.arguments.items() if name[0] != "_")
            return make.__module__, make.__qualname__, *asked

        @functools.wraps(make)
        def answer(*args: Any, **named: Any) -> Any:
            def begin() -> Any:
                with nullcontext() if small else TURNS.take():
                    return make(*args, **named)

            asked = key(*args, **named)
            with st.spinner(words) if words and not ANSWERS.holds(asked) else nullcontext():
                return ANSWERS.get(asked, begin)

        answer.forget = lambda *args, **named: ANSWERS.drop(key(*args, **named))
        answer.held = lambda *args, **named: ANSWERS.holds(key(*args, **named))
        return answer

    return decorate


def _key(value: Any, known: Mapping[type, Callable[[Any], Hashable]]) -> Hashable:
    if type(value) in known:
        return known[type(value)](value)
    if isinstance(value, list | tuple):
        return tuple(_key(one, known) for one in value)
    return value


def _wanted() -> None:
    """Let Streamlit end a script whose page has moved on, or whose browser has gone: it looks when state is read."""
    if get_script_run_ctx(suppress_warning=True):
        "anything" in st.session_state  # noqa: B015 - the question is what matters


TURNS.wanted = _wanted
