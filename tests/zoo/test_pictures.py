"""Pictures of any kind, as pixels."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from explorer.errors import ExplorerError
from explorer.zoo.pictures import batches, fit


def red(size=(6, 4)) -> Image.Image:
    return Image.new("RGB", size, (255, 0, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV"])
def test_a_picture_of_any_colour_mode_keeps_its_colour(mode):
    (pixels,) = batches(red().convert(mode), 3)
    assert (pixels.shape, pixels.dtype) == ((1, 3, 4, 6), torch.uint8)
    assert (pixels[0, :, 0, 0].int() - torch.tensor([255, 0, 0])).abs().max() <= 2


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I", "I;16", "F"])
def test_a_picture_of_any_grey_mode_becomes_three_equal_channels(mode):
    picture = Image.new(mode, (6, 4), {"I": 65535, "I;16": 65535, "F": 1.0, "LA": (255, 255), "1": 1}.get(mode, 255))
    (pixels,) = batches(picture, 3)
    assert pixels.shape == (1, 3, 4, 6)
    assert (pixels == 255).all()


def test_colour_becomes_grey_as_the_eye_sees_it():
    (pixels,) = batches(np.array(red()), 1)
    assert pixels.shape == (1, 1, 4, 6)
    assert (pixels == 76).all()


def test_transparency_is_put_on_white():
    picture = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert (batches(picture, 3)[0] == 255).all()
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 0])
    palette.info["transparency"] = 0
    assert (batches(palette, 3)[0] == 255).all()


def test_a_picture_is_turned_as_its_camera_says():
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    red((6, 4)).save(data, "JPEG", exif=exif)
    assert batches(Image.open(data), 3)[0].shape == (1, 3, 6, 4)


def test_arrays_keep_their_batch_and_are_copied():
    array = np.zeros((5, 8, 8, 1), np.uint8)
    array.flags.writeable = False
    (pixels,) = batches(array, 1)
    assert pixels.shape == (5, 1, 8, 8)
    assert batches(np.zeros((8, 8), np.uint8), 1)[0].shape == (1, 1, 8, 8)
    assert batches(np.zeros((0, 8, 8, 1), np.uint8), 1)[0].shape == (0, 1, 8, 8)


def test_pictures_of_different_sizes_stay_apart():
    assert [b.shape for b in batches([red((6, 4)), np.zeros((3, 3), np.uint8)], 3)] == [(1, 3, 4, 6), (1, 3, 3, 3)]


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 2), np.uint8), np.zeros(8, np.uint8), "a picture", None,
        np.zeros((0, 8, 3), np.uint8), np.zeros((1, 100, 3), np.uint8), np.zeros((1, 1, 1, 1, 3), np.uint8),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(x):
    with pytest.raises(ExplorerError, match="The picture"):
        batches(x, 3)


def test_a_huge_picture_is_refused_before_it_is_decoded(configure):
    configure(EXPLORER_IMAGE_PIXELS="1000")
    with pytest.raises(ExplorerError, match="40×30 pixels are more than 1,000"):
        batches(red((40, 30)), 3)


def test_a_large_picture_is_made_smaller_at_once():
    assert batches(Image.new("L", (4096, 1024)), 1)[0].shape == (1, 1, 512, 2048)


def test_a_cut_off_picture_is_refused():
    data = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(data, "PNG")
    with pytest.raises(ExplorerError, match="damaged"):
        batches(Image.open(io.BytesIO(data.getvalue()[:2000])), 1)


def test_fit_takes_the_middle_in_the_right_proportions():
    pixels = torch.zeros(1, 1, 4, 8, dtype=torch.uint8)
    pixels[..., 2:6] = 200  # the middle square
    assert (fit(pixels, 2, 2) == 200).all()
    assert fit(pixels, 4, 8) is pixels
    assert fit(pixels, 16, 16).shape == (1, 1, 16, 16)
    assert fit(torch.zeros(1, 3, 50, 1, dtype=torch.uint8), 8, 8).shape == (1, 3, 8, 8)
