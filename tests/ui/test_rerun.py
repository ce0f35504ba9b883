"""What a run has drawn reaches the browser, whenever a fragment asks to run: python -m pytest tests/ui/test_rerun.py"""

import asyncio
from unittest.mock import MagicMock, Mock

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.script_data import ScriptData
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

from explorer.ui import rerun

SCRIPT = """
import streamlit as st

@st.fragment
def clock():
    st.text("the clock")

clock()
st.text("the last line")
"""


@pytest.fixture(autouse=True)
def server(monkeypatch):
    """Streamlit alone: a test before may have run app.py, which mends it for the whole process."""
    monkeypatch.setattr(Runtime, "_instance", MagicMock())
    monkeypatch.setattr(AppSession, "request_rerun", rerun._plain)


@pytest.fixture
def mended(server):
    rerun.mend()


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


async def _told(script, *, presses=0, then=None):
    """What the browser is told when a fragment asks to run after a run's last line and before its end is known."""
    session = AppSession(ScriptData(str(script), False), Mock(), ScriptCache(), None, {})
    try:
        session.request_rerun(ClientState())
        thread = session._scriptrunner._script_thread
        thread.join(20)  # the loop, which is this thread's, has read nothing of it yet
        assert not thread.is_alive()
        fragment = next(iter(session._fragment_storage._fragments))
        for _ in range(1 + presses):
            session.request_rerun(ClientState(fragment_id=fragment))
        if then is not None:
            session.request_rerun(then)
        messages, over = [], 0
        for _ in range(1000):
            await asyncio.sleep(0.02)
            messages += session.flush_browser_queue()
            if session._scriptrunner is None and not rerun._waiting.get(session):
                over += 1
                if over == 5:
                    return messages
        raise AssertionError("it did not end")
    finally:
        session.shutdown()


def _texts(messages):
    return [message.delta.new_element.text.body for message in messages if message.delta.new_element.HasField("text")]


def _ends(messages):
    return [message.script_finished for message in messages if message.HasField("script_finished")]


WHOLE, PART = ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY


def test_nothing_is_lost(mended, script):
    messages = asyncio.run(_told(script))
    assert {"the clock", "the last line"} == set(_texts(messages))
    assert _ends(messages) == [WHOLE, PART]


def test_streamlit_alone_loses_it(script):
    """When this fails, a newer Streamlit has mended it: remove explorer/ui/rerun.py."""
    messages = asyncio.run(_told(script))
    assert "the last line" not in _texts(messages)
    assert _ends(messages) == [PART]


def test_several_requests_are_answered_in_their_order(mended, script):
    messages = asyncio.run(_told(script, presses=2))
    assert {"the clock", "the last line"} == set(_texts(messages))
    assert _ends(messages)[0] == WHOLE
    assert _ends(messages)[-1] == PART


def test_a_run_of_the_whole_page_takes_their_place(mended, script):
    messages = asyncio.run(_told(script, then=ClientState()))
    assert _texts(messages) == ["the clock", "the last line"]
    assert _ends(messages) == [WHOLE]


def test_a_run_that_does_not_end_is_waited_for_so_long_and_no_longer(mended, script, monkeypatch):
    monkeypatch.setattr(rerun, "PATIENCE", 0.1)
    monkeypatch.setattr(rerun, "_ending", lambda session: True)
    assert PART in _ends(asyncio.run(_told(script)))
