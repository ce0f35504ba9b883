"""The learning-rate range test: raise the rate at every step, and see where the loss falls and where it breaks."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from explorer.jobs.study import Study
from explorer.training.config import TrainConfig

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 120
SMOOTH = 0.9  # of the running mean of the loss
BROKEN = 3.0  # times the fall so far, by which the loss has risen again when the test ends


@dataclasses.dataclass(frozen=True, eq=False)
class RangeTest:
    """The loss at each rate that was tried, in order."""

    rates: np.ndarray  # (S,)
    losses: np.ndarray  # (S,) of each batch
    smooth: np.ndarray  # (S,) their running mean, corrected for its start
    suggested: float  # a rate that falls fast and is far from breaking; nan where the loss never fell
    broke: float  # the rate at which the loss had risen again; nan where it never did


STUDY = Study("range test", "explorer.training.range_test:work", "ranges")


def range_test(
    config: TrainConfig, device: str = "cpu", on_step: Callable[[float], None] = lambda share: None
) -> RangeTest:
    """Train a new network for at most STEPS steps, the rate growing by the same factor at each, until the loss breaks.

    Everything else is as in the config, but that nothing is warmed up. Source: Smith 2017, "Cyclical learning rates for
    training neural networks", section 3.3; smoothed as a mean that forgets, corrected for its start as Adam's.
    """
    from explorer.training.learner import prepare
    from explorer.training.loop import Diverged, steps

    plain = dataclasses.replace(config, epochs=200, schedule="constant", early_stopping=0, ema=0.0)
    learner = prepare(plain, device)
    learner.share = lambda config, step, total: rate(step) / config.lr
    rates, losses, smooth, mean, least = [], [], [], 0.0, math.inf
    try:
        for step in steps(plain, learner):
            if step.loss is None:
                continue
            rates.append(step.lr)
            losses.append(step.loss)
            mean = SMOOTH * mean + (1 - SMOOTH) * step.loss
            smooth.append(mean / (1 - SMOOTH ** len(losses)))
            least = min(least, smooth[-1])
            on_step(len(losses) / STEPS)
            broken = smooth[-1] > least + max(BROKEN * (smooth[0] - least), 0.5 * abs(smooth[0]))
            if len(losses) == STEPS or (broken and len(losses) > STEPS // 5):
                break
    except Diverged:
        pass  # where it ended says enough
    return judged(np.array(rates), np.array(losses), np.array(smooth))


def judged(rates: np.ndarray, losses: np.ndarray, smooth: np.ndarray) -> RangeTest:
    """What a curve of losses over rates says.

    Suggested is the rate at which the smoothed loss falls most steeply over the logarithm of the rate, but no more than
    a tenth of the one where it is least: a mean lags behind, and the rate there is about to break.
    """
    whole = np.isfinite(smooth)
    rates, losses, smooth = rates[whole], losses[whole], smooth[whole]
    suggested = broke = math.nan
    if len(smooth) > 8:
        least = int(smooth.argmin())
        slope = np.gradient(smooth, np.log10(rates))
        if least > 2 and smooth[0] - smooth[least] > 0.02 * abs(smooth[0]):
            suggested = float(min(rates[slope[: least + 1].argmin()], rates[least] / 10))
        risen = np.flatnonzero(smooth[least:] > smooth[0])
        if len(risen):
            broke = float(rates[least + risen[0]])
    return RangeTest(rates, losses, smooth, suggested, broke)


def work(request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]) -> dict:
    """What a worker does: the range test of the config that was asked, on this server's device."""
    from explorer.settings import settings

    config = TrainConfig.from_dict(request["asked"])
    return STUDY.answer(request, report, stopping, lambda on_step: range_test(config, settings().device, on_step))


def rate(step: int) -> float:
    """The rate of step number `step`, from 0."""
    return LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
