"""Random numbers: what a method must beat to say anything."""

from typing import Any

import torch
from torch import Tensor

from explorer.attribution.base import Case, register


def price(shape: tuple[int, ...], **settings: Any) -> int:
    """It does not look at the network."""
    return 0


@register("random", "Random", price, random=True, target=False, family="no network at all")
def random(case: Case) -> Tensor:
    """Pure chance: it looks at neither picture nor network, so whatever is no better than this says nothing."""
    return torch.rand(1, 1, *case.x.shape[-2:], generator=case.generator).to(case.x.device)
