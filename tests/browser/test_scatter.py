"""A data set as points in a real browser: found, told, isolated, zoomed, played. Run with `pytest -m browser`."""

from textwrap import dedent

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"

SCRIPT = f"""
    import numpy as np
    import streamlit as st
    from explorer.ui.scatter import Colouring, Scatter, pack, scatter

    st.set_page_config(page_title="calm", layout="wide")
    first = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1], [0, 0]], float)
    points = np.stack([first, first[:, ::-1] * [1, -1], first])
    near = np.stack([[[4, 1], [4, 0], [4, 3], [4, 2], [2, 0]]] * 3)
    distances = np.stack([np.array([[1.5, 2]] * 5) * (frame + 1) for frame in range(3)])
    said = np.array([[0, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 1, 1, 1, 0]])
    colourings = (
        Colouring("True class", np.array([0, 0, 1, 1, 0]), ("owl", {HOSTILE!r})),
        Colouring("Right or wrong", said, ("right", "wrong"), "verdict"),
    )
    pictures = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 1), np.uint8)
    shown = Scatter(points, ("start", "middle", "end"), colourings, near, distances, "all 7 numbers",
                    texts=("zero", "one", {HOSTILE!r}, "three", "four"), atlas=pack(pictures), chosen=4)
    st.text(f"rests at {{scatter(shown, 'cloud')}}")
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with five points in three frames."""
    script = tmp_path_factory.mktemp("scatter") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


def opened(open_page, address: str, **window):
    """The page, once it has drawn its points."""
    page = open_page(address, **window)
    expect(page.locator(".panel h4")).to_have_text("Example 4")
    return page


def canvas(page):
    return page.locator(".stage > canvas")


def place(page, x: float, y: float) -> dict[str, float]:
    """Where a point of the outermost square is: as the component fits it, 18 pixels from the border."""
    box = canvas(page).bounding_box()
    half = min(box["width"], box["height"]) / 2 - 18
    return {"x": box["width"] / 2 + x * half, "y": box["height"] / 2 - y * half}


def colours(page) -> str:
    return canvas(page).evaluate("canvas => canvas.toDataURL()")


def changed(page, before: str) -> None:
    page.wait_for_function(
        "before => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.stage > canvas').toDataURL() !== before",
        arg=before,
    )


def test_a_point_is_told_on_hover_and_its_nearest_on_a_click(small, open_page):
    page = opened(open_page, small)
    panel = page.locator(".panel")
    canvas(page).hover(position=place(page, 1, 1))
    expect(page.locator(".tip")).to_contain_text("Example 2")
    expect(page.locator(".tip")).to_contain_text(HOSTILE)
    expect(page.locator(".tip")).to_contain_text("wrong")
    expect(page.locator(".tip .picture")).to_have_count(1)
    canvas(page).click(position=place(page, 1, 1))
    expect(panel.locator("h4")).to_have_text("Example 2")
    expect(panel).to_contain_text("Its 2 nearest in all 7 numbers")
    expect(panel.locator(".far")).to_have_text(["4.50", "6.00"])  # of the last frame
    panel.locator(".others button").nth(1).click()
    expect(panel.locator("h4")).to_have_text("Example 3")
    expect(page.locator("img")).to_have_count(0)
    expect(page).to_have_title("calm")
    page.mouse.move(2, 2)
    canvas(page).press("Escape")
    expect(panel.locator("h4")).to_have_count(0)
    canvas(page).press("ArrowRight")
    canvas(page).press("Enter")
    expect(panel.locator("h4")).to_have_text("Example 0")


def test_colours_and_the_legend_follow_the_switch(small, open_page):
    page = opened(open_page, small)
    entries = page.locator(".entry")
    expect(entries).to_have_text(["owl 3", f"{HOSTILE} 2"])
    before = colours(page)
    entries.first.click()
    expect(entries.first).to_have_attribute("aria-pressed", "true")
    page.mouse.move(2, 2)
    changed(page, before)
    canvas(page).hover(position=place(page, 1, 1))  # of another class than the one that stands alone
    expect(page.locator(".tip")).to_be_hidden()
    entries.first.click()
    page.get_by_role("radio", name="Right or wrong").check()
    expect(entries).to_have_text(["right 2", "wrong 3"])
    page.get_by_role("button", name="Back").click()
    expect(entries).to_have_text(["right 3", "wrong 2"])
    page.wait_for_timeout(400)  # the way from frame to frame
    before = colours(page)
    page.get_by_role("checkbox", name="Pictures as points").check()
    changed(page, before)


def test_stepping_moves_the_points_and_rests_in_python(small, open_page):
    page = opened(open_page, small)
    expect(page.get_by_text("rests at")).to_have_text("rests at 2")
    expect(page.locator(".label")).to_have_text("end")
    page.get_by_role("button", name="Back").click()
    expect(page.locator(".label")).to_have_text("middle")
    expect(page.get_by_text("rests at")).to_have_text("rests at 1")
    page.wait_for_timeout(400)  # the way from frame to frame
    canvas(page).hover(position=place(page, -1, 1))  # [-1, -1] has come here
    expect(page.locator(".tip")).to_contain_text("Example 0")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_it_zooms_and_fits_the_window(small, open_page, width, scheme):
    page = opened(open_page, small, width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    before = colours(page)
    page.get_by_role("button", name="Zoom in").click()
    changed(page, before)
    canvas(page).hover(position=place(page, 0, 0))  # the middle stays where it is
    expect(page.locator(".tip")).to_contain_text("Example 4")
    page.get_by_role("button", name="The whole picture").click()
    page.mouse.move(2, 2)
    page.wait_for_function(
        "before => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.stage > canvas').toDataURL() === before",
        arg=before,
    )
