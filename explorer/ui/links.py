"""What the link that opened a page asks for and can't have is told, with what took its place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException, StopException

from explorer.ui.page import plain

HERE, ASKED, TOLD, WRONG = "link-page", "link-asked", "link-told", "link-wrong"  # in the session
LETTERS, MOST = 40, 6  # of a value, and sentences, that are shown


@contextmanager
def checked(page: str) -> Iterator[None]:
    """Around the page of that name: looks once at the link that led to it, when all controls have read it.

    Streamlit drops a value that a control can't have in silence, and repairs the link. The sentences stay until
    something is changed.
    """
    place, state = st.container(), st.session_state
    if state.get(HERE) != page:
        state[HERE], state[ASKED] = page, {name: st.query_params.get_all(name) for name in st.query_params}
    early = False
    try:
        yield
    except (RerunException, StopException):  # the controls that come later have not read it yet
        early = True
        raise
    finally:
        if state[ASKED] and not early:
            told = state.pop(TOLD, set())
            wrong = [said for name, texts in state[ASKED].items() if name not in told and (said := _wrong(name, texts))]
            state[ASKED], state[WRONG] = {}, (page, st.query_params.to_dict(), wrong)
        here, link, wrong = state.get(WRONG, ("", {}, []))
        if (here, link) == (page, st.query_params.to_dict()):
            for sentence in wrong[:MOST]:
                place.warning(sentence, icon=":material/link_off:")


def refused(label: str, name: str, asked: str, now: str) -> None:
    """Say in place that `?name=` can't have what the link asks for; `now` is what took its place."""
    told(name)
    st.warning(f"{label} in the link: {short(asked)} can't be chosen here. It is {plain(now)} now.",
               icon=":material/link_off:")  # fmt: skip


def told(name: str) -> None:
    """The control `?name=` has itself told what is wrong with its value."""
    st.session_state.setdefault(TOLD, set()).add(name)


def short(text: str) -> str:
    """What a link says, as Markdown, its beginning where it is long."""
    return plain(repr(text if len(text) <= LETTERS else f"{text[:LETTERS]}…"))


def _wrong(name: str, asked: Sequence[str]) -> str:
    """What is wrong with what the link said of a control that was drawn; "" where it has it, or where there is none."""
    if name.startswith("$$") or name not in st.session_state or st.query_params.get_all(name) == list(asked):
        return ""
    value = st.session_state[name]
    if _reads(asked, value):
        return ""
    said = short(asked[0]) if len(asked) == 1 else f"{len(asked)} values"
    now = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"`{name}` in the link: {said} can't be had here. It is {plain(now[:LETTERS]) or 'empty'} now."


def _reads(asked: Sequence[str], value: Any) -> bool:
    """Whether texts of a link mean this value; what is as usual leaves the link."""
    if isinstance(value, list):
        return list(asked) == list(map(str, value))
    if isinstance(value, bool):
        return [text.lower() for text in asked] == [str(value).lower()]
    if isinstance(value, int | float):
        try:
            return len(asked) == 1 and float(asked[0]) == value
        except ValueError:
            return False
    return list(asked) == [str(value or "")]
