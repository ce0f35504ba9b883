"""The playground: a small network on points of the plane, drawn whole, trained step by step and scrubbed."""

import base64
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from explorer import data, models, runs, training
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings
from explorer.training import TrainConfig, TrainRun
from explorer.training.frames import DEEPEST, WIDEST, Frames, plan, recorded, thinned, watchable
from explorer.ui import own_data
from explorer.ui.begun import begin
from explorer.ui.controls import controls
from explorer.ui.page import guard, refuse
from explorer.ui.person import person
from explorer.ui.pickers import linked, to_link
from explorer.ui.playground import CLASSES as CLASSES_DRAWN
from explorer.ui.playground import Layer, Playground, Recording, playground
from explorer.ui.row import one_of
from explorer.ui.runs import open_run
from explorer.ui.training.run import pause, stopping, told
from explorer.ui.watch import going, job_of
from explorer.zoo import parse
from explorer.zoo.sources.zoo import SHIPPED

FIRST = "zoo:points-mlp"  # what there is to look at before the first click
POLL = 0.6  # seconds between two looks at a running job
SOON = 3.0  # seconds in which one step is over, usually
MADE, OWN = "Ready-made", "Draw my own"
PACES = {"Slow": 40.0, "To watch": 15.0, "Full speed": 0.0}  # seconds that a run takes at least
CLASSES = "ABC"
LEAST = 12  # points that can be learned from
USUAL = {"epochs": 60, "batch_size": 32, "optimizer": "adam", "lr": 0.02, "weight_decay": 0.0, "label_smoothing": 0.0,
         "clip_norm": 0.0}  # fmt: skip
LEVERS = ("epochs", "batch_size", "optimizer", "lr", "momentum", "weight_decay", "schedule", "label_smoothing", "seed")


def play_recipe() -> TrainConfig:
    """The controls of the playground, bound to the URL apart from those of the page's other views."""
    source = one_of("Points", [MADE, OWN], default=MADE, key="play_points", width="stretch")
    if source == MADE:
        dataset, dataset_settings = "points", controls(data.DATASETS["points"].make, prefix="play_")
    else:
        dataset, dataset_settings = st.session_state.get("play-drawn", ("points",))[0], {}
        st.caption("Put down points of two or three classes on the plane, then press **Train**.")
    with st.expander("The network", expanded=True):
        size = controls(
            models.MODELS["mlp"].make, prefix="play_mlp_", only=("width", "depth", "activation", "norm"),
            defaults={"width": 6, "depth": 2, "activation": "tanh"}, highest={"width": WIDEST, "depth": DEEPEST},
        )  # fmt: skip
    values = controls(TrainConfig, prefix="play_", only=LEVERS, defaults=USUAL)
    rest = {name: value for name, value in USUAL.items() if name not in values}
    return TrainConfig(dataset, "mlp", model_settings=size, dataset_settings=dataset_settings, **values, **rest)


def play(config: TrainConfig) -> None:
    """The network, its points, and the buttons that train it."""
    ref = linked("play", FIRST)
    try:
        _going(ref) or open_run(ref)
    except ExplorerError as error:
        refuse(error)
        ref = st.session_state["play"] = FIRST
    to_link("play", ref, FIRST)
    drawing = st.session_state.get("play_points") == OWN
    if not watchable(config, "points"):
        st.info("The playground draws batch and layer normalisation, or none: choose one of these.")
        return
    if ref != FIRST and not _drawable(ref):
        st.info(
            "This run is of another kind than the playground draws: two to eight classes of points, a small network."
        )
        st.button("Start over", icon=":material/restart_alt:", key="play-over", on_click=_over)
        return
    run = None if _going(ref) else open_run(ref)
    _buttons(ref, run, config, drawing)
    with st.container():  # always there, so that what is below keeps its place and is not drawn anew
        if error := st.session_state.pop("play-refused", None):
            refuse(error)
        if ref == FIRST and not drawing:
            st.caption("A recorded run to play with: scrub through it, hover a unit, click a weight and change it.")
    st.fragment(_board, run_every=POLL if run is None else None)(ref, config, drawing)
    if run and ref != FIRST:
        st.page_link("pages/training.py", label="Judge this run, and look inside it", icon=":material/show_chart:",
                     query_params={"run": ref})  # fmt: skip


