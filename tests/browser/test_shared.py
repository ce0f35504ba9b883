"""A shared server: people meet only by link. `pytest tests/browser/test_shared.py`"""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_journey import expect_state, result, start, stop

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def training(serve):
    """The address of the Training page on a shared, tiny server."""
    return f"{serve(EXPLORER_SHARED='1', EXPLORER_MODE='cpu-tiny')}/training"


def test_people_see_their_own_runs_and_open_others_by_link(training, open_page):
    anna = open_page(f"{training}?epochs=3")
    start(anna)
    mine = result(anna)
    anna.reload()
    assert result(anna) == mine
    listed = anna.get_by_text(re.compile("lenet on digits · "))
    expect(listed).to_have_count(1)  # still hers after the reload

    ben = open_page(training)
    result(ben)
    expect(ben.get_by_text(re.compile("lenet on digits · "))).to_have_count(0)
    ben.goto(anna.url)
    assert result(ben) == mine


def test_two_people_train_at_once_and_the_second_waits_for_its_turn(training, open_page):
    anna = open_page(f"{training}?epochs=50&lenet_width=64&batch_size=8")
    ben = open_page(f"{training}?epochs=1")
    start(anna)
    start(ben)
    expect(ben.get_by_text("Waiting for a worker")).to_be_visible()
    visitor = open_page(anna.url)
    expect(visitor.get_by_text(re.compile(r"Epoch [0-9]"))).to_be_visible()
    expect(stop(visitor)).to_have_count(0)  # whoever has the link may look, and only she may stop
    stop(anna).click()
    expect_state(anna, "paused")
    result(ben)  # his turn came, whether or not anybody saw its first epochs


def test_a_shared_server_takes_no_paths_and_no_free_names(training, open_page):
    page = open_page(training)
    result(page)
    expect(page.locator("[data-stale=true]")).to_have_count(0)  # else the click may be lost
    page.get_by_text("Your own data").click()
    expect(page.get_by_text("Up to 20 MB")).to_be_visible()
    expect(page.get_by_label("Or a folder, zip or CSV on this computer")).to_have_count(0)
    page.goto(training.replace("training", "models?model=file:/etc"))
    expect(page.get_by_text("this server is shared")).to_be_visible()
