"""What sampling leaves: every state on the way from noise, and what the network believed at each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Trajectory:
    """N samples on their way through E evaluations of the network, each of some shape: (C, H, W), or (2,) for points.

    States are as the sampler has them; those of some samplers grow with the noise. `shown` has all on one scale.
    """

    ref: str
    sampler: str
    steps: int
    guidance: float
    seeds: tuple[int, ...]  # (N,) of each sample's first noise, and of all that is drawn later
    conditions: tuple[str, ...]  # (N,) what each was to become, in words; "" nothing
    avoid: str  # what guidance led away from; "" nothing
    timesteps: np.ndarray  # (E,) the time at which the network was asked, from about 1000 down
    alphas_bar: np.ndarray  # (E + 1,) the share of a state's variance that is signal; 1 at the end
    x: np.ndarray  # (E + 1, N, …) float32, the first is noise
    answers: np.ndarray  # (E, N, …) what the network said, guidance in it
    knowing: np.ndarray | None  # (E, N, …) what it said knowing the condition; None without guidance
    without: np.ndarray | None  # (E, N, …) and not knowing it, or knowing what is to be avoided
    predicts: str  # what the answers are: epsilon | v_prediction | sample
    exploding: bool  # whether states are whole pictures with ever more noise on them
    unknown: tuple[str, ...]  # words of a prompt that the network has never seen
    cut: int  # tokens that a prompt was too long by
    seconds: float

    @cached_property
    def shown(self) -> np.ndarray:
        """(E + 1, N, …) states on one scale: √ᾱ x₀ + √(1 − ᾱ) ε."""
        return self.x * _wide(np.sqrt(self.alphas_bar), self.x) if self.exploding else self.x

    @cached_property
    def clean(self) -> np.ndarray:
        """(E, N, …) the x₀ that the network believed in, guidance in it."""
        return self._meaning(self.answers)[0]

    @cached_property
    def noise(self) -> np.ndarray:
        """(E, N, …) the noise that the network saw, guidance in it."""
        return self._meaning(self.answers)[1]

    @cached_property
    def guidance_vector(self) -> np.ndarray | None:
        """(E, N, …) the noise seen with the condition minus without it; None without guidance."""
        if self.knowing is None:
            return None
        return self._meaning(self.knowing)[1] - self._meaning(self.without)[1]

    def _meaning(self, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return meaning(self.shown[:-1], answers, self.predicts, self.alphas_bar[:-1])


def meaning(shown: np.ndarray, answers: np.ndarray, predicts: str, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clean picture and the noise that answers mean (Salimans and Ho 2022, appendix D).

    shown, answers: (E, …), states on one scale. predicts: epsilon | v_prediction | sample. shares: ᾱ, (E,).
    """
    signal, noise = _wide(np.sqrt(shares), shown), _wide(np.sqrt(1 - shares), shown)
    if predicts == "epsilon":
        return (shown - noise * answers) / signal, answers
    if predicts == "sample":
        return answers, (shown - signal * answers) / noise
    return signal * shown - noise * answers, signal * answers + noise * shown


def _wide(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Values (E,) against arrays (E, N, …)."""
    return values.astype(np.float32).reshape(-1, *(1,) * (like.ndim - 1))
