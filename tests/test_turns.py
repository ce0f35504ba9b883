"""Turns are taken in order, so many at once, and given up: python -m pytest tests/test_turns.py"""

import contextlib
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from explorer import turns
from explorer.borrow import Pool
from explorer.errors import ExplorerError
from explorer.store import Store
from explorer.turns import Turns


def begun(line, number):
    """Wait until so many wait in line."""
    until = time.monotonic() + 20
    while line.counts[1] < number:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_so_many_at_once_in_the_order_in_which_they_asked():
    line, order, most, now, lock = Turns(lambda: 2), [], [0], [0], threading.Lock()
    held, threads = threading.Event(), []

    def work(number):
        with line.take():
            with lock:
                order.append(number)
                now[0] += 1
                most[0] = max(most[0], now[0])
            held.wait(20)
            with lock:
                now[0] -= 1

    for number in range(6):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        until = time.monotonic() + 20
        while sum(line.counts) <= number:
            assert time.monotonic() < until
            time.sleep(0.005)
    assert line.counts == (2, 4)
    held.set()
    for thread in threads:
        thread.join(20)
    assert sorted(order[:2]) == [0, 1]
    assert most == [2]
    assert line.counts == (0, 0)


def test_the_next_in_line_is_the_one_who_waited_longest():
    line, order, threads = Turns(lambda: 1), [], []
    with line.take():
        for number in range(4):
            threads.append(threading.Thread(target=lambda number=number: _note(line, order, number)))
            threads[-1].start()
            begun(line, number + 1)
    for thread in threads:
        thread.join(20)
    assert order == [0, 1, 2, 3]


def _note(line, order, number):
    with line.take():
        order.append(number)


def test_who_has_a_turn_may_take_it_again():
    line = Turns(lambda: 1)
    with line.take(), line.take():
        assert line.counts == (1, 0)
    assert line.counts == (0, 0)


def test_work_that_nobody_waits_for_is_dropped_from_the_line():
    line, gone = Turns(lambda: 1), threading.Event()

    class Gone(BaseException):
        """What Streamlit raises where a page has moved on."""

    def wanted():
        if gone.is_set() and threading.current_thread() is waiting:
            raise Gone

    ended = []

    def work():
        try:
            with line.take():
                ended.append("computed")
        except Gone:
            ended.append("dropped")

    line.wanted = wanted
    waiting = threading.Thread(target=work)
    with line.take():
        waiting.start()
        begun(line, 1)
        gone.set()
        waiting.join(20)
        assert ended == ["dropped"]
        assert line.counts == (1, 0)
    with line.take():
        pass


def test_who_waits_too_long_is_told_so(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.05)
    line, told = Turns(lambda: 1), []

    def work():
        try:
            with line.take():
                pass
        except ExplorerError as error:
            told.append(str(error))

    with line.take():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
    assert "too many others" in told[0]
    assert line.counts == (0, 0)


def test_two_who_wait_for_each_others_answers_do_not_block_each_other(monkeypatch):
    """One has the only turn and wants an answer that the other, who waits for a turn, is making."""
    line, store = Turns(lambda: 1), Store(lambda: 1000)
    monkeypatch.setattr("explorer.store.TURNS", line)
    making, asked = threading.Event(), threading.Event()
    found = []

    def slow():
        making.set()
        assert asked.wait(20)
        with line.take():
            return "answer"

    def first():
        found.append(store.get("key", slow))

    with line.take():
        thread = threading.Thread(target=first)
        thread.start()
        assert making.wait(20)
        asked.set()
        found.append(store.get("key", lambda: "made twice"))
        assert line.counts[0] == 1
    thread.join(20)
    assert found == ["answer", "answer"]


def test_borrowing_a_network_takes_a_turn(monkeypatch):
    line = Turns(lambda: 1)
    monkeypatch.setattr("explorer.borrow.TURNS", line)
    pool = Pool(torch.nn.Linear(2, 2))
    with pool.borrow():
        assert line.counts == (1, 0)
    with pytest.raises(ZeroDivisionError), pool.borrow():
        raise ZeroDivisionError
    assert line.counts == (0, 0)


