"""The Diffusion page in a real browser: `pytest tests/browser/test_diffusion.py`"""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
DIGITS = "model=zoo:digits-diffusion"


@pytest.fixture(scope="module")
def diffusion(server):
    """The address of the Diffusion page."""
    return f"{server}/diffusion"


def settled(page: Page) -> Page:
    """The page once its film is drawn and the server rests."""
    expect(page.locator("canvas").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ of \d+ done")).first).to_be_visible()
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    return page


def told(page: Page) -> str:
    return page.get_by_text(re.compile(r"\d+ of \d+ done")).first.inner_text()


def test_a_prompt_is_drawn_without_a_click_and_fits_a_phone(diffusion, open_page):
    page = settled(open_page(diffusion))
    expect(page.get_by_text("“a red ring left of a blue star”").first).to_be_visible()
    assert told(page).startswith("10 of 20 done")
    assert page.get_by_test_id("stException").count() == 0
    phone = settled(open_page(f"{diffusion}?{DIGITS}", width=390, scheme="dark"))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_steps_are_scrubbed_and_the_link_opens_on_the_same_one(diffusion, open_page):
    page = settled(open_page(f"{diffusion}?{DIGITS}&class=7&steps=10"))
    assert told(page).startswith("5 of 10 done")
    for _ in range(3):
        page.get_by_role("slider", name="Frame").press("ArrowRight")
    expect(page.get_by_text("8 of 10 done").first).to_be_visible()
    page.wait_for_url(re.compile("reverse-at=8"))
    equation = page.get_by_text(re.compile("x̂₀ .* ε̂")).first.inner_text()
    other = settled(open_page(page.url))
    assert told(other).startswith("8 of 10 done")
    expect(other.get_by_text(re.compile("x̂₀ .* ε̂")).first).to_have_text(equation)


def test_a_fork_is_made_and_its_link_opens_alike(diffusion, open_page):
    page = settled(open_page(f"{diffusion}?{DIGITS}&class=3&steps=10&view=Another+future"))
    expect(page.get_by_text("Forked after 2").first).to_be_visible()
    page.get_by_role("slider", name="Fork after so many evaluations").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("fork=3"))
    expect(page.get_by_text("Forked after 3").first).to_be_visible()
    settled(page)
    other = settled(open_page(page.url))
    expect(other.get_by_text("Forked after 3").first).to_be_visible()
    shots = [
        one.locator("canvas").nth(3).evaluate("canvas => canvas.toDataURL()") for one in (page, other)
    ]  # the believed picture of the fork, pixel by pixel
    assert shots[0] == shots[1]


def test_words_that_it_never_saw_are_named(diffusion, open_page):
    page = settled(open_page(f"{diffusion}?steps=5"))
    page.get_by_label("Prompt", exact=True).fill("a golden ring")
    page.keyboard.press("Enter")
    expect(page.get_by_text("It has never seen “golden”")).to_be_visible()
    settled(page)
