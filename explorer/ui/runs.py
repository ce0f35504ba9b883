"""A training run on the screen: while it goes on, and afterwards."""

import numpy as np
import streamlit as st

from explorer import data, jobs, runs
from explorer.charts import training as charts
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.training import TrainConfig, TrainRun, evaluate, read
from explorer.training.run import Evaluation, Regions, regions, samples_in
from explorer.ui.draw import draw
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pictures import gallery
from explorer.ui.transport import transport
from explorer.ui.watch import going, job_of
from explorer.zoo import parse
from explorer.zoo.sources.zoo import SHIPPED

POLL = 0.5  # seconds between two looks at a running job
MISTAKES = 12
KNOWN = {TrainRun: lambda run: (run.ref, run.state, len(run.history), run.checkpoints)}
STATES = {  # what a run's badge says: words, icon, colour
    "running": ("running", ":material/sync:", "blue"),
    "finished": ("finished", ":material/check:", "green"),
    "stopped": ("stopped", ":material/stop:", "orange"),
    "diverged": ("diverged", ":material/trending_up:", "red"),
    "failed": ("failed", ":material/error:", "red"),
    "interrupted": ("interrupted", ":material/power_off:", "orange"),
}


def show(ref: str) -> None:
    """The run behind a ref: live while a worker has it, as it was recorded otherwise."""
    parsed = parse(ref)
    if parsed.source not in ("run", "zoo"):
        raise ExplorerError(f"The run {ref!r}", "only models that were trained here have a run", "Choose one of yours")
    if parsed.source == "run" and going(parsed.name):
        _live(parsed.name)
    else:
        job = job_of(parsed.name) if parsed.source == "run" else None
        _recorded(open_run(ref), job.error or "" if job else "")


def open_run(ref: str) -> TrainRun:
    """The recorded run of `run:<id>` or of a shipped `zoo:<name>`."""
    parsed = parse(ref)
    if parsed.source == "run":
        return _read(str(runs.folder(parsed.name)), f"run:{parsed.name}", _written(parsed.name))
    if not (SHIPPED / parsed.name / "config.json").is_file():
        raise ExplorerError(f"The run {ref!r}", "no model of that name ships with the explorer", "Choose another")
    return _read(str(SHIPPED / parsed.name), ref, 0)


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(folder: str, ref: str, written: float) -> TrainRun:  # `written` makes a run that has changed be read again
    from pathlib import Path

    return read(Path(folder), ref)


def _written(id: str) -> float:
    folder = runs.folder(id)
    return max((path.stat().st_mtime for path in folder.glob("*.*")), default=0.0)


@st.fragment(run_every=POLL)
@guard()
def _live(id: str) -> None:
    """The curves as they grow, and the button that stops them."""
    job = job_of(id)
    if job is None or job.over:
        st.rerun(scope="app")
    config = TrainConfig.from_dict(files.read_json(runs.folder(id) / "config.json"))
    history = jobs.engine().events(id)
    done = history[-1]["progress"] if history else 0.0
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title(config), width="stretch", anchor=False)
        if job.owner == person():
            st.button("Stop", icon=":material/stop:", key="stop", on_click=jobs.engine().cancel, args=(id,))
    if job.state == "waiting":
        ahead = "it is next" if job.position == 1 else f"{job.position - 1} before it"
        wait = f", about {job.eta:.0f} s" if job.eta else ""
        st.info(f"Waiting for a worker: {ahead}{wait}.", icon=":material/hourglass_empty:")
    left = f"{job.eta:.0f} s left" if job.eta is not None and history else "starting"
    told = f"Epoch {done * config.epochs:.1f} of {config.epochs} · {left}"
    st.progress(min(done, 1.0), told if done < 1 else "Trying its checkpoints on the test split")
    total = round(history[-1]["step"] / done) if done else 1
    _figures(history, config)
    _curves(history, total)
    newest = list(samples_in(runs.folder(id)).items())[-1:]
    for step, drawn in newest:
        _drawn(drawn, config, f"What it draws at step {step}, always from the same noise")
    link(f"run:{id}")


