"""The step from one state to the next as a sum with numbers in it, for samplers whose step is one line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.diffusion.base import Trajectory
from explorer.models.noise import alphas_bar

STRAIGHT = ("ddim", "euler", "flow")  # on one scale they all move along the same line
WORDS = {
    "ddim": "The picture that the network believes in, with the very noise that it saw, but less of it.",
    "euler": "On the scale on which Euler works this is one straight step along the slope; on this one it is DDIM's.",
    "flow": "Straight along the velocity: less of the noise, more of the picture.",
    "ddpm": "Towards the picture that the network believes in, then a little fresh noise z.",
    "euler_ancestral": "A step a little too far, then fresh noise z to make up for it.",
    "dpm_solver": "The noise part is solved exactly; the picture is extrapolated from this answer and the one before.",
}
SEVERAL = {
    "heun": "Heun looks twice a step and takes the mean of both slopes, so that no single answer makes the step.",
    "pndm": "PNDM weighs the last four answers, so that no single one makes the step.",
    "unipc": "UniPC corrects each step with what the network says at its end, so that no single answer makes the step.",
    "lcm": "LCM jumps to the picture and adds fresh noise for the next time.",
}


@dataclass(frozen=True)
class Update:
    """A step: the next state is the sum of factors times what is known here, all states on one scale."""

    after: float  # ᾱ of the next state
    terms: tuple[tuple[float, str], ...]  # factor and what: clean | noise | state | fresh | clean before
    note: str  # one sentence


def update(past: Trajectory, at: int, config: Mapping[str, Any]) -> Update | None:
    """The step that leads from state number `at` to the next; None for a sampler whose step is not one line.

    config: of the network's scheduler.

    Sources: Song et al. 2021, equation 12 (DDIM); Ho et al. 2020, equation 7 (DDPM); Karras et al. 2022, algorithm 2
    without churn (Euler); Lu et al. 2022, algorithm 2 (DPM-Solver++ 2M).
    """
    now, after = (float(past.alphas_bar[place]) for place in (at, at + 1))
    note = WORDS.get(past.sampler)
    if note is None:
        return None
    if past.sampler == "ddim":
        after = _landing(past, at, config)
    if past.sampler in STRAIGHT:
        return Update(after, ((after**0.5, "clean"), ((1 - after) ** 0.5, "noise")), note)
    if past.sampler == "ddpm":
        alpha = now / after
        terms = [
            (after**0.5 * (1 - alpha) / (1 - now), "clean"),
            (alpha**0.5 * (1 - after) / (1 - now), "state"),
            (((1 - after) / (1 - now) * (1 - alpha)) ** 0.5, "fresh"),
        ]
        return Update(after, tuple(terms), note)
    sigma, sigma_after = (np.sqrt((1 - share) / share) for share in (now, after))
    if past.sampler == "euler_ancestral":
        up = sigma_after * np.sqrt(1 - (sigma_after / sigma) ** 2)
        down = np.sqrt(max(sigma_after**2 - up**2, 0.0))
        factors = (after**0.5, after**0.5 * down, after**0.5 * up)
        return Update(after, tuple(zip(map(float, factors), ("clean", "noise", "fresh"), strict=True)), note)
    return _multistep(past, at, now, after, note)


def _landing(past: Trajectory, at: int, config: Mapping[str, Any]) -> float:
    """ᾱ of the time at which diffusers' DDIM ends a step: T / steps earlier, rounded down, wherever the next begins."""
    shares = alphas_bar(config)
    time = int(past.timesteps[at]) - len(shares) // past.steps
    if time >= 0:
        return float(shares[time])
    return 1.0 if config.get("set_alpha_to_one", True) else float(shares[0])


def _multistep(past: Trajectory, at: int, now: float, after: float, note: str) -> Update:
    """DPM-Solver++ 2M: first order in the first step, and in the last of fewer than 15."""
    count = len(past.answers)
    decay = np.sqrt((1 - after) / (1 - now))
    toward = np.sqrt(after) - decay * np.sqrt(now)  # of the clean picture: α_s (1 − e^{−h})
    first = at == 0 or (at == count - 1 and (count < 15 or after == 1))
    if first:
        return Update(after, ((float(decay), "state"), (float(toward), "clean")), note)
    lambdas = [0.5 * np.log(share / (1 - share)) for share in (float(past.alphas_bar[at - 1]), now, after)]
    ratio = (lambdas[1] - lambdas[0]) / (lambdas[2] - lambdas[1])
    terms = (
        (float(decay), "state"),
        (float(toward * (1 + 0.5 / ratio)), "clean"),
        (float(-toward * 0.5 / ratio), "clean before"),
    )
    return Update(after, terms, note)
