"""What a session has for the event loop reaches it in order, together: python -m pytest tests/ui/test_handoffs.py"""

import asyncio
import threading

import pytest
from streamlit import config
from streamlit.runtime.app_session import AppSession

from explorer.ui import handoffs


@pytest.fixture
def session():
    """A session on a loop of its own, whose wakings are counted."""
    loop, woken = asyncio.new_event_loop(), []
    plain = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda call: (woken.append(call), plain(call))[1]
    made = AppSession.__new__(AppSession)
    made._event_loop = loop
    yield made, loop, woken
    loop.close()


def test_calls_from_several_threads_come_in_the_order_of_each(session):
    made, loop, woken = session
    seen = []

    def draw(name):
        for number in range(200):
            handoffs._together(made, lambda number=number: seen.append((name, number)))

    threads = [threading.Thread(target=draw, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    loop.run_until_complete(asyncio.sleep(0))
    for name in "ab":
        assert [number for one, number in seen if one == name] == list(range(200))
    assert len(woken) <= 2  # of four hundred calls the loop was told once, or once by each thread


def test_what_comes_while_the_loop_works_is_done_too(session):
    made, loop, _ = session
    seen = []
    handoffs._together(made, lambda: (seen.append(1), handoffs._together(made, lambda: seen.append(2))))
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == [1, 2]
    handoffs._together(made, lambda: seen.append(3))
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == [1, 2, 3]


def test_one_that_fails_stops_no_other(session):
    made, loop, _ = session
    seen, failed = [], []
    loop.set_exception_handler(lambda loop, about: failed.append(about["exception"]))
    handoffs._together(made, lambda: 1 / 0)
    handoffs._together(made, lambda: seen.append("drawn"))
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == ["drawn"]
    assert [type(error) for error in failed] == [ZeroDivisionError]


def test_options_are_those_of_streamlit(monkeypatch):
    for key, option in config.get_config_options().items():
        assert handoffs._option(key) == option.value
    with pytest.raises(RuntimeError, match="not defined"):
        handoffs._option("server.nonsense")


def test_options_that_a_test_has_replaced_stay_replaced(monkeypatch):
    def other(key):
        return "other"

    monkeypatch.setattr(config, "get_option", other)
    monkeypatch.setattr(AppSession, "_call_soon_on_event_loop", AppSession._call_soon_on_event_loop)
    handoffs.mend()
    assert config.get_option is other
