"""Occlusion: slide a patch over the picture."""

import math
from typing import Annotated, Any

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import BASELINE
from explorer.params import Slider


def sides(shape: tuple[int, ...], window: float, stride: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels of the window and of one step, each (rows, columns)."""
    size = tuple(max(1, round(window * side)) for side in shape[1:])
    return size, tuple(max(1, round(stride * side)) for side in size)


def price(shape: tuple[int, ...], window: float, stride: float, **settings: Any) -> int:
    """One pass for each place of the window, and one without."""
    size, step = sides(shape, window, stride)
    places = (math.ceil((side - part) / by) + 1 for side, part, by in zip(shape[1:], size, step, strict=True))
    return math.prod(places) + 1


@register("occlusion", "Occlusion", price, fast=False, family="perturbation")
def occlusion(
    case: Case,
    window: Annotated[float, Slider(0.05, 0.5, step=0.05, help="Of the patch, as a share of the picture's side.")] = (
        0.15
    ),
    stride: Annotated[float, Slider(0.25, 1.0, step=0.25, help="Of each move, as a share of the patch.")] = 0.5,
    baseline: Annotated[str, BASELINE] = "mean colour",
) -> Tensor:
    """How much the score falls when a patch covers this place.

    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2.
    """
    size, step = sides(tuple(case.x.shape[1:]), window, stride)
    channels = case.x.shape[1]
    return attr.Occlusion(case.score).attribute(
        case.x,
        sliding_window_shapes=(channels, *size),
        strides=(channels, *step),
        baselines=case.baseline(baseline),
        perturbations_per_eval=case.batch,
    )
