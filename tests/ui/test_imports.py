"""A new server imports once, and nobody waits for ever."""

import sys
import threading
from types import SimpleNamespace

import pytest

from explorer.turns import TURNS
from explorer.ui import imports


@pytest.fixture
def new(monkeypatch):
    """A server that has just started, on which importing is slow to begin."""
    gate, threads = threading.Event(), []
    monkeypatch.setattr(imports, "_begun", threads)
    monkeypatch.setattr(imports, "set_aside", lambda: None)
    monkeypatch.setattr(imports, "_done", threading.Event())
    monkeypatch.setattr(imports, "HEAVY", ("colorsys",))
    real = imports.importlib.import_module

    def slowly(name):
        assert gate.wait(20)
        return real(name)

    monkeypatch.setattr(imports, "importlib", SimpleNamespace(import_module=slowly))  # other threads import meanwhile
    yield gate
    gate.set()
    for thread in threads:
        thread.join(20)


def test_all_wait_for_one_thread(new, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    seen = []

    def come():
        imports.wait()
        seen.append("colorsys" in sys.modules)

    people = [threading.Thread(target=come) for _ in range(5)]
    for one in people:
        one.start()
    people[0].join(0.3)
    assert seen == []
    new.set()
    for one in people:
        one.join(20)
    assert seen == [True] * 5
    assert len(imports._begun) == 1


def test_who_has_gone_waits_no_longer(new, monkeypatch):
    def gone():
        raise KeyError

    monkeypatch.setattr(TURNS, "wanted", gone)
    with pytest.raises(KeyError):
        imports.wait()


def test_what_can_not_be_imported_keeps_nobody_waiting(new, monkeypatch, caplog):
    monkeypatch.setattr(imports, "HEAVY", ("no_such_module",))
    new.set()
    imports.wait()
    assert "no_such_module" in caplog.text


def test_what_is_imported_ahead_is_there():
    for name in imports.HEAVY:
        imports.importlib.import_module(name)


def test_the_usual_data_are_made_once_all_is_imported(new, monkeypatch):
    from explorer import data

    made = []
    monkeypatch.setattr(data, "load", lambda name, split: made.append((name, split, imports._done.is_set())))
    imports.begin()
    new.set()
    imports._begun[0].join(20)
    assert made == [(name, "test", True) for name in imports.USUAL]
    monkeypatch.setattr(data, "load", lambda name, split: 1 / 0)
    imports._make_data()  # a page that needs them will say why
