"""Links in a real browser: copied, reloaded, gone back to, made into a lesson: `pytest tests/browser/test_links.py`"""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
SLOW = 120_000  # milliseconds that a page may take on a busy machine
SALIENCY = "attribution?model=zoo:digits-lenet&view=A+and+B&methods=grad_cam,saliency&example=4"


def numbers(page: Page) -> str:
    """What the page has found of A and B, once it rests."""
    line = page.get_by_text("Rank correlation of the two maps")
    expect(line).to_be_visible(timeout=SLOW)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=SLOW)
    return line.inner_text()


def pinned(page: Page):
    return page.locator(".st-key-pins").get_by_text("test example 4")


def test_a_link_gives_the_same_numbers_elsewhere_after_a_reload_and_another_page(server, open_page):
    page = open_page(f"{server}/{SALIENCY}")
    page.get_by_role("button", name="Pin as A").click(timeout=SLOW)
    expect(pinned(page)).to_be_visible(timeout=SLOW)
    page.get_by_role("slider", name="Test picture").press("ArrowRight")
    page.wait_for_url(re.compile("example=5"), timeout=SLOW)
    expect(page.get_by_text("truly").or_(page.get_by_text("What the network sees"))).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Rank correlation of the two maps: 1.000")).to_have_count(0, timeout=SLOW)
    mine, link = numbers(page), page.url
    assert "a=zoo" in link

    other = open_page(link)  # a new browser
    assert numbers(other) == mine
    other.reload()
    assert numbers(other) == mine

    page.get_by_role("link", name="Activations", exact=True).click()
    expect(pinned(page)).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Saliency", exact=True).click()  # everything is as it was left
    assert numbers(page) == mine
    assert page.get_by_test_id("stException").count() == 0


def test_the_next_page_has_what_the_link_said_but_no_view_that_is_not_its_own(server, open_page):
    page = open_page(f"{server}/attribution?model=zoo:digits-lenet&view=By+layer&methods=saliency&example=4")
    rests = page.locator("[data-test-script-state=notRunning]")
    expect(page.get_by_role("radio", name="By layer")).to_be_checked(timeout=SLOW)
    expect(rests).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Activations", exact=True).click()
    expect(page.get_by_role("radio", name="Map", exact=True)).to_be_checked(timeout=SLOW)
    expect(page).to_have_url(re.compile(r"activations\?model=zoo%3Adigits-lenet&example=4$"), timeout=SLOW)
    expect(rests).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile(r"activations\?model=zoo%3Adigits-lenet&example=4$"))
    page.get_by_role("link", name="Saliency", exact=True).click()
    expect(page).to_have_url(re.compile(r"attribution\?.*methods=saliency"), timeout=SLOW)


def test_a_lesson_hides_what_its_link_names_on_every_page(server, open_page):
    page = open_page(f"{server}/{SALIENCY}&hide=model,example,seed")
    expect(page.get_by_role("button", name="Pin as A")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("slider", name="Test picture")).to_have_count(0)  # roles are of what is not hidden
    expect(page.get_by_role("combobox", name="Model")).to_have_count(0)
    expect(page.get_by_role("radio", name="A and B")).to_be_visible()
    page.get_by_role("link", name="Activations", exact=True).click()
    expect(page.get_by_role("radio", name="Health")).to_be_visible(timeout=SLOW)
    expect(page.locator(".st-key-model")).to_be_hidden()
    expect(page).to_have_url(re.compile("activations.*hide=model"))


def test_a_teacher_makes_a_lesson_of_the_page(server, open_page):
    page = open_page(f"{server}/{SALIENCY}")
    page.get_by_role("button", name="Make a lesson of this page").click(timeout=SLOW)
    page.get_by_role("combobox", name="Hide").fill("example")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    link = page.locator(".st-key-lesson, [data-testid=stPopoverBody]").get_by_text(re.compile("hide=example"))
    expect(link).to_be_visible(timeout=SLOW)
    lesson = open_page(link.inner_text())
    expect(lesson.get_by_role("button", name="Pin as A")).to_be_visible(timeout=SLOW)
    expect(lesson.get_by_role("slider", name="Test picture")).to_have_count(0)