def _recorded(run: TrainRun, said: str) -> None:
    """A run that has ended: how it went, and what its network answers at any checkpoint.

    said: what the engine says of its end, which is all there is where the disk was full.
    """
    words, icon, colour = STATES[run.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title(run.config), width="content", anchor=False)
        st.badge(words, icon=icon, color=colour)
    if run.error or said:
        (st.error if run.state in ("diverged", "failed") else st.warning)(plain(said or run.error))
    _figures(run.history, run.config)
    if run.checkpoints:
        _film(run)
    elif run.history:
        _curves(run.history, run.history[-1]["step"])
        if run.ref.startswith("zoo:"):  # a shipped language model keeps its best weights alone
            _reads(run.ref)


@st.fragment
@guard()
def _film(run: TrainRun) -> None:
    """The curves with the chosen checkpoint marked, and the network's answers there."""
    total = run.history[-1]["step"] if run.history else 1
    place = st.container()  # the bar stands below the curves that it marks
    step = transport("Checkpoint", run.checkpoints, key="checkpoint", format=lambda step: _called(run, step))
    with place:
        _curves(run.history, total, step)
    if draws(run.history):
        _draws(run, step)
        return
    test = data.load(run.config.dataset, "test", **dict(run.config.dataset_settings))
    with st.container(horizontal=True, vertical_alignment="center"):
        link(run.ref)
        opened = run.ref if run.ref.startswith("zoo:") else f"{run.ref}@{step}"
        st.page_link(
            "pages/models.py",
            label="Open the best network" if opened == run.ref else "Open this network",
            icon=":material/deployed_code:",
            query_params={"model": opened},
        )
        st.page_link("pages/activations.py", label="Look inside every layer", icon=":material/layers:",
                     query_params={"model": opened})  # fmt: skip
    if test.task.startswith("text"):
        _reads(opened)
        return
    evaluation = _evaluate(run, step)
    left, right = st.columns([1, 1], gap="large")
    with left:
        st.markdown(f"**Test split:** {evaluation.accuracy:.1%} of {len(evaluation.y)} right")
        draw(charts.confusion(evaluation), "confusion", "How often each true class was given each name")
    with right:
        if test.task == "image":
            _mistakes(evaluation, test)
        else:
            st.markdown("**What it answers everywhere**, and the test points; crosses are mistakes")
            plane = charts.points(test, evaluation, _regions(run, step))
            draw(plane, "plane", "The plane in the colours of the answers, and the test points")


def _draws(run: TrainRun, step: int) -> None:
    """What a denoiser drew at a checkpoint, and the way to its sampling."""
    kept = files.checkpoints(run.folder)
    opened = f"{run.ref}@{step}" if step in kept else run.ref
    with st.container(horizontal=True, vertical_alignment="center"):
        link(run.ref)
        st.page_link(
            "pages/diffusion.py",
            label="Step through its sampling",
            icon=":material/blur_on:",
            query_params={"model": opened},
        )
    drawn = samples_in(run.folder)
    if step in drawn:
        _drawn(drawn[step], run.config, "What it drew at this checkpoint, always from the same noise")


def _drawn(drawn: np.ndarray, config: TrainConfig, words: str) -> None:
    """Pictures in a row, or a cloud of points beside the real ones."""
    st.markdown(f"**{words}**")
    if drawn.ndim > 2:
        gallery(drawn, [""] * len(drawn), 72)
        return
    test = data.load(config.dataset, "test", **dict(config.dataset_settings))
    left, right = st.columns(2)
    for place, points, y, name in (
        (left, drawn, np.arange(len(drawn)) % len(test.labels), "drawn"),
        (right, test.x[: len(drawn)], test.y[: len(drawn)], "real"),
    ):
        with place:
            draw(charts.cloud(points, y, test.labels, name), f"cloud-{name}", f"{name} points")


def draws(history) -> bool:
    """Whether a run is one of a network that draws: it has no accuracy."""
    return any("validation_bands" in record for record in history)


