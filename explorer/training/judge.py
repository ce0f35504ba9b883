"""How good a classifier is: what it gets right, how sure of it one can be, whether it is as sure as it should be."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explorer.training.run import Evaluation

if TYPE_CHECKING:
    from explorer.zoo.model import Model

BINS = 15  # of equal width, as in Guo et al. (2017)
Z = 1.959964  # standard deviations of a normal distribution that hold 95 % of it
LEAST = 2.0**-24  # probability: answers are kept in half precision, and this is the smallest that it knows
BATCH = 64
WARM_UP, REPEATS, PATIENCE = 3, 20, 0.5  # passes, passes, seconds after which three passes are enough


@dataclass(frozen=True, eq=False)
class Reliability:
    """The answers by how sure the network was of them: bin m holds confidences in ((m - 1)/M, m/M]."""

    edges: np.ndarray  # (bins + 1,), 0 to 1
    counts: np.ndarray  # (bins,) int, answers
    confidence: np.ndarray  # (bins,) mean, NaN where there is no answer
    accuracy: np.ndarray  # (bins,) share of right ones, NaN where there is no answer
    interval: np.ndarray  # (bins, 2) the 95 % interval of the accuracy, NaN where there is no answer

    @property
    def gaps(self) -> np.ndarray:
        """Confidence less accuracy, (bins,): above 0 the network is surer than it should be; 0 where no answer is."""
        return np.where(self.counts > 0, self.confidence - self.accuracy, 0.0)

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean gap, whatever its sign (Guo et al. 2017, equation 3)."""
        return float((np.abs(self.gaps) * self.counts).sum() / self.counts.sum())

    @property
    def largest_error(self) -> float:
        """Maximum calibration error: the largest gap of all bins (Guo et al. 2017, equation 5)."""
        return float(np.abs(self.gaps).max())


@dataclass(frozen=True, eq=False)
class Judgement:
    """A classifier's answers on the test split, judged."""

    labels: tuple[str, ...]
    count: int  # test examples
    accuracy: float
    interval: tuple[float, float]  # of the accuracy, 95 %
    precision: np.ndarray  # (classes,) NaN where the class is never predicted: it is not defined
    recall: np.ndarray  # (classes,) NaN where the class has no example
    f1: np.ndarray  # (classes,) NaN where neither
    support: np.ndarray  # (classes,) int, examples
    called: np.ndarray  # (classes,) int, answers
    macro_precision: float  # mean over the classes that have an example or an answer; what is not defined counts as 0
    macro_recall: float
    macro_f1: float
    balanced_accuracy: float  # mean recall over the classes that have an example
    confidence: float  # mean
    reliability: Reliability
    chance_error: float  # expected calibration error that a network as sure as it should be rarely passes, see below
    brier: float  # mean squared distance from the one-hot truth, 0 to 2 (Brier 1950)
    nll: float  # mean negative log-likelihood of the true class, nats


@dataclass(frozen=True)
class Latency:
    """How long the network itself takes, without what is done to a picture before; medians."""

    one: float  # milliseconds for a single example
    batch: float  # milliseconds for a batch of BATCH
    device: str


@dataclass(frozen=True)
class Size:
    """How large the network is."""

    parameters: int
    memory: int  # bytes of its weights and buffers as it runs
    disk: int  # bytes of the file that they are kept in


