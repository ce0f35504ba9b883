"""Who is here, and for how long: python -m pytest tests/ui/test_presence.py"""

import pytest

from explorer.ui import presence


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(presence, "_here", {})
    monkeypatch.setattr(presence.time, "monotonic", lambda: now[0])
    return now


def come(monkeypatch, session, who):
    monkeypatch.setattr(presence.st, "session_state", {"presence": session})
    monkeypatch.setattr(presence, "person", lambda: who)
    presence.be_here()


def test_each_open_page_counts_until_it_has_been_silent_for_long(clock, monkeypatch):
    come(monkeypatch, "1", "anna")
    come(monkeypatch, "2", "anna")
    clock[0] += presence.GONE - 1
    come(monkeypatch, "2", "anna")
    come(monkeypatch, "3", "ben")
    assert presence.sessions() == {"anna": 2, "ben": 1}
    clock[0] += 2
    assert presence.sessions() == {"anna": 1, "ben": 1}


def test_nobody_has_to_ask_for_the_silent_to_be_forgotten(clock, monkeypatch):
    come(monkeypatch, "1", "anna")
    clock[0] += presence.GONE + 1
    come(monkeypatch, "2", "ben")
    assert list(presence._here) == ["2"]
