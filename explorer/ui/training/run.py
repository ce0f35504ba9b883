"""A training run on the screen: while it goes on, when it is paused, and afterwards."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from explorer import data, jobs, runs, training
from explorer.charts import training as charts
from explorer.content import Known
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import MB, settings
from explorer.training import TrainConfig, TrainRun, evaluate
from explorer.training.batches import steps_of_epoch
from explorer.training.launch import check_limits, halved
from explorer.training.racing import seen
from explorer.training.run import Evaluation, Regions, regions, samples_in
from explorer.ui.begun import begin
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pictures import gallery
from explorer.ui.price import lasting
from explorer.ui.recipe import adopt
from explorer.ui.runs import link, open_run, title
from explorer.ui.training.inside import apart, inside
from explorer.ui.training.judge import judged
from explorer.ui.transport import transport
from explorer.ui.watch import going, job_of
from explorer.zoo import parse

POLL = 2.0 if settings().shared else 0.5  # seconds between two looks at a running job: many may watch
SOON = 3.0  # seconds in which one step is over, usually: so long a click waits for it
KNOWN = {TrainRun: lambda run: (run.ref, run.state, len(run.history), run.checkpoints)}
STATES = {  # what a run's badge says: words, icon, colour
    "running": ("running", ":material/sync:", "blue"),
    "finished": ("finished", ":material/check:", "green"),
    "stopped": ("paused", ":material/pause:", "orange"),
    "diverged": ("diverged", ":material/trending_up:", "red"),
    "exhausted": ("out of memory", ":material/memory:", "red"),
    "failed": ("failed", ":material/error:", "red"),
    "interrupted": ("interrupted", ":material/power_off:", "orange"),
}
BAD = ("diverged", "failed", "exhausted")

History = Sequence[Mapping[str, Any]]


def show(ref: str) -> None:
    """The run behind a ref, as it was recorded."""
    parsed = parse(ref)
    if parsed.source not in ("run", "zoo"):
        raise ExplorerError(f"The run {ref!r}", "only models that were trained here have a run", "Choose one of yours")
    job = job_of(parsed.name) if parsed.source == "run" else None
    _recorded(open_run(ref), job.error or "" if job else "")


def show_live(ref: str) -> None:
    """The run behind a ref while a worker has it, or will have it."""
    _live(_id(ref))


def is_live(ref: str) -> bool:
    """Whether a ref names such a run."""
    return ref.startswith("run:") and going(_id(ref))


def _id(ref: str) -> str:
    return ref.removeprefix("run:").partition("@")[0]


def told(id: str) -> History:
    """All that is known of a run that goes on: what was recorded before it was paused, and what was reported since."""
    events = jobs.engine().events(id)
    if not events or events[0]["step"] == 0:
        return events
    first = events[0]["step"]
    kept, before = st.session_state.get("told-before", ("", ()))
    if (id, first) != kept:
        before = [line for line in files.history(runs.folder(id)) if line["step"] < first]
        st.session_state["told-before"] = (id, first), before
    return [*before, *events]


def few(history: History, most: int = 1000) -> History:
    """About so many records, evenly spaced, and all that hold more than a step does: what a curve can show."""
    stride = len(history) // most
    if stride < 2:
        return history
    last = len(history) - 1
    return [
        record for at, record in enumerate(history)
        if (last - at) % stride == 0 or "validation_loss" in record or "loss" not in record
    ]  # fmt: skip


@st.fragment(run_every=POLL)
@guard()
def _live(id: str) -> None:
    """The curves as they grow, and the button that stops them."""
    job = job_of(id)
    if job is None or job.over:
        st.rerun(scope="app")
    config = TrainConfig.from_dict(files.read_json(runs.folder(id) / "config.json"))
    history = few(told(id))
    done = history[-1].get("progress", 0.0) if history else 0.0
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title(config), width="stretch", anchor=False)
        if job.owner == person():
            words = "Pausing …" if stopping(id) else "Pause"
            st.button(words, icon=":material/pause:", key="stop", disabled=stopping(id), on_click=pause, args=(id,))
    if job.state == "waiting":
        ahead = "it is next" if job.position == 1 else f"{job.position - 1} before it"
        wait = f", about {job.eta:.0f} s" if job.eta else ""
        st.info(f"Waiting for a worker: {ahead}{wait}.", icon=":material/hourglass_empty:")
    words = f"Epoch {done * config.epochs:.1f} of {config.epochs} · {left(job.eta, done)}"
    st.progress(min(done, 1.0), words if done < 1 else "Trying its checkpoints on the test split")
    if history or job.state != "waiting":  # of what has not begun there is nothing to see, and many may wait
        total = round(history[-1]["step"] / done) if done else 1
        _figures(history, config)
        _curves(history, total, config, live=bool(history))  # before its first step all see the same
        newest = list(samples_in(runs.folder(id)).items())[-1:]
        for step, drawn in newest:
            _drawn(drawn, config, f"What it draws at step {step}, always from the same noise")
        inside(history, total, config, live=True)
    link(f"run:{id}")


def pause(id: str) -> None:
    """Ask a run of one's own to be put down at its next step; a button that is greyed can be pressed by a program."""
    job = jobs.engine().status(id)
    if job.owner == person():
        st.session_state["pausing"] = (id, job.started)
        jobs.engine().cancel(id)


