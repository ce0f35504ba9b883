"""Units as maps: where they lie, in which order, on which scale, and how selective they are.

OMP_NUM_THREADS=1 python -m pytest tests/activations/test_maps.py
"""

import numpy as np
import pytest

from explorer import zoo
from explorer.activations import capture, sample
from explorer.activations.base import Layer
from explorer.activations.maps import ends, maps, order, receptive, selective, selectivity, smaller, statistics
from explorer.errors import ExplorerError

DICE = np.random.default_rng(0)


def layer(*shape: int, kind: str = "ReLU") -> Layer:
    return Layer("one", kind, DICE.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "kind", "picture", "form", "size"),
    [
        ((2, 5, 6, 7), "Conv2d", (12, 14), "maps", (5, 6, 7)),
        ((1, 17, 6), "LayerNorm", (8, 8), "patches", (6, 4, 4)),
        ((1, 16, 6), "Linear", (8, 8), "patches", (6, 4, 4)),
        ((1, 6, 16), "GroupNorm", (8, 8), "patches", (6, 4, 4)),
        ((1, 9, 6), "Linear", None, "tokens", (6, 9, 1)),
        ((1, 6), "Linear", (8, 8), "vector", (6, 1, 1)),
    ],
)
def test_every_form_has_its_places(shape, kind, picture, form, size):
    given = layer(*shape, kind=kind)
    units = maps(given, picture)
    assert (units.form, units.values.shape) == (form, size)
    for unit in range(size[0]):
        for row in range(size[1]):
            for column in range(size[2]):
                assert given.output[0][units.place(unit, row, column)] == units.values[unit, row, column]


def test_what_has_no_units_is_refused():
    with pytest.raises(ExplorerError, match="has the shape"):
        maps(layer(1, 2, 3, 4, 5))
    with pytest.raises(ExplorerError, match="it gives out nothing"):
        maps(Layer("one", "Odd", None, note="it gives out nothing"))


def test_orders_are_those_of_numpy():
    units = maps(layer(1, 8, 5, 5))
    np.testing.assert_array_equal(order(units), np.arange(8))
    means = units.values.mean((1, 2))[order(units, "mean")]
    variances = units.values.var((1, 2))[order(units, "variance")]
    assert (np.diff(means) <= 0).all()
    assert (np.diff(variances) <= 0).all()
    with pytest.raises(ExplorerError, match="selectivity"):
        order(units, "selectivity")


def test_scales_end_where_they_say():
    one, other = layer(1, 3, 4, 4), layer(1, 3, 4, 4)
    other.output[0, 0, 0, 0] = -50
    units = maps(one)
    np.testing.assert_array_equal(ends(units, "local"), np.abs(one.output[0]).max((1, 2)))
    assert set(ends(units, "layer")) == {np.abs(one.output).max()}
    assert set(ends(units, "global", (one, other, Layer("none", "Odd")))) == {50}


def test_smaller_maps_are_means_of_areas():
    values = DICE.normal(size=(2, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(smaller(values, 16), values.reshape(2, 4, 2, 4, 2).mean((2, 4)), rtol=1e-5, atol=1e-6)
    assert smaller(values, 64) is values
    assert smaller(DICE.normal(size=(2, 500, 1)).astype(np.float32), 100).shape == (2, 100, 1)


def test_statistics_of_a_map():
    units = maps(layer(1, 2, 3, 4))
    units.values[1] = [[0, 0, 0, 1], [0, 7, 0, 0], [-2, 0, 0, 0]]
    found = statistics(units, 1)
    assert (found.least, found.mean, found.most, found.peak, found.zeros) == (-2, 0.5, 7, (1, 1), 0.75)


def test_selectivity_is_morcos_formula():
    means = np.array([[4.0, 1.0, 0.0], [2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.5, 1.0, 0.0]])
    found = selective(means, np.array([0, 0, 1, 2]), ("a", "b", "c"))
    rest = (1 + 0.5) / 2
    np.testing.assert_allclose(found.scores, [(3 - rest) / (3 + rest), 0, 0])
    assert found.classes[0] == 0


def test_selectivity_of_a_real_layer_is_that_of_the_captured_means():
    model = zoo.load("zoo:digits-lenet")
    fed = sample(model, 60)
    found = selectivity(model, "relu2", 60)
    output = capture(model, fed, ["relu2"])["relu2"].output.mean((2, 3))
    by_class = np.stack([output[fed.y == one].mean(0) for one in range(10)])
    best = by_class.argmax(0)
    np.testing.assert_array_equal(found.classes, best)
    for unit in range(len(best)):
        most, rest = by_class[best[unit], unit], np.delete(by_class[:, unit], best[unit]).mean()
        if most:
            assert found.scores[unit] == pytest.approx((most - rest) / (most + rest), rel=1e-4)
    with pytest.raises(ExplorerError, match="no classes"):
        selectivity("zoo:story-gpt", "transformer.wte")


def test_receptive_fields_are_those_of_the_arithmetic():
    """LeNet has 3×3 convolutions with padding 1, each followed by a 2×2 maximum; the stem 3×3 with a stride of 2."""
    lenet = zoo.load("zoo:digits-lenet")
    fed = sample(lenet, 1)
    with lenet.borrow() as net:
        assert (net.conv1.kernel_size, net.conv1.padding, net.pool1.kernel_size) == ((3, 3), (1, 1), 2)
    box = receptive(lenet, fed, "conv1", (0, 4, 4))
    assert (box.top, box.left, box.bottom, box.right) == (3, 3, 6, 6)
    box = receptive(lenet, fed, "pool1", (0, 1, 1))
    assert (box.top, box.left, box.bottom, box.right) == (1, 1, 5, 5)
    box = receptive(lenet, fed, "relu1", (0, 0, 0))
    assert (box.top, box.left, box.bottom, box.right) == (0, 0, 2, 2)
    resnet = zoo.load("zoo:shapes-resnet")
    assert receptive(resnet, sample(resnet, 1), "stem.relu", (0, 10, 5)).size == "3×3"
    assert receptive(resnet, sample(resnet, 1), "stage1.0.conv1", (0, 10, 10)).size == "7×7"
    gpt = zoo.load("zoo:story-gpt")
    assert receptive(gpt, sample(gpt, 1), "transformer.wte", (0, 0)) is None


def test_the_borrowed_tree_comes_back_untouched():
    model = zoo.load("zoo:digits-lenet")
    with model.borrow() as before:
        pass
    receptive(model, sample(model, 1), "relu2", (0, 1, 1))
    with model.borrow() as after:
        assert after is before
