"""What every method promises on every shipped network: python -m pytest tests/attribution/test_all.py"""

import numpy as np
import pytest
import torch
from torch import nn

from explorer import models, zoo
from explorer.attribution import METHODS, attribute, explain, graph, map_layers, open_case, price, unfit
from explorer.attribution.base import FAMILIES
from explorer.errors import ExplorerError
from explorer.params import params
from tests.attribution.nets import REFS, Branching, Functional, cheap, fitting, hooks, picture_for, seeded, wrap

PAIRS = [(method, ref) for ref in REFS for method in METHODS]
FITTING = [(method, ref) for method, ref in PAIRS if unfit(zoo.load(ref), method) is None]
VARIED = [pair for pair in FITTING if pair[1] != "zoo:shapes-shortcut"]  # it is built like shapes-resnet
FEWER = {"feature_ablation"}  # superpixels that are found may be fewer than were asked for


def reads_as_a_clause(text: str) -> bool:
    return len(text) > 10 and text[0].islower() and text[-1] not in ".:, " and "None" not in text and "  " not in text


@pytest.mark.parametrize("method", METHODS)
def test_a_method_says_what_it_is(method):
    entry = METHODS[method]
    assert entry.summary[0].isupper()
    assert entry.summary.endswith(".")
    assert len(entry.summary.split()) > 5
    assert entry.facts["title"] != method
    assert entry.facts["family"] in FAMILIES
    assert "Source:" in entry.make.__doc__ or entry.facts["family"] == "no network at all"
    for param in params(entry.make).values():
        assert param.control.help.endswith(".")
        assert param.control.wrong(param.default) is None


def test_titles_are_all_different():
    titles = [entry.facts["title"] for entry in METHODS.entries()]
    assert len(set(titles)) == len(titles) == len(METHODS)


@pytest.mark.parametrize(("method", "ref"), PAIRS)
def test_a_method_fits_or_says_why_not(method, ref):
    model = zoo.load(ref)
    wrong = unfit(model, method)
    if wrong is None:
        assert explain_one(model, method).method == method
    else:
        assert reads_as_a_clause(wrong)
        with pytest.raises(ExplorerError, match="Choose another method, or another network"):
            attribute(ref, picture_for(model), method)


def explain_one(model, method, seed=0, target=2, versus=None, layer="", **settings):
    with open_case(model, picture_for(model), target, versus, layer, seed) as case:
        return explain(case, method, **(cheap(method) | settings))


@pytest.mark.parametrize(("method", "ref"), FITTING)
def test_a_map_has_the_pictures_size_and_costs_what_was_said(method, ref):
    model = zoo.load(ref)
    found = explain_one(model, method, target=None)
    assert found.scores.shape == model.card.shape[1:]
    assert found.scores.dtype == np.float32
    assert np.isfinite(found.scores).all()
    assert found.scores.std() > 0
    assert found.complete
    np.testing.assert_array_equal(found.picture, picture_for(model))
    most = price(model, method, **cheap(method))
    assert 0 < found.evaluations <= most if method in FEWER else found.evaluations == most
    predicted = int(model.predict(picture_for(model)).argmax())
    assert (found.ref, found.method, found.target, found.seed) == (ref, method, predicted, 0)
    assert bool(found.layer) == METHODS[method].facts["layer"]


@pytest.mark.parametrize("method", METHODS)
def test_the_price_of_the_defaults_is_right_too(method):
    ref = next(ref for ref in REFS if unfit(zoo.load(ref), method) is None)
    model = zoo.load(ref)
    found = attribute(ref, picture_for(model), method)
    most = price(model, method)
    assert 0 < found.evaluations <= most if method in FEWER else found.evaluations == most


@pytest.mark.parametrize(("method", "ref"), FITTING)
def test_the_seed_decides_and_nothing_else(method, ref):
    model = zoo.load(ref)
    torch.manual_seed(1)
    np.random.seed(1)
    first = explain_one(model, method, seed=3).scores
    torch.manual_seed(2)
    np.random.seed(2)
    np.testing.assert_array_equal(explain_one(model, method, seed=3).scores, first)
    other = explain_one(model, method, seed=4).scores
    assert np.array_equal(other, first) != METHODS[method].facts["random"]


