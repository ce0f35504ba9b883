"""Reverse: from noise to a sample, step by step, with what the network believes on the way."""

import streamlit as st

from explorer.diffusion import Trajectory
from explorer.diffusion.wish import Wish
from explorer.ui.diffusion.cloud import clouds
from explorer.ui.diffusion.drawn import drawn, named, track
from explorer.ui.diffusion.takeaway import takeaway
from explorer.ui.film import film
from explorer.ui.page import guard, plain
from explorer.zoo.denoiser import Denoiser

SIDES = (300, 380)  # of the pictures of one sample, and of several


def reverse(model: Denoiser, wish: Wish) -> None:
    """The film of one sampling."""
    found = drawn(wish)
    told(model, found)
    if model.x_shape == (2,):
        clouds(model, [(wish, found)], "reverse")
    else:
        _film(model, wish, found)
    takeaway(model, wish, found)


@st.fragment
@guard()
def _film(model: Denoiser, wish: Wish, found: Trajectory) -> None:
    film([track(model, found, wish)], "reverse", len(found.answers) // 2, SIDES[wish.count > 1])


def told(model: Denoiser, found: Trajectory) -> None:
    """What was drawn, in a line; what of the prompt was not read."""
    asked = found.conditions[0] if len(set(found.conditions)) == 1 else "each in turn"
    asked = f"“{plain(asked)}”" if asked else "whatever it likes"
    guided = f", guidance {found.guidance:g}" if found.knowing is not None else ""
    passes = len(found.answers) * (2 if found.knowing is not None else 1)
    st.caption(
        f"**{asked}** · {named(found.sampler)}, {found.steps} steps{guided}, seed {found.seeds[0]} · "
        f"{passes} passes, {found.seconds:.2f} s when it was drawn"
    )
    if found.cut:
        st.warning(f"The prompt is {found.cut} tokens too long; its end was not read.", icon=":material/content_cut:")
