"""How much of the workers' time each person has used within the last hour."""

from collections import defaultdict, deque

HOUR = 3600.0


class Hour:
    """Jobs that have ended, by owner. Every time is one of time.monotonic(); its engine's lock guards it."""

    def __init__(self) -> None:
        self._jobs: defaultdict[str, deque[tuple[float, float]]] = defaultdict(deque)  # (end, seconds)

    def add(self, owner: str, seconds: float, now: float) -> None:
        """A job of theirs has just ended."""
        self._jobs[owner].append((now, seconds))

    def used(self, owner: str, now: float) -> float:
        """Seconds of the workers that they have used within the hour before now."""
        for who in [who for who, jobs in self._jobs.items() if jobs[-1][0] <= now - HOUR]:
            del self._jobs[who]
        if owner not in self._jobs:
            return 0.0
        mine = self._jobs[owner]
        while mine[0][0] <= now - HOUR:
            mine.popleft()
        return sum(min(seconds, end - (now - HOUR)) for end, seconds in mine)

    def wait(self, owner: str, limit: float, now: float) -> float:
        """Seconds until they have used less than the limit within an hour; 0 where they have."""
        over = self.used(owner, now) - limit
        if over < 0 or owner not in self._jobs:
            return 0.0
        for end, seconds in self._jobs[owner]:  # the oldest leaves the hour first, second by second
            left = min(seconds, end - (now - HOUR))
            if left > over:
                return end - left + over - (now - HOUR)
            over -= left
        return HOUR
