"""How good? Samples against what was asked, against each other, and against the training data."""

import numpy as np
import streamlit as st

from explorer import data
from explorer.charts import diffusion as charts
from explorer.diffusion import quality as measuring
from explorer.diffusion.judges import judge_of
from explorer.diffusion.measure import COPY, Measurement, Report
from explorer.diffusion.wish import Wish
from explorer.ui.draw import draw
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pictures import gallery
from explorer.ui.watch import job_of, watch
from explorer.zoo.denoiser import Denoiser

SHOWN = 10  # samples of a gallery


def quality(model: Denoiser, wish: Wish) -> None:
    """What the card promises, and a measurement of one's own, `?measured=` in the URL."""
    _promised(model)
    if model.x_shape == (2,):
        return
    judge_of(model)  # refuses where nobody can judge
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    count = left.slider("Samples", 50, 1000, 200, step=50, key="measure-count", bind="query-params")
    with right, guard():
        if st.button("Measure", type="primary", icon=":material/straighten:", key="measure", width="stretch"):
            asked = Measurement(model.card.ref, count, wish.sampler, wish.steps, wish.guidance, wish.seed)
            st.query_params["measured"] = measuring.start(asked, person())
    st.caption(f"With the sampler, steps and guidance on the left, {wish.guidance:g} now; in the background.")
    id = st.query_params.get("measured", "")
    if id:
        _measured(model, id)


def _promised(model: Denoiser) -> None:
    """What was measured when the network was made."""
    if not model.card.metrics:
        return
    st.markdown("**On its card**, as measured when it was made")
    with st.container(horizontal=True, key="figures"):
        for name, value in model.card.metrics.items():
            share = name.endswith("asked") or ("real ones" in name and "as" in name) or name.startswith("cop")
            if name.endswith("loss") or name.startswith("on the object"):
                continue
            st.metric(
                name[0].upper() + name[1:],
                f"{value:.1%}"
                if share or (name.endswith("of real ones") and value <= 1 and "distance" not in name)
                else f"{value:.3g}",
            )


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
        told = job.error if job and job.error else "It was stopped before its end. Start it again."
        st.warning(plain(told))
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
        draw(charts.asked(found), "asked", "The share of samples that are as asked")
        if len(set(found.asked)) <= 20:
            draw(charts.by_condition(found), "by-condition", "The share that is as asked, by condition")
    with right:
        st.markdown("**Is it copying?** How near one training example is, against the fifty nearest")
        draw(charts.copying(found), "copying", "How near samples are to single training examples")
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
    gallery(found.samples[nearest], [f"{found.copied[row]:.2f}" for row in nearest], 88)
    gallery(train.x[found.nearest[nearest]], ["training"] * len(nearest), 88)
    score = np.nanmean(found.right, 0)
    wrong = np.flatnonzero(score < 1)[:SHOWN]
    if len(wrong):
        st.markdown(f"**Not as asked**: {int((score < 1).sum())} of {len(score)}")
        gallery(found.samples[wrong], [plain(f"{found.asked[row]} → {found.said[row]}") for row in wrong], 120)
    else:
        st.markdown("**Not as asked**: none.")