def test_the_back_button_leads_in_one_press_to_what_was_left_and_forward_again(server, open_page):
    def maps() -> str:
        expect(page.get_by_role("radio", name="A and B")).to_be_checked(timeout=SLOW)
        expect(drawn.first).to_be_visible(timeout=SLOW)
        expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=SLOW)
        return drawn.first.get_attribute("aria-label")

    page = open_page(f"{server}/{SALIENCY}")
    drawn = page.get_by_role("img", name=re.compile("^Grad-CAM: largest"))
    first = maps()
    page.get_by_role("slider", name="Test picture").press("ArrowRight")
    expect(page.get_by_role("img", name=first)).to_have_count(0, timeout=SLOW)
    mine, link, entries = maps(), page.url, page.evaluate("history.length")
    assert "example=5" in link

    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.get_by_role("heading", name="Open a network")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile(r"^Its \d+ layers$"))).to_be_visible(timeout=SLOW)  # the last of it
    page.get_by_role("slider", name="Test example").press("ArrowRight")  # `?example=`, as on the page before
    page.wait_for_url(re.compile("models.*example=6"), timeout=SLOW)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=SLOW)
    models = page.url
    assert page.evaluate("history.length") == entries + 1

    page.go_back()
    expect(page).to_have_url(link, timeout=SLOW)
    assert maps() == mine
    page.go_forward()
    expect(page).to_have_url(models, timeout=SLOW)
    expect(page.get_by_role("heading", name="Open a network")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("slider", name="Test example")).to_have_attribute("aria-valuetext", "6", timeout=SLOW)
    assert page.get_by_test_id("stException").count() == 0


def test_what_a_page_says_after_somebody_went_back_from_it_takes_nothing_from_the_history(server, open_page):
    """What the server sends is held from the last move on Models until the browser is back at Saliency."""
    late, holding = [], False

    def relay(browser):
        there = browser.connect_to_server()
        there.on_message(lambda message: late.append((browser, message)) if holding else browser.send(message))

    page = open_page("about:blank")
    page.route_web_socket(re.compile("_stcore/stream"), relay)
    page.goto(f"{server}/{SALIENCY}")
    expect(page.get_by_role("img", name=re.compile("^Grad-CAM: largest")).first).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Models", exact=True).click()
    slider = page.get_by_role("slider", name="Test example")
    expect(page.get_by_text(re.compile(r"^Its \d+ layers$"))).to_be_visible(timeout=SLOW)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=SLOW)

    holding = True
    slider.press("ArrowRight")
    page.wait_for_url(re.compile("models.*example=5"), timeout=SLOW)
    models = page.url
    page.wait_for_timeout(1000)  # the run of Models begins, and says so
    assert late
    page.go_back()
    page.wait_for_url(re.compile("attribution"), timeout=SLOW)
    holding = False
    for browser, message in late:
        browser.send(message)
    expect(page.get_by_role("img", name=re.compile("^Grad-CAM: largest")).first).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile("attribution.*example=4"), timeout=SLOW)
    page.go_forward()
    expect(page).to_have_url(models, timeout=SLOW)
    expect(slider).to_have_attribute("aria-valuetext", "5", timeout=SLOW)


def test_a_control_moved_just_before_the_back_button_leads_nowhere_else(server, open_page):
    """Streamlit sends what a slider was moved to 200 ms later, when the page before is asked for already."""
    page = open_page(f"{server}/{SALIENCY}")
    drawn = page.get_by_role("img", name=re.compile("^Grad-CAM: largest")).first
    expect(drawn).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Its \d+ layers$"))).to_be_visible(timeout=SLOW)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=SLOW)
    page.get_by_role("slider", name="Test example").press("ArrowRight")
    page.evaluate("history.back()")
    page.wait_for_url(re.compile("attribution"), timeout=SLOW)
    page.wait_for_timeout(1500)  # all has been sent and answered
    expect(drawn).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile("attribution.*example=4"), timeout=SLOW)
    page.go_forward()
    expect(page.get_by_text(re.compile(r"^Its \d+ layers$"))).to_be_visible(timeout=SLOW)
    expect(page).to_have_url(re.compile("models"), timeout=SLOW)
    page.get_by_role("link", name="Saliency", exact=True).evaluate("link => link.click()")  # as a screen reader may
    expect(page).to_have_url(re.compile("attribution"), timeout=SLOW)
