"""A button pressed twice loses nothing: python -m pytest tests/ui/test_begun.py"""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest


class Ended(BaseException):
    """As Streamlit ends a script that is to run again."""


class Stops(dict):
    """A session's state in which the first writing of a key ends the script, as a second press would."""

    key = ""

    def __setitem__(self, key, value):
        if key == self.key:
            self.key = ""
            raise Ended
        super().__setitem__(key, value)


def test_a_name_is_kept_however_the_script_is_ended(monkeypatch):
    from explorer.ui import begun

    state = Stops()
    monkeypatch.setattr(st, "session_state", state)
    state.key = "run"
    with pytest.raises(Ended):
        begun.begin("run", lambda: "run:1")
    assert "run" not in state
    begun.keep_begun()  # the next run begins
    assert state["run"] == "run:1"
    state["run"] = "run:2"  # somebody chooses another
    begun.keep_begun()
    assert state["run"] == "run:2"


def test_what_could_not_be_begun_changes_nothing(monkeypatch):
    from explorer.ui import begun

    state = {"run": "run:1"}
    monkeypatch.setattr(st, "session_state", state)
    with pytest.raises(ZeroDivisionError):
        begun.begin("run", lambda: 1 / 0)
    begun.keep_begun()
    assert state["run"] == "run:1"


def test_in_a_page():
    def page():
        import streamlit as st

        from explorer.ui.begun import begin, keep_begun

        keep_begun()
        if st.button("Start", key="start"):
            begin("job", lambda: "abc")
        st.text(st.session_state.get("job", "none"))

    test = AppTest.from_function(page, default_timeout=60).run()
    assert test.text[0].value == "none"
    assert test.button(key="start").click().run().text[0].value == "abc"
    assert test.run().text[0].value == "abc"
