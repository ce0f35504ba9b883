"""What has come is drawn while a page still runs: `pytest -m browser tests/browser/test_calm.py`"""

from textwrap import dedent

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SCRIPT = """
import time

import streamlit as st

from explorer.ui.calm import calm

if "calm" in st.query_params:
    calm()
for number in range(20):
    st.slider(f"Slider {number}", 0, 10, 3, key=str(number))
time.sleep(float(st.query_params["seconds"]))
st.write("It has run")
"""
CHANGES = """icon => new Promise(done => {
    let seen = 0
    new MutationObserver(list => { seen += list.length }).observe(icon, { childList: true, subtree: true })
    setTimeout(() => done(seen), 1500)
})"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory):
    script = tmp_path_factory.mktemp("calm") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


@pytest.mark.parametrize("calm", [True, False])
def test_the_icon_of_a_running_page_begins_no_drawing_anew(small, open_page, calm):
    page = open_page(f"{small}?seconds=4{'&calm=1' if calm else ''}")
    expect(page.get_by_text("It has run")).to_be_visible()  # in a first run the icon may be there before it
    page.get_by_role("slider", name="Slider 0").press("ArrowRight")
    icon = page.get_by_test_id("stStatusWidgetRunningIcon")
    expect(icon).to_be_visible()
    if page.get_by_test_id("stStatusWidgetNewYearsIcon").count():
        pytest.skip("around New Year Streamlit shows a picture in its place, which never changes")
    changes = icon.evaluate(CHANGES)
    assert (changes == 0) == calm, changes  # without it the icon still changes: else it has become unnecessary


def test_the_app_is_calm_and_leaves_other_timers_alone(open_page, server):
    page = open_page(f"{server}/models")
    page.wait_for_function("window.explorerCalm")
    assert page.evaluate("setInterval(() => { now => (now + 1) % 6 }, 200)") == 0
    assert page.evaluate("setInterval(() => {}, 200)") > 0  # nobody else's
