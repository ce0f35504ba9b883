"""What is asked: a picture, and the class that is to be explained."""

from contextlib import nullcontext

import numpy as np
import streamlit as st

from explorer import data
from explorer.attribution import map_layer, map_layers, why
from explorer.attribution.arena import Example, Question
from explorer.attribution.explain import classifies_pictures, seen
from explorer.errors import ExplorerError
from explorer.tried import tried, untried
from explorer.ui import uploads
from explorer.ui.models import answered
from explorer.ui.number import number_input
from explorer.ui.page import guard, plain
from explorer.ui.pickers import choose
from explorer.ui.pictures import enlarge
from explorer.ui.pins import Pin, held
from explorer.ui.row import one_of
from explorer.zoo.model import Model

SIDE = 224  # pixels on the screen
THUMB, SHOWN = 72, 18  # of the browser: pixels a side, pictures a page
BROWSE, TAKEN = "browse", "browse-taken"  # in the session: whether the test pictures are open; which one was taken


def question(model: Model) -> Question:
    """The controls of a question, bound to the URL: the picture, the class, what it is compared with, the layer."""
    classifies_pictures(model)
    example = picture_example(model)
    probabilities = answer(model, example)
    predicted = int(probabilities.argmax())
    shown(model, example)
    target = _target(model, example, predicted)
    versus = _versus(model, probabilities, target)
    layer = _layer(model)
    seed = st.session_state.get("seed", 0)
    return Question(model.card.ref, example, target, versus, layer, seed)


def answer(model: Model, example: Example) -> np.ndarray:
    """Class probabilities of one example, (classes,)."""
    return answered(model, example.pixels)


def dataset(model: Model, split: str = "test") -> data.Dataset | None:
    """The model's own data, where they are known and pictures."""
    if not model.card.dataset or model.card.task != "image-classification":
        return None
    try:
        found = data.load(model.card.dataset, split, **model.card.dataset_settings)
    except ExplorerError:
        return None
    return found if found.task == "image" else None


def of_test(model: Model, test: data.Dataset, index: int) -> Example:
    """A test picture with all that is known of it."""
    mask = None if test.masks is None else test.masks[index]
    key = f"{test.name}/{sorted(model.card.dataset_settings.items())}/test/{index}"
    return Example(key, test.x[index : index + 1], int(test.y[index]), mask)


def example_of(model: Model, pin: Pin) -> Example | None:
    """The pinned picture: a test picture of the pinned network, or one that was brought in this session."""
    if (picture := held(pin)) is not None:
        return Example(pin.brought, picture)
    test = dataset(model)
    return None if test is None or pin.index is None or pin.index >= len(test) else of_test(model, test, pin.index)


def picture_example(model: Model) -> Example:
    """The chosen picture: one of the network's test split, or the person's own."""
    test = dataset(model)
    place = st.container()
    own = uploads.picture("Or your own picture", "picture")
    if own is not None:
        if own.moves:
            st.caption("It moves; its first frame is explained.")
        return Example(own.key, own.image)
    if test is None:
        noise = np.random.default_rng(0).normal(128, 40, (*model.card.shape[1:], 3)).clip(0, 255).astype(np.uint8)
        place.info("Bring a picture: this network's own data are not here. Until then it is shown noise.")
        return Example("noise", noise)
    if TAKEN in st.session_state:
        st.session_state["example"] = st.session_state.pop(TAKEN)
    if st.session_state.get("example", 0) >= len(test):
        st.session_state["example"] = 0
    with place:
        index = st.slider("Test picture", 0, len(test) - 1, 0, key="example", bind="query-params")
        _browse(model, test)
    return of_test(model, test, index)


@st.fragment
def _browse(model: Model, test: data.Dataset) -> None:
    """Test pictures by how they were answered, right, wrong, or taken for a certain class; drawn once it is open."""
    if TAKEN in st.session_state:
        st.rerun(scope="app")  # what shows it stands outside this fragment
    box = st.popover(
        "Browse the test pictures", icon=":material/grid_view:", width="stretch", key=BROWSE, on_change="rerun"
    )
    if box.open:
        with box, guard():
            _pictures(model, test)


