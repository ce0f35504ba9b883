"""Saliency: the gradient itself."""

from typing import Annotated

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.params import Toggle


@register("saliency", "Saliency")
def saliency(
    case: Case,
    signed: Annotated[bool, Toggle(help="Keep the gradient's sign, which the paper drops.")] = False,
) -> Tensor:
    """How strongly the score reacts when a pixel changes a little, whichever way.

    Source: Simonyan, Vedaldi and Zisserman 2014, "Deep inside convolutional networks", section 3, with the sum over
    the channels in place of their maximum.
    """
    return attr.Saliency(case.score).attribute(case.x, abs=not signed)
