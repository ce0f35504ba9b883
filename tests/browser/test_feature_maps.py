"""Overview, unit and formula in a real browser. Run with `pytest -m browser`."""

from textwrap import dedent

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SCRIPT = """
    import streamlit as st

    st.set_page_config(layout="wide")
    from explorer import zoo
    from explorer.ui.activations.layer import layer
    from explorer.ui.activations.question import question

    model = zoo.load(st.query_params.get("model", "zoo:digits-lenet"))
    layer(model, question(model, True))
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with the view alone."""
    script = tmp_path_factory.mktemp("maps") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


def ready(page):
    expect(page.locator(".step").first).to_be_visible()
    return page


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_tiles_the_unit_and_its_sum_are_there_at_once(small, open_page, width, scheme):
    page = ready(open_page(small, width=width, scheme=scheme))
    expect(page.locator(".tile")).to_have_count(16)
    expect(page.locator(".tile[aria-pressed=true]")).to_have_count(1)
    expect(page.locator(".step")).to_have_count(2)  # the convolution and its ReLU
    expect(page.locator(".step.asked")).to_contain_text("relu1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    painted = page.locator(".tile canvas").evaluate_all(
        "all => all.map(c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size)"
    )
    assert max(painted) > 8  # shades


def test_a_click_chooses_a_unit_then_a_pixel_and_the_link_keeps_both(small, open_page):
    page = ready(open_page(small))
    page.get_by_role("button", name="Unit 3,").click()
    expect(page.get_by_role("heading", name="Unit 3", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Unit 3,")).to_have_attribute("aria-pressed", "true")
    canvas = page.locator(".plate canvas")
    box = canvas.bounding_box()
    at = {"x": 2.5 * box["width"] / 8, "y": 5.5 * box["height"] / 8}
    canvas.hover(position=at)
    expect(page.locator(".unit .told")).to_contain_text("row 5, column 2")
    canvas.click(position=at)
    page.wait_for_url("**/*pixel=5*")
    assert "unit=3" in page.url
    page.mouse.move(2, 2)
    expect(page.locator(".unit .told")).to_contain_text("row 5, column 2")
    expect(page.locator(".unit .told")).to_contain_text("dashed")
    results = page.locator(".step.asked .result")
    expect(results).to_contain_text("the network:")
    told = results.inner_text()
    again = ready(open_page(page.url))
    expect(again.get_by_role("heading", name="Unit 3", exact=True)).to_be_visible()
    assert again.locator(".step.asked .result").inner_text() == told


def test_tokens_are_rows_that_can_be_clicked(small, open_page):
    page = ready(open_page(f"{small}/?model=zoo:story-gpt"))
    word = page.locator(".word").nth(2)
    word.click()
    expect(page.locator(".word").nth(2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".names .here")).to_have_text(word.inner_text())


def test_the_opacity_is_kept_in_the_browser(small, open_page):
    page = ready(open_page(small))
    canvas = page.locator(".plate canvas")
    before = canvas.evaluate("c => c.toDataURL()")
    page.get_by_role("slider", name="Map over picture").press("Home")
    page.wait_for_function(
        "before => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].some(one =>"
        " one.shadowRoot?.querySelector('.plate canvas')?.toDataURL() !== before)",
        arg=before,
    )
    page.get_by_role("button", name="Unit 3,").click()
    expect(page.get_by_role("heading", name="Unit 3", exact=True)).to_be_visible()
    expect(page.get_by_role("slider", name="Map over picture")).to_have_value("0")
