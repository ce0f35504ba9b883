"""Guidance: what its scale does, what it pushes towards, and two conditions from the same noise."""

import difflib
from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.activations.pace import pace
from explorer.diffusion import Trajectory, frames, sample
from explorer.diffusion.samplers import evaluations
from explorer.diffusion.wish import Wish
from explorer.errors import ExplorerError
from explorer.ui.diffusion.drawn import drawn, labels, shot, track
from explorer.ui.diffusion.question import prompt_box, told_unknown
from explorer.ui.film import Reel, Track, film
from explorer.ui.page import guard, plain
from explorer.ui.pickers import choose
from explorer.ui.pictures import enlarge
from explorer.ui.price import Price
from explorer.ui.worked import worked_out
from explorer.zoo.denoiser import Denoiser

SCALES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def guidance(model: Denoiser, wish: Wish) -> None:
    """The strip of scales, the vector, and A beside B."""
    if not model.avoids or model.x_shape == (2,):
        raise ExplorerError(
            "Guidance",
            "this network never learned to work without a condition" if model.x_shape != (2,) else "points need none",
            "Choose digits or shapes",
        )
    wish = replace(wish, conditions=wish.conditions[:1], count=1)
    st.markdown("**One noise, from no guidance to far too much**")
    _strip(model, wish)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What guidance adds to each step**")
        _vector(model, replace(wish, guidance=wish.guidance if wish.guidance != 1 else 2.0))
    with right:
        st.markdown("**A and B, from the same noise**")
        _versus(model, wish)


def _strip(model: Denoiser, wish: Wish) -> None:
    """One sample at every scale, all drawn at once."""
    count = len(SCALES)

    def make(on_step) -> Trajectory:
        return sample(
            wish.ref, wish.sampler, wish.steps, SCALES, list(wish.conditions) * count, [wish.seed] * count, count,
            wish.avoid or None, on_step=on_step,
        )  # fmt: skip

    key = ("strip", replace(wish, guidance=0.0))
    price = Price(("strip", wish.ref), evaluations(wish.sampler, wish.steps), pace(model) * 2 * count)
    found = worked_out(key, make, "Drawing at every scale …", price)
    pictures = worked_out((*key, "pictures"), lambda on_step: _last(model, found), "Unpacking …").pictures
    with st.container(horizontal=True, gap="small"):
        for picture, scale in zip(pictures, SCALES, strict=True):
            st.image(enlarge(picture, 80), f"{scale:g}", width=80, output_format="PNG", alt=f"guidance {scale:g}")
    st.caption("0 does not ask for the condition at all, 1 asks plainly; beyond, samples show it ever more alike.")


def _last(model: Denoiser, found: Trajectory) -> frames.Frames:
    """The samples themselves, one a frame."""
    pixels = frames.decoded(model, found.x[-1])
    return frames.Frames(pixels, np.ones(len(pixels)))


@st.fragment
@guard()
def _vector(model: Denoiser, wish: Wish) -> None:
    """What the network sees with and without the condition, and the difference."""
    found = drawn(wish)
    vector, believed = shot("vectors", model, found, wish), shot("believed", model, found, wish)
    channels = ", its channels" if model.latent else ""
    reels = (
        Reel("Believed picture x̂₀", believed.pictures),
        Reel(f"Guidance vector{channels}", vector.pictures, signed=vector.pictures.shape[-1] == 1),
    )
    film([Track(reels, labels(found))], "vector", at=len(found.answers) // 4, side=190)
    st.caption(
        "The noise seen with the condition minus the noise seen without it (or with what is to be avoided). "
        f"Guidance adds it {wish.guidance:g} times to what is seen without. Its colours end at each step's own largest."
    )


@st.fragment
@guard()
def _versus(model: Denoiser, wish: Wish) -> None:
    """The same noise with another condition."""
    a = wish.conditions[0] if wish.conditions else ""
    if model.kind == "text":
        b = prompt_box("Prompt B", "b", _other(a))
        told_unknown(model, b)
        st.markdown(_marked(a, b))
    else:
        names = [label for label in model.labels if label != a]
        b = choose("Class B", names, names[-1], "b-class", plain)
    films = [
        track(model, drawn(replace(wish, conditions=(one,))), replace(wish, conditions=(one,)), name, "", "pictures")
        for name, one in (("A", a), ("B", b))
    ]
    film(films, "beside", side=140)


def _other(prompt: str) -> str:
    """The prompt with its first colour changed."""
    return prompt.replace("red", "green", 1) if "red" in prompt else f"{prompt} left of a red disc".strip()


def _marked(a: str, b: str) -> str:
    """Both prompts, the words that differ in bold."""
    one, other = a.split(), b.split()
    told = [[], []]
    for kind, start, end, start_b, end_b in difflib.SequenceMatcher(None, one, other).get_opcodes():
        for words, part in ((told[0], one[start:end]), (told[1], other[start_b:end_b])):
            words += [plain(word) if kind == "equal" else f"**:orange[{plain(word)}]**" for word in part]
    return f"A: {' '.join(told[0]) or '–'}  \nB: {' '.join(told[1]) or '–'}"
