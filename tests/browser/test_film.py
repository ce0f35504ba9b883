"""Films and clouds in a real browser: played, scrubbed, read, reported. Run with `pytest -m browser`."""

from textwrap import dedent

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import changed, picture

pytestmark = pytest.mark.browser

SCRIPT = """
    import numpy as np
    import streamlit as st
    from explorer.ui.film import Equation, Reel, Track, film
    from explorer.ui.plane import Cloud, plane

    st.set_page_config(page_title="calm", layout="wide")
    seed = 1 if st.toggle("Other seed") else 0
    steps = 41 if st.toggle("More steps") else 21
    random = np.random.default_rng(seed)
    state = st.session_state

    def track(frames, title):
        clean, noise = random.integers(0, 256, (2, frames, 8, 8, 1), np.uint8)
        clean[:, 2, 5], noise[:, 2, 5] = 204, 51  # of limits 1 and 2: 0.6 and -1.2
        step = Equation("x₀", ((0.5, "x̂₀", 0), (-0.25, "ε̂", 1)), "One step.")
        reels = (Reel("predicted x₀", clean, np.ones(frames)), Reel("noise", noise, np.full(frames, 2.0), True))
        labels = tuple(f"{title} step {i}" for i in range(frames))
        bent = Equation("x₁", (), "A step that is no sum.")
        return Track(reels, labels, title, equations=(step, bent) + (step,) * (frames - 3) + (None,))

    @st.fragment
    def films():
        state.films = state.get("films", 0) + 1
        st.text(f"film at {film([track(steps, 'Long'), track(6, '<i>Short</i>')], 'film')}, drawn {state.films} times")

    @st.fragment
    def planes():
        state.planes = state.get("planes", 0) + 1
        way = np.linspace(0, 1, 11)[:, None, None] * [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0]] + [0.0, -1.0]
        groups = {"groups": np.arange(3), "names": ("a", "b", "c")}
        arrows = {"places": np.ones((4, 2)), "arrows": np.ones((11, 4, 2))}
        clouds = [
            Cloud(way, ("step",) * 11, "One", **groups, **arrows, behind=way[-1]),
            Cloud(way[::2], ("step",) * 6, "Two"),
        ]
        st.text(f"plane at {plane(clouds, 'plane', at=5)}, drawn {state.planes} times")

    films()
    planes()
"""


@pytest.fixture(scope="module")
def small(serve, tmp_path_factory) -> str:
    """The address of a page with a film of two tracks and a plane of two clouds."""
    script = tmp_path_factory.mktemp("film") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


@pytest.fixture
def film(small, open_page):
    page = open_page(small)
    expect(page.locator(".reel canvas")).to_have_count(4)
    return page


def slider(page, at: int = 0):
    return page.get_by_role("slider", name="Frame").nth(at)


def label(page, text: str) -> None:
    expect(page.locator(".label").get_by_text(text, exact=True)).to_be_visible()


def test_playing_and_scrubbing_need_no_server_and_resting_reports_the_frame(film):
    report = film.get_by_text("film at")
    expect(report).to_have_text("film at 20, drawn 1 times")
    first = film.locator(".reel canvas").first
    before = picture(first)
    height = film.locator(".film").evaluate("node => node.clientHeight")
    film.get_by_role("button", name="Play").first.click()  # from the end: from the beginning
    expect(film.get_by_role("button", name="Pause")).to_be_visible()
    film.wait_for_timeout(1000)  # longer than a rest
    assert 3 < int(slider(film).input_value()) < 20
    changed(first, before)
    assert film.locator(".film").evaluate("node => node.clientHeight") == height
    slider(film).press("Home")
    label(film, "Long step 0")
    label(film, "<i>Short</i> step 0")
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft", "ArrowLeft"):
        slider(film).press(key)
    label(film, "Long step 18")
    label(film, "<i>Short</i> step 5")  # the nearest at the same share of its way
    expect(report).to_have_text("film at 20, drawn 1 times")
    expect(report).to_have_text("film at 18, drawn 2 times")
    film.get_by_role("button", name="Back").first.click()
    expect(report).to_have_text("film at 17, drawn 3 times")
    slider(film).press(" ")  # plays to the end, and stops there
    expect(report).to_have_text("film at 20, drawn 4 times")
    label(film, "Long step 20")
    expect(film.get_by_role("button", name="Play").first).to_be_visible()


