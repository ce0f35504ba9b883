"""Trajectories as pictures: python -m pytest tests/diffusion/test_frames.py"""

import numpy as np
import pytest

from explorer import zoo
from explorer.diffusion import frames, sample


@pytest.mark.parametrize("sampler", ["ddim", "euler"])
def test_the_values_can_be_read_from_the_pictures(saved, sampler):
    ref = saved("guided")
    found = sample(ref, sampler, 6, 3.0, 1)
    model = zoo.load(ref)
    for made, truth in (
        (frames.states(model, found), found.shown),
        (frames.noises(model, found), np.concatenate([found.noise, found.noise[-1:]])),
        (frames.vectors(model, found), np.concatenate([found.guidance_vector, found.guidance_vector[-1:]])),
    ):
        assert made.pictures.shape == (7, 8, 8, 1)
        limits = made.limits.reshape(-1, 1, 1, 1)
        read = (made.pictures / 127.5 - 1.0) * limits
        held = np.clip(np.moveaxis(truth[:, 0], 1, -1), -limits, limits)
        assert np.abs(read - held).max() <= limits.max() / 255 + 1e-6
    assert (np.diff(frames.states(model, found).limits) <= 1e-6).all()


def test_latents_are_unpacked_and_their_channels_lie_side_by_side(saved):
    ref = saved("prompts")
    found = sample(ref, "ddim", 3, 2.0, "a red ring", count=2)
    model = zoo.load(ref)
    height, width = model.card.shape[1:]
    assert frames.states(model, found).pictures.shape == (4, height, 2 * width + 1, 3)
    assert frames.believed(model, found).pictures.shape == (4, height, 2 * width + 1, 3)
    assert frames.noises(model, found).pictures.shape == (4, 8, 17, 1)
    channels = np.arange(4 * 6).reshape(4, 2, 3)
    np.testing.assert_array_equal(frames.mosaic(channels)[0, 2:, 3:], channels[3])


def test_samples_stand_in_rows_of_five():
    pixels = np.arange(7, dtype=np.uint8).reshape(1, 7, 1, 1, 1) * np.ones((2, 1, 2, 2, 1), np.uint8)
    sheet = frames.side_by_side(pixels)
    assert sheet.shape == (2, 5, 14, 1)
    assert (sheet[:, 3:, 3:5] == 6).all()
    assert (sheet[:, :, 2] == 128).all()


def test_large_pictures_are_decoded_one_by_one(saved, monkeypatch):
    model = zoo.load(saved("prompts"))
    x = np.random.default_rng(0).normal(size=(5, *model.x_shape)).astype(np.float32)
    whole, sizes, decode = frames.decoded(model, x), [], type(model).decode
    monkeypatch.setattr(type(model), "decode", lambda self, parts, x: sizes.append(len(x)) or decode(self, parts, x))
    monkeypatch.setattr(frames, "DECODED", 1)
    one_by_one = frames.decoded(model, x)
    assert sizes == [1] * 5
    assert np.abs(whole.astype(int) - one_by_one).max() <= 1
