"""How far a map can be trusted: does the network do what it says, and does it find what is known to be there?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from captum import metrics
from torch import Tensor

from explorer.attribution.base import METHODS, Attribution, Case
from explorer.attribution.explain import flat, seen
from explorer.attribution.imputation import NOISE, impute, removals
from explorer.params import Slider
from explorer.turns import TURNS

SHARES = np.linspace(0, 0.9, 10)  # of the pixels that are taken out
SQUARES = 64  # that are covered to see whether the map foresees what happens
SIDE = 1 / 4  # of such a square, as a share of the picture's
NEAR = 1 / 32  # of the picture's side: how far beside the object the peak may lie


@dataclass(frozen=True)
class Measure:
    """What a column of the table means."""

    name: str
    unit: str  # how its numbers are written, as a format
    better: str  # higher | lower
    about: str  # one sentence, and its source


MEASURES = (
    Measure("deletion", "{:.2f}", "lower", "The mean probability of the class while the pixels that the map calls most "
            "important are taken out first (Petsiuk et al. 2018; pixels filled in as by Rong et al. 2022)."),
    Measure("insertion", "{:.2f}", "higher", "The mean probability of the class while the pixels that the map calls "
            "most important are shown first (Petsiuk et al. 2018)."),
    Measure("infidelity", "{:.3g}", "lower", "How badly the map foresees the change of the score when a square is "
            "covered, as a share of the changes' variance (Yeh et al. 2019)."),
    Measure("sensitivity", "{:.2f}", "lower", "How much the map may change when the picture changes by next to nothing "
            "(maximum sensitivity, Yeh et al. 2019)."),
    Measure("sparsity", "{:.2f}", "higher", "How few pixels hold the evidence: the Gini index of the map's size "
            "(Chalasani et al. 2020)."),
    Measure("pointing", "{:.0%}", "higher", "Whether the highest point lies on the object (pointing game, Zhang et al. "
            "2018)."),
    Measure("mass", "{:.0%}", "higher", "The share of the evidence for the class that lies on the object (relevance "
            "mass accuracy, Arras et al. 2022)."),
    Measure("overlap", "{:.0%}", "higher", "The best intersection over union with the object, over all thresholds."),
    Measure("milliseconds", "{:.0f}", "lower", "The time that the map took, here and now."),
)  # fmt: skip
KNOWN_TRUTH = ("pointing", "mass", "overlap")  # only where the object's pixels are known


@dataclass(frozen=True, eq=False)
class Measured:
    """One map's measures; NaN where one could not be taken."""

    method: str
    values: Mapping[str, float]  # by the name of the measure
    deletion: np.ndarray  # (len(SHARES),) probability after that share was taken out
    insertion: np.ndarray  # (len(SHARES),) probability when only the rest, the most important, is there


def measure(
    case: Case,
    found: Attribution,
    mask: np.ndarray | None = None,
    seed: int = 0,
    repeats: Annotated[int, Slider(0, 10, help="Nearby pictures for the sensitivity; 0 leaves it out.")] = 4,
    answers: Tensor | None = None,
) -> Measured:
    """Take every measure of one map of an open case.

    mask: (H, W) bool, the pixels of the object, where they are known. repeats: nearby pictures that are explained
    anew for the sensitivity, each at the price of the method; 0 leaves it out. answers: what `covered` gives, where
    that is known already: it is the same for all maps of a case.
    """
    deletion, insertion = curves(case, found.scores, seed)
    values = {
        "deletion": float(np.trapezoid(deletion, SHARES) / SHARES[-1]),
        "insertion": float(np.trapezoid(insertion, SHARES) / SHARES[-1]),
        "infidelity": infidelity(case, found.scores, seed, answers),
        "sensitivity": sensitivity(case, found, repeats, seed) if repeats else float("nan"),
        "sparsity": gini(found.scores),
        "milliseconds": 1000 * found.seconds,
    }
    if mask is not None:
        values |= {
            "pointing": pointing(found.scores, mask),
            "mass": mass(found.scores, mask),
            "overlap": overlap(found.scores, mask),
        }
    return Measured(found.method, values, deletion, insertion)