def test_new_data_keep_the_place_and_the_end_stays_the_end(film):
    report = film.get_by_text("film at")
    slider(film).press("ArrowLeft")
    expect(report).to_contain_text("film at 19")
    before = picture(film.locator(".reel canvas").first)
    film.get_by_text("Other seed").click()
    expect(report).to_contain_text("film at 19, drawn 3")
    label(film, "Long step 19")
    changed(film.locator(".reel canvas").first, before)
    slider(film).press("End")
    expect(report).to_contain_text("film at 20")
    film.get_by_text("More steps").click()
    label(film, "Long step 40")
    expect(report).to_contain_text("film at 40")


def test_a_pixel_is_read_in_every_reel_and_its_numbers_stand_in_the_equation(film):
    expect(film.get_by_text("Hover a picture")).to_be_visible()
    slider(film).press("Home")
    canvas = film.locator(".reel canvas").first
    box = canvas.bounding_box()
    canvas.click(position={"x": 5.5 / 8 * box["width"], "y": 2.5 / 8 * box["height"]})
    for at, value in enumerate(("0.60", "−1.20") * 2):
        expect(film.locator(".value > span").nth(at)).to_have_text(value)
    expect(film.locator(".sum > span").first).to_have_text("= 0.50 · x̂₀ − 0.25 · ε̂")
    expect(film.locator(".numbers > span").first).to_have_text("= 0.50 · 0.60 − 0.25 · (−1.20) = 0.60")
    expect(film.get_by_role("img", name="predicted x₀ from 0.60 to 0.60, noise from −1.20 to −1.20")).to_be_visible()
    film.mouse.move(2, 2)
    expect(film.get_by_text("Held: click again to let go.")).to_be_visible()
    slider(film).press("ArrowRight")
    expect(film.locator(".note > span").first).to_have_text("A step that is no sum.")
    for place in (".result", ".sum", ".numbers"):
        expect(film.locator(f"{place} > span").first).to_have_text("")
    slider(film).press("End")
    expect(film.locator(".note > span").first).to_have_text("This is the last frame: no step follows.")
    canvas.press("ArrowUp")
    expect(film.locator("[aria-live]").locator("visible=true").first).to_contain_text("predicted x₀, row 1, column 5")
    canvas.press("Escape")
    expect(film.get_by_text("Hover a picture")).to_be_visible()


def test_a_point_is_followed_in_every_cloud_and_held(film):
    report = film.get_by_text("plane at")
    expect(report).to_have_text("plane at 5, drawn 1 times")
    canvas, other = film.locator(".cloud canvas").all()
    film.wait_for_timeout(100)
    before = picture(canvas), picture(other)
    box = canvas.bounding_box()
    at = {"x": box["width"] / 2 + (box["width"] / 2 - 4) / 3, "y": box["height"] / 2 + (box["height"] / 2 - 4) / 3}
    canvas.hover(position=at)
    hint = film.locator(".plane .hint")
    expect(hint).to_have_text(
        "Point 0 in One: starts at (0.00, −1.00), is now at (1.00, −1.00), ends at (2.00, −1.00)."
    )
    changed(canvas, before[0])
    changed(other, before[1])
    canvas.click(position=at)
    film.mouse.move(2, 2)
    film.get_by_role("button", name="Clear 1 held").click()
    expect(hint).to_contain_text("Hover a point")
    expect(film.get_by_role("button", name="Clear")).not_to_be_visible()
    expect(film.get_by_text("A full arrow is 1.41 or longer")).to_be_visible()
    for name in ("Arrows", "Trails of 40 points", "Data"):
        before = picture(canvas), picture(other)
        film.get_by_role("checkbox", name=name).click()
        film.wait_for_timeout(100)
        changed(canvas, before[0])
    expect(report).to_have_text("plane at 5, drawn 1 times")
    slider(film, 1).press("ArrowRight")
    expect(report).to_have_text("plane at 6, drawn 2 times")


def test_it_fits_a_phone_and_a_dark_page(small, open_page):
    page = open_page(small, width=390, scheme="dark")
    expect(page.locator(".reel canvas")).to_have_count(4)
    expect(page.locator(".cloud canvas")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [canvas.bounding_box() for canvas in page.locator(".reel canvas, .cloud canvas").all()]
    assert all(box["x"] + box["width"] <= 390 for box in boxes)
    assert boxes[0]["y"] == boxes[1]["y"]  # two in a row
