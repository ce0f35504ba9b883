"""What A is: another network, another checkpoint or another input, beside what is chosen on the left."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from explorer import runs, zoo
from explorer.activations import feed
from explorer.activations.feed import TIME, dataset, kind_of
from explorer.activations.shared import same_kind
from explorer.data.text import PAD
from explorer.errors import ExplorerError
from explorer.ui import pins
from explorer.ui.activations.question import Asked, example_of
from explorer.ui.attribution.question import of_test
from explorer.ui.page import plain
from explorer.ui.pickers import agreed, choose, linked, model_picker, to_link
from explorer.ui.pins import Pin, of_picture
from explorer.zoo.card import GENERATION_TASKS, TEXT_TASKS, Card
from explorer.zoo.model import Model

MODEL, AT, INPUT, EXAMPLE, TEXT = "a-model", "a-at", "a-input", "a-example", "a-text"
HELD = "a-held"  # in the session: what was pinned and is in no link, a picture that was brought
CONTROLS = (MODEL, AT, INPUT, EXAMPLE, TEXT)
ADOPTED, WHOLE = "a-adopted", "a-whole"  # in the session: the pin that A is here, and whether all of it fits
INPUTS = {"same": "the same as B", "other": "another one", "held": "the pinned one"}


@dataclass(frozen=True, eq=False)
class Beside:
    """A, as B is given to a view."""

    model: Model
    asked: Asked
    same_input: bool


def beside(model: Model, asked: Asked) -> Beside:
    """The controls of A, bound to the URL, and the button that makes A what is chosen now."""
    pin = pins.pinned()
    _adopt(pin, model)
    with st.container(border=True):
        first, second, third = st.columns([3, 4, 4], vertical_alignment="top")
        with first:
            st.markdown("**A** · B is what is chosen on the left")
            with st.container(horizontal=True, vertical_alignment="bottom"):
                if any(st.session_state.get(f"{key}-mine") for key in (MODEL, INPUT)) or HELD in st.session_state:
                    st.button("A as usual", icon=":material/restart_alt:", key="a-usual", on_click=_unpin)
        with second:
            ref = _checkpoint(_network(model), model.card.ref)
            agreed(ref)
            with st.spinner(f"Opening {plain(ref)}", show_time=True):
                other = zoo.load(ref)
            same_kind(other, model)
        with third:
            given = _input(other, model, asked)
    if pin and st.session_state[WHOLE]:  # what A is here, it is on other pages
        now = pin_of(given) if st.session_state[INPUT] != "same" else Pin(given.ref)
        if replace(pin, more=()) != now:
            pins.put(now)
            st.session_state[ADOPTED] = (kind_of(model), str(pins.pinned()))
    return Beside(other, given, given.key == asked.key)


def pin_of(asked: Asked) -> Pin:
    """What is looked at, as a pin."""
    if kind_of(asked.given.model) == "text":
        return pins.of_text(asked.ref, text_of(asked))
    return of_picture(asked.ref, asked.key) if _index(asked) is None else Pin(asked.ref, _index(asked))


def brought(asked: Asked) -> Any:
    """The picture that was brought, behind a pin that no link carries."""
    return asked.given.pixels if pin_of(asked).brought else None


def _adopt(pin: Pin | None, model: Model) -> None:
    """A newly pinned A, of whichever page, becomes A here, as far as it fits; the link's own words go before it."""
    state = st.session_state
    if pin is None and state.get(ADOPTED):
        _forget()
    kind = kind_of(model)
    if pin is None or (kind, str(pin)) == state.get(ADOPTED):
        return
    agreed(pin.ref)
    loaded, parsed = zoo.load(pin.ref), zoo.parse(pin.ref)
    known = [name for name in CONTROLS if name in st.query_params]
    if state.get(ADOPTED):
        _forget()
        known = []
    wanted: dict[str, Any] = {}
    if _kind(loaded.card) == _kind(model.card):
        wanted |= {MODEL: f"run:{parsed.name}", AT: parsed.step} if parsed.source == "run" else {MODEL: pin.ref}
    if kind == "text" and pin.text is not None:
        wanted |= {INPUT: "other", TEXT: pin.text}
    elif kind == kind_of(loaded) != "text" and pin.index is not None:
        wanted |= {INPUT: "other", EXAMPLE: pin.index}
    elif kind == "image" and (picture := pins.held(pin)) is not None:
        wanted |= {INPUT: "held", HELD: Asked(pin.ref, pin.brought, feed(model, picture))}
    state.update({name: value for name, value in wanted.items() if name not in known and value is not None})
    state.update({f"{name}-mine": True for name in wanted if name in (MODEL, INPUT, TEXT)})
    state[ADOPTED] = (kind, str(pin))
    state[WHOLE] = MODEL in wanted and (INPUT in wanted or (pin.text, pin.index, pin.brought) == (None, None, ""))


