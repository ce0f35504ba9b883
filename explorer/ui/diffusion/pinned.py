"""A and B: what was pinned beside what is chosen now, drawn from the same noise."""

from dataclasses import replace

import streamlit as st

from explorer import zoo
from explorer.diffusion.sample import opened
from explorer.diffusion.wish import Wish
from explorer.errors import ExplorerError
from explorer.ui.diffusion.cloud import EXTENT, cloud
from explorer.ui.diffusion.drawn import drawn, track
from explorer.ui.diffusion.question import draws, fitting_samplers
from explorer.ui.film import film
from explorer.ui.page import guard, plain
from explorer.ui.pickers import agreed
from explorer.ui.pins import Pin, of_text
from explorer.ui.pins import pinned as pinned_now
from explorer.ui.plane import plane
from explorer.zoo.denoiser import Denoiser


def pinned(model: Denoiser, wish: Wish) -> None:
    """The two films, or the two clouds."""
    pin = pinned_now()
    if pin is None:
        st.info("Pin what you see now, on the left. Then change the network, its checkpoint, or what is to be drawn.")
        return
    other, a = _a(pin, model, wish)
    st.markdown(f"**A** {_said(a)}  \n**B** {_said(wish)}")
    st.caption(
        "Both from the noise of one seed, with the sampler, steps and guidance on the left, as far as A has them."
    )
    _beside(((other, a, "A"), (model, wish, "B")))


def pin_of(wish: Wish) -> Pin:
    """What is to be drawn, as a pin; of several conditions the network alone."""
    return of_text(wish.ref, wish.conditions[0]) if len(set(wish.conditions)) == 1 else Pin(wish.ref)


def _a(pin: Pin, model: Denoiser, wish: Wish) -> tuple[Denoiser, Wish]:
    """What is pinned, as a wish; what it leaves open, or what is none here, is as in B."""
    agreed(pin.ref)
    loaded = zoo.load(pin.ref)
    other = opened(loaded) if draws(loaded.card) else model
    if (other.x_shape == (2,)) != (model.x_shape == (2,)):
        raise ExplorerError(f"{pin.ref} beside {wish.ref}", "one draws points, the other pictures", "Choose another B")
    asked = [pin.text] * len(wish.conditions or "1") if pin.text is not None else list(wish.conditions)
    if other.kind == "class":
        asked = [one if one in other.labels else other.labels[row % len(other.labels)] for row, one in enumerate(asked)]
    fitting = fitting_samplers(other)
    return other, replace(
        wish, ref=other.card.ref, conditions=() if other.kind == "free" else tuple(asked),
        avoid=wish.avoid if other.kind == model.kind and other.avoids else "",
        sampler=wish.sampler if wish.sampler in fitting else fitting[0],
        guidance=wish.guidance if other.avoids else 1.0,
    )  # fmt: skip


def _said(wish: Wish) -> str:
    same = len(set(wish.conditions)) == 1
    asked = f" · “{plain(wish.conditions[0])}”" if same and wish.conditions[0] else ""
    return f"{plain(wish.ref)}{asked}"


@st.fragment
@guard()
def _beside(both: tuple[tuple[Denoiser, Wish, str], ...]) -> None:
    if both[0][0].x_shape == (2,):
        plane([cloud(one, asked, drawn(asked), name) for one, asked, name in both], "pinned", extent=EXTENT, side=400)
    else:
        film([track(one, drawn(asked), asked, name, "", "pictures") for one, asked, name in both], "pinned", side=190)
