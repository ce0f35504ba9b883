"""The playground in a real browser: as PyTorch computes, read, scrubbed, changed by hand, fed. `pytest -m browser`."""

import json
import re
from textwrap import dedent

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from explorer.ui.playground import ACTIVATIONS
from tests.browser.conftest import changed, picture, same
from tests.ui.test_playground import network, points

pytestmark = pytest.mark.browser

SCRIPT = """
    import numpy as np
    import streamlit as st
    from explorer.ui.playground import ACTIVATIONS, playground
    from tests.ui.test_playground import points, recorded

    st.set_page_config(layout="wide")
    asked, state = st.query_params, st.session_state
    labels = ("a", "b", "c")

    def part(recording, shown):
        drawn = ", ".join(f"{x:.2f} {y:.2f} {label}" for (x, y), label in zip(shown.points, shown.classes))
        frames = len(recording.steps) if recording else 0
        st.text(f"frame {shown.frame} of {frames}, {len(shown.points)} put down: {drawn}")

    @st.fragment(run_every=0.4)
    def live():
        state.frames = min(state.get("frames", 1) + 1, 25)
        recording = recorded(state.frames, widths=(20, 4))
        part(recording, playground(recording, *points(), labels, "live", drawing=True))

    if "norm" in asked:
        for activation in ACTIVATIONS:
            playground(recorded(1, asked["norm"], activation), *points(), labels, activation)
    elif "diverged" in asked:
        recording = recorded(2)
        recording.weights[1] = np.nan
        playground(recording, *points(), labels, "diverged")
    elif "live" in asked:
        live()
    elif "alone" in asked:
        nothing = np.zeros((0, 2)), np.zeros(0, int)
        if not st.toggle("Away"):
            part(None, playground(None, *nothing, ("a", "b"), "alone", drawing=True, extent=2.0))
    else:
        recording = recorded(5, widths=(8, 8, 8, 8))
        x, y = points(60)
        shown = playground(recording, x[:40], y[:40], labels, "whole", test_x=x[40:], test_y=y[40:])
        part(recording, shown)
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with a playground, or several, as its query says."""
    script = tmp_path_factory.mktemp("playground") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


@pytest.fixture
def visit(small, open_page):
    """Opens that page with a query, in a window of its own; the first to come waits until torch is loaded."""

    def opened(query: str = "", **window):
        page = open_page(f"{small}/?{query}", **window)
        expect(page.locator(".plane").first).to_be_visible()
        return page

    return opened


@pytest.fixture
def whole(visit):
    """Four hidden layers of eight units, five frames, training and test points."""
    page = visit()
    expect(page.locator(".unit")).to_have_count(2 + 4 * 8 + 3)
    return page


@pytest.fixture
def alone(visit):
    """An empty plane from -2 to 2 to put down points of two classes."""
    page = visit("alone=1")
    expect(page.get_by_role("radio", name="Rub out")).to_be_attached()
    return page


def point(page, x: float, y: float, which: int = 0) -> None:
    """Move the pointer to shares of a plane."""
    plane = page.locator(".plane").nth(which)
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def read(page, which: int = 0) -> dict:
    """What is computed where the pointer is."""
    plane = page.locator(".plane").nth(which)
    expect(plane).to_have_attribute("data-read", re.compile("shares"))
    return json.loads(plane.get_attribute("data-read"))


def line(page, source: int, target: int) -> tuple[float, float]:
    """The middle of the line between two units, counted over all columns."""
    page.locator(".unit").first.scroll_into_view_if_needed()
    boxes = [page.locator(".unit").nth(at).bounding_box() for at in (source, target)]
    x = (boxes[0]["x"] + boxes[0]["width"] + boxes[1]["x"]) / 2
    return x, sum(box["y"] + box["height"] / 2 for box in boxes) / 2


def bar(page):
    return page.get_by_role("slider", name="Frame")


def python(page):
    """What Python was told at last."""
    return page.get_by_text(re.compile(r"^frame \d+ of"))


