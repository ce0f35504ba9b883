"""A small network that tells noise from points in the plane, at any time of the diffusion."""

import math
from types import SimpleNamespace

import torch
from torch import Tensor, nn

WAVES = (1.0, 2.0, 4.0, 8.0)  # radians for a length of 1


class PointsDenoiser(nn.Module):
    """Points with noise on them, and how late it is → the noise.

    width: of each of `depth` hidden layers. num_class_embeds: classes that it is told apart, the last of them for no
    class; None tells none. Places are given as waves too, so that fine shapes can be learned (Tancik et al. 2020); the
    time enters each layer as a scale and a shift (Perez et al. 2018).
    """

    def __init__(self, width: int = 128, depth: int = 3, num_class_embeds: int | None = None) -> None:
        super().__init__()
        self.config = SimpleNamespace(width=width, depth=depth, num_class_embeds=num_class_embeds)
        self.lift = nn.Linear(2 + 4 * len(WAVES), width)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.class_embedding = nn.Embedding(num_class_embeds, width) if num_class_embeds else None
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.films = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.out = nn.Linear(width, 2)

    def forward(self, x: Tensor, time: Tensor, class_labels: Tensor | None = None) -> Tensor:  # (N, 2) → (N, 2)
        when, rows = self.time(waves(time.reshape(-1))), slice(None)  # (N, width), or (1, width): one time for all
        if self.class_embedding is not None and class_labels is not None:
            if time.ndim:
                when = when + self.class_embedding(class_labels)
            else:  # each class is worked out once, however many points it has
                when, rows = when + self.class_embedding.weight, class_labels  # (classes, width)
        angles = (x[:, :, None] * x.new_tensor(WAVES)).flatten(1)  # (N, 2 · waves)
        h = self.lift(torch.cat([x, angles.sin(), angles.cos()], 1))
        for layer, film in zip(self.layers, self.films, strict=True):
            scale, shift = film(nn.functional.silu(when)).chunk(2, -1)
            h = h + nn.functional.silu(torch.addcmul(shift[rows], layer(h), 1 + scale[rows]))
        return self.out(h)


def waves(time: Tensor, width: int = 64) -> Tensor:
    """Times (N,) as sines and cosines of ever slower waves, (N, width) (Vaswani et al. 2017, section 3.5)."""
    speeds = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=time.device) / (width // 2))
    angles = time.float()[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], 1)