def test_a_long_computation_lets_a_short_one_go_before_its_end(monkeypatch):
    monkeypatch.setattr(turns, "SLICE", 0.01)
    line, order, begun_, over = Turns(lambda: 1), [], threading.Event(), threading.Event()

    def long():
        with line.take():
            begun_.set()
            before = line.clock()
            until = time.monotonic() + 20
            while not over.is_set():
                assert time.monotonic() < until
                line.look()
                time.sleep(0.005)
            order.append("long")
            order.append(line.clock() - before)

    def short():
        with line.take():
            order.append("short")
            time.sleep(0.3)
        over.set()

    threads = [threading.Thread(target=long), threading.Thread(target=short)]
    began = time.monotonic()
    threads[0].start()
    assert begun_.wait(20)
    threads[1].start()
    for thread in threads:
        thread.join(20)
    assert order[:2] == ["short", "long"]
    assert order[2] < time.monotonic() - began - 0.25  # its clock stood still meanwhile
    assert line.counts == (0, 0)


def test_who_has_had_least_is_served_first(monkeypatch):
    """What is long has had a turn, and lets in whoever comes meanwhile; and it comes to its end."""
    monkeypatch.setattr(turns, "SLICE", 0.02)
    line, order, threads = Turns(lambda: 1), [], []
    held = threading.Event()

    def long():
        with line.take():
            held.set()
            began = line.clock()
            while line.clock() - began < 0.5:
                line.look()
                time.sleep(0.005)
            order.append("long")

    def short(number):
        with line.take():
            time.sleep(0.03)
            order.append(number)

    threads.append(threading.Thread(target=long))
    threads[0].start()
    assert held.wait(20)
    time.sleep(0.1)
    for number in range(3):
        threads.append(threading.Thread(target=short, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join(20)
    assert sorted(order[:3]) == [0, 1, 2]
    assert order[3] == "long"
    assert line.counts == (0, 0)


def test_what_is_long_comes_to_its_end_however_many_come(monkeypatch):
    monkeypatch.setattr(turns, "SLICE", 0.01)
    line, over = Turns(lambda: 1), threading.Event()

    def long():
        with line.take():
            began = line.clock()
            while line.clock() - began < 0.3:
                line.look()
                time.sleep(0.002)
        over.set()

    def others():
        while not over.is_set():
            with line.take():
                time.sleep(0.02)

    threads = [threading.Thread(target=work) for work in (long, others, others)]
    for thread in threads:
        thread.start()
    ended = over.wait(20)
    over.set()
    for thread in threads:
        thread.join(20)
    assert ended


def test_the_load_is_how_many_compute_or_wait(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: now[0], thread_time=time.thread_time))
    line = Turns(lambda: 1)
    assert line.load == 0
    with line.take():
        now[0] += turns.LATELY
        assert line.load == pytest.approx(1 - np.exp(-1))
        now[0] += 100
        assert line.load == pytest.approx(1)
    now[0] += turns.LATELY
    assert line.load == pytest.approx(np.exp(-1))


def test_nothing_long_is_begun_while_too_much_is_under_way(monkeypatch):
    monkeypatch.setattr(turns, "SLICE", 0.0)
    monkeypatch.setattr(turns, "PAUSED", 2)
    line, under_way, most, lock = Turns(lambda: 1), [0], [0], threading.Lock()

    def work():
        with line.expecting(2 * turns.LONG), line.take():
            with lock:
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
            for _ in range(10):
                time.sleep(0.002)
                line.look()
            with lock:
                under_way[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert 2 <= most[0] <= 3  # two that pause, and the one that has the turn
    assert line.counts == (0, 0)


def test_what_is_short_is_begun_however_much_is_under_way(monkeypatch):
    monkeypatch.setattr(turns, "SLICE", 0.0)
    monkeypatch.setattr(turns, "PAUSED", 1)
    line, over, served, threads = Turns(lambda: 1), threading.Event(), threading.Event(), []

    def long():
        with line.expecting(2 * turns.LONG), line.take():
            until = time.monotonic() + 20
            while not over.is_set():
                assert time.monotonic() < until
                line.look()
                time.sleep(0.002)

    def short():
        with line.expecting(turns.LONG / 2), line.take():
            served.set()

    for number in range(3):
        threads.append(threading.Thread(target=long))
        threads[-1].start()
        until = time.monotonic() + 20
        while sum(line.counts) <= number:
            assert time.monotonic() < until
            time.sleep(0.002)
    threads.append(threading.Thread(target=short))
    threads[-1].start()
    assert served.wait(20)
    over.set()
    for thread in threads:
        thread.join(20)
    assert line.counts == (0, 0)


@pytest.mark.parametrize("pauses", [True, False])
def test_who_gives_up_while_it_pauses_or_lends_leaves_no_turn_behind(monkeypatch, pauses):
    monkeypatch.setattr(turns, "SLICE", 0.0)
    line, held, free, depths = Turns(lambda: 1), threading.Event(), threading.Event(), []

    def keep():
        with line.take():
            held.set()
            assert free.wait(20)

    def wanted():
        if threading.current_thread() is quitter and held.is_set():
            raise KeyError("nobody waits")

    def quit():
        with contextlib.suppress(KeyError), line.take(), line.take():
            keeper.start()
            begun(line, 1)
            if pauses:
                line.look()
            else:
                with line.aside():
                    assert held.wait(20)
            depths.append("it was not told")
        depths.append(line._depth())
        free.set()

    line.wanted = wanted
    keeper, quitter = threading.Thread(target=keep), threading.Thread(target=quit)
    quitter.start()
    for thread in (quitter, keeper):
        thread.join(20)
    assert depths == [0]
    assert line.counts == (0, 0)


def test_the_waiting_of_several_turns_adds_up(monkeypatch):
    now, asks, told = [100.0], threading.Semaphore(0), []
    monkeypatch.setattr(turns, "PATIENCE", 0.4)
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: now[0], thread_time=time.thread_time))
    line = Turns(lambda: 1)

    def run():
        try:
            while asks.acquire(timeout=20):
                with line.take():
                    told.append("served")
        except ExplorerError:
            told.append("refused")

    page = threading.Thread(target=run)
    page.start()
    for number in range(1, 6):
        with line.take():
            asks.release()
            begun(line, 1)
            now[0] += 0.15  # waited, each time
        until = time.monotonic() + 20
        while len(told) < number:
            assert time.monotonic() < until
            time.sleep(0.005)
        if told[-1] == "refused":
            break
    page.join(20)
    assert told[-1] == "refused"
    assert 2 <= told.count("served") <= 3


