"""Guided backpropagation."""

from captum import attr
from torch import Tensor, nn

from explorer.attribution.base import Case, register
from explorer.attribution.graph import hook_backward
from explorer.attribution.traits import Traits


def unfit(traits: Traits) -> str | None:
    """It is a rule for ReLUs."""
    if not traits.relus:
        return "it changes how ReLUs pass gradients back, and this network has none"
    return "there is a ReLU that is a function, and the network's calls can't be followed" if traits.hidden else None


class OwnGradients:
    """For Captum's guided methods: at each ReLU they change its own gradient only."""

    def _register_hooks(self, module: nn.Module) -> None:
        if isinstance(module, nn.ReLU):
            self.backward_hooks.extend(hook_backward(module, self._backward_hook))


class GuidedBackprop(OwnGradients, attr.GuidedBackprop):
    """Captum's."""


@register("guided_backprop", "Guided backpropagation", unfit=unfit)
def guided_backprop(case: Case) -> Tensor:
    """The gradient, with everything negative dropped at each ReLU on the way back: sharp, but half blind to the class.

    Source: Springenberg et al. 2015, "Striving for simplicity: the all convolutional net", section 3.4. That it hardly
    notices what the network learned: Adebayo et al. 2018, "Sanity checks for saliency maps".
    """
    return GuidedBackprop(case.unrolled()).attribute(case.x)
