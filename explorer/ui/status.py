"""The status strip: where this server computes, what it holds and what it is busy with; the same on every page."""

import sys

import streamlit as st

from explorer.settings import settings
from explorer.ui.page import guard
from explorer.ui.presence import be_here

EVERY, WITH_MANY = 3, 10  # seconds, on one's own server and on a shared one


def status() -> None:
    """A slim line at the top of the page that keeps itself up to date, and tells that somebody is here."""
    st.fragment(_line, run_every=WITH_MANY if settings().shared else EVERY)()


@guard()
def _line() -> None:
    be_here()
    with st.container(horizontal=True, horizontal_alignment="right"):  # on a phone a fact goes to the next line whole
        for icon, text in facts():
            st.caption(f":material/{icon}: {text}", width="content")


def facts() -> list[tuple[str, str]]:
    """What the strip says, each with its icon; torch and the models stay unloaded if they are."""
    now = settings()
    models, held = _held()
    running, waiting = _jobs()
    return [
        ("memory", f"{DEVICES[now.device]} · {now.mode}{' · shared' if now.shared else ''}"),
        ("deployed_code", f"{models} {'model' if models == 1 else 'models'} · {held / 1e6:.1f} MB"),
        ("progress_activity" if running else "task_alt", f"{running} running · {waiting} waiting"),
        *([("folder_off", "Runs are kept in a temporary folder")] if now.temporary else []),
    ]


DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}


def _held() -> tuple[int, int]:
    """Models held open, and their bytes; none where the zoo was never asked."""
    zoo = sys.modules.get("explorer.zoo")
    held = zoo.held() if zoo else []
    return len(held), sum(size for _, size in held)


def _jobs() -> tuple[int, int]:
    """Jobs running and waiting; none where none was ever started."""
    jobs = sys.modules.get("explorer.jobs")
    return jobs.engine().counts() if jobs else (0, 0)
