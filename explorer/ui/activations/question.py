"""What is looked at: an input of any kind, and a layer."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from explorer.activations import Activations, Feed, capture, feed, sample
from explorer.activations.base import Layer
from explorer.activations.feed import dataset, kind_of
from explorer.errors import ExplorerError
from explorer.ui import models
from explorer.ui.attention.question import question as text_question
from explorer.ui.attribution.question import picture_example, shown
from explorer.ui.kept import kept
from explorer.ui.page import plain
from explorer.ui.pickers import choose
from explorer.ui.pictures import enlarge
from explorer.zoo.model import Model

ACTING = (
    "ReLU",
    "SiLU",
    "GELU",
    "NewGELU",
    "QuickGELU",
    "Tanh",
    "Sigmoid",
    "Mish",
    "ELU",
    "LeakyReLU",
    "Hardswish",
    "ReLU6",
)
SIDE = 224  # pixels of the screen on a side of the picture


@dataclass(frozen=True, eq=False)
class Asked:
    """What every view is given: the input, and the layer where one is chosen."""

    ref: str
    key: str  # tells this input from any other
    given: Feed  # one example
    layer: str = ""  # as in `captured(model, asked).names`


KNOWN = models.KNOWN | {Asked: lambda asked: (asked.ref, asked.key)}


def question(model: Model, layered: bool, late: bool = False) -> Asked:
    """The controls, bound to the URL: what goes in and, where `layered`, which layer is looked at.

    late: untouched, the menu of layers stands at the last one that acts, where units know most.
    """
    asked = _input(model)
    if not layered:
        return asked
    return Asked(asked.ref, asked.key, asked.given, layer_picker(captured(model, asked), late))


def layer_picker(found: Activations, late: bool = False) -> str:
    """A menu of the layers that gave out numbers; untouched it stands at the first that acts, or at the last."""
    fitting = {layer.name: layer for layer in found if layer.output is not None and layer.output.ndim > 1}
    state, usual = st.session_state, usual_layer(found, late)
    if state.get("layer") in {state.get("layer-usual"), *found.left_out}:  # untouched, or of another network
        state.pop("layer", None)
    state["layer-usual"] = usual
    return choose("Layer", list(fitting), usual, "layer", lambda name: titled(fitting[name]))


def titled(layer: Layer) -> str:
    """A layer in a menu: its name, its kind, and the shape of what it gives for one example."""
    return f"{layer.name} · {layer.kind} · {'×'.join(map(str, layer.output.shape[1:]))}"


def usual_layer(found: Activations, late: bool = False) -> str:
    """The first layer, or the last, whose maps or states are those of an activation function; else any at all."""
    fitting = [layer for layer in found if layer.output is not None and layer.output.ndim > 1]
    if not fitting:
        wrong = "none gives out numbers for an example"
        raise ExplorerError(f"The layers of {found.ref}", wrong, "Choose another network")
    acting = [layer for layer in fitting if layer.kind.startswith(ACTING)]
    maps = [layer for layer in acting if layer.output.ndim == 4] or acting
    return (maps or fitting)[-1 if late else 0].name


@kept(known=KNOWN)
def captured(_model: Model, asked: Asked) -> Activations:
    """What every layer gives out for this input."""
    return capture(_model, asked.given)


def _input(model: Model) -> Asked:
    """One example, from the link, the test data or the person's own hand."""
    kind, ref = kind_of(model), model.card.ref
    if kind == "text":
        text = text_question(model)
        key = repr((text.given, text.second))
        return Asked(ref, key, _fed(model, key, text.given, text.second).of(model))
    if kind == "image":
        example = picture_example(model)
        shown(model, example)
        return Asked(ref, example.key, _fed(model, example.key, example.pixels, None).of(model))
    return _numbered(model, kind)


@kept(known=models.KNOWN, small=True)
def _fed(model: Model, key: str, _given: Any, _second: str | None) -> Feed:
    return feed(model, _given, text_b=_second).without_model()


def _numbered(model: Model, kind: str) -> Asked:
    """A test example of points, or one on its way into noise."""
    test = dataset(model)
    index, time = 0, 0.5
    if test is not None:
        if st.session_state.get("example", 0) >= len(test):
            st.session_state["example"] = 0
        index = st.slider("Test example", 0, len(test) - 1, 0, key="example", bind="query-params")
    if kind == "noise":
        time = st.slider("Noise, as a share of the way", 0.0, 1.0, 0.5, 0.05, key="noise", bind="query-params",
                         help="How far this example is noised before the network sees it.")  # fmt: skip
    given = example_of(model, index, time)
    if given.pixels is not None and given.pixels.ndim == 4:
        said = f", truly {plain(test.labels[given.y[0]])}" if given.y is not None and test.labels else ""
        st.image(enlarge(given.pixels[0], SIDE), f"Before the noise{said}", width=SIDE, output_format="PNG",
                 alt=f"The example before the noise{said}")  # fmt: skip
    elif given.pixels is not None:
        st.caption(f"The point ({given.pixels[0, 0]:.2f}, {given.pixels[0, 1]:.2f}).")
    return Asked(model.card.ref, f"{index}/{time}", given)


def example_of(model: Model, index: int, time: float) -> Feed:
    """One test example of a network's own data; of a denoiser noised up to `time`."""
    return _example(model, index, time).of(model)


@kept(known=models.KNOWN)
def _example(model: Model, index: int, time: float) -> Feed:
    return sample(model, index + 1, time=time, first=index).without_model()
