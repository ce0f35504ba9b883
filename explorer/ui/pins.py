"""What is pinned as A: a network and what it was given, `?a=` in the link, on every page that compares two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from explorer import zoo
from explorer.errors import ExplorerError
from explorer.ui.links import LETTERS, refused
from explorer.ui.page import plain
from explorer.ui.pickers import linked, new_link, to_link

KEY, TEXT, BROUGHT = "a", "text:", "brought:"
GIVEN = "a-given"  # in the session: the pin of what was brought, and the picture itself
LONGEST = 2000  # letters of a text that stands in the link


@dataclass(frozen=True)
class Pin:
    """A network and one input: a test example's number, a text, or the mark of a picture that no link can carry."""

    ref: str
    index: int | None = None
    text: str | None = None
    brought: str = ""
    more: tuple[str, ...] = ()  # what one page alone adds to a picture, such as the class that is explained

    def __str__(self) -> str:
        """As it stands in the link: ref|index|more…, ref|brought:mark|more… or ref|text:…"""
        if self.text is not None:
            return f"{self.ref}|{TEXT}{self.text}"
        given = f"{BROUGHT}{self.brought}" if self.brought else "" if self.index is None else str(self.index)
        return "|".join((self.ref, given, *self.more)).rstrip("|")

    @property
    def told(self) -> str:
        """In a few words, as Markdown."""
        if self.text is not None:
            shown = self.text if len(self.text) <= LETTERS else f"{self.text[:LETTERS]}…"
            return f"{plain(self.ref)} · “{plain(shown)}”"
        given = f" · test example {self.index}" if self.index is not None else ""
        return plain(self.ref) + (f" · a picture that was brought{_gone(self)}" if self.brought else given)


def _gone(pin: Pin) -> str:
    return "" if held(pin) is not None else ", which no link carries"


def of_text(ref: str, text: str) -> Pin:
    """The pin of a text; of one that is too long for a link the network alone."""
    return Pin(ref, text=text if len(text) <= LONGEST else None)


def of_picture(ref: str, key: str, more: Sequence[object] = ()) -> Pin:
    """The pin of a picture by the key that tells it from any other: that of a test picture ends in its number."""
    told = tuple("" if one is None else str(one) for one in more)
    head, _, number = key.rpartition("/")
    if head.endswith("/test") and number.isdecimal():
        return Pin(ref, int(number), more=told)
    return Pin(ref, brought=key[:12], more=told)


def read(text: str) -> Pin:
    """The pin of a link. Raises ExplorerError where it names no network that can be."""
    ref, _, rest = text.partition("|")
    ref = str(zoo.parse(ref))
    if rest.startswith(TEXT):
        return Pin(ref, text=rest.removeprefix(TEXT)[:LONGEST])
    given, *more = rest.split("|")
    index = int(given) if given.isdecimal() and len(given) < 10 else None
    brought = given.removeprefix(BROUGHT)[:12] if given.startswith(BROUGHT) else ""
    return Pin(ref, index, brought=brought, more=tuple(more[:12]))


def pinned() -> Pin | None:
    """What is pinned, on whichever page that was."""
    text = linked(KEY, "")
    try:
        found = read(text) if text else None
    except ExplorerError:
        if new_link(KEY):
            refused("A", KEY, text, "nothing")
        found = None
    st.session_state[KEY] = str(found) if found else ""
    to_link(KEY, st.session_state[KEY], "")
    return found


def held(pin: Pin) -> Any:
    """The picture behind a pin, where it was brought in this session; None of any other."""
    mark, given = st.session_state.get(GIVEN, ("", None))
    return given if pin.brought and mark == pin.brought else None


def put(pin: Pin, given: Any = None) -> None:
    """Make this A; given: a picture that was brought, for as long as the session lasts."""
    st.session_state[KEY] = str(pin)
    if pin.brought:
        st.session_state[GIVEN] = (pin.brought, given)


def let_go() -> None:
    """There is no A any more."""
    st.session_state[KEY] = ""


def chip(now: Pin, given: Any = None) -> Pin | None:
    """A button that pins what is chosen now, and beside it what is pinned, which it gives; given: as in `put`."""
    pin = pinned()
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="pins"):
        st.button(
            "Pin as A", icon=":material/keep:", key="a-pin", on_click=put, args=(now, given), disabled=now == pin,
            help="A stays as it is now, on other pages too; then change anything and compare.",
        )  # fmt: skip
        if pin:
            st.caption(f"**A:** {pin.told}", width="content")
            st.button(":material/close:", key="a-unpin", help="Let go of A", type="tertiary", on_click=let_go)
    return pin