def put_down(page, count: int) -> None:
    """Waits until Python has that many points."""
    expect(python(page)).to_contain_text(f", {count} put down:")


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_units_and_probabilities_are_those_of_pytorch(visit, norm):
    page = visit(f"norm={norm}")
    expect(page.locator(".plane")).to_have_count(len(ACTIVATIONS))
    along = 1.3 * (2 * torch.arange(61) / 60 - 1)
    grid = torch.cartesian_prod(along, along)
    for which, activation in enumerate(ACTIVATIONS):
        net = network(norm, activation)
        point(page, 0.31, 0.77, which)
        here = read(page, which)
        x = torch.tensor([[here["x"], here["y"]]])
        with torch.inference_mode():
            for layer, values in zip(net, here["values"][1:], strict=True):
                x = layer(x)
                np.testing.assert_allclose(values, x[0], rtol=1e-5, atol=2e-6, err_msg=activation)
            np.testing.assert_allclose(here["shares"], x.softmax(1)[0], rtol=1e-5, atol=2e-6, err_msg=activation)
            maps = net[:2](grid)
        units = page.locator(".playground").nth(which).locator(".unit canvas")
        for unit, values in enumerate(maps.T):
            told = units.nth(2 + 5 + unit).get_attribute("aria-label").replace("−", "-")
            numbers = re.fullmatch(rf"Hidden 2, unit {unit + 1}: from (\S+) to (\S+) over the plane", told).groups()
            np.testing.assert_allclose([float(one) for one in numbers], [values.min(), values.max()], atol=6e-4)


def test_what_is_told_is_read_from_the_plane(whole):
    point(whole, 0.75, 0.25)
    here = read(whole)
    shares = " · ".join(f"{label} {100 * share:.1f} %" for label, share in zip("abc", here["shares"], strict=True))
    expect(whole.locator(".readout")).to_have_text(f"({here['x']:.2f}, {here['y']:.2f}): {shares}")
    assert here["x"] == pytest.approx(0.65, abs=0.01)
    assert here["y"] == pytest.approx(0.65, abs=0.01)
    x, y = (torch.tensor(array) for array in points(60))
    with torch.inference_mode():
        logits = network("none", "tanh", (8, 8, 8, 8), seed=4)(x)
    for name, some in (("Training", slice(40)), ("Test", slice(40, None))):
        loss = torch.nn.functional.cross_entropy(logits[some], y[some])
        right = (logits[some].argmax(1) == y[some]).float().mean()
        expect(whole.locator(".score")).to_contain_text(f"{name}loss {loss:.3f} · {100 * right:.1f} % right")
    before = picture(whole.locator(".plane"))
    whole.get_by_role("radio", name="Test").check()
    expect(whole.locator(".plane")).to_have_attribute("aria-label", re.compile("20 test points"))
    changed(whole.locator(".plane"), before)


def test_scrubbing_shows_each_frame_and_reports_where_it_rests(whole):
    told, unit = whole.locator(".label"), whole.locator(".unit canvas").nth(5)
    expect(told).to_have_text("step 40")
    last = picture(unit), picture(whole.locator(".plane"))
    bar(whole).press("Home")
    expect(told).to_have_text("step 0")
    changed(unit, last[0])
    changed(whole.locator(".plane"), last[1])
    expect(python(whole)).to_contain_text("frame 0 of 5")
    bar(whole).press("End")
    expect(told).to_have_text("step 40")
    same(unit, last[0])
    same(whole.locator(".plane"), last[1])


def test_a_unit_is_shown_large_held_and_let_go(whole):
    plane, hint, unit = whole.locator(".plane"), whole.locator(".hint"), whole.locator(".unit").nth(2 + 8 + 2)
    expect(hint).to_contain_text("Hover a unit")
    regions, lines = picture(plane), picture(whole.locator(".lines"))
    unit.hover()
    bias = network("none", "tanh", (8, 8, 8, 8), seed=4)[1][0].bias[2].item()
    expect(whole.locator(".tip")).to_have_text(f"bias {bias:.3f}".replace("-", "−"))
    expect(hint).to_contain_text(f"Hidden 2, unit 3: bias {bias:.3f}, from ".replace("-", "−"))
    assert plane.get_attribute("aria-label").startswith("Map of hidden 2, unit 3")
    changed(plane, regions)
    changed(whole.locator(".lines"), lines)
    whole.mouse.move(3, 3)
    expect(plane).to_have_attribute("aria-label", re.compile("^Regions of a, b, c"))
    same(plane, regions)
    unit.click()
    whole.mouse.move(3, 3)
    expect(unit).to_have_attribute("aria-pressed", "true")
    point(whole, 0.5, 0.4)
    value = read(whole)["values"][2][2]
    expect(whole.locator(".readout")).to_contain_text(f"hidden 2, unit 3 is {value:.3f}".replace("-", "−"))
    unit.click()
    expect(unit).to_have_attribute("aria-pressed", "false")
    unit.press("Enter")
    expect(unit).to_have_attribute("aria-pressed", "true")
    unit.press("Escape")
    expect(unit).to_have_attribute("aria-pressed", "false")


