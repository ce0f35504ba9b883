"""What is taken away is what was shown: python -m pytest tests/attribution/test_export.py"""

import io
import json
import re
import xml.etree.ElementTree as xml
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explorer import attribution, data
from explorer.attribution import export
from explorer.charts.theme import LIGHT


@pytest.fixture(scope="module")
def maps():
    scene = data.load("shapes", "test").x[0]
    return [attribution.attribute("zoo:shapes-resnet", scene, name) for name in ("grad_cam", "input_x_gradient")]


def with_scores(found, scores):
    return replace(found, scores=np.asarray(scores, np.float32), picture=found.picture.copy())


def test_npy_is_the_array(maps):
    np.testing.assert_array_equal(np.load(io.BytesIO(export.npy(maps[0]))), maps[0].scores)


def test_nothing_is_clear_and_evidence_has_the_colour_of_its_sign(maps):
    flat = with_scores(maps[0], np.zeros((64, 64)))
    grey = export.overlay(flat)
    assert np.ptp(grey.astype(int), axis=2).max() <= 1  # the picture, without colour
    np.testing.assert_array_equal(export.overlay(flat, opacity=0), maps[0].picture)
    ends = np.zeros((64, 64))
    ends[:, :32], ends[:, 32:] = -1, 1
    drawn = export.overlay(with_scores(maps[0], ends), opacity=1)
    assert tuple(drawn[0, 0]) == tuple(int(LIGHT.diverging[0][i : i + 2], 16) for i in (1, 3, 5))
    assert tuple(drawn[0, -1]) == tuple(int(LIGHT.diverging[-1][i : i + 2], 16) for i in (1, 3, 5))


@pytest.mark.parametrize("show", export.SHOWS)
def test_what_is_not_shown_leaves_the_picture(maps, show):
    scores = np.zeros((64, 64))
    scores[:, :32], scores[:, 32:] = -1, 1
    shown = export.overlay(with_scores(maps[0], scores), show)
    bare = export.overlay(with_scores(maps[0], np.zeros((64, 64))), show)
    left, right = (not np.array_equal(shown[:, half], bare[:, half]) for half in (slice(0, 32), slice(32, 64)))
    assert (left, right) == {"for": (False, True), "against": (True, False)}.get(show, (True, True))
    with pytest.raises(ValueError, match="not one of"):
        export.overlay(maps[0], "nonsense")


def test_a_png_is_sharp_large_and_says_how_it_was_made(maps):
    picture = Image.open(io.BytesIO(export.png(maps[0])))
    assert picture.size == (512, 512)
    pixels = np.asarray(picture)
    np.testing.assert_array_equal(pixels[::8, ::8], export.overlay(maps[0]))
    np.testing.assert_array_equal(pixels[::8, ::8], pixels[7::8, 7::8])
    about = json.loads(picture.text["attribution"])
    again = attribution.attribute(about["ref"], data.load("shapes", "test").x[0], about["method"], about["target"],
                                  layer=about["layer"], seed=about["seed"], **about["settings"])  # fmt: skip
    np.testing.assert_array_equal(again.scores, maps[0].scores)


def test_a_figure_is_well_formed_and_names_its_scale(maps):
    for shared, words in ((False, "each map on its own scale"), (True, "one scale for all maps")):
        figure = xml.fromstring(export.grid_svg(maps, shared=shared))
        texts = [node.text for node in figure.iter("{http://www.w3.org/2000/svg}text")]
        assert {"Grad-CAM", "Input × gradient"} <= set(texts)
        assert any(words in text for text in texts)
        numbers = [text for text in texts if re.fullmatch(r"-?[\d.e-]+", text)]
        assert len(numbers) == 4
        assert (numbers[1] == numbers[3]) == shared
    Image.open(io.BytesIO(export.grid_png(maps))).verify()
    assert "Grad-CAM" in export.svg(maps[0])


def test_grey_pictures_and_empty_maps_are_drawn_too():
    digit = data.load("digits", "test").x[0]
    found = attribution.attribute("zoo:digits-lenet", digit, "grad_cam")
    empty = replace(found, scores=np.zeros((8, 8), np.float32), picture=found.picture.copy())
    for one in (found, empty):
        assert export.overlay(one).shape == (8, 8, 3)
        xml.fromstring(export.svg(one))
        Image.open(io.BytesIO(export.png(one))).verify()