def _network(model: Model) -> str:
    kind = _kind(model.card)
    usual = _usual(model)
    _follow(MODEL, usual)
    return model_picker(lambda card: _kind(card) == kind, usual, MODEL)


def _kind(card: Card) -> str:
    for name, tasks in (("text", TEXT_TASKS), ("noise", GENERATION_TASKS)):
        if card.task in tasks:
            return name
    return card.task


def _usual(model: Model) -> str:
    """The network that tells most beside this one: of a run itself, else a shipped one that answers the same."""
    parsed = zoo.parse(model.card.ref)
    if parsed.source == "run":
        return f"run:{parsed.name}"
    card = model.card
    others = [
        other for other in zoo.cards(card.task)
        if other.ref != card.ref and other.labels == card.labels and other.shape == card.shape
    ]  # fmt: skip
    alike = [other for other in others if other.architecture == card.architecture]
    return (alike or others or [card])[0].ref


def _follow(key: str, usual: str) -> None:
    """A control that nobody has touched stays at what is usual, which changes with B; one that was touched stays."""
    state, before, mine = st.session_state, f"{key}-usual", f"{key}-mine"
    changed = key in state and before in state and state[key] not in (None, state[before])
    state[mine] = bool(state.get(mine) or key in st.query_params or changed)
    if not state[mine] or (state.get(key) is None and key not in st.query_params):
        state[key] = usual
    state[before] = usual


def _number(key: str, usual: int, allowed: Sequence[int]) -> None:
    """A number that more than its slider sets: what the URL newly says, else what it was, else the usual one."""
    state, asked = st.session_state, st.query_params.get(key)
    if asked is not None and asked != state.get(f"{key}-seen") and asked.isdecimal() and len(asked) < 10:
        state[key] = int(asked)
    if state.get(key) not in allowed:
        state[key] = usual


def _checkpoint(ref: str, beside: str) -> str:
    """The ref of a run at one of its checkpoints: beside the same run its first one, else its best."""
    parsed = zoo.parse(ref)
    if parsed.source != "run":
        return ref
    folder = runs.folder(parsed.name)
    kept = runs.checkpoints(folder)
    if len(kept) < 2:
        return ref
    usual = kept[0] if zoo.parse(beside).name == parsed.name else runs.best(folder)
    usual = parsed.step if parsed.step in kept else usual
    _number(AT, usual, kept)
    step = st.select_slider("Its checkpoint", kept, key=AT, persist_state="session")
    to_link(AT, str(step), str(usual))
    return f"run:{parsed.name}@{step}"


