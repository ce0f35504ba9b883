"""A tour in a real browser: it notices what is done in a part that runs alone."""

import re

import pytest

pytestmark = pytest.mark.browser


def step(page, number: int) -> None:
    """The bar has come to this step, and the link with it."""
    page.locator(".st-key-tour-far").get_by_text(f"Step {number} of 9").wait_for()
    page.wait_for_url(re.compile(rf"[?&]tour={number}\b"))


def test_a_control_in_a_part_that_runs_alone_is_noticed_and_the_bar_stays_in_sight(open_page, server):
    page = open_page(f"{server}/attention?tour=9")
    step(page, 9)
    where = page.locator(".st-key-tour").bounding_box()
    assert where["y"] < 200
    page.locator(".st-key-scratch-mask").get_by_text("causal", exact=True).click()
    page.get_by_text("That was the tour of Attention").wait_for()
    assert page.locator(".st-key-tour").is_visible()
