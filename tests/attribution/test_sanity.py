"""The network forgets, and the maps that are about it notice: python -m pytest tests/attribution/test_sanity.py"""

import numpy as np
import pytest
import torch

from explorer import attribution, data, zoo
from explorer.attribution import sanity

REF = "zoo:shapes-resnet"


@pytest.fixture(scope="module")
def found():
    scenes = data.load("shapes", "test")
    return sanity.cascade(REF, scenes.x[1], ("input_x_gradient", "guided_backprop", "sobel", "random"), steps=4)


def test_it_starts_with_the_trained_network_and_ends_with_none_of_it(found):
    assert len(found.maps) == len(found.forgotten) == len(found.similarity) == 5
    assert found.forgotten[0] == ""
    assert found.forgotten[1].startswith("head")
    assert found.forgotten[-1].endswith("stem.conv")
    direct = attribution.attribute(REF, data.load("shapes", "test").x[1], "input_x_gradient")
    np.testing.assert_allclose(found.maps[0][0].scores, direct.scores, atol=1e-6)
    assert len({row[0].target for row in found.maps}) == 1  # the class that is explained stays


def test_maps_that_know_no_network_never_notice_and_the_gradient_does(found):
    np.testing.assert_allclose(found.similarity[0], 1)
    np.testing.assert_allclose(found.similarity[:, 2:], 1)  # Sobel and random
    assert found.similarity[-1, 0] < 0.5
    assert found.similarity[1, 1] > found.similarity[1, 0]  # guided backpropagation is the slower to notice


def test_the_shared_network_forgets_nothing(found):
    model = zoo.load(REF)
    before = model.predict(data.load("shapes", "test").x[:4])
    sanity.cascade(REF, data.load("shapes", "test").x[0], ("saliency",), steps=2)
    np.testing.assert_array_equal(model.predict(data.load("shapes", "test").x[:4]), before)


def test_random_weights_keep_mean_and_deviation_and_come_from_the_generator():
    layers = [torch.nn.Linear(200, 100).requires_grad_(False) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    was = layers[0].weight.clone()
    for layer in layers:
        sanity.forget(layer, torch.Generator().manual_seed(3))
    torch.testing.assert_close(layers[0].weight, layers[1].weight)
    assert float(layers[0].weight.std() / was.std()) == pytest.approx(1, abs=0.02)
    assert abs(float(np.corrcoef(layers[0].weight.flatten(), was.flatten())[0, 1])) < 0.02
