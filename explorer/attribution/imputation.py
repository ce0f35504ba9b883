"""Fill in the pixels that were taken out, without giving the class away by the shape of the hole."""

import numpy as np
import torch
from torch import Tensor

NOISE = 0.01  # deviation of what is added, in the normalised units of the network's input
TOLERANCE, ROUNDS = 1e-3, 400
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
    ones = torch.ones_like(hole)
    sums = _neighbours(ones)  # of the weights that lie inside the picture

    def apply(values: Tensor) -> Tensor:
        return hole * (sums * values - _neighbours(values))

    target = hole * _neighbours(known)
    guess = torch.zeros_like(known)
    residual = target.clone()
    direction = residual.clone()
    size = _dot(residual, residual)
    enough = TOLERANCE**2 * size
    for _ in range(ROUNDS):
        if bool((size <= enough).all()):
            break
        image = apply(direction)
        step = size / _dot(direction, image).clamp_min(1e-30)
        guess += step * direction
        residual -= step * image
        fresh = _dot(residual, residual)
        direction = residual + fresh / size.clamp_min(1e-30) * direction
        size = fresh
    filled = known + hole * guess
    return filled if noise is None else filled + hole * noise


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
