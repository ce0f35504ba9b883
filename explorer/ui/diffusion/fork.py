"""Another future: leave a sampling at any step, begin from a picture, paint into one, or go between two noises."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.data.shapes_prompts import COLOURS
from explorer.diffusion import Trajectory, between, from_picture
from explorer.diffusion import fork as fork_at
from explorer.diffusion.samplers import SAMPLERS, evaluations
from explorer.diffusion.wish import Wish
from explorer.ui.diffusion.cloud import cloud
from explorer.ui.diffusion.drawn import drawn, named, price_of, track
from explorer.ui.diffusion.question import fitting_samplers, prompt_box, told_unknown
from explorer.ui.diffusion.source import own_test, source
from explorer.ui.film import film
from explorer.ui.number import number_input
from explorer.ui.page import guard, plain
from explorer.ui.pickers import choose
from explorer.ui.plane import plane
from explorer.ui.row import one_of
from explorer.ui.sketch import paint_mask
from explorer.ui.worked import worked_out
from explorer.zoo.denoiser import Denoiser

SAME = "as it was"
ROOM = 2  # pixels around an object that are painted anew with it
LAST = 2**31 - 1  # the largest seed


def fork(model: Denoiser, wish: Wish) -> None:
    """One of four ways to another sample."""
    ways: dict[str, Callable[[Denoiser, Wish], None]] = {"Fork a step": _fork}
    if model.x_shape != (2,):
        ways |= {"From a picture": _from_picture, "Paint into one": _paint, "Between two": _between}
    way = one_of("Way", list(ways), default="Fork a step", key="way", label_visibility="collapsed")
    ways[way](model, wish)


def _fork(model: Denoiser, wish: Wish) -> None:
    """The same way up to a step, and from there another one."""
    past = drawn(wish)
    whole = len(past.answers)
    st.caption("Everything before the fork stays as it was, bit for bit; from there on it goes as you say.")
    left, right = st.columns(2)
    with left:
        at = 0
        if whole > 1:
            at = st.slider("Fork after so many evaluations", 0, whole - 1, min(whole // 5, whole - 1), key="fork",
                           bind="query-params")  # fmt: skip
        changes = _condition(model, wish)
    with right:
        names = [SAME, *(name for name in fitting_samplers(model) if name != wish.sampler)]
        sampler = choose(
            "Sampler from there", names, SAME, "fork-sampler", lambda one: one if one == SAME else named(one)
        )
        if sampler != SAME:
            changes["sampler"] = sampler
        random = SAMPLERS[changes.get("sampler", wish.sampler)].facts.get("random")
        if random:
            changes["seed"] = number_input("Seed of the remaining noise", 0, LAST, _next(wish.seed), key="fork-seed")
        if model.avoids and model.x_shape != (2,):
            changes["guidance"] = st.slider(
                "Guidance from there", 0.0, 15.0, wish.guidance, step=0.5, key="fork-guidance", bind="query-params"
            )
    key = ("fork", wish, at, *sorted(changes.items(), key=str))
    price = replace(price_of(wish), units=evaluations(changes.get("sampler", wish.sampler), wish.steps) - at)
    found = worked_out(key, lambda on_step: fork_at(past, at, on_step=on_step, **changes), "Another future …", price)
    if model.x_shape == (2,):
        plane([cloud(model, wish, past, "As it was"), cloud(model, wish, found, f"Forked after {at}")], "forked")
        return
    _compared(model, [("As it was", wish, past), (f"Forked after {at}", key, found)], "forked")


def _condition(model: Denoiser, wish: Wish) -> dict[str, object]:
    """Another prompt or class from the fork on."""
    first = wish.conditions[0] if wish.conditions else ""
    if model.kind == "text":
        usual = first.replace("red", "green", 1) if "red" in first else first
        prompt = prompt_box("Prompt from there", "fork-prompt", usual)
        told_unknown(model, prompt)
        return {"condition": prompt}
    if model.kind == "class":
        others = [label for label in model.labels if label != first]
        usual = others[-1]
        return {"condition": choose("Class from there", [*others, first], usual, "fork-class", plain)}
    return {}


def _from_picture(model: Denoiser, wish: Wish) -> None:
    """A picture, noised part of the way and drawn again."""
    picture = source(model)
    strength = st.slider(
        "How far back into noise", 0.05, 1.0, 0.6, step=0.05, key="strength", bind="query-params",
        help="1 forgets the picture; a little only redraws its details (Meng et al. 2022, SDEdit).",
    )  # fmt: skip
    _drawn_over(model, wish, picture, strength, None)


@st.fragment
@guard()
def _paint(model: Denoiser, wish: Wish) -> None:
    """Mark what is to be painted anew; the rest stays."""
    left, right = st.columns([1, 1.6], gap="large")
    with left:
        picture = source(model)
        mask = paint_mask(picture, "mask")
        known = _known(model, picture)
        if model.kind == "text":
            usual = _recoloured(known[1]) if known else wish.conditions[0]
            prompt = prompt_box("Prompt for the whole picture", "paint-prompt", usual)
            told_unknown(model, prompt)
            wish = replace(wish, conditions=(prompt,))
        if not mask.any() and known:
            st.caption("Nothing is marked yet: until then the object that its caption names first is painted anew.")
            mask = known[0]
        elif not mask.any():
            st.caption("Nothing is marked yet: until then the right half is painted anew.")
            mask = mask.copy()
            mask[:, mask.shape[1] // 2 :] = True
    with right:
        _drawn_over(model, wish, picture, 1.0, mask)


def _known(model: Denoiser, picture: np.ndarray) -> tuple[np.ndarray, str] | None:
    """Where the first object of a test picture is, with some room around it, and its caption; None of any other."""
    test, at = own_test(model), st.session_state.get("example", 0)
    if test is None or test.masks is None or test.captions is None or not np.array_equal(test.x[at], picture):
        return None
    padded = np.pad(test.masks[at], ROOM)
    height, width = picture.shape[:2]
    shifts = [padded[y : y + height, x : x + width] for y in range(2 * ROOM + 1) for x in range(2 * ROOM + 1)]
    return np.any(shifts, 0), test.captions[at]


def _recoloured(caption: str) -> str:
    """The caption with its first colour another one."""
    words = caption.split()
    at = next((at for at, word in enumerate(words) if word in COLOURS), None)
    if at is not None:
        words[at] = next(colour for colour in ("red", "blue", "yellow") if colour not in words)
    return " ".join(words)


def _drawn_over(model: Denoiser, wish: Wish, picture: np.ndarray, strength: float, mask: np.ndarray | None) -> None:
    """The film of a picture that is drawn over."""
    wish = replace(wish, conditions=wish.conditions[:1], count=1)
    key = ("over", wish, strength, picture.tobytes(), None if mask is None else mask.tobytes())

    def make(on_step) -> Trajectory:
        return from_picture(
            model, picture, strength, mask, wish.sampler, wish.steps, wish.guidance, wish.condition, wish.seed,
            wish.avoid or None, on_step,
        )  # fmt: skip

    found = worked_out(key, make, "Drawing over it …", replace(price_of(wish), kind=("over", wish.ref)))
    _compared(model, [("", key, found)], "over")


def _between(model: Denoiser, wish: Wish) -> None:
    """Samples between two seeds, and between two conditions."""
    first = wish.conditions[0] if wish.conditions else ""
    left, right = st.columns(2)
    with left:
        seed = number_input("The other seed", 0, LAST, _next(wish.seed), key="other-seed")
    with right:
        if model.kind == "text":
            other = prompt_box("The other prompt", "other-prompt", first)
            told_unknown(model, other)
        elif model.kind == "class":
            other = choose("The other class", list(model.labels), first if first in model.labels else model.labels[0],
                           "other-class", plain)  # fmt: skip
        else:
            other = None
    ends = (first or None, other) if model.kind != "free" else (None, None)
    key = ("between", replace(wish, count=1), seed, other)

    def make(on_step) -> Trajectory:
        return between(
            model, (wish.seed, seed), ends, 10, wish.sampler, wish.steps, wish.guidance, wish.avoid or None, on_step
        )

    found = worked_out(key, make, "Drawing between them …", replace(price_of(wish), kind=("between", wish.ref)))
    st.caption(
        "Ten samples from the first to the second, left to right and then down: their noises lie on the arc between "
        "the two, as long as noise is; of two conditions the answers are mixed."
    )
    _compared(model, [("", key, found)], "between", side=340)


def _next(seed: int) -> int:
    """Another seed; after the largest comes 0."""
    return (seed + 1) % (LAST + 1)


@st.fragment
@guard()
def _compared(model: Denoiser, found: list[tuple[str, object, Trajectory]], key: str, side: int = 190) -> None:
    """The films of some trajectories, one below the other."""
    several = len(found) > 1
    kinds = "pictures" if several or side > 300 else "all"
    tracks = [track(model, one, name, title, "", kinds) for title, name, one in found]
    film(tracks, key, side=side)
