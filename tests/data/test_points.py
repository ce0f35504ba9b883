import numpy as np
import pytest

from explorer import data
from explorer.data.points import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_without_noise_the_nearest_neighbour_knows_the_class(kind):
    train, test = (data.load("points", split, kind=kind, noise=0.0) for split in ("train", "test"))
    assert (len(train), len(test)) == (1000, 500)
    nearest = ((test.x[:, None] - train.x) ** 2).sum(2).argmin(1)
    assert (train.y[nearest] == test.y).mean() > 0.97


@pytest.mark.parametrize("kind", ["spirals", "moons", "circles", "xor"])
def test_no_straight_line_divides_the_classes(kind):
    train = data.load("points", "train", kind=kind)
    design = np.c_[train.x, np.ones(len(train))]
    weights, *_ = np.linalg.lstsq(design, train.y * 2.0 - 1, rcond=None)
    assert ((design @ weights > 0) == train.y).mean() < 0.92


def test_both_classes_are_as_large_and_noise_spreads_them():
    calm, noisy = (data.load("points", "train", kind="circles", noise=noise) for noise in (0.0, 0.3))
    assert np.bincount(calm.y).tolist() == [500, 500]
    assert np.hypot(*calm.x[calm.y == 0].T).max() <= 0.5
    assert np.hypot(*noisy.x[noisy.y == 0].T).max() > 0.8
