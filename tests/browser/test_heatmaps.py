"""Heat maps in a real browser: drawn, read pixel by pixel, restyled, reported. Run with `pytest -m browser`."""

import re
from textwrap import dedent

import numpy as np
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

VALUES = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"

SCRIPT = f"""
    import numpy as np
    import streamlit as st
    from explorer.ui.heatmaps import Tile, View, heatmaps

    st.set_page_config(page_title="calm", layout="wide")
    values = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    picture = np.random.default_rng(1).integers(0, 255, (16, 16, 3), np.uint8)
    sign = -1 if st.toggle("Turn round") else 1
    tiles = [
        Tile("The picture", "as it is", None, picture, np.eye(16, dtype=bool)),
        Tile("First", "12 ms · 1 pass", sign * values, picture),
        Tile({HOSTILE!r}, "<b>note</b>", 10 * values, picture),
        Tile("Refused", "", None, picture, warning="No <i>layer</i> to read."),
    ]
    if not st.toggle("Away"):
        st.text(f"view {{heatmaps(tiles, 'maps', View(opacity=float(st.query_params.get('opacity', 0.75))))}}")
    st.button("Again")
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with four tiles."""
    script = tmp_path_factory.mktemp("heatmaps") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


def hover(page, row: int, column: int, click: bool = False, tile: int = 1) -> None:
    canvas = page.locator("canvas").nth(tile)
    box = canvas.bounding_box()
    at = {"x": (column + 0.5) * box["width"] / 16, "y": (row + 0.5) * box["height"] / 16}
    canvas.click(position=at) if click else canvas.hover(position=at)


def number(page, tile: int = 1) -> float:
    expect(page.locator(".tile").nth(tile).locator(".value")).to_be_visible()
    return float(page.locator(".value b").nth(tile).inner_text().replace("−", "-"))


def colours(page, tile: int = 1) -> str:
    return page.locator("canvas").nth(tile).evaluate("canvas => canvas.toDataURL()")


def changed(page, before: str) -> None:
    """Waits until the first map is no longer painted as it was."""
    page.wait_for_function(
        "before => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelectorAll('canvas')[1].toDataURL() !== before",
        arg=before,
    )


