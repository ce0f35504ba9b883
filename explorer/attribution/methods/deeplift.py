"""DeepLIFT."""

from typing import Annotated, Any

import torch
from captum import attr
from torch import Tensor, nn
from torch.nn import functional

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import BASELINE
from explorer.attribution.graph import hook_backward
from explorer.attribution.traits import Traits


def price(shape: tuple[int, ...], **settings: Any) -> int:
    """The picture and its baseline."""
    return 2


def unfit(traits: Traits) -> str | None:
    """Every bend in the network needs a rule."""
    return f"there is no rule for {', '.join(traits.unruly)}" if traits.unruly else None


class CompleteDeepLift(attr.DeepLift):
    """Captum's, with each layer's own gradients, and a rule for maximum pooling that loses nothing.

    Captum 0.9.0 puts the changes back with `max_unpool2d`, which keeps one where windows overlap and several have the
    same place, and does not know of windows that reach over the edge.
    """

    def _register_hooks(self, module: nn.Module, attribute_to_layer_input: bool = True) -> None:
        if self._is_non_linear(module):
            self.forward_handles.append(module.register_forward_pre_hook(self._forward_pre_hook))
            self.forward_handles.append(module.register_forward_hook(self._forward_hook))
            self.backward_handles.extend(hook_backward(module, self._backward_hook))

    def _backward_hook(self, module: nn.Module, grad_input: Tensor, grad_output: Tensor) -> Tensor:
        if type(module) is not nn.MaxPool2d or not self.satisfies_attribute_criteria(module):
            return super()._backward_hook(module, grad_input, grad_output)
        x, empty = module.input.chunk(2)
        most, least = module.output.chunk(2)
        window = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
        _, places = functional.max_pool2d(module.input, *window, return_indices=True)
        between = torch.maximum(most, least)  # the picture's maxima rise to here from the baseline's, which then fall
        changes = grad_output * torch.cat([between - least, most - between])
        sums = torch.zeros_like(module.input).flatten(2).scatter_add_(2, places.flatten(2), changes.flatten(2))
        total = sums.view_as(module.input).unflatten(0, (2, -1)).sum(0)
        del module.input, module.output
        step = x - empty
        multiplier = total / step.where(step.abs() >= self.eps, step.new_ones(()))
        return torch.where(step.abs().repeat(2, 1, 1, 1) < self.eps, grad_input, multiplier.repeat(2, 1, 1, 1))


@register("deeplift", "DeepLIFT", price, unfit)
def deeplift(case: Case, baseline: Annotated[str, BASELINE] = "mean colour") -> Tensor:
    """How much each pixel's difference from an empty picture changes the score, bends in the network included.

    The rescale rule. Where the network uses one ReLU several times, each use becomes a ReLU of its own first.
    Source: Shrikumar, Greenside and Kundaje 2017, "Learning important features through propagating activation
    differences", section 3.
    """
    return CompleteDeepLift(case.unrolled()).attribute(case.x, case.baseline(baseline))