def test_who_has_begun_is_never_sent_away(monkeypatch):
    monkeypatch.setattr(turns, "SLICE", 0.0)
    monkeypatch.setattr(turns, "PATIENCE", 1.0)
    line, held, ended = Turns(lambda: 1), threading.Event(), []

    def long():
        with line.take():
            held.set()
            begun(line, 1)
            line.look()
            ended.append("long")

    thread = threading.Thread(target=long)
    thread.start()
    assert held.wait(20)
    with line.take():
        time.sleep(1.5)
    thread.join(20)
    assert ended == ["long"]
    assert line.counts == (0, 0)


def test_who_waits_for_anothers_answer_is_told_to_come_back(monkeypatch):
    line, store, making, free = Turns(lambda: 1), Store(lambda: 1000), threading.Event(), threading.Event()
    monkeypatch.setattr("explorer.store.TURNS", line)
    monkeypatch.setattr(turns, "PATIENCE", 0.2)

    def slow():
        making.set()
        assert free.wait(20)
        return "answer"

    maker = threading.Thread(target=lambda: store.get("key", slow))
    maker.start()
    assert making.wait(20)
    with pytest.raises(ExplorerError, match="being made for somebody else"):
        store.get("key", slow)
    with pytest.raises(ExplorerError, match="being made for somebody else"), line.take():
        store.get("key", slow)
    free.set()
    maker.join(20)
    assert store.get("key", slow) == "answer"
    assert line.counts == (0, 0)


def test_who_goes_while_it_gets_its_turn_back_leaves_the_answer_open(monkeypatch):
    """It has waited for another's answer, and is told to go in the line for its own turn."""
    line, gate = Turns(lambda: 1), threading.Lock()
    monkeypatch.setattr("explorer.store.TURNS", line)
    lent, going, told = threading.Event(), threading.Event(), []

    def wanted():
        if threading.current_thread() is quitter:
            lent.set()  # it is asked while it waits for the answer
            if going.is_set():
                raise KeyError("nobody waits")

    def ask():
        try:
            with line.take():
                Store._queue(gate)
        except KeyError:
            told.append("gone")

    line.wanted = wanted
    quitter = threading.Thread(target=ask)
    gate.acquire()
    quitter.start()
    assert lent.wait(20)
    with line.take():
        gate.release()
        begun(line, 1)  # it has passed the gate, and wants its turn back
        going.set()
        quitter.join(20)
    assert told == ["gone"]
    assert not gate.locked()
    assert line.counts == (0, 0)
