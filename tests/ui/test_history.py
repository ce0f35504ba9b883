"""What a link that was gone back to keeps: `python -m pytest tests/ui/test_history.py`; the rest in a browser."""

import pytest
from streamlit.runtime.scriptrunner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.runtime.state.query_params import QueryParams
from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.runtime.state.session_state import SessionState

from explorer.ui import history


@pytest.mark.parametrize(("back", "kept"), [(True, {"example": "5", "model": "m"}), (False, {"model": "m"})])
def test_what_the_page_before_has_under_the_same_name_is_kept_only_when_gone_back_to(monkeypatch, back, kept):
    monkeypatch.setattr(history, "_run", lambda runner, request: None)
    link = QueryParams()
    link.bind_widget("example", "slider", "int_value", "models")
    history._run_script(None, RerunData(is_history_navigation=back))
    history._populate(link, "example=5&model=m", {"app", "attribution"})
    assert link._query_params == kept
    assert not link.is_bound("example")
    link.bind_widget("example", "slider", "int_value", "models")
    history._populate(link, "example=5&model=m", {"app", "attribution"})  # the next page is opened as ever
    assert link._query_params == {"model": "m"}


def test_streamlit_still_has_what_is_mended():
    assert {"rerun_data"} <= set(history._run.__annotations__)
    assert {"query_string", "valid_script_hashes"} <= set(history._read.__annotations__)
    assert callable(SessionState._compact_state)
    assert "_lock" in SafeSessionState.__annotations__
    run, read = ScriptRunner._run_script, QueryParams.populate_from_query_string
    try:
        history.mend()
        history.mend()
        assert history._run is not ScriptRunner._run_script is history._run_script
    finally:
        ScriptRunner._run_script, QueryParams.populate_from_query_string = run, read