def test_arrow_keys_go_from_unit_to_unit_and_over_the_plane(whole):
    whole.locator(".unit").first.press("ArrowRight")
    whole.keyboard.press("ArrowDown")
    focused = whole.locator(".unit:focus canvas")
    first = focused.get_attribute("aria-label")
    assert re.match(r"Hidden 1, unit \d", first)
    whole.keyboard.press("ArrowUp")
    assert focused.get_attribute("aria-label") != first
    whole.locator(".plane").press("ArrowRight")
    assert read(whole)["x"] == pytest.approx(0.065)
    expect(whole.locator("[aria-live]")).to_have_text(re.compile(r"\(0.0[67], 0.00\): a "))


def test_a_weight_is_changed_by_hand_and_what_was_learned_comes_back(whole):
    plane, badge = whole.locator(".plane"), whole.get_by_text("Changed by hand")
    learned = picture(plane)
    middle = line(whole, 1, 2)  # from y to the first unit: no other line passes there
    whole.mouse.move(*middle)
    weight = network("none", "tanh", (8, 8, 8, 8), seed=4)[0][0].weight[0, 1].item()
    told = f"weight {weight:.3f}".replace("-", "−")
    expect(whole.locator(".tip")).to_have_text(told)
    expect(whole.locator(".hint")).to_have_text(f"From y to hidden 1, unit 1: {told}")
    whole.mouse.click(*middle)
    value = whole.get_by_role("spinbutton", name="Its value")
    expect(value).to_have_value(re.compile(f"^{weight:.3f}"))
    expect(badge).not_to_be_visible()
    value.fill("-4.5")
    expect(badge).to_be_visible()
    point(whole, 0.3, 0.6)
    here = read(whole)
    net = network("none", "tanh", (8, 8, 8, 8), seed=4)
    with torch.inference_mode():
        net[0][0].weight[0, 1] = -4.5
        shares = net(torch.tensor([[here["x"], here["y"]]])).softmax(1)[0]
    np.testing.assert_allclose(here["shares"], shares, rtol=1e-5, atol=2e-6)
    whole.mouse.move(3, 3)
    expect(whole.locator(".readout.idle")).to_be_visible()
    changed(plane, learned)
    bar(whole).press("ArrowLeft")
    expect(whole.locator(".label")).to_have_text("step 30")
    expect(badge).not_to_be_visible()  # it belongs to the other frame
    bar(whole).press("ArrowRight")
    expect(badge).to_be_visible()
    whole.get_by_role("button", name="Back to what was learned").click()
    expect(badge).not_to_be_visible()
    whole.mouse.move(3, 3)
    same(plane, learned)
    whole.get_by_role("combobox").select_option("bias")
    whole.get_by_role("slider", name="Its value").press("ArrowRight")
    expect(badge).to_be_visible()


def test_frames_that_come_in_live_take_nothing_away(visit):
    page = visit("live=1")
    expect(page.locator(".unit")).to_have_count(2 + 16 + 4 + 3)
    expect(page.get_by_text("16 of 20")).to_be_visible()
    page.locator(".plane").evaluate("node => { node.mark = 1 }")
    unit = page.locator(".unit").nth(2 + 16 + 1)
    unit.click()
    point(page, 0.4, 0.4)
    for count in range(1, 11):  # while the fragment runs again and again
        page.mouse.click(*where(page, 0.05 * count, 0.1))
    put_down(page, 10)
    before = page.locator(".label").inner_text()
    expect(page.locator(".label")).not_to_have_text(before)
    expect(unit).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".readout")).to_contain_text("hidden 2, unit 2 is")  # the pointer is where it was
    assert page.locator(".plane").evaluate("node => node.mark") == 1
    expect(python(page)).to_have_text(re.compile("frame 24 of 25, 10 put down"))  # the end stayed the end
    expect(page.locator(".label")).to_have_text("step 240")
    weights = network("none", "tanh", (20, 4), seed=24)[1][0].weight
    largest = sorted(weights.norm(dim=0).topk(16).indices.tolist())
    told = page.locator(".unit canvas").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert [one.split(":")[0] for one in told[2:18]] == [f"Hidden 1, unit {unit + 1}" for unit in largest]


def test_a_bar_that_was_moved_stays_while_frames_come_in(visit):
    page = visit("live=1")
    expect(python(page)).to_have_text(re.compile(r"of ([4-9]|1\d),"))  # of two frames the second would be the end
    bar(page).press("Home")
    bar(page).press("ArrowRight")
    expect(python(page)).to_contain_text("frame 1 of")
    expect(python(page)).to_contain_text(re.compile(r"frame 1 of (1[5-9]|2\d)"))
    expect(page.locator(".label")).to_have_text("step 10")


