"""The Saliency page in a real browser: `pytest tests/browser/test_attribution.py`"""

import base64
import io
import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def saliency(server):
    """The address of the Saliency page."""
    return f"{server}/attribution"


def settled(page: Page) -> Page:
    """The page once its maps are drawn and its measures taken."""
    expect(page.get_by_text("Hover a heading to read it")).to_be_visible()
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    return page


def tiles(page: Page):
    return page.locator("canvas[aria-label]")


def drawn(page: Page, title: str) -> Image.Image:
    """The pixels of one map, as they were drawn: on the screen they depend on where the page was scrolled to."""
    canvas = page.locator(f'canvas[aria-label^="{title}"]').first
    canvas.scroll_into_view_if_needed()
    page.mouse.move(5, 5)  # no crosshair
    pixels = canvas.evaluate("canvas => canvas.toDataURL().split(',')[1]")
    return Image.open(io.BytesIO(base64.b64decode(pixels))).convert("RGB")


def test_the_arena_is_there_without_a_click_and_on_a_phone(saliency, open_page):
    page = settled(open_page(saliency))
    expect(tiles(page)).to_have_count(10)  # the picture, eight methods, their disagreement
    for title in ("Grad-CAM", "Integrated gradients", "Random", "Sobel edges", "Disagreement"):
        expect(page.locator(f'canvas[aria-label^="{title}"]').first).to_be_visible()
    assert page.get_by_test_id("stException").count() == 0
    phone = settled(open_page(saliency, width=390, scheme="dark"))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_method_is_added_and_its_link_gives_the_same_map_in_a_new_browser(saliency, open_page):
    page = settled(open_page(f"{saliency}?example=3&target=true&lime_samples=40"))
    page.get_by_role("button", name="LIME", exact=True).click()
    expect(page.locator('canvas[aria-label^="LIME"]').first).to_be_visible()
    settled(page)
    page.wait_for_url(re.compile("lime"))
    mine = drawn(page, "LIME")
    other = settled(open_page(page.url))
    same = drawn(other, "LIME").tobytes() == mine.tobytes()
    assert same  # pytest would look for minutes for where they differ


def test_the_lesson_shows_that_the_tag_is_believed_and_what_happens_without_it(saliency, open_page):
    page = settled(open_page(f"{saliency}?view=A+planted+shortcut"))
    expect(page.get_by_text("believes the tag")).to_have_count(0)
    page.get_by_role("combobox", name=re.compile("The tag says")).click()
    page.get_by_role("option", name=re.compile("^a lie")).click()
    expect(page.get_by_text("It believes the tag, not the shape.")).to_be_visible()
    page.get_by_role("combobox", name=re.compile("Its corner")).click()
    page.get_by_role("option", name="bottom right").click()
    page.wait_for_url(re.compile("corner=bottom"))
    expect(page.get_by_text("It believes the tag, not the shape.")).to_be_visible()
    page.get_by_role("combobox", name=re.compile("The tag says")).click()
    page.get_by_role("option", name="no tag").click()
    expect(page.get_by_text("Put the tag back")).to_be_visible()


def test_a_picture_of_ones_own_is_explained_and_a_broken_one_is_refused(saliency, open_page, tmp_path):
    page = settled(open_page(saliency))
    file = tmp_path / "mine.png"
    Image.effect_noise((300, 200), 60).convert("RGBA").save(file)
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("Where the object really is, is not known")).to_be_visible()
    broken = tmp_path / "broken.png"
    broken.write_bytes(file.read_bytes()[:500])
    page.locator("input[type=file]").set_input_files(broken)
    expect(page.get_by_text("not a picture that can be read")).to_be_visible()
    expect(page.get_by_text("Where the object really is, is not known")).to_have_count(0)  # the test picture is back
    expect(page.get_by_role("slider", name="Test picture")).to_be_visible()
    expect(page.get_by_text("Can they be believed?")).to_be_visible()
    assert page.get_by_test_id("stException").count() == 0


def test_a_race_is_started_stopped_and_keeps_what_it_has(saliency, open_page):
    page = open_page(f"{saliency}?view=Leaderboard&methods=saliency")
    expect(page.get_by_text("A recorded race")).to_be_visible()
    page.get_by_role("button", name="Start the race").click()
    page.wait_for_url(re.compile("board=[0-9a-f]{32}"))
    expect(page.get_by_text(re.compile(r"\b[1-9]\d? of 100 test images"))).to_be_visible()
    page.locator(".st-key-stop-race button").click()
    expect(page.locator(".st-key-stop-race")).to_have_count(0)
    expect(page.get_by_text(re.compile(r"\b[1-9]\d? of 100 test images"))).to_be_visible()
    later = open_page(page.url)
    expect(later.get_by_text(re.compile(r"\b[1-9]\d? of 100 test images"))).to_be_visible()
