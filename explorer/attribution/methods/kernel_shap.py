"""Kernel SHAP: Shapley values of the pieces from a weighted linear model."""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from captum import attr
from torch import Tensor

from explorer.attribution.base import Case, register
from explorer.attribution.baselines import BASELINE, segments
from explorer.attribution.methods.feature_ablation import SEGMENTS, feature_ablation, spread
from explorer.attribution.methods.lime import price
from explorer.params import Slider


class SeededKernelShap(attr.KernelShap):
    """Captum's, with the subsets drawn from a generator that is given, until the time is up."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.score)
        self._case = case
        self.perturb_func = self.subsets

    def subsets(self, original: Tensor, **about: Any) -> Iterator[Tensor]:
        """All pieces, none, then sets whose sizes follow the Shapley kernel, (1, pieces) each."""
        count, sizes = about["num_interp_features"], about["num_select_distribution"].probs
        generator, device = self._case.generator, original.device
        yield torch.ones(1, count, dtype=torch.long, device=device)
        yield torch.zeros(1, count, dtype=torch.long, device=device)
        while not self._case.out_of_time:
            size = int(torch.multinomial(sizes.cpu(), 1, replacement=True, generator=generator))
            draws = torch.randn(1, count, generator=generator)
            threshold = torch.kthvalue(draws, count - size).values
            yield (draws > threshold).long().to(device)


@register("kernel_shap", "Kernel SHAP", price, random=True, fast=False, family="perturbation")
def kernel_shap(
    case: Case,
    samples: Annotated[int, Slider(20, 1000, step=20, help="Pictures with some of the pieces taken out.")] = 200,
    pieces: Annotated[int, SEGMENTS] = 40,
    baseline: Annotated[str, BASELINE] = "mean colour",
) -> Tensor:
    """Each piece's fair share of the score, over all orders in which the pieces could have come: its Shapley value.

    Source: Lundberg and Lee 2017, "A unified approach to interpreting model predictions", section 4.1.
    """
    mask = torch.from_numpy(segments(case.picture, pieces))[None, None].to(case.x.device)  # (1, 1, H, W)
    if not mask.any():  # the share of a single piece is all there is
        return feature_ablation(case, pieces, baseline)
    effect = SeededKernelShap(case).attribute(
        case.x, case.baseline(baseline), feature_mask=mask, n_samples=samples, perturbations_per_eval=case.batch
    )
    return spread(effect, mask)
