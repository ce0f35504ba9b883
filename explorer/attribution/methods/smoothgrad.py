"""SmoothGrad: saliency, averaged over noisy copies."""

from typing import Annotated, Any

import torch
from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.params import Slider


def price(shape: tuple[int, ...], samples: int, **settings: Any) -> int:
    """One pass a copy."""
    return samples


@register("smoothgrad", "SmoothGrad", price, random=True)
def smoothgrad(
    case: Case,
    samples: Annotated[int, Slider(2, 100, help="Noisy copies of the picture.")] = 16,
    noise: Annotated[float, Slider(0.01, 0.5, step=0.01, help="Its deviation, as a share of the range of values.")] = (
        0.15
    ),
) -> Tensor:
    """Saliency without its flicker: the mean over copies of the picture with a little noise.

    Source: Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise", section 3.
    """
    deviation = noise * float(case.x.amax() - case.x.amin())
    total, done = torch.zeros_like(case.x), 0
    while done < samples and not (done and case.out_of_time):
        count = min(case.batch, samples - done)
        spread = torch.full((count, *case.x.shape[1:]), deviation)
        noisy = case.x + torch.normal(0.0, spread, generator=case.generator).to(case.x)
        total += attr.Saliency(case.score).attribute(noisy).sum(0, keepdim=True)
        done += count
    return total / done
