"""What is taken away is what was shown: python -m pytest tests/attention/test_export.py"""

import io
import json
import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from explorer import data
from explorer.attention import AttentionPatterns, attend, export
from explorer.attention.base import Part, Patches
from explorer.charts.figure import Cells, Strokes, Text
from explorer.errors import ExplorerError

SVG = "{http://www.w3.org/2000/svg}"


def made(tokens=("a", "b", "c"), weights=None, causal=False, patches=None) -> AttentionPatterns:
    """Patterns of two layers with two heads, of given weights or seeded ones."""
    count = len(tokens)
    if weights is None:
        weights = np.random.default_rng(0).random((2, 2, count, count))
        weights = np.tril(weights) if causal else weights
        weights = weights / weights.sum(3, keepdims=True)
    part = Part("self", tuple(tokens), tuple(tokens), np.asarray(weights, np.float32), causal)
    return AttentionPatterns("zoo:made-up", (part,), patches=patches)


@pytest.fixture(scope="module")
def story():
    return attend("zoo:story-gpt", data.load("story", "test").texts[40], detail=True)


@pytest.fixture(scope="module")
def shapes():
    return attend("zoo:shapes-vit", data.load("shapes", "test").x[0])


def parts_of(figure, kind):
    return [part for part in figure.parts if isinstance(part, kind)]


def figures(found):
    """Every figure of a reading."""
    part = found.parts[0].name
    yield export.matrix(found, part, 1, [0])
    yield export.matrix(found, part, 1, [0, 1])
    yield export.links(found, part, 1, [0])
    yield export.links(found, part, 1, [0, 1], token=2)
    yield export.grid(found, part)
    if found.patches:
        yield export.picture(found, 1, [0])
        yield export.picture(found, 1, range(4), token=30)


def test_a_matrix_shows_each_weight_by_its_root_and_the_mean_of_several_heads():
    found = made()
    largest = found.weights.max()
    (cells, *_) = parts_of(export.matrix(found, "self", 1, [0]), Cells)
    np.testing.assert_allclose(cells.shares, np.sqrt(found.weights[1, 0] / largest), rtol=1e-6)
    (cells, *_) = parts_of(export.matrix(found, "self", 0, [0, 1]), Cells)
    np.testing.assert_allclose(cells.shares, np.sqrt(found.weights[0].mean(0) / largest), rtol=1e-6)


def test_lines_are_the_strongest_that_hold_the_mass():
    weights = np.tile(np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]]), (2, 2, 1, 1))
    found = made(weights=weights)
    for mass, count in ((0.5, 3), (0.75, 4), (0.85, 6), (1.0, 7)):  # rows: 1+1+1, 2+1+1, 3+1+2, 3+1+3
        drawn = sum(len(part.ends) for part in parts_of(export.links(found, "self", 0, [0], mass=mass), Strokes))
        assert drawn == count, mass
    drawn = parts_of(export.links(found, "self", 0, [0], token=0, mass=0.75), Strokes)
    heights = np.concatenate([part.ends for part in drawn])[:, [1, 3]]
    assert len(heights) == 2
    assert len(set(heights[:, 0])) == 1, "all from the one token"
    assert len(drawn[0].ends) == 1
    assert drawn[-1].opacity > drawn[0].opacity, "the stronger is darker, and on top"


def test_a_causal_matrix_leaves_the_future_outside_its_frame():
    frame = parts_of(export.matrix(made(causal=True), "self", 0, [0]), Strokes)[0].ends
    (cells, *_) = parts_of(export.matrix(made(causal=True), "self", 0, [0]), Cells)
    side = cells.width / 3
    corners = {(round((x - cells.x) / side), round((y - cells.y) / side)) for x, y in frame.reshape(-1, 2)}
    assert {(1, 0), (1, 1), (2, 1), (2, 2), (3, 2)} <= corners  # steps along the diagonal
    assert (3, 0) not in corners


@pytest.mark.parametrize("which", ["story", "shapes"])
def test_every_figure_is_good_svg_and_a_sharp_png(which, request):
    for figure in figures(request.getfixturevalue(which)):
        root = xml.fromstring(export.svg(figure))
        assert (float(root.get("width")), float(root.get("height"))) == (round(figure.width), round(figure.height))
        assert root.find(f"{SVG}title").text == figure.title
        written = {node.text for node in root.iter(f"{SVG}text")}
        assert {part.words for part in parts_of(figure, Text)} <= written
        for node in root.iter(f"{SVG}text"):
            if node.get("x"):
                assert 0 <= float(node.get("x")) <= figure.width
                assert 0 <= float(node.get("y")) <= figure.height
        drawn = Image.open(io.BytesIO(export.png(figure, 2)))
        assert drawn.size == (round(2 * figure.width), round(2 * figure.height))
        assert drawn.info["Title"] == figure.title
        assert np.ptp(np.asarray(drawn)) > 100


