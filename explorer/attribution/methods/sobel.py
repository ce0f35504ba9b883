"""An edge map: what can be known without the network."""

import torch
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.methods.random import price


@register("sobel", "Sobel edges", price, target=False, family="no network at all")
def sobel(case: Case) -> Tensor:
    """The edges of the picture, found without the network: a map that looks like this may be explaining the picture.

    Source: the comparison is that of Adebayo et al. 2018, "Sanity checks for saliency maps", section 5.
    """
    grey = case.x.mean(1, keepdim=True)  # (1, 1, H, W)
    across = grey.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None]  # (2, 1, 3, 3)
    slopes = torch.nn.functional.conv2d(torch.nn.functional.pad(grey, (1,) * 4, mode="replicate"), kernels)
    return slopes.norm(dim=1, keepdim=True)
