"""What is sent of the playground is whole and fits together; what it reports is read whatever it is."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from explorer.ui.playground import ACTIVATIONS, NORMS, POINTS, Layer, Recording, encode, read_drawn

MODULES = {
    "none": nn.Identity, "relu": nn.ReLU, "leaky-relu": nn.LeakyReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU,
    "mish": nn.Mish, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
}  # fmt: skip
NORMED = {"none": lambda _: nn.Identity(), "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def network(norm: str, activation: str, widths: tuple[int, ...] = (5, 4), classes: int = 3, seed: int = 0):
    """A network of the plane in evaluation mode, all its numbers drawn by lot; a module for each layer."""
    layers, inputs = [], 2
    for units in widths:
        layers.append(nn.Sequential(nn.Linear(inputs, units), NORMED[norm](units), MODULES[activation]()))
        inputs = units
    net = nn.Sequential(*layers, nn.Sequential(nn.Linear(inputs, classes)))
    random = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if "num_batches" not in name:
            share = torch.rand(value.shape, generator=random)
            value.copy_(share if "var" in name else 3 * share - 1.5)
    return net.eval()


def numbers(net: nn.Module) -> np.ndarray:
    """(P,) as a frame holds them, which is the order of PyTorch's own state."""
    parts = [value.numpy().ravel() for name, value in net.state_dict().items() if "num_batches" not in name]
    return np.concatenate(parts).astype(np.float32)


def recorded(
    frames: int = 3, norm: str = "none", activation: str = "tanh", widths=(5, 4), classes: int = 3
) -> Recording:
    """As many frames, each a network of its own seed."""
    sizes = (2, *widths)
    layers = [Layer(before, units, norm, activation) for before, units in zip(sizes, widths, strict=False)]
    layers.append(Layer(sizes[-1], classes, "none", "none"))
    weights = np.stack([numbers(network(norm, activation, widths, classes, seed)) for seed in range(frames)])
    steps = tuple(10 * frame for frame in range(frames))
    return Recording(tuple(layers), weights, steps, tuple(f"step {step}" for step in steps))


def points(count: int = 30, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.uniform(-1, 1, (count, 2)).astype(np.float32), np.arange(count) % classes


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.mark.parametrize("norm", NORMS)
def test_a_frame_is_the_state_of_the_network(norm):
    recording = recorded(norm=norm)
    sent = json.loads(json.dumps(encode(recording, *points(), ("a", "b", "c"))))["network"]
    np.testing.assert_array_equal(floats(sent["weights"]).reshape(3, -1), recording.weights)
    assert sent["layers"][0] == {"inputs": 2, "units": 5, "norm": norm, "activation": "tanh"}
    assert (sent["steps"], sent["told"]) == ([0, 10, 20], ["step 0", "step 10", "step 20"])


def test_every_activation_is_one_of_pytorch():
    assert set(ACTIVATIONS) == set(MODULES)


def test_points_are_sent_whole_and_of_many_some_of_every_class():
    x, y = points()
    sent = encode(None, x, y, ("a", "b", "c"), x[:4], y[:4])
    assert (sent["network"], sent["train"]["of"], sent["test"]["of"]) == (None, 30, 4)
    np.testing.assert_array_equal(floats(sent["train"]["points"]).reshape(-1, 2), x)
    assert list(base64.b64decode(sent["test"]["classes"])) == [0, 1, 2, 0]
    many, of = points(5000)
    sent = encode(None, many, np.sort(of), ("a", "b", "c"))["train"]
    assert sent["of"] == 5000
    assert np.bincount(list(base64.b64decode(sent["classes"]))).tolist() == [POINTS // 3] * 3


def test_a_hundred_frames_are_light():
    assert len(json.dumps(encode(recorded(100, widths=(8,) * 4), *points(), ("a", "b", "c")))) < 160_000


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"layers": ()}, "a head, and up to 6 hidden"),
        ({"layers": (Layer(3, 3, "none", "none"),)}, "3 inputs after 2 units"),
        ({"layers": (Layer(2, 4, "none", "relu"), Layer(5, 3, "none", "none"))}, "5 inputs after 4 units"),
        ({"layers": (Layer(2, 3, "none", "relu"),)}, "the head has neither"),
        ({"layers": (Layer(2, 3, "batch", "none"),)}, "the head has neither"),
        ({"weights": np.zeros((3, 7), np.float32)}, "weights are"),
        ({"weights": np.zeros((2, 54), np.float32)}, "weights are"),
        ({"weights": np.zeros((3, 54))}, "float64"),
        ({"weights": np.zeros((0, 54), np.float32), "steps": (), "told": ()}, "one frame at least"),
        ({"told": ("step 0",)}, "3 frames, and 1"),
        (
            {"weights": np.zeros((40_000, 54), np.float32), "steps": (0,) * 40_000, "told": ("",) * 40_000},
            "fewer frames",
        ),
    ],
)
def test_a_recording_that_does_not_fit_together_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        replace(recorded(), **wrong)