def stopping(id: str) -> bool:
    """Whether this session has asked that of the job that runs now."""
    job = job_of(id)
    return job is not None and st.session_state.get("pausing") == (id, job.started)


def _recorded(run: TrainRun, said: str) -> None:
    """A run that has ended: how it went, and what its network answers at any checkpoint.

    said: what the engine says of its end, which is all there is where the disk was full.
    """
    words, icon, colour = STATES[run.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title(run.config), width="content", anchor=False)
        st.badge(words, icon=icon, color=colour)
    error = said or run.error
    if error:
        (st.error if run.state in BAD else st.warning)(plain(error))
    for note in run.notes:
        st.caption(plain(note))
    mine = run.ref.startswith("run:") and runs.owner(run.ref.removeprefix("run:")) == person()
    if mine:
        go_on(run)
    _other_recipe(run)
    _figures(run.history, run.config)
    if run.checkpoints:
        _film(run)
    elif run.history:
        _curves(run.history, run.history[-1]["step"], run.config, run=run)
        if run.ref.startswith("zoo:"):  # a shipped language model keeps its best weights alone
            _reads(run.ref)
    if run.history:
        inside(run.history, run.history[-1]["step"], run.config)


def _other_recipe(run: TrainRun) -> None:
    """Where the levers on the left are not this run's, say so, and offer to set them."""
    chosen = st.session_state.get("recipe")
    if chosen is None or chosen.complete() == run.config.complete():
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("The recipe on the left is another one than this run's.", width="content")
        st.button("Take this run's recipe", icon=":material/tune:", type="tertiary", key="adopt", on_click=adopt,
                  args=(run.config,))  # fmt: skip


def left(eta: float | None, done: float) -> str:
    """How long a run still takes; before its first step that is unknown."""
    return "starting" if eta is None or not done else f"{lasting(eta)} left"


