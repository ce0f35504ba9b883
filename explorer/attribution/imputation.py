"""Fill in the pixels that were taken out, without giving the class away by the shape of the hole."""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from explorer.turns import TURNS

NOISE = 0.01  # deviation of what is added, in the normalised units of the network's input
TOLERANCE, ROUNDS = 5e-4, 400
LOOK = 8  # rounds between two looks at which pictures are solved
BESIDE, ACROSS = 1 / 6, 1 / 12  # weights of the neighbours that share an edge, and of those that share a corner


def impute(x: Tensor, removed: Tensor, noise: Tensor | None = None) -> Tensor:
    """Pictures whose removed pixels are the weighted means of their eight neighbours, and a little noise.

    x: (1, C, H, W). removed: (N, H, W) bool. noise: (N, C, H, W) to add there. Returns (N, C, H, W).
    A constant in the place of what was removed would draw its outline, from which a network can tell the class; a
    smooth continuation does not. Solved by conjugate gradients. Where all is removed, what is left is 0, the mean.
    Source: Rong et al. 2022, "A consistent and efficient evaluation strategy for attribution methods" (ROAD), section
    4.2, "noisy linear imputation".
    """
    hole = removed[:, None].to(x.dtype)  # (N, 1, H, W)
    known = x * (1 - hole)  # (N, C, H, W)
    within = hole * _neighbours(torch.ones_like(hole))  # the sums of the weights that lie inside the picture
    found, rest = torch.zeros_like(known), torch.arange(len(known), device=x.device)
    guess, residual = torch.zeros_like(known), hole * _neighbours(known)
    size = _dot(residual, residual)
    state = rest, guess, residual, residual.clone(), size, TOLERANCE**2 * size, hole, within
    go_on = _graph(known.shape[1], known.dtype, known.device)
    for _ in range(ROUNDS // LOOK):
        TURNS.look()
        state = go_on(found, *state)
        if not len(state[0]):
            break
    filled = known + hole * found
    return filled if noise is None else filled + hole * noise


@functools.cache
def _graph(channels: int, dtype: torch.dtype, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    """`_go_on` without Python, for which each of its hundred little operations would wait beside a busy page.

    The weights of the neighbours are written into it, as they are of that type and there.
    """
    with torch.device(device):
        found, guess, residual, direction = (torch.ones(2, channels, 8, 8, dtype=dtype) for _ in range(4))
        size, hole = torch.ones(2, channels, 1, 1, dtype=dtype), torch.ones(2, 1, 8, 8, dtype=dtype)
        state = torch.arange(2), guess, residual, direction, size, 0 * size, hole, hole
        return torch.jit.trace(_go_on, (found, *state), check_trace=False)


def _go_on(
    found: Tensor, rest: Tensor, guess: Tensor, residual: Tensor, direction: Tensor, size: Tensor, enough: Tensor,
    inside: Tensor, within: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """LOOK rounds of conjugate gradients; writes the guesses into `found`, gives the state of what isn't solved yet.

    found: (N, C, H, W). rest: (M,) the places in it of those that are not solved yet, to which all others belong.
    """
    for _ in range(LOOK):
        image = (within * direction).addcmul_(inside, _neighbours(direction), value=-1)  # of what is 0 outside the hole
        step = size / _dot(direction, image).clamp_min(1e-30)
        guess.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        fresh = _dot(residual, residual)
        direction.mul_(fresh / size.clamp_min(1e-30)).add_(residual)
        size = fresh
    found[rest] = guess
    going = (size > enough).flatten(1).any(1)
    return tuple(part[going] for part in (rest, guess, residual, direction, size, enough, inside, within))


def _neighbours(values: Tensor) -> Tensor:
    """The weighted sum of each pixel's eight neighbours; beyond the edge there is nothing."""
    channels = values.shape[1]
    kernel = values.new_tensor([[ACROSS, BESIDE, ACROSS], [BESIDE, 0.0, BESIDE], [ACROSS, BESIDE, ACROSS]])
    kernel = kernel.expand(channels, 1, 3, 3)
    return torch.nn.functional.conv2d(values, kernel, padding=1, groups=channels)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """One inner product for each picture and channel, (N, C, 1, 1)."""
    return (a * b).sum((2, 3), keepdim=True)


def removals(scores: np.ndarray, shares: np.ndarray, rng: np.random.Generator, least: bool = False) -> np.ndarray:
    """The most important pixels (or the least) for each share of the picture, (shares, H, W) bool.

    Pixels of equal score come in random order, so that a map of few levels has no advantage from where it begins.
    """
    flat = scores.ravel() if least else -scores.ravel()
    order = np.lexsort((rng.random(flat.size), flat))
    rank = np.empty(flat.size, int)
    rank[order] = np.arange(flat.size)
    return (rank < np.round(shares * flat.size)[:, None]).reshape(-1, *scores.shape)
