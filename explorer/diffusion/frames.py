"""A trajectory as pictures: what each state, each believed picture and each predicted noise looks like."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from explorer.diffusion.base import Trajectory
from explorer.turns import TURNS
from explorer.zoo.denoiser import Denoiser

ACROSS = 5  # samples in a row
DECODED = 16 * 32 * 32  # pixels that are decoded at once: a large autoencoder takes some kilobytes for each
SLIGHTLY = 1.25  # a believed picture that goes no further beyond ±1 is shown like a real one
SPREAD = 3.0  # deviations of noise that fit into a picture


@dataclass(frozen=True, eq=False)
class Frames:
    """One picture a frame, made so that values can be read from it."""

    pictures: np.ndarray  # (F, H, W, C) uint8
    limits: np.ndarray  # (F,) the value that 255 stands for; 0 stands for its negative

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        return self.pictures.nbytes


def states(model: Denoiser, past: Trajectory) -> Frames:
    """The states, (E + 1) frames: latents as the autoencoder unpacks them, pixels on a scale that noise fits into."""
    shares = past.alphas_bar
    if model.latent:
        return _unpacked(model, past.shown)
    limits = np.maximum(1.0, SPREAD * np.sqrt(1 - shares))  # grows with the share of noise in them
    return _scaled(past.shown, limits)


def believed(model: Denoiser, past: Trajectory) -> Frames:
    """The clean picture that the network believes in at each evaluation, and at the end what came of it."""
    clean = np.concatenate([past.clean, past.shown[-1:]])
    if model.latent:
        return _unpacked(model, clean)
    sizes = np.array([np.percentile(np.abs(one), 99.5) for one in clean])
    return _scaled(clean, np.where(sizes < SLIGHTLY, 1.0, np.minimum(sizes, SPREAD)))


def noises(model: Denoiser, past: Trajectory) -> Frames:
    """The noise that the network saw at each evaluation; of latents their channels side by side."""
    noise = np.concatenate([past.noise, past.noise[-1:]])
    return _scaled(mosaic(noise) if model.latent else noise, np.full(len(noise), SPREAD))


def vectors(model: Denoiser, past: Trajectory) -> Frames | None:
    """The guidance vector at each evaluation, each on a scale of its own; None without guidance."""
    vector = past.guidance_vector
    if vector is None:
        return None
    vector = np.concatenate([vector, vector[-1:]])
    limits = np.array([max(float(np.abs(one).max()), 1e-6) for one in vector])
    return _scaled(mosaic(vector) if model.latent else vector, limits)


def mosaic(x: np.ndarray) -> np.ndarray:
    """Channels as one grey picture each, in two rows: (…, C, H, W) → (…, 1, 2 H, C / 2 W)."""
    *others, channels, height, width = x.shape
    rows = 2 if channels % 2 == 0 else 1
    tiles = x.reshape(*others, rows, channels // rows, height, width)
    return np.moveaxis(tiles, -3, -2).reshape(*others, 1, rows * height, channels // rows * width)


def _scaled(x: np.ndarray, limits: np.ndarray) -> Frames:
    """Values (F, N, C, H, W) between ± the limit of their frame as bytes; samples side by side."""
    wide = limits.reshape(-1, 1, 1, 1, 1)
    pixels = np.clip(np.rint((x / wide + 1) * 127.5), 0, 255).astype(np.uint8)
    if pixels.shape[2] not in (1, 3):
        pixels = mosaic(pixels)
    return Frames(side_by_side(np.moveaxis(pixels, 2, -1)), limits)


def _unpacked(model: Denoiser, x: np.ndarray) -> Frames:
    """Latents (F, N, C, h, w) as pictures."""
    count = x.shape[1]
    pixels = decoded(model, x.reshape(-1, *x.shape[2:]))
    return Frames(side_by_side(pixels.reshape(-1, count, *pixels.shape[1:])), np.ones(len(x)))


def decoded(model: Denoiser, x: np.ndarray) -> np.ndarray:
    """Clean states (N, …) as pictures (N, H, W, C) uint8, or points, a few at a time."""
    few = max(1, DECODED // math.prod(model.card.shape[1:]))
    with model.borrow() as parts, torch.inference_mode():
        pixels = []
        for part in torch.tensor(x).split(few):
            TURNS.look()
            pixels.append(model.decode(parts, part.to(model.device)))
        return np.concatenate(pixels)


def side_by_side(pixels: np.ndarray) -> np.ndarray:
    """Samples (F, N, H, W, C) in rows of five, with a pixel of mid grey between them: (F, …, …, C)."""
    frames, count, height, width, channels = pixels.shape
    if count == 1:
        return pixels[:, 0]
    columns = min(count, ACROSS)
    rows = -(-count // columns)
    sheet = np.full((frames, rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 128, np.uint8)
    for number in range(count):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        sheet[:, top : top + height, left : left + width] = pixels[:, number]
    return sheet
