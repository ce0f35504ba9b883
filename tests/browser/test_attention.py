"""The Attention page in a real browser: `pytest tests/browser/test_attention.py`"""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
SONG = "ada vogel sings : ba di ko ta da , ba di ko ta da . then"


@pytest.fixture(scope="module")
def attention(server):
    """The address of the Attention page."""
    return f"{server}/attention"


def settled(page: Page) -> Page:
    """The page once its heads are drawn and one of them is taken away."""
    expect(page.locator(".stage > *").first).to_be_visible()
    expect(page.get_by_text(re.compile("Probability of"))).to_be_visible()
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    return page


def metric(page: Page, label: str) -> str:
    return page.get_by_test_id("stMetric").filter(has_text=label).inner_text()


def test_heads_predictions_and_an_ablation_are_there_without_a_click_and_on_a_phone(attention, open_page):
    page = settled(open_page(attention))
    assert page.locator(".queries .token").count() > 10
    expect(page.get_by_text("What does it predict?")).to_be_visible()
    assert page.get_by_test_id("stException").count() == 0
    phone = settled(open_page(attention, width=390, scheme="dark"))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_pinned_token_and_head_are_in_the_link_and_open_alike_in_a_new_browser(attention, open_page):
    page = settled(open_page(attention))
    before = metric(page, "Loss")
    page.locator(".queries .token").nth(4).hover()
    expect(page.locator(".side h5")).to_contain_text("looks at")
    page.locator(".queries .token").nth(4).click()
    page.wait_for_url(re.compile("token=4"))
    page.get_by_role("button", name=re.compile("^Head 3")).dblclick()
    page.wait_for_url(re.compile("head=3"))
    # While the page runs, what it drew before may still stand beside what it draws now.
    expect(page.get_by_test_id("stMetric").filter(has_text="Loss").first).not_to_have_text(before)
    settled(page)
    mine = metric(page, "Loss")
    other = settled(open_page(page.url))
    expect(other.get_by_role("heading", name=re.compile("head 3$"))).to_be_visible()
    expect(other.locator(".side h5")).to_have_text(page.locator(".side h5").inner_text())
    assert metric(other, "Loss") == mine


def test_a_sentence_of_ones_own_is_read_and_what_it_does_not_know_is_told(attention, open_page):
    page = settled(open_page(attention))
    page.get_by_label("Text", exact=True).fill("ada vogel sings a lullaby")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("It does not know: a, lullaby.")).to_be_visible()
    expect(page.locator(".queries .token")).to_have_count(6)
    page.get_by_label("Text", exact=True).fill("   ")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Write a word at least")).to_be_visible()
    page.get_by_label("Text", exact=True).fill("ada vogel sings .")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".queries .token")).to_have_count(5)


def test_a_head_of_the_map_is_chosen_by_a_click_and_taken_away(attention, open_page):
    page = open_page(f"{attention}?see=Does+it+matter%3F")
    expect(page.get_by_text("The intact network's loss is")).to_be_visible()
    chart = page.locator(".st-key-sweep-self svg.marks")
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.42})
    page.wait_for_url(re.compile("head=4"))
    expect(page.get_by_text(re.compile(r"Without layer \d, head 4"))).to_be_visible()


def test_a_census_is_started_stopped_and_found_again(attention, open_page):
    page = open_page(f"{attention}?see=Does+it+matter%3F&census-texts=300")
    page.get_by_role("button", name="Measure all heads").click()
    page.wait_for_url(re.compile("census=[0-9a-f]{32}"))
    expect(page.get_by_text(re.compile(r"\b[1-9]\d* of 300 test examples"))).to_be_visible()
    if page.locator(".st-key-stop-census button").count():
        page.locator(".st-key-stop-census button").click()
    expect(page.locator(".st-key-stop-census")).to_have_count(0)
    later = open_page(page.url)
    expect(later.get_by_text(re.compile(r"\b[1-9]\d* of 300 test examples"))).to_be_visible()


def test_a_decoder_is_trained_on_a_pasted_text_and_its_heads_are_opened(server, open_page):
    address = server
    page = open_page(f"{address}/training?epochs=1&gpt_width=16&gpt_depth=1")
    page.get_by_text("Your own data").first.click()
    page.get_by_label("Or paste a text").fill("The tide comes in, and the tide goes out again. " * 200)
    page.get_by_role("button", name="Add this data").click()
    expect(page.get_by_text(re.compile(r"^A text of \d"))).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("link", name="Look into its heads")).to_be_visible()
    page.get_by_role("link", name="Look into its heads").click()
    settled(page)
    page.wait_for_url(re.compile("model=run"))


def test_quick_clicks_all_count(attention, open_page):
    page = settled(open_page(attention))
    for token in (3, 5, 7, 9, 11):
        page.locator(".queries .token").nth(token).click()
        page.wait_for_timeout(150)
    page.wait_for_url(re.compile("token=11"))
    page.wait_for_timeout(2500)
    assert "token=11" in page.url
    expect(page.locator(".side h5")).to_contain_text("looks at")


def test_a_test_text_is_taken_from_the_list(attention, open_page):
    page = settled(open_page(attention))
    before = page.get_by_label("Text", exact=True).input_value()
    page.get_by_role("button", name="Take one of the test texts").click()
    first = page.locator(".st-key-take-text-0 button")
    text = first.inner_text()
    first.click()
    expect(page.get_by_label("Text", exact=True)).to_have_value(text)
    assert text != before
    expect(page.locator(".queries .token")).to_have_count(len(text.split()) + 1)


def test_flow_follows_what_is_held_and_holds_nothing_by_itself(attention, open_page):
    page = open_page(f"{attention}?see=Flow&token=8")
    expect(page.get_by_text(re.compile("^Token: 9 · "))).to_be_visible()
    page.get_by_text("Heads", exact=True).click()
    settled(page)
    page.locator(".queries .token").nth(20).click()
    page.wait_for_url(re.compile("token=20"))
    page.get_by_text("Flow", exact=True).click()
    expect(page.get_by_text(re.compile("^Token: 21 · "))).to_be_visible()
    free = open_page(f"{attention}?see=Flow")
    expect(free.get_by_text(re.compile("^Token: 32 · "))).to_be_visible()
    assert "token=" not in free.url.replace("flow-token", "")
