"""A recorded run, read once for everybody who looks at it, and how it is called."""

import contextlib
from pathlib import Path

import streamlit as st

from explorer import belongings, data, runs
from explorer.errors import ExplorerError
from explorer.runs import Run
from explorer.training import TrainConfig, TrainRun, read
from explorer.ui.kept import kept
from explorer.ui.page import plain
from explorer.ui.person import person
from explorer.zoo import Card, parse
from explorer.zoo.sources.zoo import SHIPPED


def open_run(ref: str) -> TrainRun:
    """The recorded run of `run:<id>` or of a shipped `zoo:<name>`."""
    parsed = parse(ref)
    if parsed.source == "run":
        belongings.use(runs.folder(parsed.name).parent)
        return _read(str(runs.folder(parsed.name)), f"run:{parsed.name}", _written(parsed.name))
    if not (SHIPPED / parsed.name / "config.json").is_file():
        raise ExplorerError(f"The run {ref!r}", "no model of that name ships with the explorer", "Choose another")
    return _read(str(SHIPPED / parsed.name), ref, 0)


@kept(small=True)
def _read(folder: str, ref: str, written: float) -> TrainRun:  # `written` makes a run that has changed be read again
    return read(Path(folder), ref)


def _written(id: str) -> float:
    folder = runs.folder(id)
    return max((path.stat().st_mtime for path in folder.glob("*.*")), default=0.0)


def own_runs(most: int = 100) -> list[Run]:
    """This person's runs, the newest first; where the list can't be read, none, and a sentence that says why."""
    try:
        return runs.listing(person(), most)
    except ExplorerError as error:
        st.warning(f"{plain(str(error))} The page **Training** has more.", icon=":material/database_off:")
        return []


def own_networks() -> list[tuple[Run, Card]]:
    """This person's runs that have kept weights, each with its network's card; a damaged one is left out."""
    found = []
    for run in own_runs():
        if runs.checkpoints(runs.folder(run.id)):
            with contextlib.suppress(ExplorerError):
                found.append((run, Card.read(runs.folder(run.id) / "card.json")))
    return found


def title(config: TrainConfig) -> str:
    """What was trained, in a few words."""
    return f"{config.model} on {plain(data.about(config.dataset).title)}"


def link(ref: str) -> None:
    """The address under which anyone finds this run."""
    base = (st.context.url or "").split("?")[0]
    with st.popover("Link to this run", icon=":material/link:"):
        st.code(f"{base}?run={ref}", language=None)
        st.caption("Whoever opens it sees this run, while it goes on and afterwards.")