def _pictures(model: Model, test: data.Dataset) -> None:
    probabilities = _answers(model)
    predicted, truth = probabilities.argmax(1), test.y[: len(probabilities)]
    names = ("any", *test.labels)
    which = one_of("Answered", ["all", "right", "wrong"], default="all", key="browse-how")
    left, middle, right = st.columns(3)
    with left:
        true = choose("True class", names, "any", "browse-true", str)
    with middle:
        called = choose("Called", names, "any", "browse-called", str)
    fits = {"all": np.full(len(truth), True), "right": predicted == truth, "wrong": predicted != truth}[which]
    if true != "any":
        fits = fits & (truth == test.labels.index(true))
    if called != "any":
        fits = fits & (predicted == test.labels.index(called))
    found = np.flatnonzero(fits)
    if not len(found):
        st.caption("There is no such picture in the test split.")
        return
    pages = (len(found) - 1) // SHOWN + 1
    with right:
        page = number_input(f"Page, of {pages}", 1, pages, 1, key=f"browse-page-{which}-{true}-{called}",
                            bind="query-params")  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        for index in found[(page - 1) * SHOWN : page * SHOWN]:
            with st.container(width=THUMB + 8, gap=None):
                told = f"{test.labels[truth[index]]}, called {test.labels[predicted[index]]}"
                st.image(enlarge(test.x[index], THUMB), width=THUMB, output_format="PNG", alt=told)
                wrong = predicted[index] != truth[index]
                st.button(
                    f":{'orange' if wrong else 'gray'}[{index}]",
                    key=f"browse-{index}",
                    help=plain(f"{told}, {probabilities[index].max():.0%} sure"),
                    on_click=_take,
                    args=(int(index),),
                    width="stretch",
                    type="tertiary",
                )


def _take(index: int) -> None:
    st.session_state[TAKEN] = index
    st.session_state[BROWSE] = False


def _answers(model: Model) -> np.ndarray:
    asked = model, model.card, dataset(model)
    with st.spinner("Asking the network about its test pictures …") if untried(*asked) else nullcontext():
        return tried(*asked)


def shown(model: Model, example: Example) -> None:
    """What the network sees, and what it says."""
    probabilities = answer(model, example)
    picture = seen(model, model.preprocess(example.pixels))
    guess = int(probabilities.argmax())
    told = f"**{plain(model.labels[guess])}** {probabilities[guess]:.1%}"
    if example.y is not None and example.y != guess:
        told += f", truly **{plain(model.labels[example.y])}**"
    height, width = picture.shape[:2]
    alt = f"The picture, called {model.labels[guess]}"
    st.image(enlarge(picture, SIDE), width=SIDE, output_format="PNG", alt=alt)
    st.caption(f"{told}. What the network sees: {width}×{height} pixels ({plain(model.card.resize)}).")


def _target(model: Model, example: Example, predicted: int) -> int:
    names = {"predicted": f"predicted: {model.labels[predicted]}"}
    if example.y is not None:
        names["true"] = f"true: {model.labels[example.y]}"
    names |= {str(index): label for index, label in enumerate(model.labels)}
    chosen = choose("Explain the class", list(names), "predicted", "target", names.__getitem__)
    return {"predicted": predicted, "true": example.y}.get(chosen, int(chosen) if chosen.isdigit() else predicted)


def _versus(model: Model, probabilities: np.ndarray, target: int) -> int | None:
    if len(model.labels) < 2:
        return None
    second = int(np.argsort(-probabilities, kind="stable")[:2][::-1][0 if probabilities.argmax() == target else 1])
    others = {str(index): label for index, label in enumerate(model.labels) if index != target}
    names = {"nothing": "nothing: its own score", "next": f"next best: {model.labels[second]}", **others}
    about = "Explains by how much the score of the one exceeds that of the other."
    chosen = choose("Compared with", list(names), "nothing", "versus", names.__getitem__, help=about)
    return {"nothing": None, "next": second}.get(chosen, int(chosen) if chosen.isdigit() else None)


def _layer(model: Model) -> str:
    layers = map_layers(model)
    if not layers:
        return ""
    first = map_layer(model)
    names = {"automatic": f"automatic: {first.name}"}
    names |= {layer.name: f"{layer.name} · {layer.size}" for layer in reversed(layers)}
    about = "Whose maps Grad-CAM and its kin read. The view **By layer** plays through all of them."
    chosen = choose("Layer", list(names), "automatic", "layer", names.__getitem__, help=about)
    if chosen == "automatic":
        st.caption(f"`{first.name}`: {why(model)}.")
        return ""
    return chosen
