"""Test pictures and texts are taken from those that are browsed: python -m pytest tests/browser/test_browse.py"""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SLOW = 120_000  # milliseconds that a page may take on a busy machine
TAKEN = {  # page → what opens it, the class of what is taken, what then stands in the link
    "attribution": ("Browse the test pictures", "st-key-browse-5", "example=5"),
    "attention": ("Take one of the test texts", "st-key-take-text-3", "text="),
}


@pytest.mark.parametrize("at", TAKEN)
def test_what_is_taken_is_shown(server, open_page, at):
    opens, taken, link = TAKEN[at]
    page = open_page(f"{server}/{at}")
    page.get_by_role("button", name=opens).click(timeout=SLOW)
    page.locator(f".{taken}").get_by_role("button").click(timeout=SLOW)
    page.wait_for_url(re.compile(link), timeout=SLOW)
    expect(page.locator(f".{taken}")).to_have_count(0, timeout=SLOW)  # it has closed