def _buttons(ref: str, run: TrainRun | None, config: TrainConfig, drawing: bool) -> None:
    """Train or go on, pause, one step, one epoch, start over; and how fast."""
    own = parse(ref).source == "run" and runs.owner(parse(ref).name) == person()
    mine = own and run is not None and run.resumable and _fits(run, config, drawing)
    asked = (ref if mine else "", config, drawing)
    with st.container(horizontal=True, vertical_alignment="bottom", key="play-buttons"):
        if run is None:
            st.button("Pause", icon=":material/pause:", type="primary", key="play-pause",
                      disabled=not own or stopping(parse(ref).name), on_click=pause,
                      args=(parse(ref).name,))  # fmt: skip
        else:
            st.button("Continue" if mine else "Train", icon=":material/play_arrow:", type="primary", key="play-go",
                      on_click=_go, args=(*asked, 0))  # fmt: skip
        st.button("One step", icon=":material/skip_next:", key="play-step", disabled=run is None,
                  on_click=_go, args=(*asked, 1))  # fmt: skip
        st.button("One epoch", icon=":material/fast_forward:", key="play-epoch", disabled=run is None,
                  on_click=_go, args=(*asked, -1))  # fmt: skip
        st.button("Start over", icon=":material/restart_alt:", key="play-over", disabled=run is None or ref == FIRST,
                  help="Forget what was learned: the next step is the first.", on_click=_over)  # fmt: skip
        if not settings().shared:  # where others wait for the worker it never idles: the replay can be slow
            one_of("Speed", list(PACES), default="To watch", key="pace", label_visibility="collapsed")


def _drawable(ref: str) -> bool:
    """Whether the run of a link can be drawn at all; raises ExplorerError where there is none."""
    parsed = parse(ref)
    folder = runs.folder(parsed.name) if parsed.source == "run" else SHIPPED / parsed.name
    config = TrainConfig.from_dict(files.read_json(folder / "config.json"))
    about = data.about(config.dataset)
    return watchable(config, about.task) and about.classes <= CLASSES_DRAWN


def _fits(run: TrainRun, config: TrainConfig, drawing: bool) -> bool:
    """Whether a paused run is of what is chosen now, so that it can go on."""
    if drawing and _changed():
        return False
    return run.config.complete() == config.complete()


def _changed() -> bool:
    """Whether points were put down since the drawing was last learned from."""
    points, classes = st.session_state.get("play-points-now", (np.zeros((0, 2)), np.zeros(0, int)))
    kept = st.session_state.get("play-drawn")
    return kept is None or not (np.array_equal(kept[1], points) and np.array_equal(kept[2], classes))


