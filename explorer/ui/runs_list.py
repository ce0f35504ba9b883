"""The runs that a person can look at: the shipped ones and their own, each a link."""

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from explorer import zoo
from explorer.runs import Run
from explorer.ui.page import plain

MOST = 12


def runs_list(own: Sequence[Run], chosen: str) -> None:
    """One link a run, the newest first, then the recorded runs of the shipped models."""
    with st.container(border=True):
        st.markdown("**Runs to look at**")
        for run in own[:MOST]:
            _row(run.ref, f"{plain(run.name)} · {_ago(run.created)}", _result(run), chosen)
        for card in zoo.cards():
            _row(card.ref, card.title, f"{card.metrics['test accuracy']:.1%}", chosen)


def _row(ref: str, title: str, result: str, chosen: str) -> None:
    icon = ":material/arrow_right:" if ref == chosen else ":material/show_chart:"
    st.page_link("pages/training.py", label=f"{result} · {title}", icon=icon, query_params={"run": ref})


def _result(run: Run) -> str:
    return f"{run.metrics['test accuracy']:.1%}" if "test accuracy" in run.metrics else run.state


def _ago(then: datetime) -> str:
    seconds = (datetime.now(UTC) - then).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"
