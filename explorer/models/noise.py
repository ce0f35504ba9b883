"""The forward process that a denoiser learns to undo: how much noise at which time, and what it is asked there."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

FLOW = "flow"  # a network of flow matching: data and noise are joined by a straight line


def alphas_bar(plan: Mapping[str, Any]) -> np.ndarray:
    """The share ᾱ of the variance that is signal at each of T times, (T,) float32, of a scheduler's config.

    Of flow matching the states (1 − σ) x₀ + σ ε, σ = 1/T to 1, are meant, scaled to variance 1.
    """
    if plan.get("prediction_type") == FLOW:
        sigma = (np.arange(plan["num_train_timesteps"]) + 1) / plan["num_train_timesteps"]
        return ((1 - sigma) ** 2 / ((1 - sigma) ** 2 + sigma**2)).astype(np.float32)
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(dict(plan)).alphas_cumprod.numpy()


def told(plan: Mapping[str, Any], time: Tensor) -> Tensor:
    """How a network is told the time number 0 to T − 1: as it is; of flow matching as 1000 σ, as diffusers does."""
    return time + 1 if plan.get("prediction_type") == FLOW else time


def question(plan: Mapping[str, Any], x: Tensor, noise: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The state that a network is given, and what it should answer, both of the shape of x (N, …).

    shares: ᾱ, (N,). Sources: Ho et al. 2020, equations 4 and 14; Salimans and Ho 2022, appendix D (v_prediction);
    Lipman et al. 2023, equations 22 and 23 (flow matching, time running from data to noise).
    """
    share = shares.view(-1, *(1,) * (x.ndim - 1))
    signal, spread = share.sqrt(), (1 - share).sqrt()
    state = signal * x + spread * noise
    predicts = plan.get("prediction_type", "epsilon")
    if predicts == FLOW:
        return state / (signal + spread), noise - x
    answers = {"epsilon": noise, "sample": x, "v_prediction": signal * noise - spread * x}
    return state, answers[predicts]