@pytest.mark.parametrize("wrong", [(0, 3, "none", "relu"), (2, 3, "group", "relu"), (2, 3, "none", "swish")])
def test_a_layer_is_one_that_the_browser_can_compute(wrong):
    with pytest.raises(ValueError, match=r"layer of|no such"):
        Layer(*wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"labels": ("a",)}, "2 to 8 classes"),
        ({"labels": tuple("abcdefghi")}, "2 to 8 classes"),
        ({"labels": ("a", "b", "c", "d")}, "a head of 3 units for 4 classes"),
        ({"x": np.zeros((30, 3))}, "not .N, 2."),
        ({"x": np.zeros((29, 2))}, "training"),
        ({"x": np.full((30, 2), np.nan)}, "finite"),
        ({"y": np.full(30, 3)}, "from 0 to 2"),
        ({"y": np.full(30, -1)}, "from 0 to 2"),
        ({"y": np.zeros(30)}, "whole numbers"),
        ({"test_x": np.zeros((4, 2))}, "test points need classes"),
        ({"test_x": np.zeros((4, 2)), "test_y": np.zeros(5, int)}, "test"),
        ({"extent": 0.0}, "extent"),
        ({"extent": float("inf")}, "extent"),
    ],
)
def test_points_that_do_not_fit_are_refused(wrong, why):
    x, y = points()
    with pytest.raises(ValueError, match=why):
        encode(**{"recording": recorded(), "x": x, "y": y, "labels": ("a", "b", "c")} | wrong)


def reported(points: list, classes: list) -> dict:
    blobs = np.array(points, "<f4").tobytes(), np.array(classes, np.uint8).tobytes()
    return dict(zip(("points", "classes"), (base64.b64encode(blob).decode() for blob in blobs), strict=True))


def test_points_put_down_are_read_back():
    places, classes = read_drawn(reported([[0.5, -0.25], [1.3, -1.3]], [1, 0]), 2, 1.3)
    assert (places.dtype, classes.dtype, classes.tolist()) == (np.float32, np.int64, [1, 0])
    np.testing.assert_array_equal(places, np.float32([[0.5, -0.25], [1.3, -1.3]]))


def test_points_of_other_classes_or_off_the_plane_are_left_out():
    sent = reported([[0.1, 0.2], [9, 0], [0.3, 0.4], [np.nan, 0]], [0, 0, 5, 1])
    places, classes = read_drawn(sent, 2, 1.3)
    np.testing.assert_array_equal(places, np.float32([[0.1, 0.2]]))
    assert classes.tolist() == [0]


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        7,
        "text",
        [],
        {},
        {"points": 3, "classes": 4},
        {"points": "%", "classes": ""},
        {"points": "AAAA", "classes": ""},
        reported([[0, 0]], []),
        reported([[0, 0]] * (POINTS + 1), [0] * (POINTS + 1)),
    ],
)
def test_malformed_reports_are_no_points(malformed):
    places, classes = read_drawn(malformed, 2, 1.3)
    assert (places.shape, classes.shape) == ((0, 2), (0,))


def test_it_starts_at_the_last_frame_with_nothing_put_down():
    def page():
        import numpy as np
        import streamlit as st

        from explorer.ui.playground import playground
        from tests.ui.test_playground import points, recorded

        st.session_state.shown = playground(recorded(), *points(), ("a", "b", "c"), "net", drawing=True)
        st.session_state.alone = playground(None, np.zeros((0, 2)), np.zeros(0, int), ("a", "b"), "bare")

    test = AppTest.from_function(page, default_timeout=30).run()
    assert not test.exception
    shown, bare = test.session_state["shown"], test.session_state["alone"]
    assert (shown.frame, shown.points.shape, shown.classes.shape) == (2, (0, 2), (0,))
    assert (bare.frame, len(bare.points)) == (0, 0)
