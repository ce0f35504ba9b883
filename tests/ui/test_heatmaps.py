"""What is sent of heat maps is exact, small, and refuses what does not fit together."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from explorer.ui.heatmaps import STEPS, Tile, View, _read, encode


def picture(side: int, channels: int = 3) -> np.ndarray:
    """A photograph, as far as PNG is concerned: soft shapes under a little noise."""
    y, x = np.mgrid[:side, :side] / side
    soft = np.stack([np.sin(7 * x + c) * np.cos(5 * y) for c in range(channels)], -1)
    noise = np.random.default_rng(0).normal(0, 3, soft.shape)
    return np.clip(127 + 90 * soft + noise, 0, 255).astype(np.uint8)


def tiles(count: int, side: int) -> list[Tile]:
    random = np.random.default_rng(1)
    shown, mask = picture(side), random.random((side, side)) > 0.7
    return [
        Tile(f"Method {i}", "12 ms · 1 pass", random.normal(size=(side, side)).astype(np.float32), shown, mask)
        for i in range(count)
    ]


def decoded(sent: dict) -> np.ndarray:
    codes = np.frombuffer(base64.b64decode(sent["codes"]), "<i2")
    return (codes / STEPS * sent["limit"]).reshape(sent["height"], sent["width"])


def test_a_view_is_usual_until_chosen():
    assert View() == View("signed", 0.75, "each", True)


@pytest.mark.parametrize("size", [1e-9, 1.0, 3e4])
def test_values_arrive_within_a_step_of_the_limit(size):
    values = (size * np.random.default_rng(0).normal(size=(5, 7))).astype(np.float32)
    sent = encode([Tile("one", "", values, np.zeros((5, 7, 1), np.uint8))])["tiles"][0]
    assert sent["limit"] == np.abs(values).max()
    np.testing.assert_allclose(decoded(sent), values, rtol=0, atol=sent["limit"] / STEPS)


def test_one_loud_pixel_does_not_set_the_end_of_the_colours():
    values = np.linspace(-1, 1, 10_000, dtype=np.float32).reshape(100, 100)
    values[3, 4] = 1000
    sent = encode([Tile("one", "", values, picture(100))])["tiles"][0]
    assert sent["limit"] == 1000
    assert 0.9 < sent["robust"] <= 1.01


@pytest.mark.parametrize("loud", [0.0, 2.0])
def test_an_empty_and_a_nearly_empty_map_can_be_drawn(loud):
    values = np.zeros((64, 64), np.float32)
    values[3, 4] = loud
    sent = encode([Tile("one", "", values, picture(64))])["tiles"][0]
    assert sent["robust"] == sent["limit"] == loud
    np.testing.assert_allclose(decoded(sent), values, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_and_masks_arrive_whole_and_once(channels):
    shown, mask = picture(9, channels), np.eye(9, dtype=bool)
    sent = encode([Tile("a", "", None, shown, mask), Tile("b", "", None, shown.copy(), mask.copy()),
                   Tile("c", "", None, 255 - shown)])  # fmt: skip
    assert (len(sent["pictures"]), len(sent["masks"])) == (2, 1)
    arrived = np.asarray(Image.open(io.BytesIO(base64.b64decode(sent["pictures"][0]))))
    np.testing.assert_array_equal(arrived.reshape(shown.shape), shown)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(sent["masks"][0]), np.uint8), count=81)
    np.testing.assert_array_equal(bits.reshape(9, 9), mask)
    assert [tile["picture"] for tile in sent["tiles"]] == [0, 0, 1]
    assert [tile["mask"] for tile in sent["tiles"]] == [0, 0, None]


@pytest.mark.parametrize(("side", "most"), [(64, 150_000), (224, 1_500_000)])
def test_eight_maps_are_light(side, most):
    assert len(json.dumps(encode(tiles(8, side)))) < most


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": np.zeros((4, 5))},
        {"values": np.zeros((1, 4, 4))},
        {"values": np.full((4, 4), np.nan)},
        {"mask": np.zeros((5, 4), bool)},
        {"picture": np.zeros((4, 4), np.uint8)},
        {"picture": np.zeros((4, 4, 4), np.uint8)},
        {"picture": np.zeros((4, 4, 3), np.float32)},
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    right = {"values": np.zeros((4, 4)), "picture": np.zeros((4, 4, 3), np.uint8)}
    Tile("right", "", **right)
    with pytest.raises(ValueError, match="wrong"):
        Tile("wrong", "", **right | wrong)


@pytest.mark.parametrize("wrong", [{"show": "all"}, {"scale": "none"}, {"opacity": 1.5}, {"opacity": float("nan")}])
def test_a_view_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match="no such view"):
        View(**wrong)


@pytest.mark.parametrize("reported", [None, 3, [], {}, {"show": "size"},
                                      {"show": "x", "opacity": 1, "scale": "each", "outline": True},
                                      {"show": [], "opacity": "much", "scale": "each", "outline": True}])  # fmt: skip
def test_nonsense_from_the_browser_is_not_believed(reported):
    assert _read(reported, View("size")) == View("size")


def test_it_starts_with_the_view_that_it_is_given():
    def page():
        import numpy as np
        import streamlit as st

        from explorer.ui.heatmaps import Tile, View, heatmaps

        st.session_state.view = heatmaps(
            [Tile("one", "", None, np.zeros((4, 4, 3), np.uint8))], "maps", View("for", 0.5)
        )

    test = AppTest.from_function(page, default_timeout=30).run()
    assert not test.exception
    assert test.session_state["view"] == View("for", 0.5)
    assert test.run().session_state["view"] == View("for", 0.5)