@pytest.mark.parametrize(("method", "ref"), VARIED)
def test_the_class_matters_where_it_is_said_to(method, ref):
    model = zoo.load(ref)
    maps = [explain_one(model, method, target=target).scores for target in (0, 3, 8)]
    maps.append(explain_one(model, method, target=0, versus=1).scores)
    same = [np.array_equal(one, maps[0]) for one in maps[1:]]
    assert not any(same) if METHODS[method].facts["target"] else all(same)


@pytest.mark.parametrize(("method", "ref"), VARIED)
def test_the_layer_matters_where_it_is_said_to(method, ref):
    model = zoo.load(ref)
    layers = map_layers(model)
    automatic, first, middle = (
        explain_one(model, method, layer=name).scores for name in ("", layers[0].name, layers[len(layers) // 2].name)
    )
    if METHODS[method].facts["layer"]:
        assert not np.allclose(first, middle, rtol=1e-3, atol=1e-3 * np.abs(middle).max())
    else:
        close = {"rtol": 0, "atol": 1e-5 * np.abs(automatic).max()}  # gradients may add up in another order
        np.testing.assert_allclose(first, automatic, **close)
        np.testing.assert_allclose(middle, automatic, **close)


@pytest.mark.parametrize(("method", "ref"), FITTING)
def test_the_tree_goes_back_as_it_was_lent(method, ref):
    model = zoo.load(ref)
    with open_case(model, picture_for(model)) as case:
        tree, hung = case.score.net, hooks(case.score)
        explain(case, method, **cheap(method))
        assert hooks(case.score) == hung
        assert not case.x.requires_grad
        assert case.x.grad is None
        assert case.score.meter.deadline == float("inf")
    assert hooks(tree) == 0
    with model.borrow() as again:
        assert again is tree, "something was left on it"


@pytest.mark.parametrize("ref", REFS)
def test_methods_in_one_case_do_not_disturb_each_other(ref):
    model = zoo.load(ref)
    alone = {method: explain_one(model, method).scores for method in fitting(model)}
    with open_case(model, picture_for(model), 2) as case:
        for order in (list(alone), list(reversed(alone))):
            for method in order:
                np.testing.assert_array_equal(explain(case, method, **cheap(method)).scores, alone[method])


class Broken(RuntimeError):
    """Raised on purpose."""


def forward_breaks(monkeypatch, after):
    """The last layer's forward pass raises at its `after`-th call: hooks have seen half of the network by then."""
    calls, forward = [], nn.Linear.forward

    def fails(self, x):
        calls.append(1)
        if len(calls) >= after:
            raise Broken
        return forward(self, x)

    monkeypatch.setattr(nn.Linear, "forward", fails)


def backward_breaks(monkeypatch, after):
    calls, grad = [], torch.autograd.grad

    def fails(*args, **kwargs):
        calls.append(1)
        if len(calls) >= after:
            raise Broken
        return grad(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", fails)


@pytest.mark.parametrize("breaks", [forward_breaks, backward_breaks])
@pytest.mark.parametrize(("method", "ref"), VARIED)
def test_an_error_in_the_middle_leaves_nothing_behind(method, ref, breaks, monkeypatch):
    model = zoo.load(ref)
    whole = explain_one(model, method).scores
    failed = 0
    with open_case(model, picture_for(model), 2) as case:
        tree, hung = case.score.net, hooks(case.score)
        for after in (1, 2):
            with monkeypatch.context() as patch:
                breaks(patch, after)
                try:
                    explain(case, method, **cheap(method))
                except Broken:
                    failed += 1
            assert hooks(case.score) == hung
            assert not any(part.training for part in tree.modules())
            assert all(not weight.requires_grad and weight.grad is None for weight in tree.parameters())
            np.testing.assert_array_equal(explain(case, method, **cheap(method)).scores, whole)
    gradients = METHODS[method].facts["family"] in ("gradients", "class activation maps")
    looks = METHODS[method].facts["family"] != "no network at all"
    assert bool(failed) == (looks if breaks is forward_breaks else gradients)
    assert hooks(tree) == 0


def test_an_error_that_leaves_the_case_drops_the_tree(monkeypatch):
    model = zoo.load("zoo:shapes-resnet")
    with monkeypatch.context() as patch:
        forward_breaks(patch, 2)  # the first pass finds the predicted class
        trees = []
        monkeypatch.setattr(graph, "in_place_off", trees.append)  # is given the tree that was lent
        with pytest.raises(Broken):
            explain_one(model, "deeplift")
    with model.borrow() as again:
        assert again is not trees[0]
        assert hooks(again) == 0


MLP = seeded(lambda: models.build("mlp", (3, 16, 16), 3))
TANH = seeded(lambda: models.build("mlp", (3, 16, 16), 3, activation="tanh"))
GELU = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
LINEAR = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 3))


class Gated(nn.Module):
    """A squeeze-and-excitation gate: two signals are multiplied; and a pooling that is a function."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x)
        x = x * self.gate(x.mean((2, 3), keepdim=True))
        return self.head(nn.functional.max_pool2d(x, 14).flatten(1))


@pytest.mark.parametrize(
    ("net", "reasons"),
    [
        (MLP, {"grad_cam": "no layer that still knows where", "guided_grad_cam": "no layer that still knows where",
               "attention_rollout": "no attention weights", "deeplift": None, "lrp": None}),
        (TANH, {"guided_backprop": "this network has none", "deconvolution": "none", "deeplift": None}),
        (GELU, {"deeplift": "no rule for GELU", "lrp": "no rule for GELU", "guided_grad_cam": "none",
                "hirescam": None}),
        (LINEAR, {"guided_backprop": "this network has none", "deeplift": None, "lrp": None}),
        (Gated(), {"deeplift": "no rule for max_pool2d, mul", "lrp": "no rule for Sigmoid, max_pool2d, mean, mul",
                   "grad_cam": None}),
        (Branching(), {"deeplift": "no rule for a ReLU that is a function", "guided_backprop": "can't be followed",
                       "deconvolution": "can't be followed", "guided_grad_cam": "can't be followed",
                       "lrp": "depends on its input", "grad_cam": None}),
    ],
    ids=["mlp", "tanh", "gelu", "linear", "gated", "branching"],
)  # fmt: skip
def test_a_network_is_told_what_does_not_go_with_it(net, reasons):
    model = wrap(net, (3, 16, 16))
    for method in METHODS:
        wrong = unfit(model, method)
        if method in reasons:
            assert (wrong is None) if reasons[method] is None else (reasons[method] in wrong), (method, wrong)
        if wrong is None:
            assert np.isfinite(explain_one(model, method).scores).all()
        else:
            assert reads_as_a_clause(wrong)


def test_shipped_networks_are_told_too():
    vit, lenet = zoo.load("zoo:shapes-vit"), zoo.load("zoo:digits-lenet")
    assert unfit(vit, "deeplift") == "there is no rule for GELU, LayerNorm"
    assert unfit(vit, "lrp") == "there is no rule for GELU, LayerNorm, Softmax"
    assert unfit(lenet, "attention_rollout") == "it has no attention weights that can be read"
    assert [method for method in METHODS if unfit(lenet, method)] == ["attention_rollout"]
    assert [method for method in METHODS if unfit(vit, method)] == ["deeplift", "lrp"]


def test_a_network_with_functions_for_relus_is_claimed_by_all_but_rollout():
    model = wrap(seeded(Functional), (3, 8, 8))
    assert [method for method in METHODS if unfit(model, method)] == ["attention_rollout"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": 10}, "Count from 0"),
        ({"target": -1}, "Count from 0"),
        ({"target": 1, "versus": 10}, "Count from 0"),
        ({"target": 1, "versus": 1}, "same class"),
        ({"method": "nonsense"}, "none of that name"),
        ({"method": "occlusion", "window": 0.9}, "not between"),
        ({"method": "occlusion", "colour": 1}, "no setting"),
        ({"method": "saliency", "signed": 1}, "neither True nor False"),
        ({"image": np.zeros((2, 8, 8, 1), np.uint8)}, "there are 2 of them"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(arguments, words):
    image = arguments.pop("image", np.zeros((8, 8, 1), np.uint8))
    with pytest.raises(ExplorerError, match=words):
        attribute("zoo:digits-lenet", image, **arguments)


def test_a_network_of_points_is_refused():
    from explorer.zoo.card import Card
    from explorer.zoo.model import Model

    net = models.build("mlp", (2,), 2)
    card = Card("file:points", "points", "points-classification", "mlp", 1, (2,), ("a", "b"), (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ExplorerError, match="takes no pictures"), open_case(Model(card, net), np.zeros(2)):
        pass
