"""Pictures that say nothing, which several methods compare with."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from explorer.params import Choice

if TYPE_CHECKING:
    from explorer.attribution.base import Case

NAMES = ("mean colour", "black", "white", "blurred")
BASELINE = Choice(NAMES, label="Baseline", help="What stands where nothing is shown: the picture is compared with it.")
BLUR = 1 / 8  # of the shorter side


def baseline(case: "Case", name: str) -> Tensor:
    """One of NAMES as the network takes it, (1, C, H, W); the mean colour is that of the training data."""
    mean, std = (
        torch.tensor(values, dtype=case.x.dtype, device=case.x.device).view(1, -1, 1, 1)
        for values in (case.model.card.mean, case.model.card.std)
    )
    if name == "blurred":
        return blurred(case.x)
    shade = {"mean colour": mean, "black": torch.zeros_like(mean), "white": torch.ones_like(mean)}[name]
    return ((shade - mean) / std).expand_as(case.x).clone()


def blurred(x: Tensor, share: float = BLUR) -> Tensor:
    """Pictures (N, C, H, W) under a Gaussian whose deviation is this share of the shorter side."""
    sigma = max(1.0, share * min(x.shape[-2:]))
    radius = min(round(3 * sigma), min(x.shape[-2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    padded = torch.nn.functional.pad(x, (radius,) * 4, mode="reflect")
    rows = torch.nn.functional.conv2d(padded, kernel[..., None, :], groups=x.shape[1])
    return torch.nn.functional.conv2d(rows, kernel[..., :, None], groups=x.shape[1])


def segments(picture: np.ndarray, count: int) -> np.ndarray:
    """At most `count` superpixels of a picture (H, W, C) uint8, (H, W) int64 from 0 on.

    Source: Achanta et al. 2012, "SLIC superpixels compared to state-of-the-art superpixel methods".
    """
    from skimage.segmentation import slic

    grey = picture.shape[-1] == 1
    image, compactness = (picture[..., 0], 0.1) if grey else (picture, 10)
    asked = count
    while True:
        pieces = slic(image, asked, compactness, start_label=0, channel_axis=None if grey else -1)
        found, pieces = np.unique(pieces, return_inverse=True)
        if len(found) > count:
            asked = asked * 3 // 4  # on very small pictures it makes more than it was asked for
        elif asked == count and len(found) < count / 4 and compactness < 1e4:
            compactness *= 10  # in noise it finds no piece of one colour: rather squares then
        else:
            return pieces.reshape(picture.shape[:2])
