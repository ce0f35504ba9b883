"""One step back, written to be read: DDPM and DDIM. Sampling itself uses diffusers' schedulers, which do the same."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Move:
    """One step from xₜ to xₛ, s < t, with all that it was made of."""

    clean: Tensor  # the x₀ that the network believes in
    to_clean: float  # what x₀ is multiplied by
    to_state: float  # what xₜ is multiplied by
    to_noise: float  # what the predicted noise is multiplied by
    deviation: float  # of the fresh noise
    state: Tensor  # xₛ


def believed(state: Tensor, noise: Tensor, alpha_bar: float) -> Tensor:
    """The clean picture that a state and its predicted noise mean: (xₜ − √(1 − ᾱ) ε) / √ᾱ (Song et al. 2021, eq. 9)."""
    return (state - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5


def ddpm(
    state: Tensor, noise: Tensor, alpha_bar: float, alpha_bar_next: float, fresh: Tensor, clip: float | None = None
) -> Move:
    """Towards the mean of what xₛ may have been, plus fresh noise.

    state: xₜ. noise: ε as predicted. alpha_bar, alpha_bar_next: ᾱ at t and at s, which is 1 at the end.
    fresh: standard normal. clip: x₀ is held within ± this.
    Source: Ho et al. 2020, equations 6, 7 and 15, with the smaller of their variances.
    """
    clean = believed(state, noise, alpha_bar)
    if clip is not None:
        clean = clean.clamp(-clip, clip)
    alpha = alpha_bar / alpha_bar_next
    to_clean = alpha_bar_next**0.5 * (1 - alpha) / (1 - alpha_bar)
    to_state = alpha**0.5 * (1 - alpha_bar_next) / (1 - alpha_bar)
    deviation = ((1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha)) ** 0.5
    return Move(clean, to_clean, to_state, 0.0, deviation, to_clean * clean + to_state * state + deviation * fresh)


def ddim(
    state: Tensor,
    noise: Tensor,
    alpha_bar: float,
    alpha_bar_next: float,
    fresh: Tensor | None = None,
    eta: float = 0.0,
    clip: float | None = None,
) -> Move:
    """To the believed picture, noised again with the very noise that was predicted, so that nothing is left to chance.

    eta: between 0 (no fresh noise) and 1 (as much as DDPM). The rest as of `ddpm`.
    Source: Song et al. 2021, equations 12 and 16.
    """
    clean = believed(state, noise, alpha_bar)
    if clip is not None:
        clean = clean.clamp(-clip, clip)
    deviation = eta * ((1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_next)) ** 0.5
    to_clean, to_noise = alpha_bar_next**0.5, (1 - alpha_bar_next - deviation**2) ** 0.5
    after = to_clean * clean + to_noise * noise
    if eta:
        after = after + deviation * fresh
    return Move(clean, to_clean, 0.0, to_noise, deviation, after)
