"""What holds for every network, shipped or torchvision's: python -m pytest tests/activations/test_all.py"""

import copy

import numpy as np
import pytest

from explorer import zoo
from explorer.activations import Cut, capture, cka, feed, model_map, operate
from explorer.activations.feed import kind_of
from explorer.zoo.model import Model
from tests.activations import nets

HEAVY = 20_000_000  # parameters
NETWORKS = [*(card.ref for card in zoo.cards()), *nets.LARGE]


@pytest.fixture(params=NETWORKS)
def model(request):
    return nets.torchvision(request.param) if request.param in nets.LARGE else zoo.load(request.param)


@pytest.fixture
def given(model):
    return feed(model)


@pytest.fixture(autouse=True)
def left_as_it_was(model):
    """No hook remains, and no parameter asks for gradients."""
    with model.borrow() as before:
        pass
    yield
    with model.borrow() as net:
        assert net is before
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
        assert not any(weight.requires_grad for weight in net.parameters())


def test_the_map_is_whole(model, given):
    found = model_map(model, given, time_it=False)
    assert found.failed is None
    with model.borrow() as net:
        names = {name for name, _ in net.named_modules()}
        whole = sum(weight.numel() for weight in net.parameters())
    assert {node.module for node in found.nodes} >= {name for name in names if name}
    assert found.root.parameters == whole
    assert found.root.flops > 0
    inside = [node for node in found.nodes if node.ran and node.parent == found.root.name]
    assert 0 < sum(node.flops for node in inside) <= found.root.flops


def test_no_intervention_gives_the_same_bits_and_a_cut_another_answer(model, given):
    found = capture(model, given)
    same = operate(model, given, [])
    unmasked = kind_of(model) != "text" or model.card.task != "fill-mask"
    layers = [layer.name for layer in found if layer.output is not None and layer.output.ndim > 1
              and np.issubdtype(layer.output.dtype, np.floating) and layer.output.any()]  # fmt: skip
    layer = layers[len(layers) // 2]
    one = operate(model, given, [Cut(layer, how="scale")])  # by 1
    np.testing.assert_array_equal(one.after, one.before)
    np.testing.assert_array_equal(one.before, same.before)
    if unmasked:
        np.testing.assert_array_equal(np.ravel(same.before), np.ravel(found.answer))
    cut = operate(model, given, [Cut(layer)])
    assert not np.array_equal(cut.after, cut.before), layer


def test_cka_with_itself_is_one_on_the_diagonal(model):
    data = "shapes" if model.card.architecture == "tiny" else None
    twin = model
    if type(model) is Model and model.card.parameters < HEAVY:  # both sides are computed
        with model.borrow() as net:
            twin = type(model)(model.card, copy.deepcopy(net))
    here = cka(model, twin, data, form="full", count=5)
    assert len(here.layers_a) > 2
    np.testing.assert_allclose(np.diag(here.matrix), 1, atol=1e-5)
    np.testing.assert_allclose(here.matrix, here.matrix.T, atol=1e-6)
    assert here.matrix.min() > -1e-6
    assert here.matrix.max() < 1 + 1e-6
