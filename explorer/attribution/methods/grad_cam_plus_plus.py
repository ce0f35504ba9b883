"""Grad-CAM++."""

from typing import Annotated

from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.methods.grad_cam import RELU, gradients, unfit


@register("grad_cam_plus_plus", "Grad-CAM++", unfit=unfit, layer=True, family="class activation maps")
def grad_cam_plus_plus(case: Case, relu: Annotated[bool, RELU] = True) -> Tensor:
    """Grad-CAM with weights that do justice to a class that appears several times, or on few cells.

    With the score's exponential as the class score, so that higher derivatives are powers of the first.
    Source: Chattopadhay et al. 2018, "Grad-CAM++", section 3.2, equations 5, 10 and 19.
    """
    maps, slope = gradients(case)  # A, g: (1, K, h, w)
    below = 2 * slope**2 + maps.sum((2, 3), keepdim=True) * slope**3
    alpha = slope**2 / below.where(below != 0, below.new_ones(()))  # equation 19
    weights = (alpha * slope.relu()).sum((2, 3), keepdim=True)  # (1, K, 1, 1), equation 5
    cam = (weights * maps).sum(1, keepdim=True)
    return cam.relu() if relu else cam
