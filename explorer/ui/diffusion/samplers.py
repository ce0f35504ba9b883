"""Samplers from the same noise: side by side, what they cost, and how far they end from a very fine one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from explorer.charts import diffusion as charts
from explorer.diffusion import SAMPLERS, Trajectory
from explorer.diffusion.sample import MOST_STEPS
from explorer.diffusion.samplers import evaluations
from explorer.diffusion.wish import Wish, fulfil
from explorer.settings import settings
from explorer.store import ANSWERS
from explorer.ui.controls import controls
from explorer.ui.diffusion.cloud import clouds
from explorer.ui.diffusion.drawn import drawn, named, track, works
from explorer.ui.diffusion.question import fitting_samplers, not_offered
from explorer.ui.draw import draw
from explorer.ui.film import film
from explorer.ui.page import guard, plain
from explorer.ui.pickers import choose
from explorer.ui.price import agree, ask_first, lasting
from explorer.ui.worked import worked_out
from explorer.zoo.denoiser import Denoiser

NONE = "none"
USUAL = (("ddim", 5), ("ddim", 20), ("dpm_solver", 10), ("ddpm", 50))
FLOWING = (("flow", 3), ("flow", 10), ("flow", 50), (NONE, 20))
CHEAP = 20.0  # seconds that the reference may take without being asked for
DEAR = 8.0  # seconds above which a shared server doesn't draw it


def samplers(model: Denoiser, wish: Wish) -> None:
    """Up to four samplers or step counts, from one noise."""
    fitting = fitting_samplers(model)
    usual = FLOWING if fitting == ["flow"] else USUAL
    wishes = []
    for number, (place, (name, steps)) in enumerate(zip(st.columns(4), usual, strict=True), 1):
        with place:
            first = name if name in (*fitting, NONE) else fitting[0]
            chosen = choose(f"Sampler {number}", [*fitting, NONE], first, f"s{number}", _title)
            if chosen != NONE:
                most = {"steps": settings().limits.steps}
                values = controls(Wish, prefix=f"s{number}_", only=("steps",), defaults={"steps": steps}, highest=most)
                wishes.append(replace(wish, sampler=chosen, **values))
    reason = not_offered(model)
    if reason:
        st.caption(f"Not offered: {plain(reason)}")
    if not wishes:
        st.info("Choose one sampler at least.", icon=":material/arrow_upward:")
        return
    wishes = list(dict.fromkeys(wishes))
    ask_first(works(*wishes))
    found = [drawn(one) for one in wishes]
    if model.x_shape == (2,):
        clouds(model, list(zip(wishes, found, strict=True)), "samplers")
    else:
        _film(model, wishes, found)
    _table(model, wish, wishes, found)


@st.fragment
@guard()
def _film(model: Denoiser, wishes: list[Wish], found: list[Trajectory]) -> None:
    tracks = [
        track(model, one, wish, f"{named(wish.sampler)}, {wish.steps} steps", _cost(one), "pictures")
        for wish, one in zip(wishes, found, strict=True)
    ]
    film(tracks, "samplers", side=150)


def _cost(found: Trajectory) -> str:
    passes = len(found.answers)
    return f"{passes} evaluations · {1000 * found.seconds:.0f} ms"


@st.fragment
@guard()
def _table(model: Denoiser, wish: Wish, wishes: list[Wish], found: list[Trajectory]) -> None:
    """What each cost, and how far it ends from a reference of 1,000 steps."""
    st.markdown("**What each costs, and how far it ends from a very fine one**")
    exact = fitting_samplers(model)[0]
    finest = replace(wish, sampler=exact, steps=MOST_STEPS)
    pace = min(one.seconds / len(one.answers) for one in found)  # more than that is a cold start
    expected = pace * MOST_STEPS
    cheap = 0 if settings().shared else CHEAP  # a thousand steps are nothing to do for everybody who looks in
    key = ("end", finest)
    if settings().shared and expected > DEAR and not ANSWERS.holds(key):
        st.caption(f"A comparison with {MOST_STEPS:,} steps takes about {lasting(expected)} here, too long on a server "
                   "that others use too: draw fewer samples, or points or digits.")  # fmt: skip
        return
    if expected > cheap:
        label = f"Compare with {MOST_STEPS:,} steps: about {lasting(expected)}"
        if not st.toggle(label, key="finest", bind="query-params", on_change=agree, args=(key,)):
            return
        ask_first({key: expected})  # of other samples than those that it was asked for
    reference = worked_out(key, lambda on_step: _end(finest, on_step), "Drawing the reference …")
    rows = pd.DataFrame(
        {
            "sampler": [f"{named(one.sampler)} {one.steps}" for one in wishes],
            "evaluations": [evaluations(one.sampler, one.steps) for one in wishes],
            "ms": [1000 * one.seconds for one in found],
            "distance": [_apart(one, reference) for one in found],
            "draws noise": ["yes" if SAMPLERS[one.sampler].facts.get("random") else "no" for one in wishes],
        }
    )
    left, right = st.columns([1, 1.2])
    with left:
        draw(charts.distances, rows, key="distances", says="How far each sampler ends from the reference")
    with right:
        st.dataframe(rows.style.format({"ms": "{:.0f}", "distance": "{:.4f}"}), hide_index=True, width="stretch")
        st.caption(
            f"The distance is the root mean square difference of the final states from {named(exact)} with "
            f"{MOST_STEPS:,} steps from the same noise. A sampler that draws noise on its way ends somewhere else, and "
            "no worse for it. Times are of this server, guidance included."
        )


def _end(wish: Wish, on_step: Callable[[float], None]) -> np.ndarray:
    """The last states alone: a whole way of 1,000 steps is too much to be kept."""
    return fulfil(wish, on_step).shown[-1].copy()


def _apart(found: Trajectory, reference: np.ndarray) -> float:
    return float(np.sqrt(((found.shown[-1] - reference) ** 2).mean()))


def _title(name: str) -> str:
    return "–" if name == NONE else named(name)
