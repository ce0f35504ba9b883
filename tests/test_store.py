import threading
from types import SimpleNamespace

import pytest

from explorer.store import Store


def item(nbytes):
    return SimpleNamespace(nbytes=nbytes)


def test_the_least_recently_used_goes_first():
    store, made = Store(lambda: 100), []

    def get(key):
        return store.get(key, lambda: made.append(key) or item(40))

    for key in "ABAC":  # B is the least recently used when C comes
        get(key)
    assert store.nbytes == 80
    get("A")
    get("B")
    assert made == ["A", "B", "C", "B"]


def test_what_is_larger_than_the_limit_is_given_but_not_kept():
    store = Store(lambda: 100)
    store.get("small", lambda: item(40))
    assert store.get("large", lambda: item(101)).nbytes == 101
    assert store.nbytes == 40


def test_threads_that_ask_for_the_same_make_it_once_and_others_do_not_wait():
    store, made, started, finish = Store(lambda: 100), [], threading.Event(), threading.Event()

    def slow():
        made.append("slow")
        started.set()
        assert finish.wait(10)
        return item(10)

    found = []
    threads = [threading.Thread(target=lambda: found.append(store.get("slow", slow))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    assert store.get("quick", lambda: item(1)).nbytes == 1  # while the slow one is being made
    assert not found
    finish.set()
    for thread in threads:
        thread.join(10)
    assert made == ["slow"]
    assert len(found) == 4
    assert len({id(value) for value in found}) == 1


def test_a_failure_is_not_remembered():
    store = Store(lambda: 100)
    with pytest.raises(ZeroDivisionError):
        store.get("key", lambda: 1 / 0)
    assert store.get("key", lambda: item(1)).nbytes == 1
