"""The Activations page in a real browser: `pytest tests/browser/test_activations.py`"""

import re

import pytest
from playwright.sync_api import Page, expect

from explorer import training
from explorer.settings import settings
from explorer.training import TrainConfig

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def activations(server):
    """The address of the Activations page."""
    return f"{server}/activations"


def settled(page: Page, selector: str) -> Page:
    """The page once what is awaited is drawn and the server rests."""
    expect(page.locator(selector).first).to_be_visible()
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    assert page.get_by_test_id("stException").count() == 0
    return page


def row(page: Page, name: str):
    return page.locator(".row").filter(has=page.locator(".name b", has_text=re.compile(f"^{re.escape(name)}$"))).first


def test_from_the_map_to_a_layer_to_a_unit_to_its_sum_and_the_link_opens_on_the_same(activations, open_page):
    page = settled(open_page(activations), ".row")
    row(page, "pool").click()  # no click was needed before: the map was there
    expect(page.get_by_role("heading", name="pool")).to_be_visible()
    row(page, "stage2").locator(".caret").click()
    row(page, "stage2.0").click()
    expect(page.get_by_role("heading", name="stage2.0")).to_be_visible()
    page.get_by_role("button", name="Open in the view Layer").click()
    settled(page, ".tile")
    expect(page.locator(".tile")).to_have_count(48)
    expect(page.locator(".step.asked")).to_contain_text("stage2.0")
    page.get_by_role("button", name="Unit 7,").click()
    expect(page.get_by_role("heading", name="Unit 7", exact=True)).to_be_visible()
    page.wait_for_url(re.compile("unit=7"))
    canvas = page.locator(".plate canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 0.53, "y": box["height"] * 0.41})
    page.wait_for_url(re.compile("pixel=6"))
    settled(page, ".step.asked .result")
    told = page.locator(".unit .told").inner_text()
    result = page.locator(".step.asked .result").inner_text()
    other = settled(open_page(page.url), ".step.asked .result")
    expect(other.get_by_role("heading", name="Unit 7", exact=True)).to_be_visible()
    assert other.locator(".unit .told").inner_text() == told
    assert other.locator(".step.asked .result").inner_text() == result


def test_two_checkpoints_of_a_run_are_compared(serve, open_page):
    run = training.fit(TrainConfig(epochs=2, batch_size=128))
    address = serve(EXPLORER_DATA=str(settings().data))
    page = open_page(f"{address}/activations?model={run.ref}&view=A+and+B")
    settled(page, "[data-testid=stVegaLiteChart] svg")
    expect(page.get_by_text("Its checkpoint")).to_be_visible()  # A: the run itself, untrained
    expect(page.get_by_text(re.compile("The second line is how alike"))).to_be_visible()
    answer = page.get_by_text(re.compile("^(Both say|A says)")).first.inner_text()
    page.get_by_text("All layers", exact=True).click()
    expect(page.get_by_text(re.compile("CKA")).first).to_be_visible()
    settled(page, "[data-testid=stVegaLiteChart] svg")
    page.get_by_text("This input", exact=True).click()
    expect(page.get_by_text(answer).first).to_be_visible()
    slider = page.get_by_role("slider", name="Its checkpoint")
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_url(re.compile(r"a-at=\d+"))
    settled(page, "[data-testid=stVegaLiteChart] svg")
    said = page.get_by_text(re.compile("^(Both say|A says)")).first.inner_text()
    other = settled(open_page(page.url), "[data-testid=stVegaLiteChart] svg")
    expect(other.get_by_text(said).first).to_be_visible()


def test_a_channel_is_cut_by_a_click_and_comes_back(activations, open_page):
    page = settled(open_page(f"{activations}?view=Surgery"), "[data-testid=stVegaLiteChart] svg")
    expect(page.get_by_text(re.compile("set to zero")).first).to_be_visible()
    page.get_by_role("button", name="Take all back").click()
    expect(page.get_by_text(re.compile("set to zero"))).to_have_count(0)


@pytest.mark.parametrize("view", ["Map", "Layer", "A and B"])
def test_it_fits_a_phone(activations, open_page, view):
    phone = open_page(f"{activations}?view={view.replace(' ', '+')}", width=390, scheme="dark")
    settled(phone, ".row, .tile, [data-testid=stVegaLiteChart] svg")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
