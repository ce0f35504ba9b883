"""The runs that a person can look at: the shipped ones and their own, each a link."""

from collections.abc import Mapping, Sequence

import streamlit as st

from explorer import runs, zoo
from explorer.errors import ExplorerError
from explorer.runs import Run
from explorer.runs.database import Damaged
from explorer.ui.page import guard, plain, refuse
from explorer.ui.person import person
from explorer.ui.words import ago
from explorer.zoo.sources.zoo import recorded

MOST = 12


def listed_runs() -> list[Run]:
    """This person's runs; where their database is damaged, none, and a button that makes the list anew."""
    try:
        return runs.listing(person())
    except ExplorerError as error:
        refuse(error)
        if isinstance(error, Damaged):
            st.button("Make the list anew", icon=":material/build:", key="mend", on_click=_mend,
                      help="The damaged file is kept beside the new one.")  # fmt: skip
        return []


def _mend() -> None:
    with guard():
        runs.mend()


def runs_list(own: Sequence[Run], chosen: str) -> None:
    """One link a run, the newest first, then the recorded runs of the shipped models."""
    with st.container(border=True):
        st.markdown("**Runs to look at**")
        for run in own[:MOST]:
            _row(run.ref, f"{plain(run.name)} · {ago(run.created)}", _result(run), chosen)
        for card in zoo.cards():
            if recorded(card.ref):
                _row(card.ref, card.title, result(card.metrics), chosen)


def _row(ref: str, title: str, result: str, chosen: str) -> None:
    icon = ":material/arrow_right:" if ref == chosen else ":material/show_chart:"
    st.page_link("pages/training.py", label=f"{result} · {title}", icon=icon, query_params={"run": ref})


def _result(run: Run) -> str:
    return result(run.metrics) or {"stopped": "paused"}.get(run.state, run.state)


def result(metrics: Mapping[str, float]) -> str:
    """How well a network does, in a word: its accuracy, or the loss of one that names nothing; "" where neither is."""
    for split in ("test", "validation"):
        if f"{split} accuracy" in metrics:
            return f"{metrics[f'{split} accuracy']:.1%}"
    return f"loss {metrics['test loss']:.3f}" if "test loss" in metrics else ""
