"""Clouds of points on their way, from trajectories."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from explorer.diffusion import Trajectory
from explorer.diffusion.wish import Wish
from explorer.ui.diffusion.drawn import labels, named
from explorer.ui.diffusion.source import own_test
from explorer.ui.page import guard
from explorer.ui.plane import Cloud, plane
from explorer.zoo.denoiser import Denoiser

EXTENT = 2.2  # of the plane: noise that is further out is drawn at its edge
MOST = 51  # frames that are sent


@st.fragment
@guard()
def clouds(model: Denoiser, found: Sequence[tuple[Wish, Trajectory]], key: str) -> int:
    """Trajectories of points side by side, the real ones faintly behind."""
    return plane([cloud(model, *one, title=named(one[0].sampler) if len(found) > 1 else "") for one in found], key,
                 extent=EXTENT, side=520 if len(found) == 1 else 400)  # fmt: skip


def cloud(model: Denoiser, wish: Wish, found: Trajectory, title: str = "") -> Cloud:
    """A trajectory of points, on one scale."""
    chosen = frames(len(found.x))
    test = own_test(model)
    names = tuple(dict.fromkeys(found.conditions)) if model.kind == "class" else ()
    groups = np.array([names.index(name) for name in found.conditions]) if len(names) > 1 else None
    told = labels(found)
    return Cloud(
        found.shown[chosen], tuple(told[at] for at in chosen), title, f"{len(found.answers)} evaluations", groups,
        names if len(names) > 1 else (), behind=None if test is None else test.x[:1000],
    )  # fmt: skip


def frames(whole: int) -> np.ndarray:
    """The states that are sent of a trajectory, the first and the last among them."""
    return np.unique(np.linspace(0, whole - 1, min(whole, MOST)).round().astype(int))
