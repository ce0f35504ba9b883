"""Fewer handoffs between the threads of a busy server.

Streamlit 1.67 wakes its event loop for each of the elements of a page (`AppSession._on_scriptrunner_event`), and
locks its options whenever one is read (`config.get_option`), several times for each element. At each of these a thread
gives Python up, and has to wait until others, at work for other people, give it back. Here what was drawn while the
loop was busy goes to it together, in order, and options are read without the lock.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from streamlit import config
from streamlit.runtime.app_session import AppSession

_call_soon = AppSession._call_soon_on_event_loop


class _Pending:
    """What the event loop has not done yet for a session, in order."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.told = False  # the loop knows of them

    def work(self, session: AppSession) -> None:
        """Do them all, on the loop."""
        self.told = False
        try:
            while self.calls:
                self.calls.popleft()()
        finally:
            if self.calls:  # one has failed; the rest goes on
                self.tell(session)

    def tell(self, session: AppSession) -> None:
        """Have the loop do them soon; for as long as it knows of them, nothing is to be done."""
        if not self.told:
            self.told = True
            _call_soon(session, lambda: self.work(session))


def mend() -> None:
    """Put it into Streamlit; a second call does nothing."""
    AppSession._call_soon_on_event_loop = _together
    if config.get_option.__module__ == config.__name__:  # for the length of a run, AppTest has another in its place
        config.get_option = _option


def _together(session: AppSession, call: Callable[[], None]) -> None:
    pending = vars(session).setdefault("_pending_calls", _Pending())
    pending.calls.append(call)
    pending.tell(session)


def _option(key: str) -> Any:
    options = config.get_config_options()
    if key not in options:
        raise RuntimeError(f'Config key "{key}" not defined.')
    return options[key].value
