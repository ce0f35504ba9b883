import errno
import os

import numpy as np
import pytest

from explorer.data import cache
from explorer.settings import settings


@pytest.fixture(scope="module")
def drawn():
    """Nothing is in the cache."""


@pytest.fixture
def make():
    def make():
        make.calls += 1
        return {"x": np.arange(5000), "words": np.array(["a", "ring"])}

    make.calls = 0
    return make


def file():
    return settings().data / "cache" / "set-v1.npz"


def test_arrays_are_made_once_and_then_read(make):
    made, read = cache.cached("set-v1", make), cache.cached("set-v1", make)
    assert make.calls == 1
    assert np.array_equal(made["x"], read["x"])
    assert read["words"].tolist() == ["a", "ring"]


@pytest.mark.parametrize("damage", ["cut short", "emptied", "one bit", "no archive"])
def test_a_damaged_file_is_made_again(make, damage):
    cache.cached("set-v1", make)
    content = bytearray(file().read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"cut short": content[:1000], "emptied": b"", "one bit": bytes(content), "no archive": b"abc" * 999}
    file().write_bytes(damaged[damage])
    assert np.array_equal(cache.cached("set-v1", make)["x"], np.arange(5000))
    assert make.calls == 2
    cache.cached("set-v1", make)
    assert make.calls == 2  # the file is whole again


def test_a_full_disk_only_means_that_nothing_is_kept(make, monkeypatch):
    def full(*args, **arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert len(cache.cached("set-v1", make)["x"]) == 5000
    assert list((settings().data / "cache").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_only_means_that_nothing_is_kept(make):
    (settings().data / "cache").write_text("a file where the folder should be")
    assert len(cache.cached("set-v1", make)["x"]) == 5000


def test_the_folder_is_bounded_and_what_was_used_last_stays(make, monkeypatch):
    monkeypatch.setenv("EXPLORER_CACHE", "100000")  # room for two files of 40 kB
    settings.cache_clear()
    for index in range(3):
        cache.cached(f"set-{index}", make)
        os.utime(settings().data / "cache" / f"set-{index}.npz", (index, index))
    assert not (settings().data / "cache" / "set-0.npz").exists()
    cache.cached("set-1", make)  # used again, so it is now the youngest
    cache.cached("set-3", make)
    assert {path.stem for path in (settings().data / "cache").iterdir()} == {"set-1", "set-3"}


def test_no_part_written_file_is_left_behind(make):
    cache.cached("set-v1", make)
    assert [path.name for path in file().parent.iterdir()] == ["set-v1.npz"]
