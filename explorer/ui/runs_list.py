"""The runs that a person can look at: the shipped ones and their own, each a link."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import streamlit as st

from explorer import zoo
from explorer.runs import Run
from explorer.ui.page import plain
from explorer.zoo.sources.zoo import recorded

MOST = 12


def runs_list(own: Sequence[Run], chosen: str) -> None:
    """One link a run, the newest first, then the recorded runs of the shipped models."""
    with st.container(border=True):
        st.markdown("**Runs to look at**")
        for run in own[:MOST]:
            _row(run.ref, f"{plain(run.name)} · {_ago(run.created)}", _result(run), chosen)
        for card in zoo.cards():
            if recorded(card.ref):
                _row(card.ref, card.title, result(card.metrics), chosen)


def _row(ref: str, title: str, result: str, chosen: str) -> None:
    icon = ":material/arrow_right:" if ref == chosen else ":material/show_chart:"
    st.page_link("pages/training.py", label=f"{result} · {title}", icon=icon, query_params={"run": ref})


def _result(run: Run) -> str:
    return result(run.metrics) or run.state


def result(metrics: Mapping[str, float]) -> str:
    """How well a network does, in a word: its accuracy, or the loss of one that names nothing; "" where neither is."""
    if "test accuracy" in metrics:
        return f"{metrics['test accuracy']:.1%}"
    return f"loss {metrics['test loss']:.3f}" if "test loss" in metrics else ""


def _ago(then: datetime) -> str:
    seconds = (datetime.now(UTC) - then).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"
