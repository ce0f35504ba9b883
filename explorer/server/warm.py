"""Opens models ahead of a lesson, in the background, so that nobody waits for them later."""

import logging
import threading
from collections.abc import Sequence

from explorer import zoo
from explorer.errors import ExplorerError

WAITING, OPENING, OPEN = "waiting", "opening", "open"

log = logging.getLogger("explorer.server")
_lock = threading.Lock()
_states: dict[str, str] = {}  # by ref, in the order in which they were asked for: a state, or why it can't be had


def warm(refs: Sequence[str]) -> None:
    """Open models one after the other, in a thread of their own; those that are on their way stay there."""
    with _lock:
        new = [ref for ref in refs if _states.get(ref) not in (WAITING, OPENING)]
        _states.update(dict.fromkeys(new, WAITING))
    if new:
        threading.Thread(target=_open, args=(new,), name="warming", daemon=True).start()


def states() -> dict[str, str]:
    """How far it is with each: one that had to make room for others since is not open any more, and is left out."""
    held = {ref.partition("@")[0] for ref, _ in zoo.held()}  # a run is held by the checkpoint that it was opened at
    with _lock:
        return {ref: state for ref, state in _states.items() if state != OPEN or ref.partition("@")[0] in held}


def _open(refs: Sequence[str]) -> None:
    for ref in refs:
        _tell(ref, OPENING)
        try:
            zoo.load(ref)
        except ExplorerError as error:
            _tell(ref, str(error))
        except Exception:
            log.exception("Opening %s failed", ref)
            _tell(ref, "This is a bug of ours, and the server's log says where.")
        else:
            _tell(ref, OPEN)


def _tell(ref: str, state: str) -> None:
    with _lock:
        _states[ref] = state
