"""GradientSHAP."""

from typing import Annotated, Any

import torch
from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import NAMES
from explorer.params import Slider


def price(shape: tuple[int, ...], samples: int, **settings: Any) -> int:
    """One pass a sample."""
    return samples


@register("gradient_shap", "GradientSHAP", price, random=True)
def gradient_shap(
    case: Case,
    samples: Annotated[int, Slider(2, 200, help="Random points on ways from a random baseline to the picture.")] = 32,
    noise: Annotated[float, Slider(0.0, 0.5, step=0.01, help="Of each point, as a share of the range of values.")] = (
        0.05
    ),
) -> Tensor:
    """Integrated gradients from many empty pictures at once: an estimate of each pixel's Shapley value.

    The baselines are the mean colour, black, white and the blurred picture.
    Source: Lundberg and Lee 2017, "A unified approach to interpreting model predictions"; the gradient form is that
    of the SHAP library.
    """
    baselines = torch.cat([case.baseline(name) for name in NAMES])  # (4, C, H, W)
    deviation = noise * float(case.x.amax() - case.x.amin())
    starts = torch.randint(len(NAMES), (samples,), generator=case.generator)  # all now: batches may differ in size
    shares = torch.rand(samples, 1, 1, 1, generator=case.generator)
    total, done = torch.zeros_like(case.x), 0
    while done < samples and not (done and case.out_of_time):
        count = min(case.batch, samples - done)
        which, share = starts[done : done + count], shares[done : done + count].to(case.x)
        spread = torch.full((count, *case.x.shape[1:]), deviation)
        noisy = case.x + torch.normal(0.0, spread, generator=case.generator).to(case.x)
        start = baselines[which.to(baselines.device)]
        point = share * noisy + (1 - share) * start
        gradient = attr.Saliency(case.score).attribute(point, abs=False)
        total += ((noisy - start) * gradient).sum(0, keepdim=True)
        done += count
    return total / done