def _reads(ref: str) -> None:
    """What a language model predicts at this checkpoint, and the way to its heads."""
    from explorer import zoo
    from explorer.ui.attention.predicted import predicted
    from explorer.ui.attention.question import question

    words = "Look into its heads"
    st.page_link("pages/attention.py", label=words, icon=":material/hub:", query_params={"model": ref})
    left, right = st.columns([1, 1.4], gap="large")
    model = zoo.load(ref)
    with left:
        asked = question(model)
    with right:
        predicted(model, asked)


@st.cache_resource(max_entries=128, show_spinner=False, hash_funcs=KNOWN)
def _evaluate(run: TrainRun, step: int) -> Evaluation:
    return evaluate(run, step)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KNOWN)
def _regions(run: TrainRun, step: int) -> Regions:
    return regions(run, step)


def _called(run: TrainRun, step: int) -> str:
    """A checkpoint by its step, and what is special about it."""
    special = ((0, "untrained"), (run.best, "best on validation"), (run.checkpoints[-1], "last"))
    words = ", ".join(word for at, word in special if at == step)
    return f"step {step}" + (f" ({words})" if words else "")


def _mistakes(evaluation: Evaluation, test: data.Dataset) -> None:
    """The wrong answers that the network was surest of."""
    wrong = evaluation.mistakes(MISTAKES)
    if not len(wrong):
        st.markdown("**No mistakes** on the test split.")
        return
    count = int((evaluation.predicted != evaluation.y).sum())
    st.markdown(f"**Most confident mistakes** (of {count})")
    names = evaluation.labels
    captions = [
        f"{plain(names[evaluation.y[i]])} → {plain(names[evaluation.predicted[i]])} · {evaluation.confidence[i]:.0%}"
        for i in wrong
    ]
    gallery(test.x[wrong], captions)


def _figures(history, config: TrainConfig) -> None:
    """The run in five numbers."""
    trained = [record for record in history if "loss" in record]
    tried = [record for record in history if "validation_accuracy" in record]
    last = trained[-1] if trained else None
    speed = last["step"] * config.batch_size / last["seconds"] if last and last["seconds"] else None
    with st.container(horizontal=True, key="figures"):
        if draws(history):
            losses = [record["validation_loss"] for record in history if "validation_loss" in record]
            st.metric("Validation loss", f"{losses[-1]:.4f}", width="stretch")
            st.metric("Lowest", f"{min(losses):.4f}")
        else:
            st.metric("Training accuracy", _mean(trained, "accuracy"), width="stretch")
            st.metric("Validation accuracy", f"{tried[-1]['validation_accuracy']:.1%}" if tried else "–")
        st.metric("Training loss", f"{last['loss']:.3f}" if last else "–")
        st.metric("Examples per second", f"{speed:,.0f}" if speed else "–")
        st.metric("Seconds", f"{last['seconds']:.1f}" if last else "–")


def _mean(trained, key: str, over: int = 20) -> str:
    """The mean of the last batches: one batch alone jumps about."""
    recent = [record[key] for record in trained[-over:]]
    return f"{sum(recent) / len(recent):.1%}" if recent else "–"


def _curves(history, total: int, at: int | None = None) -> None:
    left, right = st.columns(2)
    with left:
        draw(charts.learning_curve(history, "loss", total, at), "loss", "Training and validation loss over the steps")
        draw(charts.small_curve(history, "lr", "learning rate", total), "rates", "The learning rate over the steps")
    with right:
        if draws(history):
            bands = charts.bands(history, total, at)
            draw(bands, "bands", "The validation loss by how much noise there is, in five parts")
        else:
            draw(charts.learning_curve(history, "accuracy", total, at), "accuracy", "Training and validation accuracy")
        draw(charts.small_curve(history, "grad_norm", "gradient norm", total), "norms", "The gradient's length")


def title(config: TrainConfig) -> str:
    """What was trained, in a few words."""
    return f"{config.model} on {plain(data.about(config.dataset).title)}"


def link(ref: str) -> None:
    """The address under which anyone finds this run."""
    base = (st.context.url or "").split("?")[0]
    with st.popover("Link to this run", icon=":material/link:"):
        st.code(f"{base}?run={ref}", language=None)
        st.caption("Whoever opens it sees this run, while it goes on and afterwards.")
