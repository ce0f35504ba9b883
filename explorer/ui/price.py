"""What takes long is asked first, where that is known before it begins; a button then begins it."""

import math
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import streamlit as st

from explorer.settings import settings
from explorer.store import ANSWERS
from explorer.turns import TURNS

AGREED = "asked-and-agreed"  # in the session: what may be done, however long it takes
LEAST = 0.25  # seconds of work that are done unasked however many others compute
ASKS = "agree-"  # how the keys of the buttons begin
KINDS = 1000  # of work, whose pace is remembered: each network that is opened has some

_paces: OrderedDict[Hashable, float] = OrderedDict()  # kind of work → the fewest seconds that a unit of it has taken


@dataclass(frozen=True)
class Price:
    """What a piece of work costs: a kind of which all units take alike, and how many of them it has."""

    kind: Hashable
    units: float
    usual: float = 0.0  # seconds of a unit, as far as that can be told before the first of the kind was done

    @property
    def seconds(self) -> float:
        """About as long as it takes: as it took before, else the usual."""
        return _paces.get(self.kind, self.usual) * self.units

    def took(self, seconds: float) -> None:
        """Remember how long it took just now."""
        if self.units:
            _paces[self.kind] = min(seconds / self.units, _paces.pop(self.kind, math.inf))
            while len(_paces) > KINDS:
                _paces.popitem(last=False)


class AskFirst(Exception):
    """Work that takes long, and that nobody has agreed to: its button is drawn where it would have been shown."""

    def __init__(self, keys: frozenset[Hashable], seconds: float) -> None:
        super().__init__(f"about {lasting(seconds)}")
        self.keys, self.seconds = keys, seconds

    def show(self) -> None:
        """The price, and the button that agrees to it."""
        name = blake2b(repr(sorted(map(repr, self.keys))).encode(), digest_size=8).hexdigest()
        why = "Others compute on this server too" if settings().shared else "That is long to wait for"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                f"Work it out: about {lasting(self.seconds)}",
                key=ASKS + name,
                icon=":material/play_arrow:",
                on_click=_agree,
                args=(self.keys,),
            )
            st.caption(f"{why}, so it is not begun unasked.", width="content")


def ask_first(works: Mapping[Hashable, float]) -> None:
    """Draw a button here and raise AskFirst where works take longer than a page does unasked.

    works: keys under which something is kept, with the seconds that it takes; `guard` leaves out what would follow.
    What is kept already, or was agreed to in this session, costs nothing.
    """
    due = frozenset(key for key in works if not ANSWERS.holds(key))
    seconds = sum(works[key] for key in due)
    if seconds > _unasked() and not due <= st.session_state.get(AGREED, set()):
        asked = AskFirst(due, seconds)
        asked.show()
        raise asked


def _unasked() -> float:
    """Seconds of work that are done unasked: on a shared server the fewer, the more people compute on it just now."""
    most = settings().limits.unasked
    turns = settings().limits.turns
    return max(LEAST, most * min(1.0, turns / max(TURNS.load, 1e-6))) if settings().shared and most else most


def _agree(keys: frozenset[Hashable]) -> None:
    st.session_state.setdefault(AGREED, set()).update(keys)


def agree(key: Hashable) -> None:
    """Note that the person has asked for it in another way."""
    _agree(frozenset([key]))


def lasting(seconds: float) -> str:
    """A duration as a person says it."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
