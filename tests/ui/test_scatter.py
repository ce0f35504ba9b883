"""What is sent of points and pictures is near enough, small, and refuses what does not fit together."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explorer.ui.scatter import LETTERS, STEPS, Colouring, Scatter, encode, pack

RANDOM = np.random.default_rng(0)


def cloud(frames: int = 3, count: int = 50, **more) -> Scatter:
    near = RANDOM.integers(0, count, (frames, count, 12))
    made = Scatter(
        RANDOM.normal(size=(frames, count, 2)) * [7, 2] + 40, tuple(f"step {i}" for i in range(frames)),
        (Colouring("Class", np.arange(count) % 3, ("a", "b", "c")),), near, np.sort(RANDOM.uniform(1, 9, near.shape)),
    )  # fmt: skip
    return replace(made, **more)


def codes(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<u2").astype(float)


def test_places_arrive_centred_and_in_units_of_their_spread():
    shown = cloud()
    sent = json.loads(json.dumps(encode(shown)))
    places = shown.points - shown.points.mean(1, keepdims=True)
    places /= np.sqrt((places**2).sum(2).mean(1))[:, None, None]
    extent = np.abs(places).max()
    arrived = (codes(sent["points"]) / STEPS * 2 - 1) * extent
    np.testing.assert_allclose(arrived, places.reshape(-1), atol=extent / STEPS * 1.01)
    box = np.array(sent["box"]) * extent
    corners = [places[..., 0].min(), places[..., 0].max(), places[..., 1].min(), places[..., 1].max()]
    np.testing.assert_allclose(box, corners, atol=1e-3)


def test_the_ten_nearest_and_their_distances_arrive():
    shown = cloud()
    sent = encode(shown)
    assert sent["nearest"] == 10
    np.testing.assert_array_equal(codes(sent["near"]), shown.near[..., :10].reshape(-1))
    distances = codes(sent["distances"]).reshape(3, 50, 10) / STEPS * np.array(sent["limits"])[:, None, None]
    np.testing.assert_allclose(distances, shown.distances[..., :10], atol=9 / STEPS)


def test_of_many_frames_fewer_neighbours_are_sent():
    assert encode(cloud(12, 2000))["nearest"] == 4
    assert encode(cloud(1, 3, near=np.zeros((1, 3, 2), int), distances=np.ones((1, 3, 2))))["nearest"] == 2
    alone = cloud(1, 1, near=np.zeros((1, 1, 0), int), distances=np.zeros((1, 1, 0)))
    assert (encode(alone)["nearest"], encode(alone)["points"]) == (0, base64.b64encode(b"\0\x80\0\x80").decode())


def test_groups_stay_or_move_with_the_frames():
    moving = Colouring("Said", np.arange(150).reshape(3, 50) % 2, ("right", "wrong"), "verdict")
    sent = encode(cloud(colourings=(*cloud().colourings, moving)))["colourings"]
    assert [(one["kind"], one["moves"]) for one in sent] == [("classes", False), ("verdict", True)]
    np.testing.assert_array_equal(codes(sent[1]["groups"]), moving.groups.reshape(-1))


def test_texts_are_cut_and_nothing_else():
    texts = ("short", "<b>" + "x" * 400, *[""] * 48)
    sent = encode(cloud(texts=texts))["texts"]
    assert sent[0] == "short"
    assert sent[1] == texts[1][:LETTERS] + " …"


def test_small_pictures_stand_exactly_where_they_belong():
    pictures = RANDOM.integers(0, 256, (11, 8, 6, 1), np.uint8)
    made = pack(pictures)
    sheet = np.asarray(Image.open(io.BytesIO(made.sheet)))
    assert (made.kind, made.width, made.height) == ("png", 6, 8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, made.columns)
        np.testing.assert_array_equal(sheet[row * 8 : row * 8 + 8, column * 6 : column * 6 + 6], picture[..., 0])


@pytest.mark.parametrize("side", [64, 50])
def test_large_pictures_are_made_small_and_do_not_run_into_each_other(side):
    pictures = np.zeros((9, side, side, 3), np.uint8)
    colours = RANDOM.integers(0, 256, (9, 3), np.uint8)
    pictures[:] = colours[:, None, None]
    made = pack(pictures)
    sheet = np.asarray(Image.open(io.BytesIO(made.sheet))).astype(int)
    assert (made.kind, made.width, made.height) == ("jpeg", 32, 32)
    for index, colour in enumerate(colours):
        row, column = divmod(index, made.columns)
        cell = sheet[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32]
        assert np.abs(cell - colour).max() <= 4


def test_a_picture_is_the_mean_of_its_pixels():
    picture = RANDOM.integers(0, 256, (1, 32, 32, 1), np.uint8)
    made = pack(picture, side=16)
    sheet = np.asarray(Image.open(io.BytesIO(made.sheet)))
    np.testing.assert_array_equal(sheet, np.rint(picture[0, :, :, 0].reshape(16, 2, 16, 2).mean((1, 3))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": np.zeros((3, 50))},
        {"points": np.zeros((3, 50, 3))},
        {"points": np.full((3, 50, 2), np.nan)},
        {"labels": ("",)},
        {"near": np.full((3, 50, 12), 50)},
        {"near": np.zeros((3, 50, 11), int)},
        {"distances": np.full((3, 50, 12), np.inf)},
        {"notes": ("",)},
        {"texts": ("",)},
        {"colourings": (Colouring("c", np.full(50, 3), ("a", "b", "c")),)},
        {"colourings": (Colouring("c", np.zeros(49, int), ("a",)),)},
        {"colourings": (Colouring("c", np.zeros(50), ("a",)),)},
        {"colourings": (Colouring("c", np.full(50, 256), ("low", "high"), "amount"),)},
        {"colourings": (Colouring("c", np.zeros(50, int), ("a",), "other"),)},
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    shown = cloud()
    with pytest.raises(ValueError, match=r"points|finite|neighbours|texts|groups"):
        replace(shown, **wrong)
