"""Attention rollout."""

from typing import Annotated

import torch
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.rollout import weights
from explorer.attribution.traits import Traits
from explorer.params import Choice, Slider


def unfit(traits: Traits) -> str | None:
    """It needs attention weights that can be read, and a token that reads the patches."""
    if not traits.attention:
        return "it has no attention weights that can be read"
    if not traits.grid or not traits.grid[0]:
        return "it has no class token whose attention could be followed back to the patches"
    return None


@register("attention_rollout", "Attention rollout", unfit=unfit, target=False, family="attention")
def attention_rollout(
    case: Case,
    heads: Annotated[str, Choice(("mean", "max", "min"), help="How the heads of a layer become one.")] = "mean",
    discard: Annotated[float, Slider(0.0, 0.9, step=0.1, help="The share of the weakest links that is cut.")] = 0.0,
) -> Tensor:
    """How much of each patch has reached the class token after all layers; it is the same for every class.

    Half of each layer's flow is the residual connection.
    Source: Abnar and Zuidema 2020, "Quantifying attention flow in transformers", section 3.
    """
    layers = weights(case.score, case.x)  # each (1, heads, T, T)
    flow = torch.eye(layers[0].shape[-1], device=case.x.device)
    for layer in layers:
        joined = {"mean": layer.mean(1), "max": layer.amax(1), "min": layer.amin(1)}[heads][0]  # (T, T)
        if discard:
            joined = joined.where(joined >= joined.flatten().quantile(discard), joined.new_zeros(()))
        mixed = joined + torch.eye(len(joined), device=joined.device)
        flow = mixed / mixed.sum(-1, keepdim=True) @ flow
    prefix, height, width = case.grid
    return flow[0, prefix:].reshape(1, 1, height, width)