def choose(page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check()


def exact(value: float, limit: float) -> object:
    return pytest.approx(float(value), rel=1e-3, abs=1.5 * float(limit) / 32767 + 5e-5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_tiles_appear_and_fit_the_window(small, open_page, width, scheme):
    page = open_page(small, width=width, scheme=scheme)
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.locator(".tile canvas:visible")).to_have_count(3)
    expect(page.get_by_text("No <i>layer</i> to read.").first).to_be_visible()
    boxes = [tile.bounding_box() for tile in page.locator(".tile").all()]
    assert boxes[0]["y"] == boxes[1]["y"]  # two in a row on a phone too
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert all(box["x"] + box["width"] <= width for box in boxes)
    corner = page.locator("canvas").nth(1).evaluate("c => [...c.getContext('2d').getImageData(9, 9, 1, 1).data]")
    assert corner[3] == 255


def test_hostile_text_is_only_text(small, open_page):
    page = open_page(small)
    expect(page.get_by_text(HOSTILE, exact=True)).to_be_visible()
    expect(page.get_by_text("<b>note</b>", exact=True)).to_be_visible()
    expect(page.locator(".tile img")).to_have_count(0)
    expect(page).to_have_title("calm")


def test_hover_reads_the_same_pixel_in_every_map(small, open_page):
    page = open_page(small)
    hover(page, 5, 11)
    assert number(page, 1) == exact(VALUES[5, 11], np.abs(VALUES).max())
    assert number(page, 2) == exact(10 * VALUES[5, 11], 10 * np.abs(VALUES).max())
    expect(page.locator(".value").nth(1)).to_contain_text("row 5, col 11")
    pixel = np.random.default_rng(1).integers(0, 255, (16, 16, 3), np.uint8)[5, 11]
    expect(page.locator(".value b").first).to_have_text(", ".join(map(str, pixel)))
    page.mouse.move(2, 2)
    expect(page.get_by_text("12 ms · 1 pass")).to_be_visible()


def test_a_click_holds_the_cross_and_another_lets_go(small, open_page):
    page = open_page(small)
    hover(page, 5, 11, click=True)
    hover(page, 8, 2)
    expect(page.get_by_text("Held at row 5, column 11")).to_be_visible()
    assert number(page) == exact(VALUES[5, 11], np.abs(VALUES).max())
    page.get_by_text("Turn round").click()  # other values, the same cross
    expect(page.locator(".value b").nth(1)).to_contain_text("−" if VALUES[5, 11] > 0 else re.compile(r"^\d"))
    assert number(page) == exact(-VALUES[5, 11], np.abs(VALUES).max())
    hover(page, 8, 2, click=True)
    page.mouse.move(2, 2)
    expect(page.get_by_text("12 ms · 1 pass")).to_be_visible()


def test_arrow_keys_start_at_the_largest_value_and_move_on(small, open_page):
    page = open_page(small)
    row, column = np.unravel_index(VALUES.argmax(), VALUES.shape)
    canvas = page.get_by_role("img", name=f"First: largest at row {row}, column {column}")
    canvas.press("ArrowLeft")
    expect(page.locator(".value").nth(1)).to_contain_text(f"row {row}, col {column}")
    canvas.press("ArrowLeft")
    left = max(column - 1, 0)
    expect(page.locator(".value").nth(1)).to_contain_text(f"row {row}, col {left}")
    expect(page.locator("[aria-live]").locator("visible=true").first).to_contain_text(
        f"First, row {row}, column {left}"
    )
    canvas.press("Escape")
    expect(page.get_by_text("12 ms · 1 pass")).to_be_visible()


def test_the_view_is_drawn_at_once_and_reported(small, open_page):
    page = open_page(small)
    expect(page.get_by_text("view")).to_have_text("view View(show='signed', opacity=0.75, scale='each', outline=True)")
    before = colours(page)
    choose(page, "Size")
    expect(page.get_by_text("view View")).to_contain_text("show='size'")
    changed(page, before)
    before = colours(page)
    choose(page, "One scale")
    expect(page.get_by_text("view View")).to_contain_text("show='size', opacity=0.75, scale='shared'")
    expect(page.get_by_text("one scale", exact=True)).to_have_count(2)
    changed(page, before)
    page.get_by_role("slider").press("ArrowLeft")
    expect(page.get_by_text("view View")).to_contain_text("opacity=0.7,")
    page.get_by_role("checkbox", name="Outline of the object").uncheck()
    expect(page.get_by_text("view View")).to_contain_text("outline=False")


def test_a_rerun_keeps_the_view_and_what_comes_back_has_it_from_the_link(small, open_page):
    page = open_page(f"{small}/?opacity=0.4")
    expect(page.get_by_role("slider")).to_have_value("40")
    choose(page, "Against")
    expect(page.get_by_text("view View")).to_contain_text("show='against', opacity=0.4")
    before = colours(page)
    page.get_by_role("button", name="Again").click()
    page.get_by_text("Turn round").click()
    changed(page, before)
    expect(page.get_by_role("radio", name="Against", exact=True)).to_be_checked()
    expect(page.get_by_text("view View")).to_contain_text("show='against', opacity=0.4")
    page.get_by_text("Away", exact=True).click()
    expect(page.locator(".tile")).to_have_count(0)
    page.get_by_text("Away", exact=True).click()
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.get_by_text("view View")).to_contain_text("show='against', opacity=0.4")
    expect(page.get_by_role("radio", name="Against", exact=True)).to_be_checked()


def test_it_follows_the_theme(small, open_page):
    page = open_page(small)
    expect(page.locator(".tile")).to_have_count(4)
    light = colours(page)
    page.emulate_media(color_scheme="dark")
    changed(page, light)
