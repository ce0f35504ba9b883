"""Who may see and stop everything: whoever knows the teacher's token."""

import hmac
import math
import threading
import time
from collections import deque

from explorer.errors import ExplorerError
from explorer.settings import settings

TRIES = 5  # wrong ones of one session
ALL_TRIES = 30  # wrong ones of all sessions together, in
WINDOW = 60.0  # seconds
ASKED = "The teacher's view"


class WrongTokenError(ExplorerError):
    """A token was compared, and is another."""


_lock = threading.Lock()
_wrong: deque[float] = deque()  # times of wrong tries, as time.monotonic() has them


def check(said: str, before: int) -> None:
    """Let in who says the token; raises ExplorerError for anybody else.

    before: the wrong tries of this session. Too many of one session end its tries, and too many of all sessions those
    of everybody for a while, so that nobody can guess by opening many.
    """
    if not settings().teacher:
        raise ExplorerError(ASKED, "it is switched off", "Set EXPLORER_TEACHER and start the server again")
    if before >= TRIES:
        raise ExplorerError(ASKED, f"{TRIES} tries were wrong", "Reload the page and ask whoever runs this server")
    with _lock:
        now = time.monotonic()
        while _wrong and _wrong[0] <= now - WINDOW:
            _wrong.popleft()
        if len(_wrong) >= ALL_TRIES:
            wait = math.ceil(_wrong[0] + WINDOW - now)
            raise ExplorerError(ASKED, "too many wrong tokens were typed on this server", f"Try again in {wait} s")
        if not hmac.compare_digest(said.encode(), settings().teacher.encode()):
            _wrong.append(now)
            raise WrongTokenError(ASKED, "that is not its token", "Type the one in EXPLORER_TEACHER")
