"""What is drawn by hand is read exactly, and whatever else a browser may report is no drawing."""

import base64

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer.ui.sketch import MOST, READY, STEPS, draw_points, paint_mask, read_mask, read_points, ready_made


def text(values, kind: str) -> str:
    return base64.b64encode(np.asarray(values, kind).tobytes()).decode()


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (5, 7), (64, 48), (512, 512)])
def test_a_mask_is_read_bit_by_bit(shape):
    mask = np.random.default_rng(0).random(shape) > 0.5
    read = read_mask({"bits": text(np.packbits(mask), "u1")}, *shape)
    assert read.dtype == bool
    np.testing.assert_array_equal(read, mask)


def test_points_are_read_within_a_step():
    random = np.random.default_rng(0)
    points, labels = random.uniform(-2.5, 2.5, (300, 2)), random.integers(0, 2, 300)
    codes = np.rint(points / 2.5 * STEPS)
    read, classes = read_points({"codes": text(codes, "<i2"), "labels": text(labels, "u1")}, 300, 2.5)
    assert (read.dtype, classes.dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(read, points, atol=2.5 / STEPS)
    np.testing.assert_array_equal(classes, labels)


NONSENSE = [None, 3, "bits", [], {}, {"bits": None}, {"bits": 7}, {"bits": "é"}, {"bits": "AAA"}, {"bits": "AA=="},
            {"bits": "!!!!"}]  # fmt: skip


@pytest.mark.parametrize("reported", NONSENSE)
def test_a_malformed_mask_is_empty(reported):
    mask = read_mask(reported, 5, 6)
    assert mask.shape == (5, 6)
    assert not mask.any()


@pytest.mark.parametrize(
    "reported",
    [
        *NONSENSE,
        {"codes": text([1, 2], "<i2")},
        {"codes": text([1, 2], "<i2"), "labels": text([0, 1], "u1")},  # a class without a point
        {"codes": text([1, 2, 3], "<i2"), "labels": text([0], "u1")},
        {"codes": text([1], "u1"), "labels": text([0], "u1")},  # half a code
        {"codes": text([1, 2], "<i2"), "labels": text([2], "u1")},  # no such class
        {"codes": text([1, -32768], "<i2"), "labels": text([0], "u1")},  # outside of the plane
        {"codes": text([0] * 22, "<i2"), "labels": text([0] * 11, "u1")},  # more than there may be
        {"codes": [1, 2], "labels": [0]},
    ],
)
def test_malformed_points_are_none(reported):
    points, labels = read_points(reported, 10, 1.0)
    assert (points.shape, points.dtype, labels.shape, labels.dtype) == ((0, 2), np.float32, (0,), np.int64)


@pytest.mark.parametrize("name", READY)
def test_a_ready_made_drawing_is_of_two_classes_and_the_same_at_every_call(name):
    points, labels = ready_made(name)
    assert points.shape == (600, 2)
    assert 0.5 < np.abs(points).max() <= 1
    assert np.abs(points.mean(axis=0)).max() < 0.1  # in the middle
    assert np.bincount(labels).tolist() == [300, 300]
    np.testing.assert_array_equal(ready_made(name)[0], points)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((513, 8, 3), np.uint8),
    ],
)
def test_what_is_no_picture_cannot_be_painted_over(picture):
    with pytest.raises(ValueError, match="a picture"):
        paint_mask(picture, "mask")


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="nobody can draw"):
        paint_mask(np.zeros((8, 8, 1), np.uint8), "mask", side=10)
    for wrong in ({"most": 0}, {"most": MOST + 1}, {"extent": 0}, {"extent": float("nan")}, {"side": 10}):
        with pytest.raises(ValueError, match=r"points can be drawn|an extent|nobody can draw"):
            draw_points("points", **wrong)


def test_nothing_is_drawn_at_first():
    def page():
        import numpy as np
        import streamlit as st

        from explorer.ui.sketch import draw_points, paint_mask

        st.session_state.mask = paint_mask(np.zeros((4, 6, 3), np.uint8), "painted")
        st.session_state.points = draw_points("sprayed", most=50)

    test = AppTest.from_function(page, default_timeout=30).run()
    assert not test.exception
    assert test.session_state["mask"].shape == (4, 6)
    assert not test.session_state["mask"].any()
    assert [part.shape for part in test.session_state["points"]] == [(0, 2), (0,)]
