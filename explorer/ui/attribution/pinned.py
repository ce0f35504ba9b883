"""A and B: pin what is asked now, change anything, and compare on one scale."""

import numpy as np
import streamlit as st

from explorer import zoo
from explorer.attribution import METHODS
from explorer.attribution.agreement import correlation, ranks
from explorer.attribution.arena import Question, Settings, ask
from explorer.attribution.base import Attribution
from explorer.ui.attribution.maps import show, tile
from explorer.ui.attribution.question import dataset, of_test
from explorer.ui.heatmaps import Tile
from explorer.ui.page import plain
from explorer.zoo.model import Model

PIN = "pinned"  # in the session: what is A
FIELDS = ("model", "example", "target", "versus", "layer", "method")  # of a pin, as they stand in the URL


def pinned(model: Model, question: Question, methods: dict[str, Settings]) -> None:
    """What was pinned beside what is chosen now, and their difference."""
    names = list(methods)
    if not names:
        st.info("Choose at least one method on the left.", icon=":material/arrow_back:")
        return
    usual = names[0]
    if st.session_state.get("pin-method") not in names:
        st.session_state["pin-method"] = usual
    method = st.selectbox("Method", names, key="pin-method", format_func=lambda name: METHODS[name].facts["title"])
    with st.container(horizontal=True):
        st.button("Pin this as A", icon=":material/keep:", on_click=_pin, args=(question, method, methods[method]))
        if PIN in st.session_state:
            st.button("Let go of A", icon=":material/keep_off:", on_click=_unpin)
    a = st.session_state.get(PIN) or _linked()
    if a is None:
        st.info("Pin what you see now. Then change the picture, the network, the class, the layer or the method.")
        b = _answer(question, method, methods[method])
        show([tile(b, question.example.mask)], "pinned", 300)
        return
    first, values = _answer(*a), a[0]
    second = _answer(question, method, methods[method])
    drawn = [
        tile(first, values.example.mask, f"A · {_name(first)}", _said(first)),
        tile(second, question.example.mask, f"B · {_name(second)}", _said(second)),
    ]
    if first.scores.shape == second.scores.shape:
        scaled = [found.scores / (np.abs(found.scores).max() or 1) for found in (first, second)]
        drawn.append(Tile("B − A", "each first divided by its largest value", scaled[1] - scaled[0], second.picture))
        same = correlation([ranks(first.scores).ravel(), ranks(second.scores).ravel()])[0, 1]
        told = f"Rank correlation of the two maps: **{same:.3f}**."
    else:
        told = "The two pictures differ in size: there is no difference map."
    show(drawn, "pinned", 300)
    st.caption(f"{told} **One scale for all** above the maps puts A and B on the same scale.")


def _answer(question: Question, method: str, values: Settings) -> Attribution:
    (answer,) = ask(question, {method: values})
    if answer.found is None:
        raise answer.refusal
    return answer.found


def _pin(question: Question, method: str, values: Settings) -> None:
    st.session_state[PIN] = (question, method, values)
    parts = (question.ref, _place(question), question.target, question.versus, question.layer, method)
    st.query_params["a"] = "|".join("" if part is None else str(part) for part in parts)


def _unpin() -> None:
    st.session_state.pop(PIN, None)
    st.query_params.pop("a", None)


def _place(question: Question) -> str:
    """The number of a test picture; what was uploaded can't be in a link."""
    return question.example.key.rpartition("/")[2] if "/test/" in question.example.key else ""


def _linked() -> tuple[Question, str, Settings] | None:
    """The pin that the URL names, of a test picture; None where it names none that can be made again."""
    parts = st.query_params.get("a", "").split("|")
    if len(parts) != len(FIELDS) or not parts[1].isdigit() or parts[5] not in METHODS:
        return None
    ref, index, target, versus, layer, method = parts
    model = zoo.load(ref)
    test = dataset(model)
    if test is None or int(index) >= len(test):
        return None
    question = Question(
        ref,
        of_test(model, test, int(index)),
        int(target) if target.isdigit() else None,
        int(versus) if versus.isdigit() else None,
        layer,
    )
    return question, method, ()


def _name(found: Attribution) -> str:
    return METHODS[found.method].facts["title"]


def _said(found: Attribution) -> str:
    labels = zoo.load(found.ref).labels
    against = f" rather than {labels[found.versus]}" if found.versus is not None else ""
    where = f" · {found.layer}" if found.layer else ""
    return plain(f"{found.ref} · {labels[found.target]}{against}{where}").replace("\\", "")
