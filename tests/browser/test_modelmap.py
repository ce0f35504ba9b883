"""The map of a network in a real browser: folded, chosen, broken. Run with `pytest -m browser`."""

from textwrap import dedent

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\\\"document.title='taken'\\\">"
SCRIPT = """
    import streamlit as st
    import torch
    from explorer.activations.modelmap import model_map
    from explorer.ui.modelmap import modelmap
    from tests.attribution.nets import Residual, seeded, wrap

    st.set_page_config(page_title="calm", layout="wide")

    @st.cache_resource
    def mapped(channels):
        net = seeded(Residual)
        net.blocks[1].conv1.__class__ = type(HOSTILE, (torch.nn.Conv2d,), {})
        return model_map(wrap(net, (3, 8, 8)), torch.zeros(1, channels, 8, 8))

    found = mapped(int(st.query_params.get("channels", 3)))
    st.text(f"chosen {modelmap(found, 'map', 'conv')}")
    st.button("Again")
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with one map."""
    script = tmp_path_factory.mktemp("modelmap") / "small.py"
    script.write_text(dedent(SCRIPT).replace("HOSTILE", f'"{HOSTILE}"'), encoding="utf-8")
    return serve(script)


def row(page, name: str):
    return page.locator(".row").filter(has=page.locator(".name b", has_text=name)).first


def test_a_box_folds_without_python_and_a_click_chooses_it(small, open_page):
    page = open_page(small)
    expect(page.get_by_text("chosen conv", exact=True)).to_be_visible()
    expect(page.locator(".row.chosen")).to_contain_text("Conv2d")
    rows = page.locator(".row").count()
    second = row(page, "blocks.1")
    expect(second).to_have_attribute("aria-expanded", "false")
    second.locator(".caret").click()
    expect(second).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".row")).to_have_count(rows + 4)
    expect(page.get_by_text("<img src=x")).to_be_visible()
    expect(page.get_by_text("chosen conv", exact=True)).to_be_visible()
    row(page, "relu#2").click()
    expect(page.get_by_text("chosen blocks.0.relu#2", exact=True)).to_be_visible()
    expect(page.locator(".row")).to_have_count(rows + 4)  # the rerun folds nothing
    page.get_by_role("button", name="− Fold a level").click()
    expect(page.locator(".row")).to_have_count(rows - 4)
    expect(page.locator(".row.within")).to_contain_text("blocks.0")
    assert page.title() == "calm"


def test_bars_show_the_chosen_quantity_and_lines_the_way_round(small, open_page):
    page = open_page(small)
    expect(row(page, "head")).to_be_visible()
    joints = page.locator(".joint text")
    expect(joints).to_have_text(["+"])
    expect(page.locator(".wire.own")).to_have_count(2)  # what was made, and what came in
    head = row(page, "head")
    before = head.locator(".bar").evaluate("bar => bar.style.width")
    page.get_by_role("radio", name="Parameters").click()
    expect(page.get_by_role("radio", name="Parameters")).to_have_attribute("aria-checked", "true")
    assert head.locator(".bar").evaluate("bar => bar.style.width") != before
    expect(head.locator(".barred .number")).to_have_text("75")
    head.press("ArrowUp")
    expect(row(page, "flatten")).to_be_focused()


def test_a_pass_that_broke_says_where_and_why(small, open_page):
    page = open_page(f"{small}/?channels=5")
    broken = page.locator(".broken")
    expect(broken).to_contain_text("came in: 1×5×8×8")
    expect(broken).to_contain_text("weight 6×3×3×3")
    expect(page.locator(".box.failed > .row")).to_contain_text("conv")
    expect(row(page, "head")).to_contain_text("did not run")
