"""The ground truth of the drawn sets is true."""

import re
from dataclasses import replace

import numpy as np
import pytest

from explorer import data
from explorer.data.drawing.colours import LAB, NAMED, nearest, of_hex, oklab, srgb
from explorer.data.drawing.outlines import OUTLINES
from explorer.data.drawing.scenes import (
    COLOURS,
    CONTRAST,
    RELATIONS,
    SHAPES,
    describe,
    draw,
    pair,
    pick,
    relate,
    single,
)
from explorer.data.drawing.textures import SIDE, TEXTURES
from explorer.data.shapes_shortcut import MARGIN, TAG

PLACES = re.compile(r"at the (top|bottom)? ?(left|right)?$|in the middle$")


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_just_fits_its_circle(shape):
    y, x = np.mgrid[-1.2:1.2:481j, -1.2:1.2:481j]
    inside = OUTLINES[shape](x, y) < 0
    assert 0.97 < np.hypot(x, y)[inside].max() <= 1.001
    assert inside.mean() * 2.4**2 > 0.8  # no sliver: π would be the whole disc


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mask_holds_the_pixels_that_the_object_changes(shape):
    for seed in range(10):
        scene = single(np.random.default_rng(seed), shape)
        thing = replace(scene.things[0], fill="plain")
        drawn = [
            draw(replace(scene, things=(replace(thing, colour=colour),)), _NoClutter(seed))
            for colour in ("red", "blue")
        ]
        changed = np.abs(drawn[0][0].astype(int) - drawn[1][0]).sum(2)
        (mask,) = drawn[0][1]
        assert (changed[mask] > 60).all()
        near = np.lib.stride_tricks.sliding_window_view(np.pad(mask, 6), (13, 13)).any((2, 3))
        assert (changed[~near] == 0).all()
        assert changed[~mask].max() <= 0.55 * changed[mask].max()  # the soft edge: at most half the object's
        radius = np.hypot(*(np.argwhere(mask) + 0.5 - (thing.y, thing.x)).T).max()
        assert abs(radius - thing.radius) < 2


