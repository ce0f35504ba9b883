"""Memory: what there is left, whether it was too little, and how to give some back."""

import contextlib
import ctypes
import gc
import sys
import threading
import time

import psutil

from explorer.settings import memory

ARENAS = 4  # from which C takes memory: with its usual eight for each core, each keeps what threads freed in it
TIDY = 30.0  # seconds between two looks for garbage among all that Python holds

GROWN, TIMES = (
    500,
    3,
)  # modules that were imported since things were last set aside, for it to be worth while; how often

_tidying = threading.Lock()
_tidied = [time.monotonic()]
_aside: list[int] = []  # modules that there were whenever things were set aside


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch says so in words only."""
    words = str(error)
    return isinstance(error, MemoryError) or any(
        sign in words for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )


def hold_together() -> None:
    """Have all threads of this process take memory from a few places, so that less of what they free is kept."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc's own
        ctypes.CDLL(None).mallopt(-8, ARENAS)  # M_ARENA_MAX, malloc.h


def give_back() -> None:
    """Give freed memory back to the machine and to the GPU."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc's own; other systems do it by themselves
        ctypes.CDLL(None).malloc_trim(0)
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()


def set_aside() -> None:
    """Leave what there is now out of all later looks for garbage, where much was imported since: it stays anyway.

    They would take 0.4 s, in which nobody's page goes on. Whoever has a page open then is left out as well, and keeps
    a little memory for good, so it is done a few times only.
    """
    if len(_aside) < TIMES and len(sys.modules) - max(_aside, default=0) > GROWN and "torch" in sys.modules:
        _aside.append(len(sys.modules))
        gc.collect()
        gc.freeze()


def tidy() -> None:
    """Collect garbage where that was not done just now; after the run of a page, in place of Streamlit's own way."""
    if time.monotonic() - _tidied[0] > TIDY and _tidying.acquire(blocking=False):
        try:
            set_aside()
            give_back()
            _tidied[0] = time.monotonic()
        finally:
            _tidying.release()


def room() -> int:
    """Bytes of memory that this process may still take, a container's limit and its workers' part respected."""
    held, here = 0, psutil.Process()
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it has just ended
            held += process.memory_info().rss
    return max(0, min(psutil.virtual_memory().available, memory() - held))
