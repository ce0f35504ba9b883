"""The training laboratory in a real browser: `pytest tests/browser/test_training_lab.py`."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_journey import expect_state, result, start, stop

pytestmark = pytest.mark.browser

SLOW = 180_000  # milliseconds, also on a busy machine


@pytest.fixture(scope="module")
def training(server):
    """The address of the Training page."""
    return f"{server}/training"


def settled(page: Page) -> None:
    """The page has been drawn to its end."""
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=SLOW)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=SLOW)
    assert page.get_by_test_id("stException").count() == 0


def begin(page: Page) -> None:
    """Wait until all of a first paint is there, its buttons too, and start."""
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=SLOW)
    start(page)


def press(page: Page, key: str) -> None:
    page.locator(f".st-key-{key} button").first.click()  # one with help has a second for small screens


def step_of(page: Page) -> int:
    """The step at which the checkpoint's bar stands."""
    return int(re.search(r"step (\d+)", page.locator(".st-key-checkpoint").inner_text())[1])


def words(page: Page):
    """What the playground writes of the step it shows; what it has last said aloud stands there too, and stays."""
    return page.locator(".st-key-playground").get_by_text(re.compile(r"step \d+ ·")).first


def frame(page: Page) -> int:
    """The step that the playground shows."""
    return int(re.search(r"step (\d+)", words(page).inner_text())[1])


def test_a_run_is_paused_stepped_continued_and_scrubbed(training, open_page):
    page = open_page(f"{training}?epochs=30&lenet_width=32")
    begin(page)
    expect(page.get_by_text(re.compile(r"Epoch [1-9]"))).to_be_visible(timeout=SLOW)
    stop(page).click()
    expect_state(page, "paused")
    assert "right" in result(page)  # it keeps what it learned
    before = step_of(page)
    press(page, "one-step")
    expect(page.locator(".st-key-checkpoint")).to_contain_text(f"step {before + 1}", timeout=SLOW)
    press(page, "one-epoch")
    expect(page.locator(".st-key-checkpoint")).to_contain_text(f"step {before + 1 + 19}", timeout=SLOW)
    press(page, "continue")
    expect_state(page, "finished")
    result(page)
    assert step_of(page) == 30 * 19
    expect(page.locator(".st-key-continue")).to_have_count(0)
    page.locator(".st-key-checkpoint-first button").first.click()
    expect(page.get_by_text("step 0 (untrained)")).to_be_visible()
    page.get_by_text("Inside the layers, as they learned").click()
    expect(page.get_by_text("How far each layer moves")).to_be_visible()
    settled(page)
    page.wait_for_url(re.compile("checkpoint=0"), timeout=SLOW)  # the link may be behind what is seen
    other = open_page(page.url)  # the link brings the run and the checkpoint
    expect(other.get_by_text("step 0 (untrained)")).to_be_visible(timeout=SLOW)


def test_levers_are_seen_before_they_run_and_a_rate_is_found(training, open_page):
    page = open_page(f"{training}?view=Before+it+runs&mixup=0.4")
    settled(page)
    expect(page.get_by_text("shares of the classes that sum to one")).to_be_visible(timeout=SLOW)
    press(page, "range-test")
    use = page.locator(".st-key-use-rate button")
    expect(use).to_be_visible(timeout=SLOW)
    rate = use.inner_text().split()[-1]
    settled(page)
    use.click()
    page.wait_for_url(re.compile(rf"lr={re.escape(rate)}(&|$)"), timeout=SLOW)
    other = open_page(page.url)
    expect(other.locator(".st-key-use-rate button")).to_be_visible(timeout=SLOW)
    assert other.locator(".st-key-use-rate button").inner_text().endswith(rate)


def test_the_playground_plays_pauses_steps_and_is_scrubbed(training, open_page):
    page = open_page(f"{training}?view=Playground&pace=Slow")
    settled(page)
    expect(page.get_by_text("A recorded run to play with")).to_be_visible(timeout=SLOW)
    press(page, "play-go")
    expect(page.locator(".st-key-play-pause button")).to_be_visible(timeout=SLOW)
    expect(words(page)).to_contain_text(re.compile(r"step [1-9]\d"), timeout=SLOW)
    expect(words(page)).not_to_contain_text("step 1860", timeout=SLOW)
    first = frame(page)
    expect(words(page)).not_to_contain_text(f"step {first} ", timeout=SLOW)
    assert frame(page) > first  # it is drawn as it learns
    press(page, "play-pause")
    go = page.locator(".st-key-play-go button")
    expect(go).to_have_text(re.compile("Continue"), timeout=SLOW)
    settled(page)
    before = frame(page)
    press(page, "play-step")
    expect(words(page)).to_contain_text(f"step {before + 1} ", timeout=SLOW)
    settled(page)
    page.locator(".st-key-playground").get_by_role("button", name="First").click()
    expect(words(page)).to_contain_text("step 0 ", timeout=SLOW)
    page.wait_for_url(re.compile("play=run"))
    other = open_page(page.url)
    expect(words(other)).to_contain_text(f"step {before + 1} ", timeout=SLOW)
    settled(page)
    press(page, "play-over")
    expect(page.get_by_text("A recorded run to play with")).to_be_visible(timeout=SLOW)


def test_points_are_put_down_by_hand_and_learned(training, open_page):
    page = open_page(f"{training}?view=Playground&play_points=Draw+my+own&pace=Full+speed&play_epochs=20")
    settled(page)
    box = page.locator(".st-key-playground")
    expect(box.get_by_text("Put down: A 0")).to_be_visible(timeout=SLOW)
    plane = box.locator("canvas").last
    for tool, across in ((0, 0.25), (1, 0.75)):
        box.locator(f'.palette input[value="{tool}"]').check(force=True)
        size = plane.bounding_box()
        for at in range(10):  # fast: none may be lost
            page.mouse.click(size["x"] + size["width"] * across, size["y"] + size["height"] * (0.1 + 0.08 * at))
    expect(box.get_by_text("Put down: A 10 · B 10 · C 0")).to_be_visible()
    press(page, "play-go")
    expect(page.locator(".st-key-play-go button")).to_be_visible(timeout=SLOW)
    page.wait_for_url(re.compile("play=run"), timeout=SLOW)
    expect(page.get_by_text("Judge this run")).to_be_visible(timeout=SLOW)
    settled(page)


def test_two_recipes_are_raced_and_the_race_is_found_by_its_link(training, open_page):
    page = open_page(
        f"{training}?view=Is+it+real%3F&race=own&epochs=2&network=mlp&mlp_width=16&race-seeds=2&b_kind=modern"
    )
    settled(page)
    expect(page.locator(".st-key-start-race button")).to_be_visible(timeout=SLOW)
    settled(page)
    press(page, "start-race")
    expect(page.get_by_text(re.compile("within noise|better|worse|with no spread")).first).to_be_visible(timeout=SLOW)
    page.wait_for_url(re.compile("raced="), timeout=SLOW)
    settled(page)
    address = page.url
    other = open_page(address)
    expect(other.get_by_text(re.compile("over 2 seeds|at each of 2 seeds")).first).to_be_visible(timeout=SLOW)