def judge(evaluation: Evaluation, seed: int = 0) -> Judgement:
    """All measures of a classifier's answers on the test split.

    Precision, recall and F1 are scikit-learn's, and so are their macro averages; intervals are Wilson's.
    seed: of the draws that tell what calibration error chance alone makes.
    """
    from sklearn.metrics import precision_recall_fscore_support

    y, predicted, classes = evaluation.y, evaluation.predicted, len(evaluation.labels)
    precision, recall, f1, support = precision_recall_fscore_support(
        y, predicted, labels=np.arange(classes), zero_division=np.nan
    )
    macro = precision_recall_fscore_support(y, predicted, average="macro", zero_division=0)
    right = predicted == y
    true = np.arange(classes) == y[:, None]  # (N, classes)
    likely = evaluation.probabilities[np.arange(len(y)), y].astype(float)  # (N,) of the true class
    return Judgement(
        labels=evaluation.labels,
        count=len(y),
        accuracy=evaluation.accuracy,
        interval=tuple(map(float, wilson(right.sum(), len(y)))),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        called=np.bincount(predicted, minlength=classes),
        macro_precision=float(macro[0]),
        macro_recall=float(macro[1]),
        macro_f1=float(macro[2]),
        balanced_accuracy=float(recall[support > 0].mean()),
        confidence=float(evaluation.confidence.mean(dtype=float)),
        reliability=reliability(evaluation.confidence, right),
        chance_error=chance_error(evaluation.confidence, np.random.default_rng(seed)),
        brier=float(((evaluation.probabilities.astype(float) - true) ** 2).sum(1).mean()),
        nll=float(-np.log(likely.clip(LEAST)).mean()),
    )


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Whether answers of a certain confidence are right as often as that (Guo et al. 2017, section 2).

    confidence: (N,) the probability of each answer; right: (N,) bool.
    """
    place = np.clip(np.ceil(confidence.astype(float) * bins).astype(int) - 1, 0, bins - 1)  # (N,)
    counts = np.bincount(place, minlength=bins)
    hits = np.bincount(place, right, bins)
    some = np.maximum(counts, 1)
    empty = np.where(counts > 0, 0.0, np.nan)
    return Reliability(
        edges=np.linspace(0, 1, bins + 1),
        counts=counts,
        confidence=np.bincount(place, confidence, bins) / some + empty,
        accuracy=hits / some + empty,
        interval=wilson(hits, counts),
    )


def chance_error(confidence: np.ndarray, random: np.random.Generator, draws: int = 200) -> float:
    """The expected calibration error that chance alone makes: 95 of 100 perfectly calibrated networks stay below it.

    Even of them a bin of few answers is off, so an error below this one says nothing. Each draw makes every answer
    right with the probability that it was given (consistency resampling, Bröcker and Smith 2007).
    """
    drawn = (random.random(len(confidence)) < confidence for _ in range(draws))
    return float(np.quantile([reliability(confidence, right).expected_error for right in drawn], 0.95))


def wilson(right: np.ndarray | int, count: np.ndarray | int) -> np.ndarray:
    """The 95 % interval of a share, (…, 2): which true shares go with `right` of `count` (Wilson 1927).

    Unlike the textbook's ± it stays between 0 and 1, and does not shrink to nothing where all are right. NaN of none.
    """
    n = np.where(np.asarray(count) > 0, count, np.nan)
    share = right / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.stack([middle - half, middle + half], -1).clip(0, 1)


def latency(model: "Model", shape: tuple[int, ...]) -> Latency:
    """How long the network takes for one example of this shape and for a batch, on a private tree over its weights."""
    import torch

    random = torch.Generator().manual_seed(0)
    with model.borrow() as module, torch.inference_mode():
        times = []
        for count in (1, BATCH):
            x = torch.randn(count, *shape, generator=random).to(model.device)
            times.append(_median(lambda x=x: module(x), model.device))
    return Latency(*times, str(model.device))


def size(model: "Model", weights: Path) -> Size:
    """How large a network is; `weights` is the file that it was opened from."""
    return Size(model.card.parameters, model.bytes, weights.stat().st_size)


def _median(work, device) -> float:
    """Milliseconds that one pass takes."""
    import torch

    def seconds() -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    for _ in range(WARM_UP):
        seconds()
    spent = []
    while len(spent) < 3 or (len(spent) < REPEATS and sum(spent) < PATIENCE):
        spent.append(seconds())
    return 1000 * statistics.median(spent)
