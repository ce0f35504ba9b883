"""What is sent of clouds is near enough, small, and refuses what does not fit together."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer.ui.plane import FINE, POINTS, STEPS, Cloud, encode

RANDOM = np.random.default_rng(0)


def cloud(frames: int = 4, count: int = 50, **more) -> Cloud:
    return Cloud(RANDOM.normal(size=(frames, count, 2)), tuple(f"step {i}" for i in range(frames)), **more)


def decoded(text: str, extent: float) -> np.ndarray:
    """(points, 2)"""
    first, second, third = np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 3).T.astype(int)
    codes = np.stack([first | (second & 15) << 8, second >> 4 | third << 4], -1)
    return (codes / STEPS * 2 - 1) * extent


@pytest.mark.parametrize("extent", [0.01, 3.0, 400.0])
def test_points_arrive_within_half_a_step(extent):
    points = extent * RANDOM.uniform(-1, 1, (5, 70, 2))
    sent = encode([Cloud(points, ("",) * 5, behind=points[0])], extent)["clouds"][0]
    np.testing.assert_allclose(decoded(sent["points"], extent), points.reshape(-1, 2), atol=extent / STEPS * 1.001)
    np.testing.assert_allclose(decoded(sent["behind"], extent), points[0], atol=extent / STEPS * 1.001)


def test_points_outside_stand_at_the_edge():
    points = np.array([[[9.0, 1.0], [-3.1, -70.0]]])
    sent = encode([Cloud(points, ("",))], 3.0)["clouds"][0]
    np.testing.assert_allclose(decoded(sent["points"], 3.0), [[3, 1], [-3, -3]], atol=1e-3)


def test_only_the_first_of_many_points_are_sent_and_that_is_said():
    many = cloud(2, 5000, groups=np.arange(5000) % 3, note="25 steps")
    sent = encode([many, cloud(2, 50)], 3.0)["clouds"]
    assert (sent[0]["count"], sent[0]["note"]) == (2000, "25 steps · 2,000 of 5,000 points drawn")
    assert (sent[1]["count"], sent[1]["note"]) == (50, "")
    assert sent[0]["groups"] == (np.arange(POINTS) % 3).tolist()
    assert len(decoded(sent[0]["points"], 3.0)) == 2 * POINTS


def test_arrows_are_shares_of_a_full_one_in_each_frame():
    arrows = np.zeros((2, 40, 2))
    arrows[0, :, 0] = 2.0
    arrows[0, 7] = [0, 300.0]  # one long one does not shrink the others
    sent = encode([cloud(2, places=RANDOM.normal(size=(40, 2)), arrows=arrows)], 3.0)["clouds"][0]
    shares = np.frombuffer(base64.b64decode(sent["arrows"]), "<i2").reshape(2, 40, 2) / FINE
    assert sent["full"] == [2.0, 0.0]
    np.testing.assert_allclose(shares[0, [0, 7]], [[1, 0], [0, 1]])
    assert not shares[1].any()


def test_two_large_clouds_are_light():
    both = [cloud(26, 2000, groups=np.zeros(2000, int)) for _ in range(2)]
    assert len(json.dumps(encode(both, 3.0))) < 440_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": np.zeros((4, 50))},
        {"points": np.zeros((4, 50, 3))},
        {"points": np.zeros((3, 50, 2))},
        {"points": np.full((4, 50, 2), np.inf)},
        {"labels": ()},
        {"groups": np.zeros(49, int)},
        {"groups": np.zeros(50)},
        {"groups": np.full(50, -1)},
        {"groups": np.full(50, 2), "names": ("a", "b")},
        {"places": np.zeros((9, 2))},
        {"places": np.zeros((9, 2)), "arrows": np.zeros((4, 8, 2))},
        {"places": np.zeros((9, 2)), "arrows": np.full((4, 9, 2), np.nan)},
        {"behind": np.zeros((9, 3))},
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match="wrong"):
        replace(cloud(title="wrong"), **wrong)


@pytest.mark.parametrize("extent", [0.0, -1.0, float("nan")])
def test_an_extent_is_positive(extent):
    with pytest.raises(ValueError, match="extent"):
        encode([cloud()], extent)


def test_it_starts_where_it_is_told():
    def page():
        import numpy as np
        import streamlit as st

        from explorer.ui.plane import Cloud, plane

        st.session_state.at = plane([Cloud(np.zeros((n, 7, 2)), ("",) * n) for n in (3, 9)], "plane", at=2)

    test = AppTest.from_function(page, default_timeout=30).run()
    assert not test.exception
    assert test.session_state["at"] == 2
