"""DeepLIFT."""

from typing import Annotated, Any

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import BASELINE
from explorer.attribution.traits import Traits


def price(shape: tuple[int, ...], **settings: Any) -> int:
    """The picture and its baseline."""
    return 2


def unfit(traits: Traits) -> str | None:
    """Every bend in the network needs a rule."""
    return f"there is no rule for {', '.join(traits.unruly)}" if traits.unruly else None


@register("deeplift", "DeepLIFT", price, unfit)
def deeplift(case: Case, baseline: Annotated[str, BASELINE] = "mean colour") -> Tensor:
    """How much each pixel's difference from an empty picture changes the score, bends in the network included.

    The rescale rule. Where the network uses one ReLU several times, each use becomes a ReLU of its own first.
    Source: Shrikumar, Greenside and Kundaje 2017, "Learning important features through propagating activation
    differences", section 3.
    """
    return attr.DeepLift(case.unrolled()).attribute(case.x, case.baseline(baseline))
