"""How good are the samples: is each what was asked for, are they various, are they copies, are they like real ones?"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer import data
from explorer.data.base import Dataset
from explorer.data.shapes_prompts import NEVER
from explorer.diffusion.frames import decoded
from explorer.diffusion.judges import judge_of
from explorer.diffusion.sample import opened, sample
from explorer.errors import ExplorerError
from explorer.models.noise import FLOW
from explorer.zoo.denoiser import Denoiser

BATCH = 50  # samples that are drawn at once
NEAR = 50  # nearest training examples, against whose mean distance the nearest one is held
COPY = 0.5  # a sample this much nearer to one of them than to the rest is called a copy
POINTS = 2000
DIRECTIONS = 128  # along which two clouds of points are compared


@dataclass(frozen=True)
class Measurement:
    """What is drawn, and how, to be measured."""

    ref: str
    count: int = 200
    sampler: str = "ddim"
    steps: int = 20
    guidance: float = 2.0
    seed: int = 0
    judge: str = ""  # a ref of a classifier of the same data; "" the best that ships


@dataclass(frozen=True, eq=False)
class Report:
    """What was measured over N samples, beside M real examples that the network never saw."""

    asked: tuple[str, ...]  # (N,) conditions
    samples: np.ndarray  # (N, H, W, C) uint8, or (N, 2)
    attributes: tuple[str, ...]  # A, what the judge was asked: class, or colour, shape, relation
    right: np.ndarray  # (A, N) share of the sample's objects that are as asked, 0 to 1; NaN where nothing was asked
    right_real: np.ndarray  # (A, M) the same of real examples and their own captions
    said: tuple[str, ...]  # (N,) what the judge saw
    nearest: np.ndarray  # (N,) number of the nearest training example
    copied: np.ndarray  # (N,) its distance ÷ the mean distance of the 50 nearest
    copied_real: np.ndarray  # (M,) the same of real examples
    diversity: float  # mean distance of two samples of one condition, in the judge's features
    diversity_real: float  # of two real examples of one condition
    frechet: float  # between samples and real examples, in the judge's features
    frechet_real: float  # between as many training examples and real examples: as low as it gets with so few

    @property
    def accuracy(self) -> dict[str, float]:
        """The share that is as asked, by attribute."""
        return dict(zip(self.attributes, np.nanmean(self.right, 1).tolist(), strict=True))

    @property
    def copies(self) -> float:
        """The share of samples that are nearly a training example."""
        return float((self.copied < COPY).mean())


def measure(
    asked: Measurement,
    model: Denoiser | None = None,
    on_step: Callable[[float], None] = lambda share: None,
    held: Dataset | None = None,
) -> Report:
    """Draw samples and measure them against the held-out split of the network's data set.

    on_step: is told the share that is done; what it raises ends it. held: instead of the test split.
    Raises ExplorerError where the data are not known, or no judge has learned them.
    Sources: Heusel et al. 2017, section 3 (the Fréchet distance, here in our classifier's features); Carlini et al.
    2023, section 5.1 (nearness to one training example against nearness to fifty).
    """
    model = model or opened(asked.ref)
    if model.x_shape == (2,):
        raise ExplorerError(
            f"The measures of {model.card.ref}", "points have no judge", "See how far the clouds are apart"
        )
    train, real = (_split(model, split) for split in ("train", "test"))
    real = held or real
    judge = judge_of(model, asked.judge)
    wanted = conditions(model, real, asked.count, asked.seed)
    drawn = []
    for start in range(0, asked.count, BATCH):
        part = wanted[start : start + BATCH]
        found = sample(
            model, asked.sampler, asked.steps, asked.guidance, part if model.kind != "free" else None,
            asked.seed + start, len(part),
            on_step=lambda share, start=start: on_step(0.9 * (start + BATCH * share) / max(asked.count, BATCH)),
        )  # fmt: skip
        drawn.append(decoded(model, found.x[-1]))
    samples = np.concatenate(drawn)
    names = tuple(wanted) if model.kind != "free" else ("",) * asked.count
    rows = np.random.default_rng(asked.seed).permutation(len(real))[: max(asked.count, 2)]
    own = judge.asked(real)
    right, said = judge.right(samples, names)
    right_real, _ = judge.right(real.x[rows], [own[row] for row in rows])
    near, copied = copying(samples, train.x)
    features, features_real, features_train = (judge.features(x) for x in (samples, real.x, train.x[: len(samples)]))
    on_step(1.0)
    return Report(
        asked=names, samples=samples, attributes=judge.attributes, right=right, right_real=right_real, said=said,
        nearest=near, copied=copied, copied_real=copying(real.x[rows], train.x)[1],
        diversity=spread(features, names), diversity_real=spread(features_real, own),
        frechet=frechet(features, features_real), frechet_real=frechet(features_train, features_real),
    )  # fmt: skip


def figures(ref: str) -> dict[str, float]:
    """What the card of a shipped diffusion model promises, measured on the model as the zoo opens it."""
    model = opened(ref)
    if model.x_shape == (2,):
        return _cloud(model)
    found = measure(Measurement(ref, 500, guidance=model.card.settings.get("guidance", 2.0)), model)
    told = {f"{name} as asked": value for name, value in found.accuracy.items()}
    real = {
        f"{name} of real ones": float(np.nanmean(row))
        for name, row in zip(found.attributes, found.right_real, strict=True)
    }
    told |= real | {
        "copies": found.copies, "copies among real ones": float((found.copied_real < COPY).mean()),
        "diversity": found.diversity, "diversity of real ones": found.diversity_real,
        "Fréchet distance": found.frechet, "Fréchet distance of real ones": found.frechet_real,
    }  # fmt: skip
    if model.kind == "text":
        from explorer.diffusion.word_scores import word_scores

        told |= word_scores(model).summary
        if model.card.dataset == "shapes-prompts":
            told["pairs never seen in training, both right"] = unseen(model)
    return {name: round(value, 4) for name, value in told.items()}


def unseen(model: Denoiser, count: int = 200) -> float:
    """The share of samples that show both the colour and the shape of a pair that is in no training picture."""
    guidance = model.card.settings.get("guidance", 2.0)
    pairs = [" ".join(NEVER[number % len(NEVER)]) for number in range(count)]
    prompts = [f"{'an' if pair[0] in 'aeiou' else 'a'} {pair}" for pair in pairs]
    drawn = [
        decoded(model, sample(model, "ddim", 20, guidance, prompts[at : at + BATCH], at, BATCH).x[-1])
        for at in range(0, count, BATCH)
    ]
    right, _ = judge_of(model).right(np.concatenate(drawn), prompts)
    return float((right[:2] == 1).all(0).mean())


def _cloud(model: Denoiser) -> dict[str, float]:
    """Of a network of points: how far its cloud is from real points, and whether each point lies in its class."""
    train, real = (_split(model, split) for split in ("train", "test"))
    wanted = [row % len(model.labels) for row in range(POINTS)]
    sampler = "flow" if model.config.get("prediction_type") == FLOW else "ddim"
    found = sample(model, sampler, 50, 1.0, wanted, count=POINTS)
    near = nearest_points(found.x[-1], train.x)
    return {
        "class as asked": round(float((train.y[near] == wanted).mean()), 4),
        "distance to real points": round(apart(found.x[-1], real.x), 4),
        "distance of training points": round(apart(train.x, real.x), 4),
        "distance of noise": round(apart(found.x[0], real.x), 4),
    }


def nearest_points(x: np.ndarray, to: np.ndarray) -> np.ndarray:
    """For each point (N, 2) the number of the nearest of some others (M, 2)."""
    from scipy.spatial import cKDTree

    return cKDTree(to).query(x)[1]


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """How far two clouds of points (N, 2), (M, 2) are apart: the sliced Wasserstein distance of order 1.

    Along each of 128 directions, how far mass must be moved at the least (Bonneel et al. 2015, section 3.1).
    """
    angles = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    ways = np.stack([np.cos(angles), np.sin(angles)])  # (2, D)
    levels = (np.arange(1000) + 0.5) / 1000
    ranks = [np.quantile(np.asarray(cloud, float) @ ways, levels, axis=0) for cloud in (a, b)]  # (1000, D)
    return float(np.abs(ranks[0] - ranks[1]).mean())


def conditions(model: Denoiser, real: Dataset, count: int, seed: int) -> list[Any]:
    """What is asked for: each class in turn, or captions of the held-out split."""
    if model.kind == "text":
        rows = np.random.default_rng(seed).permutation(len(real))
        return [real.captions[rows[number % len(rows)]] for number in range(count)]
    if model.kind == "class":
        return [model.labels[number % len(model.labels)] for number in range(count)]
    return [None] * count


def copying(pictures: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training picture of each, (N,), and its distance ÷ the mean distance of the 50 nearest, (N,)."""
    flat, known = (x.reshape(len(x), -1).astype(np.float32) / 255 for x in (pictures, train))
    near, ratio = np.empty(len(flat), int), np.empty(len(flat))
    squares = (known**2).sum(1)
    for row, one in enumerate(flat):
        far = np.sqrt(np.maximum(squares - 2 * known @ one + one @ one, 0))
        order = np.argpartition(far, min(NEAR, len(far) - 1))[:NEAR]
        near[row] = order[far[order].argmin()]
        ratio[row] = far[near[row]] / max(far[order].mean(), 1e-9)
    return near, ratio


def spread(features: np.ndarray, groups: Sequence[Any]) -> float:
    """The mean distance of two of the same group, over all groups that have two; NaN where none has."""
    names, means = np.asarray(list(map(str, groups))), []
    for name in np.unique(names):
        rows = features[names == name]
        if len(rows) > 1:
            squares = (rows**2).sum(1)
            far = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
            means.append(far.sum() / (len(rows) * (len(rows) - 1)))
    return float(np.mean(means)) if means else math.nan


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The Fréchet distance of two clouds (N, D), (M, D), each taken as a normal distribution.

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) (Dowson and Landau 1982; Heusel et al. 2017, equation 6).
    """
    mean = a.mean(0) - b.mean(0)
    first, second = (np.cov(x.astype(float), rowvar=False) for x in (a, b))
    # the eigenvalues of Σ₁ Σ₂ are those of the symmetric Σ₁^½ Σ₂ Σ₁^½
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return float(mean @ mean + np.trace(first) + np.trace(second) - 2 * shared)


def _split(model: Denoiser, split: str) -> Dataset:
    if not model.card.dataset:
        raise ExplorerError(
            f"The measures of {model.card.ref}", "the data that it learned from are not known here",
            "Choose a shipped model, or train one",
        )  # fmt: skip
    return data.load(model.card.dataset, split, **dict(model.card.dataset_settings))
