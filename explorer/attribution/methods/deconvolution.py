"""The deconvolutional network."""

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.methods.guided_backprop import OwnGradients, unfit


class Deconvolution(OwnGradients, attr.Deconvolution):
    """Captum's."""


@register("deconvolution", "Deconvolution", unfit=unfit)
def deconvolution(case: Case) -> Tensor:
    """The score sent back through the network with every ReLU applied to what comes back, not to what went forth.

    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 2.1.
    """
    return Deconvolution(case.unrolled()).attribute(case.x)
