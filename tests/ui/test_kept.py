"""What pages compute is kept for everybody: python -m pytest tests/ui/test_kept.py"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from explorer.store import Store, weight
from explorer.turns import Turns
from explorer.ui import kept as module
from explorer.ui.kept import kept


@pytest.fixture
def shelf(monkeypatch):
    store = Store(lambda: 10_000)
    monkeypatch.setattr(module, "ANSWERS", store)
    return store


def test_the_same_question_is_answered_once(shelf):
    asked = []

    @kept()
    def square(number, _unseen=None, *, sign=1):
        asked.append(number)
        return sign * number**2

    assert [square(3), square(3, "other"), square(number=3), square(3, sign=-1), square(4)] == [9, 9, 9, -9, 16]
    assert asked == [3, 3, 4]


def test_what_has_no_hash_is_known_by_something_else(shelf):
    asked = []

    @kept(known={SimpleNamespace: lambda value: value.name})
    def length(value, several):
        asked.append(value.name)
        return len(value.name) + len(several)

    assert length(SimpleNamespace(name="a"), ["x", "y"]) == length(SimpleNamespace(name="a"), ("x", "y")) == 3
    assert asked == ["a"]


def test_what_is_forgotten_is_made_anew(shelf):
    asked = []

    @kept()
    def note(number):
        asked.append(number)

    note(1)
    note(2)
    assert note.held(1)
    note.forget(1)
    assert not note.held(1)
    note(1)
    note(2)
    assert asked == [1, 2, 1]


def test_two_functions_never_share_an_answer(shelf):
    @kept()
    def one(value):
        return "one"

    @kept()
    def two(value):
        return "two"

    assert (one(1), two(1)) == ("one", "two")


def test_answers_stay_within_their_bytes(shelf):
    @kept()
    def large(number):
        return np.zeros(4_000, np.uint8)

    for number in range(5):
        large(number)
    assert shelf.nbytes == 8_000


def test_a_failure_is_not_kept(shelf):
    tries = []

    @kept()
    def fails(number):
        tries.append(number)
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fails(1)
    assert tries == [1, 1]


@dataclass(frozen=True, eq=False)
class Result:
    """Something that a topic gives."""

    values: np.ndarray
    names: tuple[str, ...]
    more: dict


def test_what_is_kept_is_weighed_by_what_it_holds():
    array = np.zeros(1000, np.float32)
    assert weight(array) == 4000
    assert 4000 < weight(Result(array, ("a", "b"), {})) < 4500
    assert 400_000 < weight([array] * 100) < 410_000
    assert 8000 < weight(Result(array, (), {"second": array})) < 8500


def test_what_is_small_waits_for_no_turn(shelf, monkeypatch):
    turns = Turns(lambda: 1)
    monkeypatch.setattr(module, "TURNS", turns)
    had = []

    @kept(small=True)
    def small(number):
        had.append(turns.counts)

    @kept()
    def large(number):
        had.append(turns.counts)

    with ThreadPoolExecutor(1) as pool, turns.take():
        pool.submit(small, 1).result(30)
    large(1)
    assert had == [(1, 0), (1, 0)]  # the turn of somebody else, and its own