def _go(ref: str, config: TrainConfig, drawing: bool, most: int) -> None:
    """Train, or go on; most: steps, -1 for an epoch, 0 to the end."""
    try:
        if drawing and _changed():
            config = _drawn(config)
        per_epoch = max(1, len(data.load(config.dataset, "train", **dict(config.dataset_settings))) // config.batch)
        most = per_epoch if most < 0 else most
        seconds = 0.0 if settings().shared else PACES[st.session_state.get("pace") or "To watch"]
        pace = config.epochs * per_epoch / seconds if seconds and not most else 0.0
        if ref:
            training.resume(parse(ref).name, person(), most=most, pace=pace)
        else:
            begin("play", lambda: f"run:{training.start(config, person(), most=most, pace=pace)}")
            ref = st.session_state["play"]
    except ExplorerError as error:
        st.session_state["play-refused"] = error
        return
    st.session_state["play"] = ref
    limit = time.monotonic() + (SOON if most else 0)
    while _going(ref) and time.monotonic() < limit:
        time.sleep(0.02)


def _drawn(config: TrainConfig) -> TrainConfig:
    """The same recipe on the points that were put down, kept as a data set of the person's."""
    points, classes = st.session_state.get("play-points-now", (np.zeros((0, 2)), np.zeros(0, int)))
    if len(points) < LEAST or len(set(classes)) < 2:
        raise ExplorerError(
            "Training on your drawing",
            f"points: {len(points)}, classes: {len(set(classes))}",
            f"Put down {LEAST} points at least, of two classes",
        )
    name = own_data.drawn(points, classes, CLASSES)
    st.session_state["play-drawn"] = (name, points, classes)
    return TrainConfig.from_dict(asdict(config) | {"dataset": name, "dataset_settings": {}})


def _over() -> None:
    st.session_state["play"] = FIRST


def _going(ref: str) -> bool:
    parsed = parse(ref)
    return parsed.source == "run" and going(parsed.name)


@guard()
def _board(ref: str, config: TrainConfig, drawing: bool) -> Playground | None:
    """The network as far as it has come, under its bar; while it trains this is drawn again and again."""
    parsed, place = parse(ref), st.container()
    live = parsed.source == "run" and job_of(parsed.name)
    if live and live.over and st.session_state.get("play-live") == ref:
        st.session_state.pop("play-live")
        st.rerun(scope="app")
    if _going(ref):
        st.session_state["play-live"] = ref
        if live.state == "waiting":
            place.caption(f"Waiting for a worker: number {live.position}.")
    folder = runs.folder(parsed.name) if parsed.source == "run" else SHIPPED / parsed.name
    shown = TrainConfig.from_dict(files.read_json(folder / "config.json"))
    if ref == FIRST and drawing:
        shown, recording = config, None
    else:
        recording = _recording(shown, folder, ref)
    held = len(st.session_state.get("playground-drawn", ((), ()))[0]) > 0  # not after a reload: then the data have them
    hand = drawing and (recording is None or (shown.dataset.startswith("own:") and held))
    train, test = (
        data.load(shown.dataset if recording else "points", split, **dict(shown.dataset_settings if recording else {}))
        for split in ("train", "test")
    )
    labels = tuple(CLASSES) if hand and recording is None else train.labels
    empty = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    x, y = empty if hand else (train.x, train.y)
    told = {} if hand and recording is None else {"test_x": test.x, "test_y": test.y}
    found = playground(recording, x, y, labels, "playground", drawing=hand, **told)
    if hand:
        st.session_state["play-points-now"] = found.points, found.classes
    if recording and not drawing and shown.complete() != config.complete():
        st.caption("The controls on the left have changed: **Train** begins anew with them.")
    return found


def _recording(config: TrainConfig, folder: Path, ref: str) -> Recording | None:
    """What is known of a run's weights: recorded, and reported since where it goes on."""
    live = parse(ref).name if _going(ref) else ""
    kept = recorded(folder)
    steps = [] if kept is None else kept.steps.tolist()
    weights = [] if kept is None else list(kept.weights)
    if live:
        history = told(live)
        for event in history:
            if "frame" in event and event["step"] not in steps:
                steps.append(event["step"])
                weights.append(np.frombuffer(base64.b64decode(event["frame"]), np.float32))
    else:
        history = open_run(ref).history
    if not steps:
        return None
    labels = data.load(config.dataset, "train", **dict(config.dataset_settings)).labels
    frames = thinned(Frames(np.array(steps, np.int64), np.array(weights, np.float32)))
    layers = tuple(Layer(**asdict(layer)) for layer in plan(config, len(labels)))
    return Recording(layers, frames.weights, tuple(frames.steps.tolist()), _told(frames.steps, history))


def _told(steps: np.ndarray, history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is said of each frame: its step and epoch, and the newest losses there."""
    words, at, loss, epoch, tried = [], 0, math.nan, 0.0, {}
    history = sorted(history, key=lambda record: record["step"])
    for step in steps:
        while at < len(history) and history[at]["step"] <= step:
            record = history[at]
            loss, epoch = record.get("loss", loss), record["epoch"]
            tried = record if "validation_loss" in record else tried
            at += 1
        parts = [f"step {step}", f"epoch {epoch:.1f}"]
        parts += [] if math.isnan(loss) else [f"batch loss {loss:.3f}"]
        if tried:
            parts.append(f"validation loss {tried['validation_loss']:.3f}, {tried['validation_accuracy']:.0%} right")
        words.append(" · ".join(parts))
    return tuple(words)
