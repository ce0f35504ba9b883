"""Layer-wise relevance propagation."""

from typing import Annotated, Any

from captum import attr
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
from torch import Tensor, nn

from explorer.attribution.base import Case, register
from explorer.attribution.graph import private_weights
from explorer.attribution.traits import Traits
from explorer.params import Choice

RULES = {"epsilon": EpsilonRule, "alpha1 beta0": Alpha1_Beta0_Rule}


def price(shape: tuple[int, ...], **settings: Any) -> int:
    """Once to prepare the rules, once to send the relevance back."""
    return 2


def unfit(traits: Traits) -> str | None:
    """Every step of the network needs a rule."""
    return f"there is no rule for {', '.join(traits.unruled)}" if traits.unruled else None


@register("lrp", "Layer-wise relevance", price, unfit)
def lrp(
    case: Case,
    rule: Annotated[str, Choice(tuple(RULES), help="How convolutions share relevance among their inputs.")] = "epsilon",
) -> Tensor:
    """The score handed back layer by layer, each unit sharing its part among those that fed it.

    On ReLUs epsilon is input × gradient; alpha 1, beta 0 follows only what speaks for the score, and is less stable
    where batches are normalised. Additions of residual networks become layers with a rule of their own first.
    Source: Bach et al. 2015, "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
    propagation", equations 58 (epsilon) and 60 (alpha and beta).
    """
    net = private_weights(case.unrolled(additions=True))  # Captum writes into the weights, if only what they were
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            part.rule = RULES[rule]()
    return attr.LRP(net).attribute(case.x)
