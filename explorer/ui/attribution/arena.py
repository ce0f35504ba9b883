"""The arena: one picture, any number of methods, each with the measure of its trust."""

import time

import numpy as np
import pandas as pd
import streamlit as st

from explorer.attribution import METHODS
from explorer.attribution.agreement import agreement, disagreement
from explorer.attribution.arena import Answer, Question, Settings, ask, estimate, marks, pace, unmarked
from explorer.attribution.measures import KNOWN_TRUTH, MEASURES, Measured
from explorer.charts import attribution as charts
from explorer.ui.attribution.maps import show, tiles
from explorer.ui.attribution.methods import afford
from explorer.ui.attribution.takeaway import takeaway
from explorer.ui.draw import draw
from explorer.ui.heatmaps import Tile
from explorer.ui.page import guard, plain
from explorer.ui.price import Price, ask_first
from explorer.zoo.model import Model

BLIND = "no network at all"  # the family of the baselines
BEST = "font-weight: 700; color: #0a9d6f"
PASSES = 30  # there and back, that the measures of a map take as long as, as measured
REPEATS = 4  # nearby pictures for the sensitivity


def arena(model: Model, question: Question, methods: dict[str, Settings]) -> None:
    """Every map, then every measure."""
    if not methods:
        st.info("Choose at least one method above.", icon=":material/arrow_upward:")
        return
    afford(model, methods, question)
    with st.spinner("Asking …", show_time=True):
        answers = ask(question, methods)
    found = [answer for answer in answers if answer.found]
    drawn = tiles(answers, question.example.mask)
    if found:
        first = found[0].found
        told = model.labels[first.target] if first.versus is None else (
            f"{model.labels[first.target]} rather than {model.labels[first.versus]}"
        )  # fmt: skip
        drawn.insert(0, Tile("The picture", f"explained: {told}", None, first.picture, question.example.mask))
        judges = [answer for answer in found if METHODS[answer.method].facts["family"] != BLIND]
        if len(judges) > 1:
            drawn.append(_disagreement(judges))
    view = show(drawn, "arena")
    if found:
        _measures(model, question, methods, found, view)


def _disagreement(found: list[Answer]) -> Tile:
    apart = disagreement([answer.found for answer in found]).astype(np.float32)
    return Tile("Disagreement", "how far the methods' ranks lie apart", apart, found[0].found.picture)


@st.fragment
@guard()
def _measures(model: Model, question: Question, methods: dict[str, Settings], found: list[Answer], view) -> None:
    st.subheader("Can they be believed?", anchor=False)
    often = st.toggle(
        "Sensitivity too",
        key="sensitivity",
        bind="query-params",
        help=f"Explains {REPEATS} nearby pictures as well: that much more work.",
    )
    measured = _measured(model, question, {a.method: methods[a.method] for a in found}, REPEATS if often else 0)
    titles = [answer.title for answer in found]
    table(measured, titles)
    if question.example.mask is None:
        st.caption("Where the object really is, is not known for this picture: nothing is scored against it.")
    left, right = st.columns(2, gap="large")
    with left:
        draw(
            charts.curves,
            measured,
            titles,
            "deletion",
            key="deletion",
            says="Probability as important pixels are taken out",
        )
    with right:
        draw(
            charts.curves,
            measured,
            titles,
            "insertion",
            key="insertion",
            says="Probability as important pixels are shown",
        )
    if len(found) > 1:
        with st.expander("Do they agree?", icon=":material/handshake:"):
            st.caption("Spearman's rank correlation of the sizes of every two maps; 0 is what chance gives.")
            matrix = agreement([answer.found for answer in found])
            draw(charts.agreement, matrix, titles, key="agreement", says="Rank correlation of every two maps")
    takeaway(model, question, [answer.found for answer in found], measured, titles, view)


def _measured(model: Model, question: Question, methods: dict[str, Settings], repeats: int) -> list[Measured]:
    """The measures of every method's map; those that take long are asked for first."""
    missing = unmarked(question, methods, repeats)
    price = Price(("marks", question.ref), len(missing), PASSES * pace(model))
    again = estimate(model, missing)[1] * repeats
    ask_first({("marks", question.key, tuple(missing.items()), repeats): price.seconds + again} if missing else {})
    began = time.thread_time()
    with st.spinner("Measuring …", show_time=True):
        measured = marks(question, methods, repeats)
    if missing and not repeats:
        price.took(time.thread_time() - began)
    return measured


def rows(measured: list[Measured], titles: list[str]) -> pd.DataFrame:
    """One row a method, one column a measure that was taken for any."""
    names = [m.name for m in MEASURES if any(np.isfinite(one.values.get(m.name, np.nan)) for one in measured)]
    table = {name: [one.values.get(name, np.nan) for one in measured] for name in names}
    return pd.DataFrame({"method": titles, **table})


def table(measured: list[Measured], titles: list[str]) -> None:
    """The measures, sortable, the best of each column marked."""
    frame = rows(measured, titles)
    judged = frame[[METHODS[one.method].facts["family"] != BLIND for one in measured]]  # the baselines win nothing
    styled = frame.style.apply(lambda row: ["" if row.name in judged.index else "color: #8a94a3"] * len(row), axis=1)
    columns = {"method": st.column_config.TextColumn("Method", pinned=True)}
    for kind in MEASURES:
        if kind.name not in frame:
            continue
        arrow = "↓" if kind.better == "lower" else "↑"
        columns[kind.name] = st.column_config.Column(f"{kind.name} {arrow}", help=plain(kind.about))
        best = judged[kind.name].min() if kind.better == "lower" else judged[kind.name].max()
        styled = styled.format(kind.unit.format, subset=[kind.name], na_rep="–").apply(
            lambda values, best=best: [BEST if i in judged.index and v == best else "" for i, v in values.items()],
            subset=[kind.name],
        )
    st.dataframe(styled, hide_index=True, width="stretch", height="content", column_config=columns)
    known = ", ".join(KNOWN_TRUTH) if set(KNOWN_TRUTH) & set(frame) else ""
    about = f" {known.capitalize()} compare with the object's true pixels." if known else ""
    st.caption(f"↓ lower is better, ↑ higher is better; the best of each is green. Hover a heading to read it.{about}")