def where(page, x: float, y: float) -> tuple[float, float]:
    box = page.locator(".plane").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page, *ways: tuple[float, float]) -> None:
    page.mouse.move(*where(page, *ways[0]))
    page.mouse.down()
    for way in ways[1:]:
        page.mouse.move(*where(page, *way), steps=6)
    page.mouse.up()


def test_ten_fast_clicks_are_ten_points(alone):
    for count in range(10):
        alone.mouse.click(*where(alone, 0.05 + 0.1 * count, 0.25))
    put_down(alone, 10)
    expect(alone.get_by_text("Put down: a 10 · b 0")).to_be_visible()
    expect(python(alone)).to_contain_text(re.compile(r": -1\.80 1\.00 0, -1\.40 1\.00 0, .* 1\.80 1\.00 0$"))


def test_points_are_sprayed_rubbed_out_and_taken_back(alone):
    side = alone.locator(".plane").bounding_box()["width"]
    drag(alone, (0.1, 0.5), (0.7, 0.5))
    sprayed = 1 + int(0.6 * side / 8)  # one each 8 pixels
    put_down(alone, sprayed)
    alone.get_by_role("radio", name="b", exact=True).check()
    alone.mouse.click(*where(alone, 0.5, 0.1))
    put_down(alone, sprayed + 1)
    expect(alone.get_by_text(f"Put down: a {sprayed} · b 1")).to_be_visible()
    alone.get_by_role("radio", name="Rub out").check()
    drag(alone, (0.05, 0.5), (0.75, 0.5))
    put_down(alone, 1)
    alone.get_by_role("button", name="Undo").click()
    put_down(alone, sprayed + 1)
    alone.get_by_role("button", name="Clear").click()
    put_down(alone, 0)
    alone.locator(".plane").press("Control+z")
    put_down(alone, sprayed + 1)


def test_keys_put_points_which_outlive_an_absence(alone):
    plane = alone.get_by_role("application")
    plane.press("Enter")
    for key in ("ArrowRight", "Shift+ArrowUp", "Enter"):
        alone.keyboard.press(key)
    put_down(alone, 2)
    expect(python(alone)).to_contain_text("0.00 0.00 0, 0.10 0.50 0")
    alone.get_by_text("Away", exact=True).click()
    expect(alone.locator(".plane")).to_have_count(0)
    alone.get_by_text("Away", exact=True).click()
    put_down(alone, 2)
    expect(alone.get_by_text("Put down: a 2 · b 0")).to_be_visible()


def test_a_network_that_diverged_is_said_to_have_no_numbers(visit):
    page = visit("diverged=1")
    expect(page.locator(".score")).to_contain_text("loss not a number · 0.0 % right")
    bar(page).press("Home")
    expect(page.locator(".score")).to_contain_text(re.compile(r"loss \d"))


CONTRAST = """nodes => Math.min(...nodes.map(node => {
    const pen = document.createElement("canvas").getContext("2d")
    const paint = colour => { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1) }
    const light = () => {
        const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)
            .map(part => part / 255).map(part => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    paint(getComputedStyle(document.querySelector(".stApp")).backgroundColor)
    const page = light()
    paint(getComputedStyle(node).color)
    const [low, high] = [page, light()].sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
}))"""  # of the least legible node, as the Web Content Accessibility Guidelines count it


def test_a_narrow_page_scrolls_the_network_in_its_own_box_and_a_dark_one_is_legible(visit):
    page = visit(width=390, scheme="dark")
    expect(page.locator(".unit")).to_have_count(2 + 4 * 8 + 3)
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= 390
    box = page.locator(".plane").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    inner, outer = page.locator(".net").evaluate("net => [net.scrollWidth, net.clientWidth]")
    assert inner > outer + 50
    last = page.locator(".unit").last
    last.scroll_into_view_if_needed()
    last.click()
    expect(last).to_have_attribute("aria-pressed", "true")
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth") <= 390
    for text in (".label", ".column p > *", ".readout span", ".score span", ".scales", ".editor *", ".classes span"):
        assert page.locator(text).evaluate_all(CONTRAST) > 4.5, text


def test_every_canvas_says_what_it_shows(whole):
    told = whole.locator(".playground canvas").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(told) == 2 + 2 + 4 * 8 + 3
    assert len(set(told)) == len(told)
    assert all(told)