def go_on(run: TrainRun) -> None:
    """The buttons that take a paused run up again: to its end, for one step, for one epoch, or in smaller batches."""
    id, config = run.ref.removeprefix("run:"), run.config
    if error := st.session_state.pop("refused", None):
        st.error(plain(error))
    if run.state == "diverged":
        st.button("Try again with a tenth of the learning rate", icon=":material/replay:", key="lower",
                  on_click=_begin, args=(lower(config),))  # fmt: skip
    if run.state in ("exhausted", "failed") and config.batch_size > 1:
        goes_on = run.resumable and halves(config)
        words = "Go on with half the batch" if goes_on else "Start again with half the batch"
        act, asked = (_resume, {"id": id, "halve": True}) if goes_on else (_begin, {"config": half(config)})
        st.button(words, icon=":material/play_arrow:", key="halve", type="primary", on_click=act, kwargs=asked)
    if not run.resumable:
        return
    per_epoch = epoch_of(run)
    with st.container(horizontal=True, key="go-on"):
        st.button("Continue", icon=":material/play_arrow:", key="continue", type="primary", on_click=_resume,
                  kwargs={"id": id})  # fmt: skip
        st.button("One step", icon=":material/skip_next:", key="one-step", on_click=_resume,
                  kwargs={"id": id, "most": 1})  # fmt: skip
        words = f"One epoch ({per_epoch} step{'s' * (per_epoch > 1)})"
        st.button(words, icon=":material/fast_forward:", key="one-epoch", on_click=_resume,
                  kwargs={"id": id, "most": per_epoch})  # fmt: skip


def epoch_of(run: TrainRun) -> int:
    """Steps of an epoch of a run, also of one that has taken none yet."""
    last = next((line for line in reversed(run.history) if line["epoch"]), None)
    if last:
        return max(1, round(last["step"] / last["epoch"]))
    config = run.config
    return steps_of_epoch(config, len(data.load(config.dataset, "train", **dict(config.dataset_settings))))


def lower(config: TrainConfig) -> TrainConfig:
    """The same with a tenth of the learning rate."""
    return TrainConfig.from_dict(config.to_dict() | {"lr": max(config.lr / 10, 1e-5)})


def halves(config: TrainConfig) -> bool:
    """Whether the same steps can be taken from batches of half the size."""
    try:
        check_limits(halved(config))
    except ExplorerError:
        return False
    return True


