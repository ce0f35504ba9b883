"""Train a network in a real browser, find it again, open it elsewhere: `pytest tests/browser/test_journey.py`."""

import contextlib
import os
import re
import signal
import time

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

TRAINED = 180_000  # milliseconds within which the default run ends, also on a busy machine


@pytest.fixture(scope="module")
def training(server):
    """The address of the Training page."""
    return f"{server}/training"


def start(page: Page) -> None:
    """Press Start and see the run go on."""
    result(page)
    page.get_by_role("button", name="Start training").click(timeout=TRAINED)  # the first paint of a server takes long
    page.wait_for_url(re.compile(r"run=run%3A[0-9a-f]{32}"), timeout=TRAINED)
    expect(stop(page)).to_be_visible(timeout=TRAINED)


def stop(page: Page) -> Locator:
    return page.locator(".st-key-stop button")  # Streamlit has a Stop of its own


def expect_state(page: Page, state: str) -> None:
    """The run has ended, and its badge says how."""
    expect(page.locator(".stMarkdownBadge")).to_contain_text(state, timeout=TRAINED)


def result(page: Page) -> str:
    """The line that says how many test examples are right, once the run has ended and the page has settled."""
    expect(stop(page)).to_have_count(0, timeout=TRAINED)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=TRAINED)
    line = page.get_by_text("Test split:").locator("..")
    expect(line).to_be_visible(timeout=TRAINED)
    return line.inner_text()


def test_first_paint_shows_a_recorded_run_without_a_click(training, open_page):
    page = open_page(training)
    expect(page.get_by_role("heading", name="lenet on digits")).to_be_visible(timeout=TRAINED)
    assert re.search(r"9\d\.\d% of 359 right", result(page))
    expect(page.get_by_role("link", name="Home")).to_be_visible()  # the shell, on a page that was asked for directly
    assert page.get_by_test_id("stException").count() == 0


def test_a_network_is_trained_found_again_and_opened_in_another_browser(training, open_page):
    page = open_page(training)
    start(page)
    mine = result(page)
    assert float(re.search(r"([\d.]+)%", mine)[1]) > 97
    address = page.url

    page.reload()
    assert result(page) == mine

    other = open_page(address)
    assert result(other) == mine

    other.locator(".st-key-checkpoint-first button").first.click()  # the untrained network
    expect(other.get_by_text("step 0 (untrained)")).to_be_visible()
    expect(other.get_by_text("Test split:").locator("..")).not_to_have_text(mine)
    assert float(re.search(r"([\d.]+)%", result(other))[1]) < 40
    other.wait_for_url(re.compile("checkpoint=0"), timeout=TRAINED)

    page.get_by_role("link", name="Open this network").click()
    expect(page.get_by_role("heading", name="Open a network")).to_be_visible(timeout=TRAINED)
    expect(page.get_by_text("Parameters", exact=True)).to_be_visible(timeout=TRAINED)
    page.wait_for_url(re.compile(r"model=run%3A[0-9a-f]{32}%40\d+"), timeout=TRAINED)


def test_going_to_another_page_and_back_keeps_the_run(training, open_page):
    page = open_page(f"{training}?epochs=3")
    start(page)
    mine = result(page)
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Train a small network")
    page.get_by_role("link", name="Training").first.click()
    assert result(page) == mine
    page.wait_for_url(re.compile("run="))


def test_start_pressed_twice_is_one_run_and_a_sentence(training, open_page):
    page = open_page(f"{training}?epochs=200&lenet_width=64")
    result(page)
    page.get_by_role("button", name="Start training").dblclick()
    page.wait_for_url(re.compile(r"run=run%3A[0-9a-f]{32}"), timeout=TRAINED)
    expect(stop(page)).to_be_visible(timeout=TRAINED)
    first = page.url
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("one of yours is waiting or running already")).to_be_visible(timeout=TRAINED)
    assert page.url == first
    expect(stop(page)).to_be_visible()
    stop(page).click()
    expect_state(page, "paused")


