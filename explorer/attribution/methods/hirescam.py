"""HiResCAM."""

from typing import Annotated

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.methods.grad_cam import RELU, unfit


@register("hirescam", "HiResCAM", unfit=unfit, layer=True, family="class activation maps")
def hirescam(case: Case, relu: Annotated[bool, RELU] = True) -> Tensor:
    """Gradient times activation at each cell of a layer: it shows only places that the network did use.

    Source: Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations", section 3.3.
    """
    product = attr.LayerGradientXActivation(case.score, case.maps).attribute(case.x)  # (1, K, h, w)
    cam = product.sum(1, keepdim=True)
    return cam.relu() if relu else cam
