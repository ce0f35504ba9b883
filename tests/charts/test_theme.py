"""The palettes can be read, are told apart, and are the ones the page uses."""

import tomllib
from itertools import combinations
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest
from PIL import ImageColor

from explorer.charts import theme

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text(encoding="utf-8"))
PAGES = {"light": theme.LIGHT, "dark": theme.DARK}

# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def linear(colour: str) -> np.ndarray:
    """Linear RGB, (3,), 0 to 1."""
    value = np.array(ImageColor.getrgb(colour)) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ (0.2126, 0.7152, 0.0722))


def contrast(a: str, b: str) -> float:
    """Contrast ratio of WCAG 2, 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, eyes: np.ndarray) -> np.ndarray:
    """CIELAB of what these eyes see."""
    rgb = np.clip(eyes @ linear(colour), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ rgb / (0.9505, 1, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("page", PAGES)
def test_the_page_uses_the_palettes_of_the_charts(page):
    config = CONFIG["theme"][page]
    assert tuple(config["chartCategoricalColors"]) == PAGES[page].categorical
    assert tuple(config["chartSequentialColors"]) == PAGES[page].sequential
    assert tuple(config["chartDivergingColors"]) == PAGES[page].diverging


@pytest.mark.parametrize("page", PAGES)
def test_scales_have_the_ten_colours_that_the_page_insists_on(page):
    assert len(PAGES[page].sequential) == len(PAGES[page].diverging) == 10


@pytest.mark.parametrize("page", PAGES)
def test_text_and_categories_stand_out_from_the_page(page):
    config = CONFIG["theme"][page]
    assert contrast(config["textColor"], config["backgroundColor"]) >= 7
    assert contrast(config["primaryColor"], config["backgroundColor"]) >= 3
    letters = {"light": "#FFFFFF", "dark": CONFIG["theme"]["light"]["textColor"]}[page]  # on a button, see ui/page.py
    assert contrast(config["primaryColor"], letters) >= 4.5
    for colour in PAGES[page].categorical:
        assert contrast(colour, config["backgroundColor"]) >= 2.8, colour


@pytest.mark.parametrize("colour", [theme.TRAINING, theme.VALIDATION])
def test_the_two_curves_stand_out_from_both_pages(colour):
    assert all(contrast(colour, CONFIG["theme"][page]["backgroundColor"]) >= 3 for page in PAGES)


@pytest.mark.parametrize("eyes", DEFICIENCIES)
@pytest.mark.parametrize("page", PAGES)
def test_the_first_six_categories_are_told_apart_by_all_eyes(page, eyes):
    colours = [seen(colour, DEFICIENCIES[eyes]) for colour in PAGES[page].categorical[:6]]
    assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) > 8


@pytest.mark.parametrize("page", PAGES)
def test_amounts_move_steadily_away_from_the_page(page):
    from_page = [contrast(colour, CONFIG["theme"][page]["backgroundColor"]) for colour in PAGES[page].sequential]
    assert from_page == sorted(from_page)
    assert from_page[0] < 1.25


@pytest.mark.parametrize("page", PAGES)
def test_signed_values_are_blue_below_zero_and_orange_above(page):
    colours = [linear(colour) for colour in PAGES[page].diverging]
    assert all(blue > red for red, _, blue in colours[:5])
    assert all(red > blue for red, _, blue in colours[5:])
    from_page = [contrast(colour, CONFIG["theme"][page]["backgroundColor"]) for colour in PAGES[page].diverging]
    assert from_page[:5] == sorted(from_page[:5], reverse=True)
    assert from_page[5:] == sorted(from_page[5:])
    assert max(from_page[4:6]) < 1.25


def test_a_chart_names_meanings_and_leaves_the_colours_to_the_page():
    frame = pd.DataFrame({"x": [0, 1], "v": [-1.0, 1.0]})
    cells = alt.Chart(frame).mark_rect().encode(x="x:O", color=alt.Color("v:Q", scale=theme.signed(1)))
    letters = alt.Chart(frame).mark_text().encode(x="x:O", text="v:Q", color=theme.letters("datum.v > 0.5"))
    drawn = (cells + letters).to_dict()
    assert drawn["layer"][0]["encoding"]["color"]["scale"] == {"domain": [-1, 1], "domainMid": 0, "clamp": True}
    assert drawn["layer"][1]["encoding"]["color"]["condition"]["value"] == {"expr": "background"}
    assert drawn["config"]["view"] == {"stroke": None}
    assert "range" not in drawn["config"]
