"""The back button: one press leads to the page that was left, with the choices it was left with.

Streamlit 1.67 adds an entry to the browser's history whenever Python writes to the link, clears the link of a page that
is left before it adds the next page's, and of an entry that is gone back to it drops what the page that was left has
under the same name (`QueryParams.populate_from_query_string`; so the example was lost where both pages have one).
Of a page that ran once and is left, it forgets what its link said (`SessionState._remove_stale_widgets` looks at what
was there before the last run).
"""

from collections.abc import Collection
from contextvars import ContextVar

import streamlit as st
from streamlit.runtime.scriptrunner import ScriptRunner, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.runtime.state.query_params import QueryParams

from explorer.ui.component import component

KEY = "history"

_run, _read = ScriptRunner._run_script, QueryParams.populate_from_query_string
_gone_back: ContextVar[bool] = ContextVar("gone_back", default=False)  # in the thread that runs the page


def mend() -> None:
    """Put it into Streamlit; a second call does nothing."""
    ScriptRunner._run_script = _run_script
    QueryParams.populate_from_query_string = _populate


def entries() -> None:
    """Have the browser keep one entry for each page that was left; it takes no room."""
    st.html(f"<style>.st-key-{KEY} {{ display: none; }}</style>")
    component(KEY)(key=KEY)


def _run_script(runner: ScriptRunner, request: RerunData) -> None:
    _gone_back.set(request.is_history_navigation)
    _run(runner, request)


def _populate(link: QueryParams, text: str, valid: Collection[str] | None = None) -> None:
    """Read the link of a page that is opened; `valid` are the scripts whose controls keep what they have in it.

    A link that was gone back to has nothing of the page before, so all of it is kept.
    """
    if valid is not None and (run := get_script_run_ctx(suppress_warning=True)):
        with run.session_state._lock:
            run.session_state._state._compact_state()
    if valid is None or not _gone_back.get():
        _read(link, text, valid)
        return
    _gone_back.set(False)
    for name, control in list(link._bindings_by_widget.items()):
        if control.script_hash not in valid:
            link.unbind_widget(name)
    _read(link, text)