def _input(other: Model, model: Model, asked: Asked) -> Asked:
    """What A is given."""
    test = dataset(other)
    names = ["same"]
    if test is not None or kind_of(other) == "text":
        names.append("other")
    if HELD in st.session_state and kind_of(st.session_state[HELD].given.model) == kind_of(other):
        names.append("held")
    usual = "other" if other.card.ref == model.card.ref and "other" in names else "same"
    _follow(INPUT, usual)
    chosen = choose("A's input", names, usual, INPUT, INPUTS.__getitem__)
    if chosen == "held":
        held = st.session_state[HELD]
        return Asked(other.card.ref, held.key, feed(other, held.given.pixels))
    if chosen == "same":
        return _same(other, model, asked)
    if kind_of(other) == "text":
        return _text(other, asked)
    _number(EXAMPLE, 1, range(len(test)))
    index = st.slider("A's test example", 0, len(test) - 1, key=EXAMPLE, persist_state="session")
    to_link(EXAMPLE, str(index), "1")
    if test.labels and test.y.ndim == 1:
        st.caption(f"Of {plain(test.name)}: truly {plain(test.labels[test.y[index]])}.")
    return example(other, index, _time(asked))


def example(model: Model, index: int, time: float = TIME) -> Asked:
    """One test example of a network's own data; of a denoiser noised up to `time`."""
    if kind_of(model) == "image":
        picture = of_test(model, dataset(model), index)
        return Asked(model.card.ref, picture.key, feed(model, picture.pixels))
    return Asked(model.card.ref, f"{index}/{time}", example_of(model, index, time))


def _same(other: Model, model: Model, asked: Asked) -> Asked:
    """B's input, as A takes it."""
    kind = kind_of(model)
    if other.card.ref == model.card.ref:
        return asked
    if kind == "text":
        text, second = ast.literal_eval(asked.key)
        return Asked(other.card.ref, asked.key, feed(other, text, text_b=second))
    if kind == "noise":
        if (other.card.dataset, other.card.shape) != (model.card.dataset, model.card.shape):
            raise ExplorerError(
                "B's input through A", "the two denoisers draw different things", "Choose a denoiser of the same data"
            )
        return Asked(other.card.ref, asked.key, example_of(other, _index(asked) or 0, _time(asked)))
    if asked.given.pixels is None:
        raise ExplorerError("B's input through A", "its pixels are not at hand", "Choose a test example")
    return Asked(other.card.ref, asked.key, feed(other, asked.given.pixels))


def _text(other: Model, asked: Asked) -> Asked:
    """Another text, which nobody has written yet: the first test text with as many tokens as B's."""
    usual = _as_long(other, asked)
    _follow(TEXT, usual)
    linked(TEXT, usual)
    text = st.text_area("A's text", key=TEXT, height=68, max_chars=2000, persist_state="session")
    to_link(TEXT, text, usual)
    return Asked(other.card.ref, repr((text, None)), feed(other, text))


def _as_long(model: Model, asked: Asked) -> str:
    """Texts can be compared layer by layer only where they have as many tokens."""
    test, now = dataset(model), text_of(asked)
    if test is None or test.texts is None:
        return now
    counts = (test.x != PAD).sum(1)
    mine = counts[test.texts.index(now)] if now in test.texts else len(asked.given.tokens)
    fitting = [at for at in np.flatnonzero(counts == mine)[:50] if test.texts[at] != now]
    return test.texts[fitting[0]] if fitting else test.texts[0]


def text_of(asked: Asked) -> str:
    """The text behind an input."""
    return ast.literal_eval(asked.key)[0]


def _index(asked: Asked) -> int | None:
    """The number of a test example; None of anything else."""
    head, _, tail = asked.key.rpartition("/")
    if head.endswith("/test"):
        return int(tail)
    return int(head) if head.isdigit() else None


def _time(asked: Asked) -> float:
    """How far B's example is noised."""
    head, _, tail = asked.key.rpartition("/")
    return float(tail) if head.isdigit() else TIME


def _unpin() -> None:
    """A as it was at first; nothing is pinned any more."""
    pins.let_go()
    _forget()


def _forget() -> None:
    """The controls of A as they were at first."""
    st.session_state.pop(ADOPTED, None)
    for key in (*CONTROLS, HELD):
        for name in (key, f"{key}-mine", f"{key}-usual", f"{key}-seen"):
            st.session_state.pop(name, None)
        st.query_params.pop(key, None)
