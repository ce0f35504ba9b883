"""Memory: what there is left, whether it was too little, and how to give some back."""

import contextlib
import ctypes
import functools
import gc
import os
import sys
import threading
import time

import psutil

from explorer.settings import memory

ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
ARENAS = 2  # from which C takes memory: with its usual eight for each core, each keeps what threads freed in it
TIDY = 30.0  # seconds between two looks for garbage


_tidying = threading.Lock()
_tidied = [time.monotonic()]


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; torch says so in words only."""
    words = str(error)
    return isinstance(error, MemoryError) or any(
        sign in words for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )


@functools.cache
def hold_together() -> bool:
    """Have the threads of this process take memory from a few places, so that less of what they free is kept.

    Once, and unless the variable says otherwise; whether that is possible here.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc's own
        return ctypes.CDLL(None).mallopt(ARENA_MAX, ARENAS) == 1
    return False


def give_back() -> None:
    """Give freed memory back to the machine and to the GPU."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc's own; other systems do it by themselves
        ctypes.CDLL(None).malloc_trim(0)
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()


def set_aside() -> None:
    """Leave what there is now out of all later looks for garbage: modules stay anyway, and take 0.4 s each time.

    Nobody's page goes on meanwhile. Only where no network is open: one that is would never go.
    """
    gc.collect()
    gc.freeze()


def tidy() -> None:
    """Collect garbage where that was not done just now; after the run of a page, in place of Streamlit's own way."""
    if time.monotonic() - _tidied[0] > TIDY and _tidying.acquire(blocking=False):
        try:
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
