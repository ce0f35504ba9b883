"""How good? Samples against what was asked, against each other, and against the training data."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from explorer import data
from explorer.charts import diffusion as charts
from explorer.diffusion import quality as measuring
from explorer.diffusion.judges import judge_of, judges
from explorer.diffusion.measure import COPY, Measurement, Report
from explorer.diffusion.wish import Wish
from explorer.errors import ExplorerError
from explorer.ui.begun import begin
from explorer.ui.draw import draw
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pickers import choose, remembered
from explorer.ui.pictures import gallery
from explorer.ui.runs import own_networks
from explorer.ui.watch import broke_off, job_of, watch
from explorer.zoo.denoiser import Denoiser

SHOWN = 10  # samples of a gallery
SMALL = 72  # pixels of the screen on a side of one
REAL = {"copies": "copies among real ones", "distance to real points": "distance of training points"}


def quality(model: Denoiser, wish: Wish) -> None:
    """What the card promises, and a measurement of one's own, `?measured=` in the URL."""
    _promised(model)
    if model.x_shape == (2,):
        return
    judge = _judge(model)
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    count = left.slider("Samples", 50, 1000, 200, step=50, key="measure-count", bind="query-params")
    with right, guard():
        if st.button("Measure", type="primary", icon=":material/straighten:", key="measure", width="stretch"):
            asked = Measurement(model.card.ref, count, wish.sampler, wish.steps, wish.guidance, wish.seed, judge)
            begin("measured", lambda: measuring.start(asked, person()))
    st.caption(f"With the sampler, steps and guidance on the left, {wish.guidance:g} now; in the background.")
    id = remembered("measured")
    if id:
        _measured(model, id)


def _judge(model: Denoiser) -> str:
    """The ref of a run of the person's own that reads the samples, where nothing that ships has learned the data."""
    try:
        judge_of(model)
    except ExplorerError:
        fitting = [run.ref for run, card in own_networks() if judges(card, model.card)]
        if not fitting:
            raise
        return choose("Who reads the samples", fitting, fitting[0], "judge", str)
    return ""


def _promised(model: Denoiser) -> None:
    """What was measured when the network was made, beside the same of real examples."""
    figures = {name: value for name, value in model.card.metrics.items() if not name.endswith("loss")}
    if not figures:
        st.caption("Nothing has been measured on its card.")
        return
    st.markdown("**On its card**, as measured when it was made")
    rows = {name: (value, _of_real(name, figures)) for name, value in figures.items() if name not in REAL.values()}
    table = pd.DataFrame(rows, index=["samples", "real ones"], dtype=float).T.rename_axis("measure").reset_index()
    table = table[~table["measure"].str.endswith("of real ones")]
    st.dataframe(table.style.format(precision=3, na_rep="–", subset=["samples", "real ones"]), hide_index=True,
                 width="content", height="content", placeholder="–")  # fmt: skip


def _of_real(name: str, figures: Mapping[str, float]) -> float | None:
    """The figure of real examples that stands beside one of samples."""
    return figures.get(REAL.get(name, f"{name.removesuffix(' as asked')} of real ones"))


def _measured(model: Denoiser, id: str) -> None:
    """A measurement: while it goes on, and what it found."""
    asked = measuring.asked_of(id)
    if asked.ref != model.card.ref:
        st.caption(f"{plain(asked.ref)} was measured; this network has not been yet.")
        return
    job = job_of(id)
    if job and not job.over:
        watch(id, "measure")
        return
    found = measuring.found_of(id)
    if found is None:
        st.warning(plain(broke_off(job)))
        return
    st.markdown(
        f"**{asked.count} samples**, {plain(asked.sampler)}, {asked.steps} steps, guidance {asked.guidance:g}, "
        f"seeds from {asked.seed}"
    )
    _report(model, found)


def _report(model: Denoiser, found: Report) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Is it what was asked for?** A classifier of ours reads the samples, and real ones too")
        draw(charts.asked, found, key="asked", says="The share of samples that are as asked")
        if len(set(found.asked)) <= 20:
            draw(charts.by_condition, found, key="by-condition", says="The share that is as asked, by condition")
    with right:
        st.markdown("**Is it copying?** How near one training example is, against the fifty nearest")
        draw(charts.copying, found, key="copying", says="How near samples are to single training examples")
        st.caption(
            f"{found.copies:.1%} of the samples lie left of {COPY:g}, and "
            f"{float((found.copied_real < COPY).mean()):.1%} of real examples, which copy nothing."
        )
    with st.container(horizontal=True):
        st.metric("Diversity", f"{found.diversity:.2f}", f"real {found.diversity_real:.2f}", delta_color="off")
        st.metric("Fréchet distance", f"{found.frechet:.2f}", f"real {found.frechet_real:.2f}", delta_color="off")
    st.caption(
        "Diversity is the mean distance of two samples of one condition, the Fréchet distance that of all samples from "
        "held-out real examples, both in the features of the classifier that judges; real: of real examples among "
        "themselves."
    )
    _pairs(model, found)


@st.fragment
@guard()
def _pairs(model: Denoiser, found: Report) -> None:
    """The samples that were misread, and those nearest to a training example, each beside it."""
    train = data.load(model.card.dataset, "train", **dict(model.card.dataset_settings))
    st.markdown("**Nearest to a training example**: each sample, and below it the example")
    nearest = np.argsort(found.copied)[:SHOWN]
    gallery(found.samples[nearest], [f"{found.copied[row]:.2f}" for row in nearest], SMALL)
    gallery(train.x[found.nearest[nearest]], ["training"] * len(nearest), SMALL)
    score = np.nanmean(found.right, 0)
    wrong = np.flatnonzero(score < 1)[:SHOWN]
    if len(wrong):
        st.markdown(f"**Not as asked**: {int((score < 1).sum())} of {len(score)}")
        gallery(found.samples[wrong], [plain(f"{found.asked[row]} → {found.said[row]}") for row in wrong], 120)
    else:
        st.markdown("**Not as asked**: none.")
