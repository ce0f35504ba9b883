"""Guided Grad-CAM."""

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.methods import grad_cam, guided_backprop
from explorer.attribution.traits import Traits


def price(shape: tuple[int, ...]) -> int:
    """One pass for each of the two."""
    return 2


def unfit(traits: Traits) -> str | None:
    """Both of its parts must be valid."""
    return grad_cam.unfit(traits) or guided_backprop.unfit(traits)


@register("guided_grad_cam", "Guided Grad-CAM", price, unfit, layer=True, family="class activation maps")
def guided_grad_cam(case: Case) -> Tensor:
    """Guided backpropagation's detail where Grad-CAM says that it matters: their product.

    Source: Selvaraju et al. 2017, "Grad-CAM", section 3.2.
    """
    coarse = grad_cam.grad_cam(case)  # (1, 1, h, w)
    large = attr.LayerAttribution.interpolate(coarse, tuple(case.x.shape[-2:]), "bilinear")
    return guided_backprop.guided_backprop(case) * large
