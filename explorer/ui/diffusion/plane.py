"""Score field: where the network pushes every place of the plane, beside where the best possible one would."""

from dataclasses import replace

import numpy as np
import streamlit as st

from explorer import data, zoo
from explorer.diffusion import Trajectory
from explorer.diffusion.field import field, follow, ideal
from explorer.diffusion.wish import Wish
from explorer.errors import ExplorerError
from explorer.models.noise import FLOW
from explorer.ui.diffusion.cloud import EXTENT, cloud, frames
from explorer.ui.diffusion.drawn import drawn
from explorer.ui.page import guard
from explorer.ui.plane import Cloud, plane
from explorer.ui.worked import worked_out
from explorer.zoo.denoiser import Denoiser

GRID = 17  # arrows along each side
KNOWN = 1000  # training points that the best possible network knows
POINTS = 600  # that are led by it
OTHER = {"zoo:points-diffusion": "zoo:points-flow", "zoo:points-flow": "zoo:points-diffusion"}


def score_field(model: Denoiser, wish: Wish) -> None:
    """Points and arrows, the network's own and the ideal ones; and the other way of learning on the same data."""
    if model.x_shape != (2,):
        raise ExplorerError("The score field", f"{model.card.ref} draws pictures, not points", "Choose points")
    whole = replace(wish, conditions=() if model.avoids else wish.conditions)
    _fields(model, whole, drawn(whole))
    if model.card.ref in OTHER:
        _beside(model, wish)


@st.fragment
@guard()
def _fields(model: Denoiser, wish: Wish, found: Trajectory) -> None:
    chosen = frames(len(found.x))
    places = _grid()
    own = worked_out(("arrows", wish), lambda on_step: _arrows(model, wish, found, chosen, places, on_step), "Asking …")
    mine = cloud(model, wish, found, "What the network learned")
    clouds = [replace(mine, places=places, arrows=own.values)]
    if model.card.dataset:
        train = data.load(model.card.dataset, "train", **dict(model.card.dataset_settings)).x[:KNOWN]
        best = worked_out(
            ("ideal", wish), lambda on_step: _best(train, found, chosen, places, on_step), "Working out …"
        )
        clouds.append(
            Cloud(best.points, mine.labels, "The best that knows these points alone", f"{len(train):,} training points",
                  places=places, arrows=best.values, behind=mine.behind)
        )  # fmt: skip
    plane(clouds, "field", at=len(chosen) * 2 // 3, extent=EXTENT, side=380)
    st.caption(
        "Arrows are the score: the way uphill on the density of noised points, −ε̂ / √(1 − ᾱ), on one scale a step. The "
        "best possible network that has seen only the training points is known in a formula; one that had learned "
        "exactly it could do nothing but copy them."
    )


class _Kept:
    """Arrows, and points that follow them."""

    def __init__(self, values: np.ndarray, points: np.ndarray | None = None) -> None:
        self.values, self.points = values, points
        self.nbytes = values.nbytes + (0 if points is None else points.nbytes)


def _grid() -> np.ndarray:
    """Places of the arrows, (G, 2)."""
    axis = np.linspace(-EXTENT * 0.94, EXTENT * 0.94, GRID)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)


def _arrows(model: Denoiser, wish: Wish, found: Trajectory, chosen: np.ndarray, places: np.ndarray, on_step) -> _Kept:
    """The network's score at every state that is shown; at the end that of the last evaluation."""
    asked = [min(int(at), len(found.answers) - 1) for at in chosen]
    arrows = []
    for done, at in enumerate(asked):
        time = int(found.timesteps[at]) - (found.predicts == FLOW)  # flow matching is told 1000 σ, which begins at 1
        arrows.append(field(model, places, time, wish.condition if isinstance(wish.condition, str) else None).score)
        on_step(done / len(asked))
    return _Kept(np.stack(arrows))


def _best(train: np.ndarray, found: Trajectory, chosen: np.ndarray, places: np.ndarray, on_step) -> _Kept:
    """The ideal score at the same states, and points that are led by it."""
    shares = found.alphas_bar
    led = follow(train, found.shown[0][:POINTS], shares, on_step)
    arrows = [ideal(train, places, float(min(shares[at], shares[-2]))).score for at in chosen]
    return _Kept(np.stack(arrows), led[chosen])


@st.fragment
@guard()
def _beside(model: Denoiser, wish: Wish) -> None:
    """Diffusion and flow matching, learned from the same points, drawn from the same noise."""
    st.markdown("**Diffusion beside flow matching**, learned from the same points and drawn from the same noise")
    refs = sorted((model.card.ref, OTHER[model.card.ref]))
    steps = st.select_slider("Steps of both", [1, 2, 3, 5, 10, 20, 50], 20, key="both-steps", bind="query-params")
    clouds = []
    for ref in refs:
        other = zoo.load(ref)
        sampler = "flow" if ref.endswith("flow") else "ddim"
        one = replace(wish, ref=ref, sampler=sampler, steps=steps)
        clouds.append(cloud(other, one, drawn(one), "Flow matching" if ref.endswith("flow") else "Diffusion"))
    plane(clouds, "beside", extent=EXTENT, side=380)
    st.caption(
        "Straight paths can be walked in a few long steps; curved ones can't. Hover over a point to see its path."
    )
