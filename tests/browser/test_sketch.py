"""Drawing by hand in a real browser: painted, sprayed, erased, taken back, reported. Run with `pytest -m browser`."""

import re
from textwrap import dedent

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SCRIPT = """
    import numpy as np
    import streamlit as st
    from explorer.ui.sketch import draw_points, paint_mask

    st.set_page_config(layout="wide")
    side = 16 if st.toggle("Large") else 8
    light = 200 if st.toggle("Light") else 0

    @st.fragment
    def mask():
        painted = paint_mask(np.full((side, side, 3), light, np.uint8), "painted")
        st.text(f"mask {painted.shape}: {np.flatnonzero(painted).tolist()}")

    @st.fragment
    def points():
        places, labels = draw_points("sprayed", most=700, extent=2.0)
        far = abs(places).max() if len(places) else 0
        st.text(f"plane: {np.bincount(labels, minlength=2).tolist()} within {far:.1f}")

    if not st.toggle("Away"):
        mask()
        points()
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with a mask over 8 × 8 pixels and a plane to spray on."""
    script = tmp_path_factory.mktemp("sketch") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


def drag(page, canvas: int, *ways: tuple[float, float]) -> None:
    """Press at the first place, in shares of the canvas, and let go at the last."""
    page.locator("canvas").nth(canvas).scroll_into_view_if_needed()
    box = page.locator("canvas").nth(canvas).bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ways]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def painted(page, pixels: list[int], side: int = 8) -> None:
    """Waits until Python has this mask."""
    expect(page.get_by_text("mask (")).to_have_text(f"mask ({side}, {side}): {pixels}")
    expect(page.get_by_text(f"{len(pixels)} of {side * side} pixels painted", exact=True)).to_be_visible()


def press(page, name: str, tool: int = 0) -> None:
    page.get_by_role("button", name=name, exact=True).nth(tool).click()


def choose(page, name: str, tool: int = 0) -> None:
    page.get_by_role("radio", name=name, exact=True).nth(tool).check()


def test_both_fit_a_phone_and_are_empty(small, open_page):
    page = open_page(small, width=390, scheme="dark")
    expect(page.locator("canvas")).to_have_count(2)
    painted(page, [])
    expect(page.get_by_text("plane")).to_have_text("plane: [0, 0] within 0.0")
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= 390
    for part in page.locator("canvas, .panel, button").all():
        box = part.bounding_box()
        assert not box or box["x"] + box["width"] <= 390


def test_a_mask_is_painted_erased_taken_back_filled_and_cleared(small, open_page):
    page = open_page(small)
    drag(page, 0, (0.2, 0.2), (0.8, 0.2))  # row 1, columns 1 to 6
    painted(page, [9, 10, 11, 12, 13, 14])
    choose(page, "Erase")
    drag(page, 0, (0.55, 0.2), (0.95, 0.2))
    painted(page, [9, 10, 11])
    page.keyboard.press("Control+z")
    painted(page, [9, 10, 11, 12, 13, 14])
    press(page, "Undo")
    painted(page, [])
    press(page, "Fill")
    painted(page, list(range(64)))
    press(page, "Clear")
    painted(page, [])
    choose(page, "Paint")
    page.get_by_role("slider", name="Brush").press("ArrowRight")  # 2 × 2 pixels
    drag(page, 0, (0.5, 0.5))
    painted(page, [27, 28, 35, 36])


def test_a_mask_outlives_another_picture_and_an_absence_but_not_another_size(small, open_page):
    page = open_page(small)
    drag(page, 0, (0.06, 0.06), (0.06, 0.3))
    painted(page, [0, 8, 16])
    page.get_by_text("Light", exact=True).click()
    painted(page, [0, 8, 16])
    page.get_by_text("Away", exact=True).click()
    expect(page.locator("canvas")).to_have_count(0)
    page.get_by_text("Away", exact=True).click()
    painted(page, [0, 8, 16])
    press(page, "Undo")
    painted(page, [])
    drag(page, 0, (0.06, 0.06))
    painted(page, [0])
    page.get_by_text("Large", exact=True).click()
    painted(page, [], side=16)
    page.get_by_text("Large", exact=True).click()
    painted(page, [])


def test_a_mask_is_painted_with_the_keyboard(small, open_page):
    page = open_page(small)
    canvas = page.get_by_role("application")
    canvas.press("Space")  # the pixel in the middle
    painted(page, [36])
    canvas.press("ArrowRight")
    canvas.press("ArrowUp")
    canvas.press("Space")
    painted(page, [29, 36])
    expect(page.get_by_text("Row 3, column 5: painted")).to_have_count(1)
    canvas.press("Space")
    painted(page, [36])
    canvas.press("Control+z")
    painted(page, [29, 36])


def test_points_are_sprayed_in_two_classes_erased_and_taken_back(small, open_page):
    page = open_page(small)
    plane = page.get_by_text("plane")
    drag(page, 1, (0.2, 0.2), (0.7, 0.2))  # a hundredth of the half side for each point
    expect(plane).to_have_text(re.compile(r"plane: \[(9[5-9]|10[0-9]), 0\] within 1\.\d"))
    one = plane.inner_text()
    choose(page, "B")
    drag(page, 1, (0.3, 0.7), (0.6, 0.7))
    expect(plane).to_have_text(re.compile(r"plane: \[\d+, (5[5-9]|6[0-9])\]"))
    choose(page, "Erase", tool=1)
    for height in (0.58, 0.62, 0.66, 0.7, 0.74, 0.78, 0.82):  # a point may have been sprayed far from the stroke
        drag(page, 1, (0.1, height), (0.9, height))
    expect(plane).to_have_text(one)
    press(page, "Clear", tool=1)
    expect(plane).to_have_text("plane: [0, 0] within 0.0")
    page.keyboard.press("Control+z")
    expect(plane).to_have_text(one)
    press(page, "Two moons")
    expect(plane).to_have_text("plane: [300, 300] within 1.8")
    expect(page.get_by_text("600 of 700 points · A 300 · B 300", exact=True)).to_be_visible()
    choose(page, "B")
    drag(page, 1, (0.2, 0.2), (0.8, 0.2), (0.2, 0.3))
    expect(page.get_by_text("Full: 700 points · A 300 · B 400", exact=True)).to_be_visible()
    expect(plane).to_have_text(re.compile(r"plane: \[300, 400\]"))
