"""Input × gradient."""

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register


@register("input_x_gradient", "Input × gradient")
def input_x_gradient(case: Case) -> Tensor:
    """What each pixel adds to the score, if the network were the straight line that it is right here.

    The input counts from the mean colour of the training data, which is zero to the network.
    Source: Shrikumar et al. 2016, "Not just a black box", section 3.
    """
    return attr.InputXGradient(case.score).attribute(case.x)
