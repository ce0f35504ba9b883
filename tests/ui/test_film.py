"""What is sent of a film is whole, small, and refuses what does not fit together."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from explorer.ui.film import Equation, Reel, Track, encode
from explorer.ui.scrub import settle

RANDOM = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return np.clip(RANDOM.normal(127, 50, shape), 0, 255).astype(np.uint8)


def track(*reels: Reel, **more) -> Track:
    return Track(reels, tuple(f"step {i}" for i in range(len(reels[0].frames))), **more)


def decoded(sent: dict, reel: dict, count: int) -> np.ndarray:
    """(F, H, W, C), cut out of the sheet as the browser does."""
    blob = base64.b64decode(sent["sheets"][reel["sheet"]].split(",")[1])
    sheet = np.asarray(Image.open(io.BytesIO(blob)).convert("RGB"))[..., : reel["channels"]]
    height, width, columns = reel["height"], reel["width"], reel["columns"]
    places = [(i // columns * height, i % columns * width) for i in range(count)]
    return np.stack([sheet[top : top + height, left : left + width] for top, left in places])


@pytest.mark.parametrize("shape", [(1, 4, 4, 1), (5, 8, 3, 1), (21, 8, 80, 1), (7, 9, 9, 3), (10, 64, 64, 3)])
def test_few_frames_arrive_whole(shape):
    frames = noise(*shape)
    sent = encode([track(Reel("xₜ", frames))])
    reel = sent["tracks"][0]["reels"][0]
    assert reel["exact"]
    np.testing.assert_array_equal(decoded(sent, reel, len(frames)), frames)


@pytest.mark.parametrize("channels", [1, 3])
def test_many_large_frames_arrive_smaller_and_about_right(channels):
    soft = np.full((40, 300, 400, channels), 90, np.uint8)
    soft[:, :150] = 200
    sent = encode([track(Reel("xₜ", soft))])
    reel = sent["tracks"][0]["reels"][0]
    assert (reel["exact"], reel["height"], reel["width"]) == (False, 192, 256)
    arrived = decoded(sent, reel, 40)
    assert np.abs(arrived[:, 40].astype(int) - 200).max() < 6
    assert np.abs(arrived[:, 150].astype(int) - 90).max() < 6
    assert len(json.dumps(sent)) < 100_000


def test_the_same_frames_are_sent_once():
    frames = noise(6, 8, 8, 1)
    limits = np.ones(6)
    sent = encode([track(Reel("a", frames)), track(Reel("b", frames.copy(), limits), Reel("c", 255 - frames))])
    assert len(sent["sheets"]) == 2
    assert [reel["sheet"] for track in sent["tracks"] for reel in track["reels"]] == [0, 0, 1]
    assert sent["tracks"][0]["reels"][0]["limits"] is None
    assert sent["tracks"][1]["reels"][0]["limits"] == [1.0] * 6


def test_a_run_of_the_digits_is_light():
    reels = [Reel(name, noise(21, 8, 80, 1), np.ones(21)) for name in ("xₜ", "predicted x₀", "predicted noise")]
    assert len(json.dumps(encode([track(*reels)]))) < 70_000


def test_equations_are_sent_with_their_frames():
    step = Equation("x₀", ((0.5, "x̂₀", 0), (-0.2, "z", None)), "Mixed.")
    reel = Reel("x̂₀", noise(2, 4, 4, 1), np.ones(2))
    sent = json.loads(json.dumps(encode([track(reel, equations=(step, None))])))
    told = {"result": "x₀", "terms": [[0.5, "x̂₀", 0], [-0.2, "z", None]], "note": "Mixed."}
    assert sent["tracks"][0]["equations"] == [told, None]


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": noise(4, 8, 8)},
        {"frames": noise(4, 8, 8, 2)},
        {"frames": np.zeros((4, 8, 8, 1))},
        {"frames": noise(0, 8, 8, 1)},
        {"limits": np.ones(3)},
        {"limits": np.array([1, 1, 1, np.nan])},
        {"limits": -np.ones(4)},
        {"frames": noise(4, 8, 8, 3), "signed": True},
    ],
)
def test_a_reel_that_does_not_fit_together_is_refused(wrong):
    right = Reel("wrong", noise(4, 8, 8, 1), np.ones(4), signed=True)
    with pytest.raises(ValueError, match="wrong"):
        replace(right, **wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"labels": ("one",)}, "4 frames under 1 labels"),
        ({"reels": ()}, "needs reels"),
        ({"equations": (None,)}, "1 equations of 4 frames"),
        ({"equations": (Equation("x₀", ((1.0, "z", 7),)), None, None, None)}, "no reel 7 to read z from"),
        ({"equations": (Equation("x₀", ((1.0, "u", 1),)), None, None, None)}, "no reel 1 to read u from"),
    ],
)
def test_a_track_that_does_not_fit_together_is_refused(wrong, why):
    right = track(Reel("xₜ", noise(4, 8, 8, 1), np.ones(4)), Reel("not read", noise(4, 8, 8, 1)))
    with pytest.raises(ValueError, match=why):
        replace(right, **wrong)


@pytest.mark.parametrize(
    ("rest", "frames", "at"),
    [
        (None, 21, 5),  # nothing was reported: the start
        ({"at": 3, "of": 21}, 21, 3),
        ({"at": 3, "of": 21}, 11, 3),  # fewer frames, but that one is there
        ({"at": 15, "of": 21}, 11, 10),  # gone: the last
        ({"at": 20, "of": 21}, 51, 50),  # the last stays the last
        ({"at": -1, "of": 21}, 21, 20),
        ({"at": "much", "of": 21}, 21, 5),
        ([], 21, 5),
    ],
)
def test_the_place_is_kept_where_it_can_be(rest, frames, at):
    assert settle(rest, frames, 5) == at


@pytest.mark.parametrize(("at", "starts"), [(None, 8), (3, 3), (99, 8)])
def test_it_starts_at_the_last_frame_or_where_it_is_told(at, starts):
    def page(at):
        import numpy as np
        import streamlit as st

        from explorer.ui.film import Reel, Track, film

        tracks = [Track((Reel("xₜ", np.zeros((n, 4, 4, 1), np.uint8)),), ("step",) * n) for n in (9, 5)]
        st.session_state.at = film(tracks, "film", at)

    test = AppTest.from_function(page, kwargs={"at": at}, default_timeout=30).run()
    assert not test.exception
    assert test.session_state["at"] == starts
