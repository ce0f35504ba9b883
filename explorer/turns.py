"""How many computations of pages go on at once in this process, and who is next: who has had least, in slices.

A long computation lends its turn to those who wait, again and again, so that nobody waits for all of it.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from explorer.errors import ExplorerError
from explorer.settings import settings

LOOK = 0.1  # seconds between two looks at whether anybody still waits
SLICE = 0.15  # seconds of the processor that a computation may have had more than one that waits, which then goes on
PAUSED = 2  # computations that pause at once, or as many as there are turns, before nothing long is begun: each keeps
# its memory
LONG = 0.5  # seconds that a computation is expected to take, from which on it is long
AGES = 0.5  # seconds of the processor that a second of waiting makes up for, so that what is long comes to its end too
PATIENCE = 30.0  # seconds that one run of a page may wait for work that is not begun; then it is told to come back
SWITCH = 0.0005  # seconds for which a thread of Python may keep the others waiting; with its usual 0.005 a network that
# is asked beside a busy page waits for so long after every little operation, and a sample of 0.3 s takes a minute; with
# 0.00005 the forty threads of a class wake each other all the time
LATELY = 5.0  # seconds over which the load is averaged
AGAIN = "Try again in a moment"


@dataclass(eq=False)
class _Ticket:
    """A place in the line."""

    fresh: bool  # nothing of the work is done yet
    long: bool  # as far as that was told
    came: float
    had: float  # seconds of the processor that its thread has had with a turn

    def rank(self, now: float) -> float:
        """The smallest is served first."""
        return self.had - AGES * (now - self.came)


class Turns:
    """A number of turns that threads take: first who has had least of them, and of these who asked first.

    Each run of a page computes in one thread, so what is short is served before the rest of what is long (least
    attained service, Nuyens and Wierman 2008, "The foreground-background queue: a survey"). Who has a turn may take it
    again, and pauses where others come first, whenever it calls `look`. most: turns at once.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._taken = self._paused = 0
        self._load, self._loaded = 0.0, time.monotonic()
        self._mine = threading.local()
        self.wanted: Callable[[], None] = lambda: None  # raises in a thread whose work nobody waits for any more

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn, and have it for the length of a `with`.

        Raises ExplorerError where it takes too long, and whatever `wanted` raises.
        """
        depth = self._depth()
        if not depth:
            self._rest()
            self._begin()
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            held = self._depth()  # none where it was lent and has not come back
            self._mine.depth = depth if held else 0
            if held and not depth:
                self._end()
            self._mine.ended = time.monotonic()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Lend one's turn to others while waiting for something that needs one itself."""
        depth = self._depth()
        if depth:
            self._mine.depth = 0
            self._end()
        try:
            yield
        finally:
            if depth:
                self._begin(fresh=False, first=True)
                self._mine.depth = depth

    def until(self, ready: Callable[[float], bool]) -> None:
        """Wait for somebody else's work, one's own turn lent, until `ready`, which is given seconds to wait, is true.

        Raises ExplorerError where it takes as long as a turn may, and whatever `wanted` raises.
        """
        if not self._depth():
            self._rest()
        with self.aside():
            came = time.monotonic()
            try:
                while not ready(LOOK):
                    self.wanted()
                    if time.monotonic() - came > self._mine.left:
                        raise ExplorerError("This computation", "it is being made for somebody else", AGAIN)
            finally:
                self._mine.left -= time.monotonic() - came
                self._mine.ended = time.monotonic()

    @contextmanager
    def expecting(self, seconds: float) -> Iterator[None]:
        """Tell, for the length of a `with`, how long what this thread computes is expected to take."""
        before = getattr(self._mine, "expected", 0.0)
        self._mine.expected = seconds
        try:
            yield
        finally:
            self._mine.expected = before

    def look(self) -> None:
        """Ask, wherever this thread's work may pause or end, whether it is still wanted, and let others go on.

        Raises what `wanted` raises.
        """
        now = time.monotonic()
        if now - getattr(self._mine, "looked", -LOOK) >= LOOK:
            self._mine.looked = now
            self.wanted()
        if self._depth() and self._waiting and self._outranked(now):
            self._pause()

    def clock(self) -> float:
        """Seconds that have gone by for this thread, those left out for which it had paused."""
        return time.monotonic() - getattr(self._mine, "away", 0.0)

    @property
    def counts(self) -> tuple[int, int]:
        """How many turns are taken, and how many wait for one."""
        with self._changed:
            return self._taken, len(self._waiting)

    @property
    def load(self) -> float:
        """How many have computed, or waited to, in the last seconds, on average."""
        with self._changed:
            self._weigh()
            return self._load

    def _weigh(self) -> None:
        """Bring the load up to now, before the number of those in it changes."""
        now = time.monotonic()
        here = self._taken + len(self._waiting)
        self._load = here + (self._load - here) * math.exp((self._loaded - now) / LATELY)
        self._loaded = now

    def _depth(self) -> int:
        return getattr(self._mine, "depth", 0)

    def _rest(self) -> None:
        """Patience comes back while nothing is asked, and what was had is forgotten."""
        rested = time.monotonic() - getattr(self._mine, "ended", 0.0)
        self._mine.left = min(PATIENCE, getattr(self._mine, "left", 0.0) + rested)
        self._mine.had = max(0.0, self._had() - rested)

    def _had(self) -> float:
        return getattr(self._mine, "had", 0.0)

    def _having(self) -> float:
        """What was had with the turn that is had now."""
        return self._had() + time.thread_time() - self._mine.began

    def _begin(self, fresh: bool = True, first: bool = False) -> None:
        """Wait for a turn. fresh: nothing of it is computed yet. first: before all who wait."""
        came = time.monotonic()
        long = getattr(self._mine, "expected", 0.0) > LONG
        ticket = _Ticket(fresh, long, came, -math.inf if first else self._had())
        with self._changed:
            self._weigh()
            self._waiting.append(ticket)
        try:
            while True:
                with self._changed:
                    if self._taken < self._most() and self._next() is ticket:
                        self._taken += 1
                        self._mine.since, self._mine.began = time.monotonic(), time.thread_time()
                        if fresh:
                            self._mine.left -= self._mine.since - came
                        return
                    self._changed.wait(LOOK)
                self.wanted()
                if fresh and time.monotonic() - came > self._mine.left:  # what is begun is brought to its end
                    raise ExplorerError("This computation", "too many others are being made here just now", AGAIN)
        finally:
            with self._changed:
                self._weigh()
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _next(self, pausing: int = 0) -> _Ticket | None:
        """Who is served next: nothing long is begun while too much is under way. pausing: who are about to pause."""
        full = self._paused + pausing >= max(PAUSED, self._most())
        now, fitting = time.monotonic(), [one for one in self._waiting if not (one.fresh and one.long and full)]
        return min(fitting, key=lambda one: one.rank(now), default=None)

    def _outranked(self, now: float) -> bool:
        """Whether somebody is waiting who comes before this thread, after what it has had by now."""
        with self._changed:
            other = self._next(pausing=1)
        return other is not None and other.rank(now) + SLICE < self._having()

    def _pause(self) -> None:
        """Let those who wait go on, and line up behind them."""
        depth, began = self._depth(), time.monotonic()
        self._mine.depth = 0
        with self._changed:
            self._paused += 1
        self._end()
        try:
            self._begin(fresh=False)
            self._mine.depth = depth
        finally:
            with self._changed:
                self._paused -= 1
                self._changed.notify_all()
            away = time.monotonic() - began
            self._mine.away = getattr(self._mine, "away", 0.0) + away
            self._mine.had = max(0.0, self._had() - AGES * away)

    def _end(self) -> None:
        self._mine.had = self._having()
        with self._changed:
            self._weigh()
            self._taken -= 1
            self._changed.notify_all()


TURNS = Turns(lambda: settings().limits.turns)