def test_the_colours_of_svg_and_png_are_alike():
    """A head that looks at one token alone: dark there, and white elsewhere, in both."""
    found = made(weights=np.tile(np.eye(3), (2, 2, 1, 1)))
    figure = export.matrix(found, "self", 0, [0])
    (cells, *_) = parts_of(figure, Cells)
    group = next(node for node in xml.fromstring(export.svg(figure)).iter(f"{SVG}g"))
    dark = group[-1]
    assert re.findall(r"M(\d) (\d)h1", dark.get("d")) == [("0", "0"), ("1", "1"), ("2", "2")]
    drawn = np.asarray(Image.open(io.BytesIO(export.png(figure, 2))))
    side = cells.width / 3
    for row in range(3):
        for column in range(3):
            x, y = (int(2 * (start + (at + 0.5) * side)) for start, at in ((cells.x, column), (cells.y, row)))
            colour = "#{:02x}{:02x}{:02x}".format(*drawn[y, x])
            assert colour == (dark.get("fill") if row == column else "#ffffff")


def test_a_patch_is_framed_and_its_attention_lies_over_the_picture():
    weights = np.zeros((2, 2, 5, 5))
    weights[..., 4] = 1  # all look at the last patch, below on the right
    patches = Patches(np.full((8, 8, 3), 128, np.uint8), 1, 2, 2)
    found = made(("class", "1·1", "1·2", "2·1", "2·2"), weights, patches=patches)
    figure = export.picture(found, 0, [1])
    seen, over = (part.pixels for part in figure.parts if hasattr(part, "pixels"))
    np.testing.assert_array_equal(seen, patches.picture)
    assert np.ptp(over[:4].astype(int), axis=2).max() == 0, "nothing there: grey"
    assert np.ptp(over[4:, 4:].astype(int), axis=2).min() > 40, "here it looks: in colour"
    with pytest.raises(ValueError, match="no picture"):
        export.picture(made(), 0, [0])


def test_json_and_npz_hold_every_weight(story):
    whole = json.loads(export.to_json(story))
    assert whole["ref"] == "zoo:story-gpt"
    (part,) = whole["parts"]
    assert tuple(part["keys"]) == story.tokens
    assert part["causal"] is True
    np.testing.assert_allclose(part["weights"], story.weights, atol=0.5e-4 + 1e-7)
    with np.load(io.BytesIO(export.npz(story))) as arrays:
        np.testing.assert_array_equal(arrays["self.weights"], story.weights)
        np.testing.assert_array_equal(arrays["self.detail.query"], story.parts[0].detail.query)
        again = np.einsum("lhqk,lhkd->lhqd", arrays["self.weights"], arrays["self.detail.value"])
        np.testing.assert_allclose(again, arrays["self.detail.output"], atol=1e-5)
        assert tuple(arrays["self.queries"]) == story.parts[0].queries


def test_a_picture_goes_along(shapes):
    patches = json.loads(export.to_json(shapes))["patches"]
    assert (patches["before"], patches["rows"], patches["columns"]) == (1, 8, 8)
    assert patches["picture"].startswith("data:image/png;base64,")
    with np.load(io.BytesIO(export.npz(shapes))) as arrays:
        np.testing.assert_array_equal(arrays["picture"], shapes.patches.picture)


def test_long_texts_show_their_first_tokens_and_say_so():
    found = made([f"t{number}" for number in range(200)])
    for figure in (export.matrix(found, "self", 0, [0]), export.links(found, "self", 0, [0])):
        words = {part.words for part in parts_of(figure, Text)}
        assert "t127" in words
        assert "t128" not in words
        assert any("200" in line for line in words)
    assert any(part.words == "t150" for part in parts_of(export.links(found, "self", 0, [0], token=150), Text))


def test_too_many_weights_are_refused_as_json():
    part = SimpleNamespace(weights=SimpleNamespace(size=export.JSON_MOST + 1))
    with pytest.raises(ExplorerError, match="NPZ"):
        export.to_json(SimpleNamespace(parts=(part,)))


def test_any_letters_may_stand_in_a_figure(story):
    odd = ("<b>", "&amp", "\x00", "\ud83d", "🦜", "שלום", "日本", "x" * 400)
    part = story.parts[0]
    keys = (*odd, *part.keys[len(odd) :])
    found = replace(story, parts=(replace(part, keys=keys, queries=keys),))
    for figure in (export.matrix(found, "self", 0, [0]), export.links(found, "self", 0, [0])):
        written = {node.text for node in xml.fromstring(export.svg(figure)).iter(f"{SVG}text")}
        assert {"<b>", "&amp", "שלום"} <= written
        assert figure.width < 1600
        export.png(figure)
    json.loads(export.to_json(found))
    export.npz(found)