def test_a_run_whose_tab_was_closed_goes_on_and_its_link_still_works(training, open_page):
    page = open_page(f"{training}?epochs=40")
    start(page)
    address = page.url
    page.context.close()
    later = open_page(address)
    assert "right" in result(later)
    expect_state(later, "finished")


def test_a_run_survives_a_server_restart_and_is_reached_by_its_link(serve, open_page, tmp_path):
    before = f"{serve(EXPLORER_DATA=str(tmp_path))}/training"
    page = open_page(f"{before}?epochs=3")
    start(page)
    mine = result(page)
    address = page.url
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.environ().get("EXPLORER_DATA") == str(tmp_path):
                process.kill()  # as when the machine goes: nothing is told beforehand
                process.wait(60)
    after = f"{serve(EXPLORER_DATA=str(tmp_path))}/training"
    assert result(open_page(address.replace(before, after))) == mine
    listed = open_page(after).get_by_text(re.compile(r"lenet on digits · (just now|\d+ min)"))
    expect(listed).to_be_visible(timeout=TRAINED)


def test_a_learning_rate_that_blows_up_stops_the_run_with_a_sentence(training, open_page):
    page = open_page(f"{training}?optimizer=sgd&lr=10&clip_norm=0&weight_decay=1&warmup=0.0")
    start(page)
    expect(page.get_by_text("Lower the learning rate")).to_be_visible(timeout=TRAINED)
    expect_state(page, "diverged")
    expect(page.get_by_test_id("stVegaLiteChart").nth(3)).to_be_visible(timeout=TRAINED)  # its curves are there


def test_a_killed_worker_is_told_and_the_next_run_works(training, open_page):
    page = open_page(f"{training}?epochs=200&lenet_width=64")
    start(page)
    expect(page.get_by_text(re.compile(r"Epoch [1-9]"))).to_be_visible(timeout=TRAINED)
    for worker in workers():
        os.kill(worker.pid, signal.SIGKILL)
    expect_state(page, "failed")
    expect(page.get_by_test_id("stVegaLiteChart").nth(3)).to_be_visible(timeout=TRAINED)  # what it had recorded
    page.goto(f"{training}?epochs=3")
    start(page)
    assert "right" in result(page)


def test_an_unknown_run_in_a_link_is_refused_with_a_sentence(training, open_page):
    page = open_page(f"{training}?run=run:{'0' * 32}")
    expect(page.get_by_text("there is none of that id")).to_be_visible(timeout=TRAINED)
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    assert page.get_by_test_id("stException").count() == 0


def test_an_unknown_model_in_a_link_gives_way_to_one_that_can_be_opened(training, open_page):
    page = open_page(training.replace("training", "models?model=zoo:nonsense"))
    expect(page.get_by_text("no model of that name ships")).to_be_visible(timeout=TRAINED)
    expect(page.get_by_text(re.compile(r"^Its \d+ layers$"))).to_be_visible(timeout=TRAINED)
    expect(page).not_to_have_url(re.compile("nonsense"))
    model = page.get_by_role("combobox", name="Model")
    for typed in ("zoo:digits-lenet", "gibberish"):  # which leaves what was there before
        model.fill(typed)
        model.press("Enter")
        expect(page).to_have_url(re.compile("digits-lenet"), timeout=TRAINED)
    expect(page.get_by_text("a model is named in one of these forms")).to_be_visible(timeout=TRAINED)
    expect(page.get_by_role("heading", name="Open a network")).to_be_visible()
    expect(model).to_have_value(re.compile("digits-lenet"))


def workers() -> list[psutil.Process]:
    """The worker processes of the servers that these tests started."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # also of one that has ended and was not fetched yet
                if "explorer.jobs.worker" in child.cmdline():
                    found.append(child)
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("there is no worker")
