"""The shell in a real browser: Home, settings in the URL, the transport bar. Run with `pytest -m browser`."""

import re
from textwrap import dedent

import pytest
from playwright.sync_api import expect

from explorer.ui.page import CARDS

pytestmark = pytest.mark.browser

SCRIPT = """
    import streamlit as st
    from typing import Annotated
    from explorer.params import Choice, LogSlider, Number, Slider
    from explorer.ui.controls import controls
    from explorer.ui.transport import transport

    def recipe(
        epochs: Annotated[int, Slider(1, 50)] = 15,
        lr: Annotated[float, LogSlider(1e-4, 1, label="Learning rate")] = 0.01,
        kind: Annotated[str, Choice(("one", "two"))] = "one",
        seed: Annotated[int, Number(0, 99)] = 0,
    ): ...

    def work():
        st.session_state.runs = st.session_state.get("runs", 0) + 1
        values = controls(recipe)
        st.text(f"values {values}")
        st.text(f"runs {st.session_state.runs}")
        film()

    @st.fragment
    def film():
        step = transport("Step", (0, 10, 25, 70, 100), "step", lambda step: f"step {step}")
        st.text(f"shown {step}")

    def other():
        st.text("the other page")

    st.navigation([st.Page(work, default=True), st.Page(other)], position="top").run()
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with four settings and a transport bar."""
    script = tmp_path_factory.mktemp("small") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_home_paints_its_pictures_in_both_themes_and_on_a_phone(server, open_page, width, scheme):
    page = open_page(server, width=width, scheme=scheme)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Train a small network")
    pictures = page.get_by_test_id("stMain").locator("img")
    expect(pictures).to_have_count(len(CARDS) + 1)
    for picture in pictures.all():
        assert picture.evaluate("async image => (await image.decode(), image.naturalWidth)") > 100
    for shown in CARDS:
        expect(page.get_by_text(shown.summary)).to_be_visible()
    expect(page.get_by_text("0 running")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out sideways
    ground = page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (scheme == "dark")


def test_home_asks_nobody_but_its_own_server(server, page):
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_timeout(1500)
    strangers = [url for url in page.asked_for if not url.startswith((server, "data:", "blob:"))]
    assert strangers == []


def test_a_link_sets_every_setting(small, open_page):
    page = open_page(f"{small}/?epochs=33&lr=0.1&kind=two&seed=7&step=25")
    expect(page.get_by_text("values")).to_have_text("values {'epochs': 33, 'lr': 0.1, 'kind': 'two', 'seed': 7}")
    expect(page.get_by_text("shown")).to_have_text("shown 25")


def test_a_change_shows_in_the_url_and_the_default_leaves_it(small, open_page):
    page = open_page(small)
    page.get_by_role("radio", name="two").click()
    expect(page).to_have_url(f"{small}/?kind=two")
    page.get_by_role("slider", name="Epochs").press("ArrowRight")
    expect(page.get_by_text("values")).to_contain_text("'epochs': 16, 'lr': 0.01, 'kind': 'two'")
    expect(page).to_have_url(f"{small}/?epochs=16&kind=two")
    page.get_by_role("radio", name="one").click()
    expect(page).to_have_url(f"{small}/?epochs=16")


def test_a_refused_value_in_a_link_is_told_in_a_sentence(small, open_page):
    page = open_page(f"{small}/?epochs=900&seed=7")
    expect(page.get_by_text("Epochs in the link: 900 is not between 1 and 50. It is 15 now.")).to_be_visible()
    expect(page.get_by_text("values")).to_contain_text("'seed': 7")
    expect(page).to_have_url(f"{small}/?seed=7")


def test_settings_survive_another_page_and_back(small, open_page):
    page = open_page(f"{small}/?epochs=33&step=25")
    expect(page.get_by_text("values")).to_contain_text("'epochs': 33")
    page.get_by_role("link", name="other").click()
    expect(page.get_by_text("the other page")).to_be_visible()
    page.get_by_role("link", name="work").click()
    expect(page.get_by_text("values")).to_contain_text("'epochs': 33")
    expect(page.get_by_text("shown")).to_have_text("shown 25")


def test_play_runs_to_the_end_without_rerunning_the_page(small, open_page):
    page = open_page(f"{small}/?step=10")
    expect(page.get_by_text("shown")).to_have_text("shown 10")
    page.get_by_role("button", name="play_arrow").click()
    expect(page.get_by_text("shown")).to_have_text("shown 25")
    expect(page.get_by_text("shown")).to_have_text("shown 100")
    expect(page.get_by_role("button", name="play_arrow")).to_be_visible()
    expect(page.get_by_text("runs")).to_have_text("runs 1")


def test_the_transport_bar_obeys_the_keyboard(small, open_page):
    page = open_page(small)
    expect(page.get_by_text("shown")).to_have_text("shown 100")
    page.get_by_role("button", name="arrow_back").press("Enter")
    expect(page.get_by_text("shown")).to_have_text("shown 70")
    page.get_by_role("slider", name="Step").press("ArrowLeft")
    expect(page.get_by_text("shown")).to_have_text("shown 25")
    expect(page).to_have_url(f"{small}/?step=25")
