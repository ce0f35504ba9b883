"""LIME: a linear model of what the pieces do together."""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnLasso
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import BASELINE, segments
from explorer.attribution.methods.feature_ablation import SEGMENTS, spread
from explorer.params import LogSlider, Slider


def price(shape: tuple[int, ...], samples: int, **settings: Any) -> int:
    """One pass a sample."""
    return samples


@register("lime", "LIME", price, random=True, fast=False, family="perturbation")
def lime(
    case: Case,
    samples: Annotated[int, Slider(20, 1000, step=20, help="Pictures with about half of the pieces taken out.")] = 200,
    pieces: Annotated[int, SEGMENTS] = 40,
    penalty: Annotated[float, LogSlider(1e-4, 1, help="Of the lasso: the higher, the fewer pieces count.")] = 0.01,
    baseline: Annotated[str, BASELINE] = "mean colour",
) -> Tensor:
    """Take out pieces at random, many times, and fit the simplest linear model of what that does to the score.

    Source: Ribeiro, Singh and Guestrin 2016, "Why should I trust you?", section 3.
    """
    mask = torch.from_numpy(segments(case.picture, pieces))[None, None].to(case.x.device)  # (1, 1, H, W)

    def halves(original: Tensor, num_interp_features: int, **about: Any) -> Iterator[Tensor]:
        odds = torch.full((1, num_interp_features), 0.5)
        while not case.out_of_time:
            yield torch.bernoulli(odds, generator=case.generator).long().to(original.device)

    effect = attr.Lime(case.score, SkLearnLasso(alpha=penalty), perturb_func=halves).attribute(
        case.x,
        case.baseline(baseline),
        feature_mask=mask,
        n_samples=samples,
        perturbations_per_eval=case.batch,
    )
    return spread(effect, mask)
