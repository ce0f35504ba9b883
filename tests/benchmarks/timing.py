"""Ours against theirs: the two take turns, so that a busy moment meets both."""

import statistics
import time
from collections.abc import Callable

REPEATS = 15


def against(ours: Callable[[], object], theirs: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """The median of ours ÷ theirs, each timed right after the other, and the median of ours in seconds."""
    for warm_up in (ours, theirs, ours, theirs):
        warm_up()
    ratios, seconds = [], []
    for turn in range(repeats):
        order = (ours, theirs) if turn % 2 else (theirs, ours)
        took = {}
        for call in order:
            start = time.perf_counter()
            call()
            took[call] = time.perf_counter() - start
        ratios.append(took[ours] / took[theirs])
        seconds.append(took[ours])
    return statistics.median(ratios), statistics.median(seconds)
