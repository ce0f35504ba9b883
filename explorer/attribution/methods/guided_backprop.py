"""Guided backpropagation."""

from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.traits import Traits


def unfit(traits: Traits) -> str | None:
    """It is a rule for ReLUs."""
    return None if traits.relus else "it changes how ReLUs pass gradients back, and this network has none"


@register("guided_backprop", "Guided backpropagation", unfit=unfit)
def guided_backprop(case: Case) -> Tensor:
    """The gradient, with everything negative dropped at each ReLU on the way back: sharp, but half blind to the class.

    Source: Springenberg et al. 2015, "Striving for simplicity: the all convolutional net", section 3.4. That it hardly
    notices what the network learned: Adebayo et al. 2018, "Sanity checks for saliency maps".
    """
    return attr.GuidedBackprop(case.unrolled()).attribute(case.x)
