"""A guided tour of a page: a slim bar that says what to do, notices when it is done, and goes on.

The steps are in `tours/<topic>.py`, one file a page. The step is `?tour=` in the link.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import streamlit as st

from explorer.ui.component import component
from explorer.ui.page import PAGES, Page, guard, plain

KEY = "tours"  # in the session: topic → where its tour stands
HERE = "tour-topic"  # in the session: the topic of the page before
LINK, ENDED = "tour", "end"  # of the link
BESIDE = {LINK, "hide"}  # of the link, and no state of the page
EVERY = 1.0  # seconds between two looks at what was done, also in fragments, whose reruns nobody else hears of
LINE = {"light": "#7C3AED", "dark": "#A78BFA"}  # around the control, at least 5 : 1 on the page; no figure has it
LOOK = """
[data-testid="stElementContainer"]:has(.tour-style) { display: none }
.st-key-tour {
    display: grid;
    grid-template-columns: 7rem minmax(0, 1fr) auto;
    align-items: center;
    gap: 0.25rem 1.5rem;
    min-height: 7.25rem;
    padding: 0.5rem 1rem;
    background: GROUND;
    border-left: 4px solid LINE;
    border-radius: 0.4rem;
}
.st-key-tour > * { width: auto !important; min-width: 0 }
.st-key-tour [data-stale] { opacity: 1 !important }
@media (min-width: 640px) {
    :has(> .st-key-tour) { position: sticky; top: 3.75rem; z-index: 90 }
    .st-key-tour-start { margin-top: -3.1rem; margin-bottom: -0.5rem }
}
@media (max-width: 639px) {
    .st-key-tour { grid-template-columns: minmax(0, 1fr); align-content: space-between; min-height: 20rem }
}
"""

Now = Callable[[str], Any]  # a key → its value in the session, or else in the link


@dataclass(frozen=True)
class Step:
    """Something to do on the page, and what is to be seen then."""

    do: str  # one or two sentences
    look: str  # told once it is done
    key: str  # of the control that it speaks of
    sets: Mapping[str, Any] = field(default_factory=dict)  # key → what is in the session after it; "?key": in the link
    done: Callable[[Now], bool] | None = None  # whether it was done; None: all that it sets is so

    def holds(self) -> bool:
        """Whether what it asks for is so now."""
        if self.done:
            return bool(self.done(now))
        return all(str(now(key)) == str(value) for key, value in self.sets.items())


@dataclass(frozen=True)
class Tour:
    """The steps of one page, and the state that they begin from."""

    about: str  # a sentence, before the first step
    start: Mapping[str, Any]  # as `sets`, None for nothing: every key that a step sets is named here
    steps: tuple[Step, ...]


@dataclass
class _At:
    """Where a person stands in a tour."""

    step: int  # from 1; one more than there are: at the end
    bring: bool = True  # the page is to be put into the state that this step begins from
    ahead: bool = False  # what it asks for was so when it was reached: it waits for a click
    wrong: str = ""  # what the link said, if that was no step
    wrote: set[str] = field(default_factory=set)  # into the link, which may come back late


def now(key: str) -> Any:
    """What a key holds, in the session or else in the link; "?key": in the link alone."""
    if key.startswith("?"):
        return st.query_params.get(key[1:])
    return st.session_state.get(key, st.query_params.get(key))


@cache
def tour_of(topic: str) -> Tour | None:
    """The tour of a page, by the name of its file."""
    name = f"explorer.ui.tours.{topic}"
    return importlib.import_module(name).TOUR if find_spec(name) else None


def tour(page: Any) -> None:
    """The bar of the page's tour, or else a quiet button that begins it; nothing where the page has none."""
    here = next(one for one in PAGES if one.title == page.title)
    topic, state = Path(here.path).stem, st.session_state
    new, state[HERE] = state.get(HERE) != topic, topic
    if tour_of(topic) is None:
        return
    known, asked = state.setdefault(KEY, {}), st.query_params.get(LINK)
    if asked is not None and (new or topic not in known or asked not in known[topic].wrote):
        known[topic] = _linked(asked, len(tour_of(topic).steps))
    _style(_look())
    if topic not in known:
        st.button("Take the tour", icon=":material/tour:", type="tertiary", key="tour-start", on_click=_begin,
                  args=(topic,), help="About ten minutes. It begins with a shipped network.")  # fmt: skip
        return
    if known[topic].bring:
        _bring(tour_of(topic), known[topic].step)
        known[topic].bring = False
        known[topic].ahead = _holds(tour_of(topic), known[topic].step)
    st.fragment(_bar, run_every=EVERY)(here)


def _linked(asked: str, steps: int) -> _At:
    """Where the link says; a link that says nothing else of the page is brought to where that step begins."""
    alone = not set(st.query_params) - BESIDE
    if asked == ENDED:
        return _At(steps + 1, bring=False, wrote={asked})
    if asked.isdecimal() and len(asked) < 4 and 1 <= int(asked) <= steps:
        return _At(int(asked), bring=alone, wrote={asked})
    return _At(1, bring=alone, wrong=asked, wrote={asked})


def _begin(topic: str) -> None:
    """From the first step on; what the link says now is no order any more."""
    st.session_state[KEY][topic] = _At(1, wrote=set(st.query_params.get_all(LINK)))


def _end(topic: str) -> None:
    st.session_state[KEY].pop(topic, None)
    st.query_params.pop(LINK, None)


