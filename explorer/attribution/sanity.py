"""The sanity check: make the network forget, layer by layer, and see which maps don't notice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from explorer import zoo
from explorer.attribution.agreement import correlation, ranks
from explorer.attribution.base import Attribution
from explorer.attribution.explain import explain, open_case
from explorer.errors import ExplorerError

STEPS = 8  # at most, from the last layer to the first


@dataclass(frozen=True, eq=False)
class Cascade:
    """What the methods show as ever more of a network is random."""

    methods: tuple[str, ...]
    forgotten: tuple[str, ...]  # the layers that each step adds, as the first and last of them; step 0 forgets none
    maps: tuple[tuple[Attribution, ...], ...]  # [step][method]
    similarity: np.ndarray  # (steps, methods) Spearman's rank correlation with the map of step 0


def cascade(
    ref: str,
    image: object,
    methods: Sequence[str],
    target: int | None = None,
    layer: str = "",
    seed: int = 0,
    steps: int = STEPS,
) -> Cascade:
    """Replace the weights of the layers by random ones, the last layer first, and explain the same class each time.

    The random weights have the mean and deviation of those that they replace, so that signals keep their size.
    Source: Adebayo et al. 2018, "Sanity checks for saliency maps", section 3 (cascading randomization).
    """
    model = zoo.load(ref)
    target = int(model.predict(image).argmax()) if target is None else target
    groups = [[], *_groups(model, steps)]
    generator = torch.Generator().manual_seed(seed)
    maps, names = [], []
    with open_case(model, image, target, None, layer, seed) as case:
        for group in groups:
            for name in group:
                forget(case.score.net.get_submodule(name), generator)
            names.append("" if not group else group[0] if len(group) == 1 else f"{group[0]} … {group[-1]}")
            maps.append(tuple(explain(case, method) for method in methods))
    similarity = np.stack(
        [
            [correlation([ranks(now.scores).ravel(), ranks(first.scores).ravel()])[0, 1]
             for now, first in zip(row, maps[0], strict=True)]
            for row in maps
        ]
    )  # fmt: skip
    return Cascade(tuple(methods), tuple(names), tuple(maps), similarity)


def forget(part: nn.Module, generator: torch.Generator) -> None:
    """Put random weights in place of a borrowed layer's own."""
    for name, weight in list(part.named_parameters(recurse=False)):
        drawn = torch.randn(weight.shape, generator=generator).to(weight)
        deviation = weight.std() if weight.numel() > 1 else weight.abs().mean()
        setattr(part, name, nn.Parameter(weight.mean() + deviation * drawn, requires_grad=False))


def _groups(model: "zoo.model.Model", steps: int) -> list[list[str]]:
    """The layers with weights, the last first, in at most `steps` groups of about the same number of layers."""
    from explorer.zoo.outline import outline

    names = [layer.name for layer in reversed(outline(model)) if layer.parameters]
    if not names:
        raise ExplorerError(f"Randomising {model.card.ref}", "it has no weights", "Choose another network")
    count = min(steps, len(names))
    return [list(part) for part in np.array_split(np.array(names, dtype=object), count)]
