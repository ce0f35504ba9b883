"""Scores are slopes of the density: python -m pytest tests/diffusion/test_field.py"""

import numpy as np
import pytest

from explorer.diffusion import sample
from explorer.diffusion.field import density, field, ideal
from explorer.errors import ExplorerError

DATA = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 0.3]
PLACES = np.random.default_rng(1).normal(size=(20, 2))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_the_ideal_score_is_the_slope_of_the_density(share):
    step = 1e-5
    slopes = [
        (density(DATA, PLACES + side, share) - density(DATA, PLACES - side, share)) / (2 * step)
        for side in step * np.eye(2)
    ]
    np.testing.assert_allclose(ideal(DATA, PLACES, share).score, np.stack(slopes, 1), rtol=1e-4, atol=1e-4)


def test_the_density_is_one_altogether():
    axis = np.linspace(-6, 6, 121)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert np.exp(density(DATA, grid, 0.6)).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_with_one_example_everything_comes_from_there():
    found = ideal(np.array([[1.0, -2.0]]), PLACES, 0.3)
    np.testing.assert_allclose(found.clean, np.tile([[1.0, -2.0]], (20, 1)))


def test_in_pure_noise_all_examples_are_alike_and_near_the_end_the_next_one_is_it():
    np.testing.assert_allclose(ideal(DATA, PLACES, 1e-8).clean, np.tile(DATA.mean(0), (20, 1)), atol=1e-2)
    near = ideal(DATA, DATA * 0.9999**0.5 + 1e-4, 0.9999).clean
    assert np.abs(near - DATA).mean() < 0.02


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_the_field_is_what_sampling_sees(saved, predicts):
    ref = saved("points", prediction_type=predicts)
    past = sample(ref, "ddim", steps=5, count=30)
    found = field(ref, past.x[2], int(past.timesteps[2]))
    np.testing.assert_allclose(found.clean, past.clean[2], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.score, -past.noise[2] / np.sqrt(1 - past.alphas_bar[2]), rtol=1e-3, atol=1e-3)


def test_pictures_and_times_that_are_none_are_refused(saved):
    with pytest.raises(ExplorerError, match="no points"):
        field(saved("free"), PLACES, 3)
    with pytest.raises(ExplorerError, match="0 to 999"):
        field(saved("points"), PLACES, 1000)
