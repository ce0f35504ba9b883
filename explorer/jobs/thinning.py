"""Keeps a list of events bounded, however many are reported."""

from collections.abc import Callable
from typing import TypeVar

Event = TypeVar("Event")


def thin(events: list[Event], most: int, kept: Callable[[Event], bool]) -> list[Event]:
    """At most `most` events: every second of the older half goes, again and again.

    The first and the newest stay, and so do those that are `kept`, unless these alone are too many.
    """
    while len(events) > most:
        enough = len(events) // 8
        older, all_but_ends = range(1, len(events) // 2), range(1, len(events) - 1)
        gone = [i for i in older if not kept(events[i])]
        if len(gone) < enough:
            gone = [i for i in all_but_ends if not kept(events[i])]
        if len(gone) < enough:
            gone = list(all_but_ends)
        if not gone:
            return events
        drop = set(gone[::2])
        events = [event for i, event in enumerate(events) if i not in drop]
    return events
