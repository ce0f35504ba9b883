"""Every page by the rules of WCAG 2.1 AA that a program can check, and from the keyboard."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from explorer.ui.page import PAGES

pytestmark = pytest.mark.browser

OURS = {"exclude": [["[data-testid=stStatusWidget]"]]}  # Streamlit's own, which comes and goes as pages run
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"], "resultTypes": ["violations"]}
LOOKS = 3  # a colour that is just changing is looked at again


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
def test_letters_stand_out_and_everything_has_a_name_in_both_themes(server, open_page, page):
    at = "" if page is PAGES[0] else page.path.removeprefix("pages/").removesuffix(".py")
    opened = open_page(f"{server}/{at}")
    for scheme in ("light", "dark"):
        if scheme == "dark":
            opened.emulate_media(color_scheme=scheme)
            opened.reload()
        for _ in range(LOOKS):
            settled(opened)
            found = Axe().run(opened, context=OURS, options=RULES).response["violations"]
            if not found:
                break
            opened.wait_for_timeout(1000)
        told = [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:200]}"
            for one in found
            for node in one["nodes"]
        ]
        assert not told, "\n".join([scheme, *told])


def test_a_page_is_reached_and_worked_from_the_keyboard_alone(server, open_page):
    page = open_page(f"{server}/models")
    settled(page)
    slider = page.locator(".st-key-example").get_by_role("slider")
    for _ in range(60):
        page.keyboard.press("Tab")
        if slider.evaluate("one => one === document.activeElement"):
            break
    else:
        pytest.fail("Tab does not lead to the slider")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**example=1**")


def settled(page) -> None:
    """The page is drawn whole."""
    page.get_by_role("heading", level=1).wait_for()
    page.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
    page.locator("[data-stale=true]").first.wait_for(state="detached")
