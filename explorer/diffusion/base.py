"""What sampling leaves: every state on the way from noise, and what the network believed at each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Trajectory:
    """N samples on their way through E evaluations of the network, each of some shape: (C, H, W), or (2,) for points.

    States are as the sampler has them; of some samplers they grow with the noise. `shown` has all on one scale.
    """

    ref: str
    sampler: str
    steps: int
    guidance: float | tuple[float, ...]  # one for all, or (N,) one for each
    seeds: tuple[int, ...]  # (N,) of each sample's first noise, and of all that is drawn later
    conditions: tuple[str, ...]  # (N,) what each was to become, in words; "" nothing
    avoid: str  # what guidance led away from; "" nothing
    timesteps: np.ndarray  # (E,) the time at which the network was asked, from about 1000 down
    alphas_bar: np.ndarray  # (E + 1,) the share of a state's variance that is signal; 1 at the end
    x: np.ndarray  # (E + 1, N, …) float32, the first is noise
    answers: np.ndarray  # (E, N, …) what the network said, guidance in it
    knowing: np.ndarray | None  # (E, N, …) what it said knowing the condition; None without guidance
    without: np.ndarray | None  # (E, N, …) and not knowing it, or knowing what is to be avoided
    predicts: str  # what the answers are: epsilon | v_prediction | sample | flow
    scale: str  # of the states: preserving | exploding | straight, as `factor` has them
    unknown: tuple[str, ...]  # words of a prompt that the network has never seen
    cut: int  # tokens that a prompt was too long by
    seconds: float

    @property
    def sigmas(self) -> np.ndarray:
        """(E + 1,) the noise in each state for a signal of 1, √((1 − ᾱ) / ᾱ); infinite where there is no signal."""
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - self.alphas_bar) / self.alphas_bar)

    @cached_property
    def shown(self) -> np.ndarray:
        """(E + 1, N, …) states on one scale: √ᾱ x₀ + √(1 − ᾱ) ε."""
        return self.x if self.scale == "preserving" else self.x * _wide(factor(self.alphas_bar, self.scale), self.x)

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

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes, with all that is worked out from it."""
        held = (self.x, self.answers, self.knowing, self.without)
        return 2 * sum(array.nbytes for array in held if array is not None)

    def _meaning(self, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return meaning(self.shown[:-1], answers, self.predicts, self.alphas_bar[:-1])


def factor(shares: np.ndarray, scale: str) -> np.ndarray:
    """What states of so much signal are multiplied by to be √ᾱ x₀ + √(1 − ᾱ) ε, the variance preserved.

    shares: ᾱ. scale: exploding, states are x₀ + σ ε (Karras et al. 2022); straight, they are (1 − σ) x₀ + σ ε (Lipman
    et al. 2023, equation 22); preserving, they are so already.
    """
    signal, noise = np.sqrt(shares), np.sqrt(1 - shares)
    return {"preserving": np.ones_like(signal), "exploding": signal, "straight": signal + noise}[scale]


def meaning(shown: np.ndarray, answers: np.ndarray, predicts: str, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clean picture and the noise that answers mean (Salimans and Ho 2022, appendix D).

    shown, answers: (E, …), states on one scale. predicts: epsilon | v_prediction | sample | flow. shares: ᾱ, (E,).
    """
    signal, noise = _wide(np.sqrt(shares), shown), _wide(np.sqrt(1 - shares), shown)
    if predicts == "epsilon":
        return (shown - noise * answers) / signal, answers
    if predicts == "sample":
        return answers, (shown - signal * answers) / noise
    if predicts == "flow":  # the answer is ε − x₀, the state (1 − σ) x₀ + σ ε once it is divided by the factor
        state, sigma = shown / (signal + noise), noise / (signal + noise)
        return state - sigma * answers, state + (1 - sigma) * answers
    return signal * shown - noise * answers, signal * answers + noise * shown


def _wide(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Values (E,) against arrays (E, N, …)."""
    return values.astype(np.float32).reshape(-1, *(1,) * (like.ndim - 1))
