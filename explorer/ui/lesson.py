"""A lesson made of a link: `?hide=` takes chosen controls away. Their values stay what the link makes them."""

import re
from collections.abc import Iterable, Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from explorer.ui.give import address
from explorer.ui.links import short
from explorer.ui.page import guard
from explorer.ui.pickers import linked, to_link
from explorer.ui.tour import class_of

KEY, MOST = "hide", 60  # in the link; names that it may have
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
OURS = ("lesson", "tour", "give")  # what the keys begin with that no lesson is about, or that are no controls of a page
BUTTONS = ("bar", "first", "back", "play", "forward", "last", "clock")  # of a transport bar: they go with it


def hide() -> None:
    """Take away what the link names; it stays so on other pages too."""
    text = linked(KEY, "")
    to_link(KEY, text, "")
    if names := _names(text):
        st.html(f"<style>{_style(names)}</style>")


def lesson() -> None:
    """The menu that makes a lesson of the page as it is now; it stands below the page, which says what there is."""
    offered = _drawn()
    if st.session_state.get("lesson-of") != st.session_state[KEY]:  # once: another page has other controls
        st.session_state["lesson-of"] = st.session_state[KEY]
        pieces = [piece for piece in st.session_state[KEY].split(",") if piece]
        if wrong := [piece for piece in pieces[:MOST] if piece not in offered]:
            told = ", ".join(short(piece) for piece in wrong[:6])
            st.warning(f"Hide in the link: there is no control here called {told}.", icon=":material/link_off:")
        if len(pieces) > MOST:
            st.warning(f"Hide in the link: the first {MOST} of {len(pieces)} names count.", icon=":material/link_off:")
    _menu(offered)


@st.fragment
@guard()
def _menu(offered: Sequence[str]) -> None:
    now = _names(st.session_state[KEY])
    with st.popover("Make a lesson of this page", icon=":material/school:", type="tertiary", key="lesson"):
        st.caption(
            "Set the page up as it should begin, choose the controls that nobody needs, and give the link away. Names "
            "are those of the address; hide `lesson` too, and this menu is gone."
        )
        chosen = st.multiselect("Hide", list(dict.fromkeys([*offered, "lesson", *now])), now, key="lesson-hide",
                                max_selections=MOST, placeholder="Choose controls")  # fmt: skip
        st.code(address(hide=",".join(chosen) or None), language=None, wrap_lines=True)
        if st.button("Hide them here", icon=":material/visibility_off:", key="lesson-try", disabled=chosen == now):
            st.session_state[KEY] = st.session_state["lesson-of"] = ",".join(chosen)
            st.rerun(scope="app")


def _drawn() -> list[str]:
    """The controls that the page has drawn, by name, as CSS knows them."""
    drawn = get_script_run_ctx().shared.widget_user_keys_this_run.snapshot()
    keys = {class_of(key).removeprefix("st-key-") for key in drawn}
    parts = {f"{key}-{button}" for key in keys for button in BUTTONS}
    return sorted(key for key in keys - parts if not key.startswith(OURS) and NAME.fullmatch(key))


def _names(text: str) -> list[str]:
    """The names in the link that can be names."""
    return [name for name in dict.fromkeys(text.split(",")[:MOST]) if NAME.fullmatch(name)]


def _style(names: Iterable[str]) -> str:
    """Gone for everybody: for the eye, the keyboard and the screen reader; and an expander with nothing else in it."""
    gone = ", ".join(f".st-key-{name}, .st-key-{name}-bar" for name in names)
    empty = f'[data-testid="stExpander"]:has({gone}):not(:has([class*="st-key-"]:not({gone})))'
    return f"{gone}, {empty} {{ display: none !important; }}"
