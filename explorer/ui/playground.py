"""The playground in the browser: a small network over points of the plane, scrubbed, read, changed by hand and fed.

shown = playground(recording, x, y, labels=("A", "B"), key="playground")

All that is sent of a network is its weights in each recorded frame. The browser computes the rest from them: the map of
each unit, the regions of the classes, losses, and what they would be with a weight that the person changes.
"""

import base64
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import streamlit as st

from explorer.ui.scrub import scrub

NORMS = ("none", "batch", "layer")
ACTIVATIONS = ("none", "relu", "leaky-relu", "elu", "silu", "gelu", "mish", "tanh", "sigmoid")
EXTRA = {"none": 0, "batch": 4, "layer": 2}  # numbers of a norm for each unit: weight, bias, running mean, variance
CLASSES = 8  # at most, that colours tell apart
HIDDEN = 6  # hidden layers at most
POINTS = 600  # of each set that are drawn, and that can be put down by hand
NUMBERS = 2_000_000  # of a recording, 11 MB in base64: more makes every rerun slow


@dataclass(frozen=True)
class Layer:
    """Linear, then norm, then activation. The last layer of a network, its head, has neither norm nor activation."""

    inputs: int
    units: int
    norm: str  # one of NORMS, as in evaluation mode
    activation: str  # one of ACTIVATIONS; leaky-relu has slope 0.01, gelu is the exact one

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.units < 1:
            raise ValueError(f"a layer of {self.inputs} inputs and {self.units} units")
        if self.norm not in NORMS or self.activation not in ACTIVATIONS:
            raise ValueError(f"no such norm or activation: {self.norm}, {self.activation}")

    @property
    def numbers(self) -> int:
        """How many weights it has, running statistics included."""
        return self.units * (self.inputs + 1 + EXTRA[self.norm])


@dataclass(frozen=True, eq=False)
class Recording:
    """A network of the plane at each frame of its training.

    A frame holds, layer after layer: the weight (units, inputs) row by row; the bias (units,); of a batch norm its
    weight, bias, running mean and running variance, of a layer norm its weight and bias, each (units,). eps is 1e-5.
    """

    layers: tuple[Layer, ...]  # the last one is the head
    weights: np.ndarray  # (F, P) float32
    steps: tuple[int, ...]  # parallel to weights
    told: tuple[str, ...]  # parallel to weights: "step 40 · loss 0.31 · validation 0.35 · 92 %"

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= HIDDEN + 1:
            raise ValueError(f"{len(self.layers)} layers: a head, and up to {HIDDEN} hidden ones before it")
        for inputs, layer in zip((2, *(layer.units for layer in self.layers)), self.layers, strict=False):
            if layer.inputs != inputs:
                raise ValueError(f"a layer of {layer.inputs} inputs after {inputs} units")
        if (self.layers[-1].norm, self.layers[-1].activation) != ("none", "none"):
            raise ValueError("the head has neither norm nor activation")
        frames, numbers = len(self.steps), sum(layer.numbers for layer in self.layers)
        if not frames or self.weights.shape != (frames, numbers) or self.weights.dtype != np.float32:
            wrong = f"{self.weights.shape} {self.weights.dtype}"
            raise ValueError(f"weights are ({frames}, {numbers}) float32, one frame at least, not {wrong}")
        if len(self.told) != frames:
            raise ValueError(f"{frames} frames, and {len(self.told)} of them told of")
        if self.weights.size > NUMBERS:
            raise ValueError(f"{self.weights.size:,} numbers: at most {NUMBERS:,} are sent, so record fewer frames")


@dataclass(frozen=True, eq=False)
class Playground:
    """Where the person rests, and what they put down."""

    frame: int
    points: np.ndarray  # (M, 2) float32, put down by hand
    classes: np.ndarray  # (M,) int64, parallel to points


