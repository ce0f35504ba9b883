"""Integrated gradients."""

from typing import Annotated, Any

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import BASELINE
from explorer.params import Slider


def price(shape: tuple[int, ...], steps: int, **settings: Any) -> int:
    """One pass a step."""
    return steps


@register("integrated_gradients", "Integrated gradients", price)
def integrated_gradients(
    case: Case,
    steps: Annotated[int, Slider(8, 200, help="Points on the way at which the gradient is taken.")] = 32,
    baseline: Annotated[str, BASELINE] = "mean colour",
) -> Tensor:
    """The gradient summed all the way from an empty picture to this one: the parts add up to the change of the score.

    Source: Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks", section 3.
    """
    return attr.IntegratedGradients(case.score).attribute(
        case.x,
        case.baseline(baseline),
        n_steps=steps,
        internal_batch_size=None if steps <= case.batch else case.batch,
    )