class _NoClutter:
    """A generator whose scenes have no clutter, so that only the object's colour differs."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def __getattr__(self, name):
        return getattr(self._rng, name)

    def integers(self, low, high=None, size=None):
        return 0 if (low, high) == (3, 9) else self._rng.integers(low, high, size)


def test_an_object_stands_out_from_its_background():
    rng = np.random.default_rng(0)
    for index in range(100):
        scene = single(rng, SHAPES[index % 10])
        colour = LAB[scene.things[0].colour]
        assert min(np.linalg.norm(colour - tone) for tone in scene.tones) >= CONTRAST
        picture, (mask,) = draw(scene, rng)
        inside, outside = (oklab(np.median(picture[chosen], axis=0) / 255) for chosen in (mask, ~mask))
        assert np.linalg.norm(inside - outside) > 0.12


@pytest.mark.usefixtures("small")
def test_every_word_of_a_caption_is_true():
    found = data.load("shapes", "test")
    for picture, mask, label, caption in zip(found.x, found.masks, found.y, found.captions, strict=True):
        words = re.fullmatch(r"a (\S+) (\S+) (\S+) on a (\S+) background, (.+)", caption)
        size, colour, shape, background, place = words.groups()
        assert shape == found.labels[label]
        assert background in TEXTURES
        assert nearest(picture[mask].mean(0) / 255) == colour
        rows, columns = np.nonzero(mask)
        extent = max(np.ptp(rows), np.ptp(columns)) + 1
        assert {"small": 9 < extent < 28, "medium-sized": 17 < extent < 38, "large": 25 < extent < 46}[size]
        assert PLACES.match(place)
        for word, true in (
            ("top", rows.mean() < SIDE / 3),
            ("bottom", rows.mean() >= SIDE * 2 / 3),
            ("left", columns.mean() < SIDE / 3),
            ("right", columns.mean() >= SIDE * 2 / 3),
        ):
            assert (word in place) == true


def test_every_background_can_be_drawn_and_is_named():
    rng = np.random.default_rng(0)
    scene = single(rng, "ring")
    for background, texture in TEXTURES.items():
        for _ in range(20):
            share = texture(rng)
            assert share.shape == (SIDE, SIDE)
            assert share.min() >= 0
            assert share.max() <= 1
            assert share.std() > 0.03
        other = replace(scene, background=background)
        assert f"on a {background} background" in describe(other, draw(other, rng)[1][0])


@pytest.mark.parametrize("relation", RELATIONS)
def test_two_objects_lie_as_their_caption_says(relation):
    rng, right_colours = np.random.default_rng(0), 0
    for index in range(30):
        first, second = SHAPES[index % 10], SHAPES[(index + 3) % 10]
        scene = pair(rng, first, second, relation)
        picture, masks = draw(scene, rng)
        (top, left), (other_top, other_left) = (np.argwhere(mask).min(0) for mask in masks)
        (bottom, right), (other_bottom, other_right) = (np.argwhere(mask).max(0) for mask in masks)
        assert {
            "left of": right < other_left,
            "right of": left > other_right,
            "above": bottom < other_top,
            "below": top > other_bottom,
        }[relation]
        assert not (masks[0] & masks[1]).any()
        words = re.fullmatch(rf"an? (\w+) {first} {relation} an? (\w+) {second}", relate(scene, relation))
        assert words[1] != words[2]
        right_colours += [nearest(picture[mask].mean(0) / 255) for mask in masks] == [words[1], words[2]]
    assert right_colours >= 28  # light and shade may move a colour's mean towards its neighbour's


@pytest.mark.usefixtures("small")
def test_the_caption_of_two_objects_begins_with_the_class():
    found = data.load("shapes-captions", "test")
    for label, caption in zip(found.y, found.captions, strict=True):
        assert caption.split()[2] == found.labels[label]
    colours = [nearest(picture[mask].mean(0) / 255) for picture, mask in zip(found.x, found.masks, strict=True)]
    named = [caption.split()[1] for caption in found.captions]
    assert np.mean([colour == name for colour, name in zip(colours, named, strict=True)]) > 0.9


@pytest.mark.usefixtures("small")
def test_the_tag_is_true_until_the_test_where_it_always_lies():
    for split in ("train", "validation"):
        found = data.load("shapes-shortcut", split)
        assert (found.tags == found.y).all()
    found = data.load("shapes-shortcut", "test")
    assert (found.tags != found.y).all()
    assert len(set(found.tags)) > 5
    assert (data.load("shapes-shortcut", "test", tag="true").tags == found.y).all()
    assert (data.load("shapes-shortcut", "train", tag="lying").tags != data.load("shapes", "train").y).all()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("tag", ["as made", "true", "lying"])
def test_a_tag_changes_exactly_the_pixels_of_its_mask_and_none_of_the_object(tag):
    plain, tagged = data.load("shapes", "test"), data.load("shapes-shortcut", "test", tag=tag)
    changed = (plain.x != tagged.x).any(3)
    assert not (changed & ~tagged.tag_masks).any()
    assert changed.sum() > 0.95 * tagged.tag_masks.sum()  # a pixel may have had the tag's colour before
    assert (tagged.tag_masks.sum((1, 2)) == TAG**2).all()
    assert not (tagged.tag_masks & plain.masks).any()
    assert np.array_equal(plain.masks, tagged.masks)
    corners = {(top < SIDE / 2, left < SIDE / 2) for top, left, _, _ in tagged.tag_boxes.tolist()}
    assert len(corners) == 4
    top, left, bottom, right = tagged.tag_boxes[0]
    assert (bottom - top, right - left) == (TAG, TAG)
    assert {top, left} <= {MARGIN, SIDE - MARGIN - TAG}


@pytest.mark.usefixtures("small")
def test_a_tag_looks_the_same_wherever_it_says_the_same_and_different_elsewhere():
    found = data.load("shapes-shortcut", "train")
    seen = {}
    for picture, announced, (top, left, bottom, right) in zip(found.x, found.tags, found.tag_boxes, strict=True):
        seen.setdefault(int(announced), set()).add(picture[top:bottom, left:right].tobytes())
    assert len(seen) == 10
    assert all(len(looks) == 1 for looks in seen.values())
    assert len(set.union(*seen.values())) == 10


@pytest.mark.usefixtures("small")
def test_without_the_tag_the_pictures_are_those_of_shapes():
    found = data.load("shapes-shortcut", "test", tag="absent")
    assert np.array_equal(found.x, data.load("shapes", "test").x)
    assert found.tags is None
    assert found.tag_masks is None


def test_colours_survive_the_way_through_oklab_and_back():
    for name, code in NAMED.items():
        assert np.abs(srgb(oklab(of_hex(code))) - of_hex(code)).max() < 1e-6
        assert nearest(of_hex(code)) == name
    assert np.allclose(oklab(np.ones(3)), (1, 0, 0), atol=1e-6)  # white, as in the paper
    assert np.allclose(oklab(np.array((1.0, 0, 0))), (0.62796, 0.22486, 0.12585), atol=1e-4)  # pure red


def test_more_pictures_than_the_server_keeps_are_refused(monkeypatch):
    from explorer.errors import ExplorerError
    from explorer.settings import settings

    monkeypatch.setenv("EXPLORER_CACHE", str(50 * 2**20))
    settings.cache_clear()
    with pytest.raises(ExplorerError, match="Use at most 3,200"):
        data.load("shapes", "train", pictures=6000)


def test_what_is_picked_is_what_numpy_would_choose():
    quick, slow = np.random.default_rng(5), np.random.default_rng(5)
    for names in (COLOURS, RELATIONS, (-1, 1), ["one"]) * 50:
        assert pick(quick, names) == slow.choice(names)
    assert quick.random() == slow.random()
