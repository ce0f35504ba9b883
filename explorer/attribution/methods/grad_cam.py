"""Grad-CAM."""

from typing import Annotated

import torch
from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.traits import Traits
from explorer.params import Toggle

RELU = Toggle(label="Positive only", help="Keep only what speaks for the class, as the paper does.")


def unfit(traits: Traits) -> str | None:
    """A CAM is drawn on a layer's grid."""
    return None if traits.maps.chosen else "it has no layer that still knows where things are"


def gradients(case: Case) -> tuple[Tensor, Tensor]:
    """A layer's maps and the score's gradient with respect to them, each (1, K, h, w)."""
    kept: list[Tensor] = []
    handle = case.maps.register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        score = case.score(case.x.requires_grad_())
        (slope,) = torch.autograd.grad(score.sum(), kept[-1])
    finally:
        handle.remove()
    return kept[-1].detach(), slope


@register("grad_cam", "Grad-CAM", unfit=unfit, layer=True, family="class activation maps")
def grad_cam(case: Case, relu: Annotated[bool, RELU] = True) -> Tensor:
    """Where the maps of a layer light up, each weighted by how much the score grows with it on the whole.

    Source: Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via gradient-based localization",
    section 3, equations 1 and 2.
    """
    return attr.LayerGradCam(case.score, case.maps).attribute(case.x, relu_attributions=relu)
