"""Does it matter? A head is taken away: what changes here, and over many test texts."""

import numpy as np
import pandas as pd
import streamlit as st

from explorer.attention import Ablation, AttentionPatterns, Sweep, ablate, census, price, sweep
from explorer.attention.ablate import HOW
from explorer.attention.census import Census
from explorer.charts import attention as charts
from explorer.errors import ExplorerError
from explorer.ui.attention.chosen import FIRST, clicked, head_picker, heads_of, named, selected
from explorer.ui.attention.predicted import TOP, distinct, place_of, where
from explorer.ui.attention.question import KNOWN, Asked, patterns_of
from explorer.ui.attention_views import Selection
from explorer.ui.begun import begin
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pickers import remembered
from explorer.ui.row import one_of
from explorer.ui.watch import broke_off, job_of, watch
from explorer.zoo.model import Model

QUICK = 2000  # inputs of a sweep that run without being asked for
LARGE = 20_000_000  # parameters from which an ablation waits for a click


def worth(model: Model, asked: Asked, found: AttentionPatterns, chosen: Selection, how: str = "") -> None:
    """What is lost without the chosen heads; `how` they are taken away is asked for here unless it is given."""
    st.markdown(f"**Without {named(chosen)}**" if how else "**Does it matter?**")
    if found.parts[0].detail is None:
        st.caption("The heads of this network can be seen, but not reached, so none can be taken away.")
        return
    how = how or _how("ablate-how")
    if model.card.parameters > LARGE and not st.toggle("Take the chosen heads away", key="ablate-now",
                                                           bind="query-params"):  # fmt: skip
        return
    try:
        done = _ablated(model, asked, heads_of(chosen), how)
    except ExplorerError as error:
        st.caption(f"{plain(error.wrong).capitalize()}.")
        return
    _told(done, chosen)


def _told(done: Ablation, chosen: Selection) -> None:
    moved = np.abs(done.kept_after - done.kept_before)
    held = place_of(done.before, chosen)
    place = int(moved.argmax()) if held is None else held
    answer = done.before.top[place][0]
    if held is None and len(moved) > 1:
        st.caption("The loss is that of the whole text; the rest is shown where it matters most.")
    with st.container(horizontal=True):
        st.metric("Loss", f"{done.loss_after:.3f}", f"{done.change:+.3f} nats", delta_color="inverse")
        st.metric(
            f"Probability of “{plain(answer)}”{where(done.before, place)}", f"{done.kept_after[place]:.1%}",
            f"{100 * (done.kept_after[place] - done.kept_before[place]):+.1f} points",
        )  # fmt: skip
    words = done.before.top[place][:TOP]
    later = dict(zip(done.after.top[place], done.after.probabilities[place], strict=True))
    without = [float(later[word]) for word in words]
    draw(
        charts.likely,
        distinct(words),
        done.before.probabilities[place][:TOP],
        without,
        key="ablated",
        says=f"The likeliest answers with and without {named(chosen)}",
    )
    if done.output_before == done.output_after:
        st.caption(f"Its output stays the same: {plain(done.output_before) or 'nothing'}")
    else:
        st.markdown(f"{plain(done.output_before)} → **{plain(done.output_after)}**")


@st.fragment
@guard()
def matter(model: Model, asked: Asked) -> None:
    """All heads taken away one after the other: on this text at once, on many as a job."""
    found = patterns_of(model, asked)
    if found.parts[0].detail is None:
        st.info("The heads of this network can be seen, but not reached, so none can be taken away.")
        return
    chosen = head_picker(found, selected(found))
    how = _how("sweep-how")
    passes = price(model, asked.given, asked.second)
    st.markdown("**Each head, taken away alone**, on this input: by how much the loss rises, in nats.")
    if passes > QUICK and not st.toggle(f"Measure it: {passes:,} passes", key="sweep-now",
                                              bind="query-params"):  # fmt: skip
        return
    swept = _swept(model, asked, how)
    for part, values in swept.changes.items():
        at = (chosen.layer, chosen.heads[0]) if part == chosen.part else None
        if len(swept.changes) > 1:
            st.markdown(f"*{part}*")
        event = draw(
            charts.heads, values, "rise of the loss", chosen=at, key=f"sweep-{part}",
            says="The rise of the loss without each head", on_select="rerun", selection_mode=["head"],
        )  # fmt: skip
        clicked(event, found, chosen, part)
    st.caption(f"The intact network's loss is {swept.loss:.3f}. {passes:,} passes; click a head to choose it.")
    left, right = st.columns(2, gap="large")
    with left:
        worth(model, asked, found, chosen, how)
    with right:
        _census(model, how)


def _census(model: Model, how: str) -> None:
    """Over the network's own test split, in the background; the result is `?census=` in the URL."""
    st.markdown("**Over many test examples**")
    if not model.card.dataset:
        st.caption("Its own test data are not known here.")
        return
    count = st.slider("Test examples", 10, 300, 50, step=10, key="census-texts", bind="query-params")
    if st.button("Measure all heads", icon=":material/flag:", key="census-start"):
        begin("census", lambda: census.start(Census(model.card.ref, count, how), person()))
    id = remembered("census")
    if id:
        _progress(id, model.card.ref)


def _progress(id: str, ref: str) -> None:
    asked = census.asked(id)
    if asked.ref != ref:
        st.caption(f"The heads of {plain(asked.ref)} were measured; those of this network have not been yet.")
        return
    job = job_of(id)
    if job and not job.over:
        watch(id, "census", lambda: _standing(id, asked))
        return
    if len(census.rows(id)) < asked.texts:
        st.warning(plain(broke_off(job)))
    _standing(id, asked)


def _standing(id: str, asked: Census) -> None:
    measured = census.rows(id)
    if not measured:
        st.caption("No example is done yet.")
        return
    found = census.standing(measured)
    st.caption(
        f"{plain(asked.ref)}, {found.texts} of {asked.texts} test examples, output of the head set to {HOW[asked.how]}."
    )
    for part, (mean, _) in found.parts.items():
        if len(found.parts) > 1:
            st.markdown(f"*{part}*")
        draw(
            charts.heads,
            mean,
            "mean rise of the loss",
            key=f"census-{part}",
            says="By how much the loss rises without each head",
        )
    table = pd.DataFrame(
        {
            "part": part,
            "layer": layer + FIRST,
            "head": head + FIRST,
            "rise": mean[layer, head],
            "± 95 %": margin[layer, head],
        }
        for part, (mean, margin) in found.parts.items()
        for layer in range(mean.shape[0])
        for head in range(mean.shape[1])
    ).sort_values("rise", ascending=False)
    st.dataframe(table.style.format(precision=3, na_rep="–"), hide_index=True, width="stretch", height=220,
                 placeholder="–")  # fmt: skip
    st.download_button("As CSV", table.to_csv(index=False).encode(), f"heads-{id[:8]}.csv", icon=":material/download:")


def _how(key: str) -> str:
    return one_of("The head's output becomes", list(HOW), default="zero", key=key, format_func=HOW.__getitem__)


@kept("Taking the head away …", known=KNOWN)
def _ablated(_model: Model, asked: Asked, heads: tuple[tuple[str, int, int], ...], how: str) -> Ablation:
    return ablate(_model, asked.given, heads, how, asked.second)


@kept("Taking each head away …", known=KNOWN)
def _swept(_model: Model, asked: Asked, how: str) -> Sweep:
    return sweep(_model, asked.given, how, asked.second)
