"""How the learning rate changes over a run: each schedule as the formula that gives its share of the full rate."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.training.config import TrainConfig

START, FLOOR = 25.0, 1e4  # one-cycle begins at 1/START of its peak and ends at 1/FLOOR of that
LOW = 0.1  # of the full rate, the bottom of a cyclic schedule


def constant(step: int, total: int, config: "TrainConfig") -> float:
    """The full rate throughout."""
    return 1.0


def steps(step: int, total: int, config: "TrainConfig") -> float:
    """The run in `cycles` equal stages, each `decay` times the one before (as torch's StepLR)."""
    return config.decay ** (step // math.ceil(total / config.cycles))


def exponential(step: int, total: int, config: "TrainConfig") -> float:
    """The same factor at every step, `decay` over the whole run (as torch's ExponentialLR)."""
    return config.decay ** (step / total)


def cosine(step: int, total: int, config: "TrainConfig") -> float:
    """Half a cosine from the full rate to zero (Loshchilov and Hutter 2017, equation 5, one period)."""
    return 0.5 * (1 + math.cos(math.pi * step / total))


def restarts(step: int, total: int, config: "TrainConfig") -> float:
    """A cosine to zero, begun anew `cycles` times, each twice as long as before (Loshchilov and Hutter 2017)."""
    length = math.ceil(total / (2**config.cycles - 1))  # of the first
    done = int(math.log2(step / length + 1))  # whole rounds
    begun = length * (2**done - 1)
    return cosine(step - begun, length * 2**done, config)


def one_cycle(step: int, total: int, config: "TrainConfig") -> float:
    """Up to the full rate over the warm-up and down to almost nothing, both along cosines (Smith and Topin 2018)."""
    top = config.warmup * total - 1
    if step <= top:
        return _between(1 / START, 1.0, step / top if top else 1.0)
    return _between(1.0, 1 / START / FLOOR, (step - top) / (total - 1 - top))


def cyclic(step: int, total: int, config: "TrainConfig") -> float:
    """Straight up from a tenth to the full rate and down again, `cycles` times (Smith 2017, section 3.2)."""
    half = total / config.cycles / 2
    return LOW + (1 - LOW) * (1 - abs(step / half % 2 - 1))


def _between(start: float, end: float, share: float) -> float:
    """From one value to another along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


SCHEDULES: dict[str, Callable[[int, int, "TrainConfig"], float]] = {
    "cosine": cosine,
    "constant": constant,
    "step": steps,
    "exponential": exponential,
    "restarts": restarts,
    "one-cycle": one_cycle,
    "cyclic": cyclic,
    "plateau": constant,  # until the validation loss says otherwise: see `loop.Plateau`
}
OWN_RISE = ("one-cycle",)  # what climbs by itself


def lr_factor(config: "TrainConfig", step: int, total: int) -> float:
    """The share of the learning rate that step number `step` (from 0) of `total` uses.

    A linear warm-up (Goyal et al. 2017, section 2.2), then the schedule over the steps that are left.
    """
    if config.schedule in OWN_RISE:
        return SCHEDULES[config.schedule](step, max(total, 2), config)
    warm = round(config.warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    return SCHEDULES[config.schedule](step - warm, max(1, total - warm), config)
