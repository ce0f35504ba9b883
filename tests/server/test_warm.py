"""Models are opened ahead of a lesson: python -m pytest tests/server/test_warm.py"""

import threading
import time

import pytest

from explorer import zoo
from explorer.errors import ExplorerError
from explorer.server import warm


@pytest.fixture(autouse=True)
def door(monkeypatch):
    """A zoo in which a model opens when the test lets it: door.set(); opened is what was asked for, in order."""
    door, held = threading.Event(), []
    door.opened = held

    def load(ref):
        assert door.wait(60)
        if ref == "zoo:nothing":
            raise ExplorerError("The model 'zoo:nothing'", "there is none", "Choose another")
        if ref == "zoo:bug":
            raise ZeroDivisionError
        held.append(ref)

    monkeypatch.setattr(zoo, "load", load)
    monkeypatch.setattr(zoo, "held", lambda: [(f"{ref}@7" if ref.startswith("run:") else ref, 1) for ref in held])
    monkeypatch.setattr(warm, "_states", {})
    return door


def until(condition):
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_they_are_opened_one_after_the_other_and_each_once(door):
    warm.warm(["zoo:a", "zoo:nothing", "zoo:bug", "run:b"])
    until(lambda: warm.states()["zoo:a"] == warm.OPENING)
    assert [warm.states()[ref] for ref in ("zoo:nothing", "run:b")] == [warm.WAITING] * 2
    warm.warm(["zoo:a", "run:b"])  # impatience changes nothing
    door.set()
    until(lambda: warm.states()["run:b"] == warm.OPEN)
    assert warm.states()["zoo:a"] == warm.OPEN
    assert "there is none" in warm.states()["zoo:nothing"]
    assert "bug of ours" in warm.states()["zoo:bug"]
    assert door.opened == ["zoo:a", "run:b"]


def test_one_that_made_room_for_another_is_not_called_open(door):
    door.set()
    warm.warm(["zoo:a"])
    until(lambda: warm.states().get("zoo:a") == warm.OPEN)
    door.opened.clear()
    assert warm.states() == {}
    warm.warm(["zoo:a"])
    until(lambda: warm.states().get("zoo:a") == warm.OPEN)
