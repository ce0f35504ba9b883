"""Feature ablation over superpixels."""

from typing import Annotated, Any

import torch
from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import BASELINE, segments
from explorer.params import Slider

SEGMENTS = Slider(4, 200, label="Superpixels", help="Pieces of one colour into which the picture is cut, at most.")


def price(shape: tuple[int, ...], pieces: int, **settings: Any) -> int:
    """One pass a piece, and one with all of them; SLIC may make some fewer pieces."""
    return pieces + 1


@register("feature_ablation", "Superpixel ablation", price, fast=False, family="perturbation")
def feature_ablation(
    case: Case, pieces: Annotated[int, SEGMENTS] = 40, baseline: Annotated[str, BASELINE] = "mean colour"
) -> Tensor:
    """How much the score falls when one piece of the picture is taken out, piece by piece.

    Source: Robnik-Šikonja and Kononenko 2008, "Explaining classifications for individual instances", section 3.
    """
    mask = torch.from_numpy(segments(case.picture, pieces))[None, None].to(case.x.device)  # (1, 1, H, W)
    effect = attr.FeatureAblation(case.score).attribute(
        case.x, case.baseline(baseline), feature_mask=mask, perturbations_per_eval=case.batch
    )
    return spread(effect, mask)


def spread(effect: Tensor, mask: Tensor) -> Tensor:
    """Share what a piece does among its pixels, so that the map adds up to the pieces' effects: (1, 1, H, W).

    effect: (1, C, H, W), the same for every pixel and channel of a piece. mask: (1, 1, H, W), the pieces by number.
    """
    sizes = mask.flatten().bincount()  # (pieces,)
    return effect[:, :1] / sizes[mask]
