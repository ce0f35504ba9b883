"""Trajectories and the films of them, each worked out once for everybody who asks."""

import time
from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st

from explorer.diffusion import Trajectory, frames
from explorer.diffusion.equation import SEVERAL, update
from explorer.diffusion.frames import Frames
from explorer.diffusion.samplers import SAMPLERS, scheduler
from explorer.diffusion.wish import Wish, fulfil
from explorer.store import ANSWERS
from explorer.ui.film import Equation, Reel, Track
from explorer.zoo.denoiser import Denoiser

TELL = 0.2  # seconds between two looks at whether the person has moved on
SYMBOLS = {  # what a step is made of → its symbol, and the reel that shows it
    "clean": ("x̂₀", 1),
    "noise": ("ε̂", 2),
    "state": ("xₜ", 0),
    "fresh": ("z", None),
    "clean before": ("x̂₀ before", None),
}
PLAIN = "fixed_small"  # what fresh noise has as its variance, unless a network's scheduler says otherwise
BENT = "This network's scheduler cuts what is believed at ±1, or draws other noise: its step is no plain sum."
LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def worked_out(key: Hashable, make: Callable[[Callable[[float], None]], Any], words: str) -> Any:
    """What `make` gives, kept under a key; it is told how to say the share that is done.

    Saying the share lets Streamlit end the work where the person has moved on.
    """

    def begin() -> Any:
        place, said = st.empty(), time.perf_counter()

        def on_step(share: float) -> None:
            nonlocal said
            if time.perf_counter() - said > TELL:
                place.progress(min(share, 1.0), words)
                said = time.perf_counter()

        try:
            return make(on_step)
        finally:
            place.empty()

    return ANSWERS.get(key, begin)


def drawn(wish: Wish) -> Trajectory:
    """The samples of a wish."""
    return worked_out(("sample", wish), lambda on_step: fulfil(wish, on_step), "Drawing …")


def shot(kind: str, model: Denoiser, found: Trajectory, key: Hashable) -> Frames | None:
    """States, believed, noises or vectors of a trajectory as pictures; `key` tells it from any other trajectory."""
    return worked_out((kind, key), lambda on_step: getattr(frames, kind)(model, found), "Unpacking …")


def track(
    model: Denoiser, found: Trajectory, key: Hashable, title: str = "", note: str = "", kinds: str = "all"
) -> Track:
    """The film of a trajectory: states, believed pictures and predicted noise, with the step in numbers.

    kinds: all, or pictures: the states and the believed pictures alone, without the step, not to be read.
    """
    whole = kinds == "all"
    states, believed = (shot(kind, model, found, key) for kind in ("states", "believed"))
    unpacked = ", unpacked" if model.latent else ""
    reels = [
        Reel(f"State xₜ{unpacked}", states.pictures, states.limits if whole else None),
        Reel(f"Believed picture x̂₀{unpacked}", believed.pictures, believed.limits if whole else None),
    ]
    if whole:
        noise = shot("noises", model, found, key)
        channels = ", its channels side by side" if model.latent else ""
        reels.append(Reel(f"Predicted noise ε̂{channels}", noise.pictures, noise.limits, noise.pictures.shape[-1] == 1))
    told = worked_out(("equations", key), lambda on_step: equations(model, found), "") if whole else ()
    return Track(tuple(reels), labels(found), title, note, told)


def labels(found: Trajectory) -> tuple[str, ...]:
    """What is told of each state: how many steps are done, the time, and how much of it is signal."""
    whole = len(found.answers)
    told = [
        f"{at} of {whole} done · t = {time:.0f} · ᾱ = {share:.3g}"
        for at, (time, share) in enumerate(zip(found.timesteps, found.alphas_bar, strict=False))
    ]
    return (*told, f"{whole} of {whole} done · the sample")


def equations(model: Denoiser, found: Trajectory) -> tuple[Equation | None, ...]:
    """The step after each state, in numbers; of latents no reel can be read."""
    whole = len(found.answers)
    if found.sampler in SEVERAL:
        return (*(Equation(_state(found, at + 1), (), SEVERAL[found.sampler]) for at in range(whole)), None)
    if _bent(model, found.sampler):
        return (*(Equation(_state(found, at + 1), (), BENT) for at in range(whole)), None)
    told: list[Equation | None] = []
    for at in range(whole):
        step = update(found, at, model.config)
        terms = [(factor, *SYMBOLS[what]) for factor, what in step.terms]
        if model.latent:
            terms = [(factor, symbol, None) for factor, symbol, _ in terms]
        told.append(Equation(_state(found, at + 1), tuple(terms), step.note))
    return (*told, None)


def _bent(model: Denoiser, sampler: str) -> bool:
    """Whether the network's scheduler does more in a step than the sum says, as that of the first DDPMs."""
    plan = scheduler(sampler, model.config).config
    return bool(plan.get("clip_sample") or plan.get("thresholding") or (plan.get("variance_type") or PLAIN) != PLAIN)


def _state(found: Trajectory, at: int) -> str:
    """The name of a state: x with its time below, x₀ at the end."""
    time = f"{found.timesteps[at]:.0f}" if at < len(found.timesteps) else "0"
    return f"x{time.translate(LOW)}"


def named(sampler: str) -> str:
    """What a sampler is called."""
    return SAMPLERS[sampler].facts["title"]
