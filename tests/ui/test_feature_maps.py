"""What is sent of a layer is small and true, and what comes back is checked.

OMP_NUM_THREADS=1 python -m pytest tests/ui/test_feature_maps.py
"""

import base64
import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer import zoo
from explorer.activations import capture, sample
from explorer.activations.base import Layer
from explorer.activations.maps import ends, maps
from explorer.activations.sums import very_sum
from explorer.ui.feature_maps import STEPS, Detail, Overview, encode, named, read


def overview(*shape: int, least: float = -3.0) -> Overview:
    values = np.maximum(np.random.default_rng(0).normal(size=(1, *shape)), least).astype(np.float32)
    units = maps(Layer("one", "ReLU", values))
    return Overview(units, np.arange(len(units)), ends(units, "local"), ("",) * len(units))


@pytest.mark.parametrize("shape", [(64, 112, 112), (64, 32, 32), (64, 7, 7)])
@pytest.mark.parametrize("least", [-3.0, 0.0])
def test_64_maps_are_sent_in_200_kb(shape, least):
    given = overview(*shape, least=least)
    sent = encode(given, Detail(3, 1, 2))
    assert len(json.dumps(sent["tiles"])) <= 200 * 1024
    assert bool(named(given.units, given.shown)) == (shape[1] == 112)


@pytest.mark.parametrize("least", [-3.0, 0.0])
def test_values_arrive_within_half_a_step(least):
    given = overview(5, 6, 7, least=least)
    sent = encode(given, Detail(3, 1, 2))
    signed = least < 0
    assert sent["signed"] == signed
    for unit, tile in enumerate(sent["tiles"]):
        codes = np.frombuffer(base64.b64decode(tile["codes"]), np.int8 if signed else np.uint8)
        arrived = codes.reshape(6, 7) / STEPS[signed] * tile["limit"]
        np.testing.assert_allclose(arrived, given.units.values[unit], atol=tile["limit"] / STEPS[signed] / 1.9)


def test_terms_and_the_rest_add_up_to_the_sum():
    model = zoo.load("zoo:shapes-resnet")
    fed = sample(model, 1)
    units = maps(capture(model, fed, ["stage2.0.conv2"]).layers[0])
    total = very_sum(model, fed, "stage2.0.conv2", (4, 8, 8))
    sent = encode(Overview(units, np.arange(4), ends(units, "layer"), ("",) * 4), Detail(4, 8, 8, total=total))
    step = sent["steps"][total.at]
    assert step["asked"]
    assert step["cells"] == [3, 3]
    assert step["rest"]["count"] == 48 - len(step["terms"])
    added = sum(term["sum"] for term in step["terms"]) + step["rest"]["sum"] + (step["bias"] or 0)
    assert added == pytest.approx(step["captured"], abs=1e-4)
    for term in step["terms"]:
        assert np.dot(term["patch"], term["kernel"]) == pytest.approx(term["sum"])
    with model.borrow() as net:
        np.testing.assert_array_equal(
            np.frombuffer(base64.b64decode(sent["kernels"]["values"]), "<f4").reshape(48, 3, 3),
            net.stage2[0].conv2.weight[4].numpy(),
        )


@pytest.mark.parametrize(
    "reported",
    [
        None,
        7,
        "x",
        {},
        {"unit": "a"},
        {"unit": 5},
        {"unit": -1},
        {"unit": 1, "row": 6},
        {"unit": 1, "row": 0, "column": 7},
    ],
)
def test_what_the_browser_reports_may_be_anything(reported):
    assert read(reported, overview(5, 6, 7).units) is None


def test_what_the_browser_reports_is_read():
    units = overview(5, 6, 7).units
    assert read({"unit": 4, "row": None, "column": 0}, units) == (4, None, 0)
    assert read({"unit": 4, "row": 5, "column": 6}, units) == (4, 5, 6)


def view() -> None:
    import streamlit as st

    from explorer import zoo
    from explorer.ui.activations.layer import layer
    from explorer.ui.activations.question import question
    from explorer.ui.page import guard

    with guard():
        model = zoo.load(st.query_params.get("model", "zoo:shapes-resnet"))
        layer(model, question(model, True))


def said(page: AppTest) -> str:
    return " ".join(caption.value for caption in page.caption)


def opened(**query: str) -> AppTest:
    page = AppTest.from_function(view, default_timeout=60)
    for name, value in query.items():
        page.query_params[name.replace("_", "-")] = value
    page.run()
    assert not page.exception
    assert not page.error, page.error[0].value
    return page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "24 maps of 32×32"),
        ({"model": "zoo:shapes-vit", "layer": "blocks.0.mlp.gelu"}, "384 units on the grid of 8×8 patches, 64 of them"),
        ({"model": "zoo:digits-lenet", "layer": "fc1"}, "64 units, one number each"),
        ({"model": "zoo:story-gpt"}, "units of"),
        ({"model": "zoo:dates-seq2seq"}, "units of"),
        ({"model": "zoo:digits-diffusion"}, "32 maps of 8×8"),
        ({"model": "zoo:points-diffusion", "layer": "unet.films.0"}, "it ran on 3 rows at once"),
        ({"maps_sort": "selectivity", "maps_scale": "global"}, "over 200 test examples"),
    ],
)
def test_the_view_on_every_kind_of_model(query, words):
    assert words in said(opened(**query))


def test_a_link_gives_the_state_back():
    page = opened(layer="stem.conv", unit="7", pixel="3,5", maps_sort="mean", maps_scale="layer")
    assert "the largest mean first" in said(page)
    assert "the largest size in this layer" in said(page)
    assert (page.session_state["unit"], page.session_state["pixel"]) == ("7", "3,5")
    assert {"unit", "pixel", "maps-sort", "maps-scale"} <= set(page.query_params)


def test_a_unit_that_there_is_not_is_told():
    page = opened(unit="<b>99")
    assert "has no unit" in page.warning[0].value
    assert "unit" not in page.query_params