def playground(
    recording: Recording | None,
    x: np.ndarray,
    y: np.ndarray,
    labels: tuple[str, ...],
    key: str,
    *,
    test_x: np.ndarray | None = None,
    test_y: np.ndarray | None = None,
    drawing: bool = False,
    extent: float = 1.3,
) -> Playground:
    """Draw a network and its points under one bar; gives the frame where the person rests and what they put down.

    x: (N, 2), y: (N,) classes; recording None: the points alone. The plane is drawn from -extent to extent.
    drawing: points can be put down by hand. The browser itself paints those and counts them among the training points,
    so leave them out of x. The end of a stroke, and resting on a frame, rerun the page, or the fragment around this.
    More frames of the same run keep what is held, and the bar stays at its end if it was there.
    """
    drawn_at = f"{key}-drawn"
    before = st.session_state.get(drawn_at, (np.zeros((0, 2), np.float32), np.zeros(0, np.int64)))
    data = encode(recording, x, y, labels, test_x, test_y, extent)
    data |= {"drawing": drawing, "most": POINTS, "start": _set(*before)}
    frames = len(recording.steps) if recording else 1
    frame = scrub("playground", key, [frames], None, data)
    if not drawing:
        return Playground(frame, np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    reported = (st.session_state.get(key) or {}).get("drawn")
    points, classes = before if reported is None else read_drawn(reported, len(labels), extent)
    st.session_state[drawn_at] = points, classes  # outlives a change of page
    return Playground(frame, points.copy(), classes.copy())


def encode(
    recording: Recording | None,
    x: np.ndarray,
    y: np.ndarray,
    labels: tuple[str, ...],
    test_x: np.ndarray | None = None,
    test_y: np.ndarray | None = None,
    extent: float = 1.3,
) -> dict[str, Any]:
    """A network and its points as the browser takes them. ValueError where parts do not match."""
    if not 2 <= len(labels) <= CLASSES:
        raise ValueError(f"2 to {CLASSES} classes have colours, not {len(labels)}")
    if not (math.isfinite(extent) and extent > 0):
        raise ValueError(f"the plane must have an extent, not {extent}")
    if recording and recording.layers[-1].units != len(labels):
        raise ValueError(f"a head of {recording.layers[-1].units} units for {len(labels)} classes")
    if (test_x is None) != (test_y is None):
        raise ValueError("test points need classes, and classes points")
    _check("training", x, y, len(labels))
    if test_x is not None:
        _check("test", test_x, test_y, len(labels))
    network = recording and {
        "layers": [asdict(layer) for layer in recording.layers],
        "weights": _base64(recording.weights.astype("<f4")),
        "steps": [int(step) for step in recording.steps],
        "told": recording.told,
    }
    test = None if test_x is None else _sample(test_x, test_y)
    return {"extent": extent, "labels": labels, "network": network, "train": _sample(x, y), "test": test}


def read_drawn(reported: Any, classes: int, extent: float) -> tuple[np.ndarray, np.ndarray]:
    """Points, (M, 2) float32, and classes, (M,) int64, from what the browser reported, which may be anything.

    None where it is malformed; points of other classes or off the plane are left out.
    """
    none = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    try:
        points = np.frombuffer(base64.b64decode(reported["points"], validate=True), "<f4").reshape(-1, 2)
        labels = np.frombuffer(base64.b64decode(reported["classes"], validate=True), "u1")
    except (TypeError, KeyError, ValueError):
        return none
    if len(points) != len(labels) or len(labels) > POINTS:
        return none
    fits = (np.abs(points) <= np.float32(extent)).all(axis=1) & (labels < classes)  # nothing compares with NaN
    return points[fits].astype(np.float32), labels[fits].astype(np.int64)


def _check(name: str, x: np.ndarray, y: np.ndarray, classes: int) -> None:
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"{name}: points {x.shape} and classes {y.shape}, not (N, 2) and (N,)")
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: not all points are finite")
    if len(y) and (not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= classes):
        raise ValueError(f"{name}: classes are whole numbers from 0 to {classes - 1}")


def _sample(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """POINTS of them at most, evenly from first to last: they may lie class after class."""
    some = np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int)
    return _set(x[some], y[some]) | {"of": len(x)}


def _set(points: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    return {"points": _base64(points.astype("<f4")), "classes": _base64(classes.astype(np.uint8))}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
