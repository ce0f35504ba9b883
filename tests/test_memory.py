"""What is garbage goes, now and then, and its memory goes back to the machine."""

import ctypes
import gc
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from explorer import memory


class Ring:
    """Something that only a collection of garbage frees."""

    def __init__(self, megabytes: int = 0) -> None:
        self.me, self.parts = self, [np.ones(4096) for _ in range(megabytes * 32)]  # 32 KB each: of the heap


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(memory, "_tidied", [now[0]])
    gc.disable()
    yield now
    gc.enable()


def test_garbage_goes_once_in_a_while(clock):
    ring = weakref.ref(Ring())
    memory.tidy()
    assert ring()  # just now
    clock[0] += memory.TIDY + 1
    memory.tidy()
    assert not ring()
    other = weakref.ref(Ring())
    memory.tidy()
    assert other()


def test_what_is_set_aside_is_looked_at_no_more():
    ring = Ring()
    kept = weakref.ref(ring)
    memory.set_aside()
    try:
        del ring
        gc.collect()
        assert kept()
        other = weakref.ref(Ring())
        gc.collect()
        assert not other()
    finally:
        gc.unfreeze()
    gc.collect()
    assert not kept()


def test_memory_comes_from_few_places_unless_somebody_says_otherwise(monkeypatch):
    assert memory.hold_together.__wrapped__() == (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"))
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    assert not memory.hold_together.__wrapped__()


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc gives it back when asked"
)
def test_its_memory_goes_back_to_the_machine():
    process = psutil.Process()
    ring, wall = Ring(64), []
    wall.append(np.ones(4096))  # above them: the heap can't shrink from its end
    full = process.memory_info().rss
    del ring
    memory.give_back()
    assert full - process.memory_info().rss > 40 * 2**20


def test_what_is_too_little_memory_is_known_by_its_words():
    assert memory.out_of_memory(MemoryError())
    assert memory.out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not memory.out_of_memory(RuntimeError("shapes differ"))


def test_what_workers_hold_is_not_there_for_the_server(monkeypatch):
    monkeypatch.setattr(memory, "memory", lambda: 2 * 2**40)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**60))
    before = memory.room()
    code = "held = bytearray(b'x' * 200_000_000); print('ready', flush=True); input()"
    worker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert worker.stdout.readline() == b"ready\n"
        assert before - memory.room() > 190_000_000
    finally:
        worker.communicate(b"\n")
