"""Where a diffusion model pushes points of the plane, and where the best possible one would."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from explorer.diffusion.base import factor, meaning
from explorer.diffusion.sample import opened
from explorer.errors import ExplorerError
from explorer.models.noise import FLOW, alphas_bar, told
from explorer.zoo.denoiser import Denoiser

CHUNK = 2_000_000  # distances that are held at once


@dataclass(frozen=True, eq=False)
class Field:
    """The score at places of the plane: the way uphill on the density of noised points, and how steep it is."""

    alpha_bar: float  # how much of the variance is signal
    places: np.ndarray  # (P, 2)
    score: np.ndarray  # (P, 2)
    clean: np.ndarray  # (P, 2) where the point is believed to come from


def field(ref: str | Denoiser, places: np.ndarray, time: int, condition: object = None) -> Field:
    """The score that a network gives at places of the plane, −ε / √(1 − ᾱ).

    places: (P, 2), on the scale of states. time: of the forward process, 0 to T − 1.
    Raises ExplorerError for a network of another kind, and for a time that there isn't.
    Source: Song et al. 2021 (score-based), section 3; Ho et al. 2020, equation 12.
    """
    model = opened(ref)
    if model.x_shape != (2,):
        raise ExplorerError(f"A field of {model.card.ref}", "its states are no points of the plane", "Choose another")
    shares = alphas_bar(model.config)
    if not 0 <= time < len(shares):
        raise ExplorerError(f"The time {time}", f"there are 0 to {len(shares) - 1}", "Choose one between")
    predicts = model.config.get("prediction_type", "epsilon")
    share, x = float(shares[time]), torch.tensor(np.asarray(places), dtype=torch.float32, device=model.device)
    with model.borrow() as parts, torch.inference_mode():
        asked = model.ask(parts, condition, len(x))
        given = x / float(factor(np.array(share), "straight")) if predicts == FLOW else x
        at = told(model.config, torch.tensor(time, device=model.device))
        answer = model.quick(parts, given, at, asked.given).cpu().numpy()
    states = np.asarray(places, np.float32)
    clean, noise = meaning(states[None], answer[None], predicts, np.array([share]))
    return Field(share, states, -noise[0] / (1 - share) ** 0.5, clean[0])


def ideal(data: np.ndarray, places: np.ndarray, alpha_bar: float) -> Field:
    """The score that the best possible network gives which knows these examples and nothing else.

    data: (N, d) clean examples. places: (P, d) states. Each state may have come from any example, the near ones rather:
    what is believed clean is their mean, weighed by how likely each is. A network that has learned exactly this can
    only copy. Source: Karras et al. 2022, appendix B.3, equations 56 and 57.
    """
    signal, variance = alpha_bar**0.5, 1 - alpha_bar
    data, places = np.asarray(data, float), np.asarray(places, float)
    clean = np.empty_like(places)
    rows = max(1, CHUNK // len(data))
    for start in range(0, len(places), rows):
        part = places[start : start + rows]
        far = ((part[:, None] - signal * data[None]) ** 2).sum(2) / (2 * variance)  # (rows, N)
        weights = np.exp(far.min(1, keepdims=True) - far)
        clean[start : start + rows] = weights @ data / weights.sum(1, keepdims=True)
    return Field(alpha_bar, places, (signal * clean - places) / variance, clean)


def follow(
    data: np.ndarray, noise: np.ndarray, alphas_bar: np.ndarray, on_step: Callable[[float], None] = lambda share: None
) -> np.ndarray:
    """Points on their way from noise as the best possible network leads them, by DDIM: (E + 1, N, 2).

    data: (M, 2) the examples that it knows. noise: (N, 2). alphas_bar: (E + 1,) of the states, as a trajectory has it.
    """
    states = [np.asarray(noise, float)]
    for at, (now, after) in enumerate(pairwise(map(float, alphas_bar))):
        clean = ideal(data, states[-1], now).clean
        epsilon = (states[-1] - now**0.5 * clean) / (1 - now) ** 0.5
        states.append(after**0.5 * clean + (1 - after) ** 0.5 * epsilon)
        on_step((at + 1) / (len(alphas_bar) - 1))
    return np.stack(states)


def density(data: np.ndarray, places: np.ndarray, alpha_bar: float) -> np.ndarray:
    """The logarithm of the density of noised examples at places, (P,), in nats."""
    signal, variance = alpha_bar**0.5, 1 - alpha_bar
    data, places = np.asarray(data, float), np.asarray(places, float)
    far = ((places[:, None] - signal * data[None]) ** 2).sum(2) / (2 * variance)  # (P, N)
    least = far.min(1)
    summed = np.log(np.exp(least[:, None] - far).mean(1)) - least
    return summed - 0.5 * data.shape[1] * np.log(2 * np.pi * variance)
