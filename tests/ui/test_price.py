"""What takes long is asked first: python -m pytest tests/ui/test_price.py"""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import streamlit as st

from explorer import settings
from explorer.store import Store
from explorer.ui import price
from explorer.ui.price import AskFirst, Price, ask_first


@pytest.fixture
def here(monkeypatch):
    """A place where so many seconds are done unasked, with nothing kept and nothing agreed to."""
    held, state = Store(lambda: 10**6), {}
    limits = SimpleNamespace(unasked=2, turns=2)
    turns = SimpleNamespace(load=0.0)
    found = SimpleNamespace(limits=limits, shared=False)
    monkeypatch.setattr(price, "ANSWERS", held)
    monkeypatch.setattr(price, "TURNS", turns)
    monkeypatch.setattr(price, "settings", lambda: found)
    monkeypatch.setattr(st, "session_state", state)
    monkeypatch.setattr(price, "_paces", OrderedDict())
    monkeypatch.setattr(AskFirst, "show", lambda asked: None)
    return SimpleNamespace(held=held, turns=turns, settings=found)


def test_what_was_never_done_costs_the_usual_and_then_what_it_took():
    one = Price(("kind of this test", 1), 10, usual=0.5)
    assert one.seconds == 5
    one.took(20)
    assert one.seconds == 20
    assert Price(one.kind, 5).seconds == 10
    Price(one.kind, 2).took(1)  # sooner, with everything warm
    assert one.seconds == 5
    Price(one.kind, 2).took(100)  # beside others
    assert one.seconds == 5
    Price(one.kind, 0).took(1)  # of nothing nothing is learned
    assert one.seconds == 5


def test_little_is_done_and_much_is_asked_for_together(here):
    ask_first({"a": 1.0, "b": 1.0})
    with pytest.raises(AskFirst) as asked:
        ask_first({"a": 1.0, "b": 1.5})
    assert asked.value.keys == {"a", "b"}
    assert asked.value.seconds == 2.5


def test_what_is_kept_or_agreed_to_costs_nothing(here):
    here.held.get("b", lambda: 1)
    ask_first({"a": 1.0, "b": 100.0})
    price.agree("c")
    ask_first({"c": 100.0})
    with pytest.raises(AskFirst):
        ask_first({"c": 100.0, "d": 100.0})


@pytest.mark.parametrize(("load", "seconds"), [(0, 2.0), (2, 2.0), (4, 1.0), (8, 0.5), (1000, price.LEAST)])
def test_on_a_shared_server_less_is_done_unasked_the_more_people_compute(here, load, seconds):
    here.turns.load = load
    ask_first({"a": 2.0})  # alone it doesn't matter
    here.settings.shared = True
    ask_first({"a": seconds})
    with pytest.raises(AskFirst):
        ask_first({"a": seconds + 0.01})


def test_where_everything_is_to_be_asked_nothing_is_done_unasked(here):
    here.settings.shared, here.settings.limits.unasked = True, 0
    with pytest.raises(AskFirst):
        ask_first({"a": 0.01})


def test_the_tests_ask_for_nothing_however_slow_the_machine():
    assert settings.settings().limits.unasked >= 600


@pytest.mark.parametrize(("seconds", "told"), [(0.26, "0.3 s"), (9.94, "9.9 s"), (75, "75 s"), (150, "2 min")])
def test_a_price_is_told_as_a_person_says_it(seconds, told):
    assert price.lasting(seconds) == told


def test_what_was_done_longest_ago_is_forgotten_first(here, monkeypatch):
    monkeypatch.setattr(price, "KINDS", 2)
    for kind in "abac":
        Price(kind, 1).took(3)
    assert [Price(kind, 1).seconds for kind in "abc"] == [3, 0, 3]
