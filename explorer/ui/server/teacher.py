"""The teacher's view: who is here, what goes on, and the buttons that stop, open and sweep; behind a token."""

import time
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from explorer import housekeeping, jobs, zoo
from explorer.errors import ExplorerError
from explorer.jobs import JobStatus
from explorer.server import door, load, warm
from explorer.settings import MB, TOKEN, settings
from explorer.ui import presence
from explorer.ui.page import guard, plain, refuse
from explorer.ui.words import ago, duration

IN, TRIES = "teacher-in", "teacher-tries"  # in the session: whether the token was said, and the wrong tries
POLL = 2.0  # seconds between two looks at the queue
FRESH = 30  # seconds for which a look through all folders is good
SHORT = 6  # letters of an owner


def teacher() -> None:
    """What a teacher sees; for anybody else, the way in."""
    st.subheader("For the teacher", anchor=False)
    if not settings().teacher:
        st.caption(
            f"Switched off. Set `EXPLORER_TEACHER` to a token of {TOKEN} characters or more and start the server anew: "
            "whoever types it here sees who is here and what goes on, stops any job, and opens models before a lesson."
        )
        return
    if not st.session_state.get(IN):
        _door()
        return
    _jobs()
    left, right = st.columns(2, gap="large")
    with left:
        _memory()
        _warming()
    with right:
        _people()
        _sweep()
    st.button("Leave the teacher's view", icon=":material/logout:", key="teacher-leave", on_click=_leave)


def _door() -> None:
    with st.form("door", clear_on_submit=True, border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        left.text_input("Token", type="password", key="teacher-token", autocomplete="off", max_chars=200)
        right.form_submit_button("Enter", icon=":material/key:", on_click=_enter, key="teacher-enter", width="stretch")
    if error := st.session_state.pop("teacher-refused", None):
        refuse(error)


def _enter() -> None:
    try:
        door.check(st.session_state["teacher-token"], st.session_state.get(TRIES, 0))
    except ExplorerError as error:
        st.session_state[TRIES] = st.session_state.get(TRIES, 0) + isinstance(error, door.WrongTokenError)
        st.session_state["teacher-refused"] = error
    else:
        st.session_state[IN] = True


def _leave() -> None:
    st.session_state[IN] = False


@st.fragment(run_every=POLL)
@guard()
def _jobs() -> None:
    """The jobs that run, then those that wait, each with a button that stops it."""
    now = jobs.engine().listing()
    waiting = sum(job.state == "waiting" for job in now)
    st.markdown(f"**Jobs:** {len(now) - waiting} running, {waiting} of {settings().limits.queue} waiting")
    if not now:
        st.caption("Nothing runs, and nobody waits.")
    for job in now:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(_told(job), width="stretch")
            st.button("Stop", icon=":material/stop:", key=f"stop-{job.id}", help="As its owner could: a run is paused.",
                      on_click=_stop, args=(job.id,))  # fmt: skip


def _told(job: JobStatus) -> str:
    """A job in a line: its place, whose it is, what it does, for how long, and how long still."""
    running = job.state == "running"
    place = ":material/sync:" if running else f"{job.position}\\."
    since = time.time() - (job.started if running else job.queued)
    doing = f"running for {duration(since)}" if running else f"waiting for {duration(since)}"
    left = "" if job.eta is None else f", {duration(job.eta)} {'left' if running else 'until its turn'}"
    return f"{place} **{_short(job.owner)}** · {plain(_named(job.task))} · {doing}{left}"


def _named(task: str) -> str:
    """The work of a task in a word: the module that does it."""
    return task.partition(":")[0].removeprefix("explorer.").replace("_", " ").replace(".", " · ")


def _stop(id: str) -> None:
    try:
        jobs.engine().cancel(id)
    except ExplorerError:
        st.toast("It had ended already.", icon=":material/check:")


@st.fragment(run_every=5 * POLL)
@guard()
def _memory() -> None:
    """What the server and its workers hold, and the models among it."""
    found, held = load.processes(), zoo.held()
    server = sum(one.bytes for one in found if one.name == "server")
    workers = sum(one.bytes for one in found if one.name == "worker")
    with st.container(horizontal=True):
        st.metric("Server", f"{server / MB:,.0f} MB")
        st.metric("Workers", f"{workers / MB:,.0f} MB", help="A worker is started when it is first needed.")
        st.metric("Models held", f"{len(held)}", help=", ".join(f"{ref} ({size / MB:.1f} MB)" for ref, size in held))


def _warming() -> None:
    """Choose models, and have them opened."""
    titles = {card.ref: card.title for card in zoo.cards()}
    chosen = st.multiselect(
        "Open ahead of a lesson", list(titles), key="to-warm", accept_new_options=True, placeholder="Choose models",
        format_func=lambda ref: f"{titles[ref]} · {ref}" if ref in titles else ref,
    )  # fmt: skip
    st.button("Open them", icon=":material/mode_heat:", key="warm", disabled=not chosen, on_click=warm.warm,
              args=(chosen,))  # fmt: skip
    _warmed()


@st.fragment(run_every=POLL)
@guard()
def _warmed() -> None:
    """How far it is with each."""
    for ref, state in warm.states().items():
        mark = {warm.WAITING: ":gray[:material/schedule:]", warm.OPENING: ":blue[:material/sync:]",
                warm.OPEN: ":green[:material/check:]"}.get(state, ":red[:material/error:]")  # fmt: skip
        st.caption(f"{mark} {plain(ref)}: {plain(state)}")


def _people() -> None:
    """Who is here, and what everybody keeps."""
    here, kept = presence.sessions(), {person.owner: person for person in _kept()}
    pages = f"{sum(here.values())} pages open by {len(here)} {'person' if len(here) == 1 else 'people'}"
    st.markdown(f"**Here now:** {pages}")
    rows = []
    for owner in sorted({*here, *kept}, key=lambda owner: (-here.get(owner, 0), owner)):
        one = kept.get(owner)
        rows.append(
            {
                "who": _short(owner),
                "pages": here.get(owner, 0),
                "keeps": f"{one.bytes / MB:,.1f} MB" if one else "–",
                "runs": one.runs if one else 0,
                "uploads": one.uploads if one else 0,
                "last here": "now" if owner in here else _last(one.seen),
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height=min(35 * len(rows) + 38, 300))
    st.caption("Nobody's name is known here: a person is a browser.")


@st.cache_data(ttl=FRESH, max_entries=1, show_spinner=False)
def _kept() -> list[load.Person]:
    return load.people()


def _last(seen: float) -> str:
    return ago(datetime.fromtimestamp(seen, UTC)) if seen else "–"


def _sweep() -> None:
    """Remove now what the housekeeping would remove within ten minutes."""
    st.button("Sweep now", icon=":material/mop:", key="sweep", on_click=_sweep_now,
              help="What was abandoned is removed every ten minutes anyhow, and nothing that is in use.")  # fmt: skip
    if (swept := st.session_state.pop("swept", None)) is not None:
        st.caption(f"Removed {len(swept.things)} things and {swept.leftovers} leftovers: {swept.bytes / MB:,.1f} MB.")


def _sweep_now() -> None:
    st.session_state["swept"] = housekeeping.sweep()
    _kept.clear()


def _short(owner: str) -> str:
    """As much of an owner as tells people apart."""
    return plain(owner[:SHORT]) or "nobody"