def _go(topic: str, step: int, bring: bool = True) -> None:
    """To another step; `bring`: and put the page into the state that it begins from."""
    at = st.session_state[KEY][topic]
    at.step, at.bring, at.wrong = step, bring, ""
    if not bring:
        at.ahead = _holds(tour_of(topic), step)


def _holds(found: Tour, step: int) -> bool:
    return step <= len(found.steps) and found.steps[step - 1].holds()


def _bring(found: Tour, step: int) -> None:
    """Put the page into the state that the steps before this one lead to."""
    values = dict(found.start)
    for before in found.steps[: step - 1]:
        values |= before.sets
    for key, value in values.items():
        place, name = (st.query_params, key[1:]) if key.startswith("?") else (st.session_state, key)
        if value is None:
            place.pop(name, None)
        else:
            place[name] = value


@guard()
def _bar(here: Page) -> None:
    """Tick what was done, then say what is next."""
    topic = Path(here.path).stem
    found, at = tour_of(topic), st.session_state[KEY].get(topic)
    if at is None or at.bring:  # a button in this bar was pressed, and the page has to follow
        st.rerun()
    holds = _holds(found, at.step)
    at.ahead = at.ahead and holds
    if holds and not at.ahead:
        _go(topic, at.step + 1, bring=False)
    over = at.step > len(found.steps)
    st.query_params[LINK] = ENDED if over else str(at.step)
    at.wrote.add(st.query_params[LINK])
    if not over:
        _style(_outline(found.steps[at.step - 1].key))
    with st.container(horizontal=True, key="tour"):
        if over:
            _over(here, found)
        else:
            _step(topic, found, at)


def _step(topic: str, found: Tour, at: _At) -> None:
    """One step: how far, what to see and what to do, and the ways on."""
    step, count = found.steps[at.step - 1], len(found.steps)
    with st.container(key="tour-far"):
        st.progress((at.step - 1 + at.ahead) / count, f"**Step {at.step} of {count}**")
    with st.container(key="tour-says", gap=None):
        st.caption(_seen(found, at))
        st.markdown(step.do)
    with st.container(horizontal=True, gap="xxsmall", width="content", key="tour-ways"):
        component("tour")(
            key="tour-show", data={"at": class_of(step.key), "says": f"Step {at.step} of {count}. {step.do}"}
        )
        st.button("Back", key="tour-back", type="tertiary", disabled=at.step == 1, on_click=_go,
                  args=(topic, at.step - 1))  # fmt: skip
        words, kind = ("Next", "primary") if at.ahead else ("Skip", "tertiary")
        st.button(words, key="tour-on", type=kind, on_click=_go, args=(topic, at.step + 1, not at.ahead))
        st.button("End", key="tour-end", type="tertiary", on_click=_end, args=(topic,))


def _seen(found: Tour, at: _At) -> str:
    """The line above what is to be done: what is to be seen of what was done."""
    if at.wrong:
        count = len(found.steps)
        told = f"{plain(repr(at.wrong[:20]))} is no step of this tour, which has {count}. It begins at the first now."
        return f":orange[:material/link_off:] Tour in the link: {told}"
    if at.ahead:
        return f":green[:material/check_circle:] It is so already. {found.steps[at.step - 1].look}"
    if at.step == 1:
        return f":material/tour: {found.about}"
    return f":green[:material/check_circle:] {found.steps[at.step - 2].look}"


def _over(here: Page, found: Tour) -> None:
    """The end: what was seen last, and the way to the next page's tour."""
    pages = [page for page in PAGES if tour_of(Path(page.path).stem)]
    after = pages[(pages.index(here) + 1) % len(pages)]
    topic = Path(here.path).stem
    with st.container(key="tour-far"):
        st.progress(1.0, "**Done**")
    with st.container(key="tour-says", gap=None):
        st.caption(f":green[:material/check_circle:] {found.steps[-1].look}")
        st.markdown(f"**That was the tour of {here.title}**, all {len(found.steps)} steps.")
    with st.container(horizontal=True, gap="small", width="content", vertical_alignment="center", key="tour-ways"):
        st.page_link(after.path, label=f"The tour of {after.title}", icon=after.icon, query_params={LINK: "1"})
        st.button("Again", key="tour-again", type="tertiary", on_click=_begin, args=(topic,))
        st.button("Close", key="tour-end", type="tertiary", on_click=_end, args=(topic,))


def class_of(key: str) -> str:
    """The class that Streamlit gives to what has a key."""
    return "st-key-" + re.sub(r"[^a-zA-Z0-9_-]", "-", key.strip())


def _style(rules: str) -> None:
    """Rules of style, which take no room. The mark keeps them here: alone they would go where other style is kept."""
    st.html(f'<style>{rules}</style><i class="tour-style"></i>')


def _outline(key: str) -> str:
    """Around the control of the step."""
    line = LINE[st.context.theme.type or "light"]
    return f".{class_of(key)} {{ outline: 2px solid {line}; outline-offset: 6px; border-radius: 4px; }}"


def _look() -> str:
    """How the bar lies on the page: it stays in sight, and its height does not depend on what it says."""
    kind = st.context.theme.type or "light"
    return LOOK.replace("GROUND", st.get_option(f"theme.{kind}.secondaryBackgroundColor")).replace("LINE", LINE[kind])