def half(config: TrainConfig) -> TrainConfig:
    """The same with half the batch."""
    return TrainConfig.from_dict(config.to_dict() | {"batch_size": config.batch_size // 2})


def _begin(config: TrainConfig) -> None:
    try:
        begin("run", lambda: f"run:{training.start(config, person())}")
    except ExplorerError as error:
        st.session_state["refused"] = str(error)


def _resume(id: str, most: int = 0, halve: bool = False) -> None:
    """Take a run up again; where it is for one step only, wait for it, so that the page is drawn once."""
    try:
        training.resume(id, person(), most=most, halve=halve)
    except ExplorerError as error:
        st.session_state["refused"] = str(error)
        return
    limit = time.monotonic() + (SOON if most else 0)
    while going(id) and time.monotonic() < limit:
        time.sleep(0.02)
    st.session_state.pop("checkpoint", None)  # where it has come to


@st.fragment
@guard()
def _film(run: TrainRun) -> None:
    """The curves with the chosen checkpoint marked, and the network's answers there."""
    total = run.history[-1]["step"] if run.history else 1
    place = st.container()  # the bar stands below the curves that it marks
    step = transport("Checkpoint", run.checkpoints, key="checkpoint", format=lambda step: _called(run, step))
    with place:
        _curves(run.history, total, run.config, step, run=run)
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
    st.markdown(f"**Test split:** {evaluation.accuracy:.1%} of {len(evaluation.y)} right")
    if test.task == "points":
        st.markdown("**What it answers everywhere**, and the test points; crosses are mistakes")
        draw(
            charts.points, test, evaluation, _regions(run, step), key="plane",
            says="The plane in the colours of the answers, and the test points",
        )  # fmt: skip
    judged(run, step, test, evaluation)


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
            draw(charts.cloud, points, y, test.labels, name, key=f"cloud-{name}", says=f"{name} points")


def draws(history: History) -> bool:
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


@kept(known=KNOWN)
def _evaluate(run: TrainRun, step: int) -> Evaluation:
    return evaluate(run, step)


@kept(known=KNOWN)
def _regions(run: TrainRun, step: int) -> Regions:
    return regions(run, step)


def _called(run: TrainRun, step: int) -> str:
    """A checkpoint by its step, and what is special about it."""
    special = ((0, "untrained"), (run.best, "best on validation"), (run.checkpoints[-1], "last"))
    words = ", ".join(word for at, word in special if at == step)
    return f"step {step}" + (f" ({words})" if words else "")


def _figures(history: History, config: TrainConfig) -> None:
    """The run in a few numbers."""
    trained = [record for record in history if "loss" in record]
    tried = [record for record in history if "validation_loss" in record]
    last = trained[-1] if trained else None
    with st.container(horizontal=True, key="figures"):
        if draws(history):
            losses = [record["validation_loss"] for record in tried]
            st.metric("Validation loss", f"{losses[-1]:.4f}", width="stretch")
            st.metric("Lowest", f"{min(losses):.4f}")
            st.metric("Training loss", f"{last['loss']:.3f}" if last else "–")
        else:
            learned, unseen = _mean(trained, "accuracy"), tried[-1]["validation_accuracy"] if tried else None
            st.metric("Training accuracy", "–" if learned is None else f"{learned:.1%}", width="stretch")
            st.metric("Validation accuracy", "–" if unseen is None else f"{unseen:.1%}")
            apart = "–" if learned is None or unseen is None else f"{100 * (learned - unseen):+.1f} points"
            st.metric(
                "Generalisation gap",
                apart,
                help="How much better it does on what it learned from than on what it never saw: above 0 it knows some "
                "examples by heart. Augmentation, dropout and MixUp make training harder than trying, so that it "
                "may be below 0.",
            )
        st.metric("Examples per second", _speed(trained, config))
        st.metric("Seconds", f"{last['seconds']:.1f}" if last else "–")
        held = [record["memory"] for record in tried if "memory" in record]
        st.metric(
            "Worker's memory",
            f"{max(held) / MB:,.0f} MB" if held else "–",
            help="On a CPU the most that the worker held when it tried the validation split, libraries included: at a "
            "step it may hold more. On a GPU the most that the run's tensors took at any time.",
        )


def _speed(trained: History, config: TrainConfig) -> str:
    """Examples a second over the last tenth of what was trained, validation included."""
    if len(trained) < 2:
        return "–"
    last, before = trained[-1], trained[-max(2, len(trained) // 10)]
    seconds = last["seconds"] - before["seconds"]
    batch = seen(config) if last["step"] == last["epoch"] else config.batch  # one step an epoch may see fewer
    return f"{(last['step'] - before['step']) * batch / seconds:,.0f}" if seconds > 0 else "–"


def _mean(trained: History, key: str, over: int = 20) -> float | None:
    """The mean of the last batches: one batch alone jumps about."""
    recent = [record[key] for record in trained[-over:] if key in record]
    return sum(recent) / len(recent) if recent else None


def _curves(
    history: History, total: int, config: TrainConfig, at: int | None = None, live: bool = False,
    run: TrainRun | None = None,
) -> None:  # fmt: skip
    """run: whose whole history it is, once it is recorded."""
    told: Any = history if run is None else Known(history, (run.ref, run.state, len(history)))
    left, right = st.columns(2)
    with left:
        draw(
            charts.learning_curve, told, "loss", total, at, key="loss", live=live,
            says="Training and validation loss over the steps",
        )  # fmt: skip
        draw(
            charts.small_curve, told, "lr", "learning rate", total, key="rates", live=live,
            says="The learning rate over the steps",
        )  # fmt: skip
    with right:
        if draws(history):
            draw(
                charts.bands, told, total, at, key="bands", live=live,
                says="The validation loss by how much noise there is, in five parts",
            )  # fmt: skip
        else:
            draw(
                charts.learning_curve, told, "accuracy", total, at, key="accuracy", live=live,
                says="Training and validation accuracy",
            )  # fmt: skip
        draw(
            charts.small_curve, told, "grad_norm", "gradient norm", total, key="norms", live=live,
            says="The gradient's length",
        )  # fmt: skip
    if words := apart(config):  # below both columns, which else stand at different heights
        st.caption(words)