def curves(case: Case, scores: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the class for each of SHARES: the most important pixels taken out, and the least important."""
    rng = np.random.default_rng(seed)
    removed = np.concatenate(
        [removals(scores, SHARES, rng), removals(scores, SHARES, rng, least=True)]
    )  # (2 · shares, H, W)
    generator = torch.Generator().manual_seed(seed)
    noise = NOISE * torch.randn(len(removed), *case.x.shape[1:], generator=generator)
    out = []
    with torch.inference_mode():
        for start in range(0, len(removed), case.batch):
            part = slice(start, start + case.batch)
            gone = torch.from_numpy(removed[part]).to(case.x.device)
            out.append(probability(case, impute(case.x.detach(), gone, noise[part].to(case.x))))
    deletion, insertion = torch.cat(out).cpu().numpy().reshape(2, -1)
    return deletion, insertion


def probability(case: Case, x: Tensor) -> Tensor:
    """Of the class among all, or between the two that are compared, (N,)."""
    TURNS.look()
    logits = case.model.logits(case.score.net, x)  # (N, classes)
    if case.score.versus is not None:
        return torch.sigmoid(case.score.of(logits))
    return torch.sigmoid(logits[:, 0]) if logits.shape[1] == 1 else logits.softmax(1)[:, case.score.target]


def covered(case: Case, seed: int = 0) -> Tensor:
    """The score of the whole picture, and of each that has a square covered by the mean colour, (1 + SQUARES,)."""
    whole, logits = case.x.detach(), []
    with torch.inference_mode():
        for gone in (torch.zeros_like(whole[:, :1]), *_squares(case, seed).split(min(case.batch, SQUARES))):
            TURNS.look()
            logits.append(case.model.logits(case.score.net, whole * (1 - gone)))
        return case.score.of(torch.cat(logits))


def infidelity(case: Case, scores: np.ndarray, seed: int = 0, answers: Tensor | None = None) -> float:
    """Captum's infidelity with squares covered by the mean colour, the map scaled to fit best, over the variance.

    1 is no better than a map that is zero everywhere, 0 foresees every change. answers: what `covered` gives for
    the seed, where it is known.
    Source: Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations", sections 2 and 2.2 (square removal).
    """
    answers = covered(case, seed) if answers is None else answers
    size = min(case.batch, SQUARES)
    parts = iter(_squares(case, seed).split(size))  # of (SQUARES, 1, H, W)
    told = (one for part in answers[1:].split(size) for one in (part, answers[:1]))  # in the order of its questions

    def cover(inputs: Tensor) -> tuple[Tensor, Tensor]:
        gone = next(parts)
        return gone.expand_as(inputs), inputs * (1 - gone)  # 0 is the mean colour

    channels = case.x.shape[1]
    spread = torch.from_numpy(scores.copy()).to(case.x) / channels  # (H, W), so that the channels add up to the map
    with torch.inference_mode():
        error = metrics.infidelity(
            lambda inputs: next(told),
            cover,
            case.x.detach(),
            spread.expand_as(case.x),
            n_perturb_samples=SQUARES,
            max_examples_per_batch=size,
            normalize=True,
        )
    changes = answers[0] - answers[1:]  # (SQUARES,)
    mean_square = (changes**2).mean()
    return float(error / mean_square) if mean_square > 0 else float("nan")


def _squares(case: Case, seed: int) -> Tensor:
    """Masks of squares anywhere on the picture, (SQUARES, 1, H, W) of 0 and 1."""
    rng = np.random.default_rng(seed)
    height, width = case.x.shape[-2:]
    side = max(1, round(SIDE * min(height, width)))
    masks = torch.zeros(SQUARES, 1, height, width)
    tops, lefts = rng.integers(height - side + 1, size=SQUARES), rng.integers(width - side + 1, size=SQUARES)
    for mask, top, left in zip(masks, tops, lefts, strict=True):
        mask[:, top : top + side, left : left + side] = 1
    return masks.to(case.x)


def sensitivity(case: Case, found: Attribution, repeats: int, seed: int = 0, radius: float = 0.02) -> float:
    """Captum's maximum sensitivity: the largest relative change of the map among nearby pictures.

    radius: of the change of each value, as a share of the range of values.
    Source: Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations", section 3.
    """
    generator = torch.Generator().manual_seed(seed)
    reach = radius * float(case.x.amax() - case.x.amin())

    def nearby(x: Tensor) -> Tensor:
        return x + reach * (2 * torch.rand(x.shape, generator=generator).to(x) - 1)

    def explained(inputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (x,) = inputs if isinstance(inputs, tuple) else (inputs,)
        return (torch.cat([_again(case, found, one[None]) for one in x]),)  # a bare tensor would be taken for a tuple

    return float(metrics.sensitivity_max(explained, case.x.detach(), nearby, n_perturb_samples=repeats))


def _again(case: Case, found: Attribution, x: Tensor) -> Tensor:
    """The same method with the same settings and seed on another picture (1, C, H, W); gives (1, 1, H, W)."""
    with torch.enable_grad():
        other = replace(case, x=x.detach().clone(), picture=seen(case.model, x), generator=torch.Generator())
        other.generator.manual_seed(found.seed)
        raw = METHODS[found.method].make(other, **found.settings)
    return torch.from_numpy(flat(raw, x.shape[-2:]))[None, None]


def gini(scores: np.ndarray) -> float:
    """0 where all pixels count alike, towards 1 where one holds everything.

    Source: Hurley and Rickard 2009, "Comparing measures of sparsity", table I.
    """
    size = np.sort(np.abs(scores.ravel()).astype(float))
    total = size.sum()
    if total == 0:
        return float("nan")
    place = np.arange(1, size.size + 1)
    return float(1 - 2 * (size / total * (size.size - place + 0.5)).sum() / size.size)


def pointing(scores: np.ndarray, mask: np.ndarray) -> float:
    """1 where the highest point lies on the object or NEAR it; a share where several points are equally high."""
    from scipy.ndimage import binary_dilation

    near = round(NEAR * min(mask.shape))
    wide = binary_dilation(mask, iterations=near) if near else mask
    return float(wide[scores == scores.max()].mean())


def mass(scores: np.ndarray, mask: np.ndarray) -> float:
    """The share of the positive evidence that lies on the object; NaN where there is none."""
    evidence = scores.clip(min=0)
    total = evidence.sum()
    return float(evidence[mask].sum() / total) if total > 0 else float("nan")


def overlap(scores: np.ndarray, mask: np.ndarray) -> float:
    """The best intersection over union of the object and the pixels above a threshold, over all positive thresholds.

    NaN where nothing is positive.
    """
    if scores.max() <= 0:
        return float("nan")
    order = np.argsort(-scores, axis=None, kind="stable")
    levels = scores.ravel()[order]
    hits = np.cumsum(mask.ravel()[order])
    taken = np.arange(1, levels.size + 1)
    last = np.append(levels[1:] != levels[:-1], True)  # a threshold takes all pixels of one level
    return float((hits / (taken + mask.sum() - hits))[last & (levels > 0)].max())
