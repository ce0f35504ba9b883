"""How fast a picture dissolves into noise: schedules, the closed form, and noising step by step."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from explorer.registry import Registry

SCHEDULES = Registry("noise schedule")
STEPS = 1000  # of the forward process


@dataclass(frozen=True, eq=False)
class Schedule:
    """How much noise each of T steps adds."""

    name: str
    betas: np.ndarray  # (T,) variance that a step adds, 0 to 1

    @property
    def alphas_bar(self) -> np.ndarray:
        """(T,) the share ᾱ of the variance at t that is still the picture (Ho et al. 2020, equation 4)."""
        return np.cumprod(1 - self.betas)

    @property
    def snr(self) -> np.ndarray:
        """(T,) signal-to-noise ratio ᾱ / (1 − ᾱ) (Kingma et al. 2021, section 3.1)."""
        return self.alphas_bar / (1 - self.alphas_bar)


def schedule(name: str, steps: int = STEPS) -> Schedule:
    """The noise schedule of that name over so many steps; raises ExplorerError for a name that there isn't."""
    return Schedule(name, np.asarray(SCHEDULES[name].make(steps), float))


@SCHEDULES.register("linear", title="Linear", paper="https://arxiv.org/abs/2006.11239")
def linear(steps: int) -> np.ndarray:
    """Each step adds a little more noise than the one before (Ho et al. 2020, section 4)."""
    return np.linspace(1e-4, 0.02, steps)


@SCHEDULES.register("scaled_linear", title="Scaled linear", paper="https://arxiv.org/abs/2112.10752")
def scaled_linear(steps: int) -> np.ndarray:
    """Linear in the deviation instead of the variance, as latent diffusion has it (Rombach et al. 2022)."""
    return np.linspace(0.00085**0.5, 0.012**0.5, steps) ** 2


@SCHEDULES.register("squaredcos_cap_v2", title="Squared cosine", paper="https://arxiv.org/abs/2102.09672")
def squared_cosine(steps: int) -> np.ndarray:
    """The picture fades along a squared cosine, slowly at both ends (Nichol and Dhariwal 2021, equation 17)."""

    def kept(share: np.ndarray) -> np.ndarray:
        return np.cos((share + 0.008) / 1.008 * np.pi / 2) ** 2

    at = np.arange(steps + 1) / steps
    return np.minimum(1 - kept(at[1:]) / kept(at[:-1]), 0.999)


@SCHEDULES.register("sigmoid", title="Sigmoid", paper="https://arxiv.org/abs/2203.02923")
def sigmoid(steps: int) -> np.ndarray:
    """Noise grows along a sigmoid (Xu et al. 2022, GeoDiff)."""
    return 1 / (1 + np.exp(-np.linspace(-6, 6, steps))) * (0.02 - 1e-4) + 1e-4


def noised(clean: np.ndarray, noise: np.ndarray, alpha_bar: float | np.ndarray) -> np.ndarray:
    """The picture at the time whose share of signal is `alpha_bar`, in one go: √ᾱ x₀ + √(1 − ᾱ) ε.

    clean, noise: of any, the same, shape. Source: Ho et al. 2020, equation 4.
    """
    return np.sqrt(alpha_bar) * clean + np.sqrt(1 - alpha_bar) * noise


def dissolve(
    clean: np.ndarray, betas: np.ndarray, seed: int = 0, at: Collection[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The picture noised step by step, xₜ = √(1 − β) xₜ₋₁ + √β z, and the noise as the closed form has it.

    at: after how many steps, 0 to T, in order; None after each. Both are (steps, …). The second is what ε `noised`
    needs to give the same state: the z of all steps so far, weighed and summed; after 0 steps it is 0.
    Source: Ho et al. 2020, equation 2.
    """
    rng, wanted = np.random.default_rng(seed), range(len(betas) + 1) if at is None else set(at)
    state = np.asarray(clean, float)
    alpha_bar, total = 1.0, np.zeros_like(state)  # total: √(1 − ᾱ) ε
    states, summed = [], []
    for step in range(len(betas) + 1):
        if step:
            beta, z = betas[step - 1], rng.normal(size=state.shape)
            state = np.sqrt(1 - beta) * state + np.sqrt(beta) * z
            total = np.sqrt(1 - beta) * total + np.sqrt(beta) * z
            alpha_bar *= 1 - beta
        if step in wanted:
            states.append(state)
            summed.append(total / np.sqrt(1 - alpha_bar) if step else total)
    return np.stack(states), np.stack(summed)
