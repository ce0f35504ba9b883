"""A fragment that asks to run just as a run of the page ends waits until the browser has been told of that end.

Streamlit 1.67 (`AppSession.request_rerun`) gives such a request a new thread at once, and from then on drops what the
thread before has drawn and not yet sent: with thirty people on a server, each with fragments that run by the clock, now
and then a page stood still half drawn until somebody touched it.
"""

import asyncio
import weakref

from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType

LOOK = 0.01  # seconds between two looks whether a run has ended
PATIENCE = 5.0  # seconds after which a request goes on all the same: a run that was told to stop may take its time

_plain = AppSession.request_rerun
_waiting: weakref.WeakKeyDictionary[AppSession, list] = weakref.WeakKeyDictionary()  # requests of fragments, in order


def mend() -> None:
    """Put it into Streamlit; a second call does nothing."""
    AppSession.request_rerun = _request_rerun


def _request_rerun(session: AppSession, client_state) -> None:
    waiting = _waiting.setdefault(session, [])
    if client_state is None or not client_state.fragment_id:
        waiting.clear()  # a run of the whole page runs all fragments
        _plain(session, client_state)
    elif waiting:
        waiting.append(client_state)
    elif _ending(session):
        waiting.append(client_state)
        loop = asyncio.get_running_loop()
        loop.call_later(LOOK, _go_on, session, loop.time() + PATIENCE)
    else:
        _plain(session, client_state)


def _go_on(session: AppSession, until: float) -> None:
    loop = asyncio.get_running_loop()
    if _ending(session) and loop.time() < until:
        loop.call_later(LOOK, _go_on, session, until)
        return
    waiting = _waiting.pop(session, [])
    for client_state in waiting:
        _plain(session, client_state)


def _ending(session: AppSession) -> bool:
    """Whether the thread of a session takes no requests any more, and the session doesn't yet know that it is over."""
    runner = session._scriptrunner
    return runner is not None and runner._requests._state is ScriptRequestType.STOP
