"""A background job on the screen: how far it is, and the button that stops it."""

from collections.abc import Callable

import streamlit as st

from explorer import jobs
from explorer.errors import ExplorerError
from explorer.ui.page import guard
from explorer.ui.person import person

POLL = 1.0  # seconds between two looks at a running job


def job_of(id: str) -> jobs.JobStatus | None:
    """The job of that id; None where the engine knows none, as after a restart of the server."""
    try:
        return jobs.engine().status(id)
    except ExplorerError:
        return None


def broke_off(job: jobs.JobStatus | None) -> str:
    """Why a job has not come to its end, as a sentence."""
    if job is None:
        return "It was interrupted, most likely because the server was started anew. Start it again."
    return job.error or "It was stopped before its end. Start it again."


def going(id: str) -> bool:
    """Whether a job waits or runs."""
    job = job_of(id)
    return job is not None and not job.over


@st.fragment(run_every=POLL)
@guard()
def watch(id: str, key: str, below: Callable[[], None] = lambda: None) -> None:
    """A bar that moves until the job is over, when the page runs again; `below` draws what there is so far."""
    job = jobs.engine().status(id)
    if job.over:
        st.rerun(scope="app")
    events = jobs.engine().events(id)
    done = events[-1]["progress"] if events else 0.0
    with st.container(horizontal=True, vertical_alignment="center"):
        left = f"{job.eta:.0f} s left" if job.eta is not None and events else "starting"
        waiting = job.state == "waiting"
        st.progress(min(done, 1.0), f"Waiting for a worker: number {job.position}" if waiting else left)
        if job.owner == person():
            st.button("Stop", icon=":material/stop:", key=f"stop-{key}", on_click=jobs.engine().cancel, args=(id,))
    below()
