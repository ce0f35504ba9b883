"""Your points: draw a distribution, train a network on it in under a minute, and let it draw."""

import numpy as np
import streamlit as st

from explorer import data, training, zoo
from explorer.diffusion.wish import Wish
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.training import TrainConfig
from explorer.ui import own_data
from explorer.ui.begun import begin
from explorer.ui.diffusion.cloud import EXTENT, cloud
from explorer.ui.diffusion.drawn import drawn
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pickers import linked, segments, to_link
from explorer.ui.plane import plane
from explorer.ui.sketch import draw_points
from explorer.ui.watch import going, watch
from explorer.zoo.denoiser import Denoiser

LEAST = 100  # points that can be learned from
EPOCHS, STEPS = 200, 3000  # of training: about twenty seconds
BATCHES = (8, 16, 32, 64, 128, 256)
WAYS = {"epsilon": "Diffusion", "flow": "Flow matching"}
SHIPPED = {"epsilon": "zoo:points-diffusion", "flow": "zoo:points-flow"}
RUNS = "drawn-runs"  # `way=ref,…` of what was trained on the drawing


def own_points(model: Denoiser, wish: Wish) -> None:
    """A square to draw in, a button that trains, and what the network then draws."""
    left, right = st.columns([1, 1.5], gap="large")
    with left:
        _drawing()
    with right:
        _outcome()


@st.fragment
@guard()
def _drawing() -> None:
    st.markdown("**Draw** the distribution: spray points, or begin with one of the drawings.")
    points, classes = draw_points("drawing")
    way = segments("Learn by", list(WAYS), "learn-by", WAYS.__getitem__)
    few = len(points) < LEAST
    if st.button("Train on it", type="primary", icon=":material/play_arrow:", disabled=few, key="train-drawing"):
        _start(points, classes, way)
        st.rerun(scope="app")
    if few:
        st.caption(f"{LEAST} points at least; there are {len(points)}.")
    else:
        st.caption("It takes well under a minute. Train by both ways, one after the other, to compare them.")


def _start(points: np.ndarray, classes: np.ndarray, way: str) -> None:
    """Keep the drawing as a data set of the person's, and queue a run on it."""
    name = own_data.drawn(points, classes)
    learned, epochs = len(data.load(name, "train")), min(EPOCHS, settings().limits.epochs)
    batch = min(BATCHES, key=lambda size: abs(epochs * max(1, learned // size) - STEPS))
    config = TrainConfig(
        name, "points-denoiser", epochs=epochs, batch_size=batch, lr=3e-3,
        ema=0.995, label_smoothing=0.0, model_settings={"predicts": way},
    )  # fmt: skip
    before = _learned()

    def start() -> str:
        found = before | {way: f"run:{training.start(config, person())}"}
        return ",".join(f"{way}={ref}" for way, ref in found.items())

    begin(RUNS, start)


def _learned() -> dict[str, str]:
    """The runs on the drawing, by way, as the link has them."""
    parts = (part.partition("=") for part in linked(RUNS, "").split(","))
    return {way: ref for way, _, ref in parts if way in WAYS and ref.startswith("run:")}


def _outcome() -> None:
    """The runs on the drawing: one that goes on, and the clouds of those that have ended."""
    found = _learned()
    to_link(RUNS, st.session_state[RUNS], "")
    if not found:
        st.caption("Until a network has learned your drawing: two spirals, as the shipped networks draw them.")
        _clouds(SHIPPED)
        return
    for ref in found.values():
        id = zoo.parse(ref).name
        if going(id):
            watch(id, "drawing")
            return
    _clouds(found)


@st.fragment
@guard()
def _clouds(found: dict[str, str]) -> None:
    clouds, refused = [], []
    for way, ref in found.items():
        try:
            model = zoo.load(ref)
        except ExplorerError as error:
            refused.append(f"{WAYS[way]}: {error.wrong}.")
            continue
        names = tuple(model.labels[row % len(model.labels)] for row in range(1500))
        wish = Wish(ref, names, "", "flow" if way == "flow" else "ddim", 50, 1.0, 0, 1500)
        clouds.append(cloud(model, wish, drawn(wish), WAYS[way]))
    for words in refused:
        st.warning(plain(words))
    if clouds:
        plane(clouds, "drawn", extent=EXTENT)
    for way, ref in found.items():
        if ref.startswith("run:"):
            st.page_link("pages/training.py", label=f"How {WAYS[way].lower()} learned it",
                         icon=":material/show_chart:", query_params={"run": ref})  # fmt: skip
