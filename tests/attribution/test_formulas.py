"""Every method against its paper's formula, worked out by hand: python -m pytest tests/attribution/test_formulas.py"""

import copy

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn

from explorer import models, zoo
from explorer.attribution import METHODS, explain, map_layer, open_case, unfit
from explorer.attribution.explain import flat
from explorer.attribution.methods import lrp
from tests.attribution.nets import (
    Added,
    Functional,
    PreActivation,
    Residual,
    cheap,
    fitting,
    overlapping,
    picture,
    picture_for,
    seeded,
    wrap,
)  # fmt: skip


class Averaged(nn.Module):
    """Convolution → ReLU → mean → linear: dY/dA is the same in every cell."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(2, 5, 3, padding=1), nn.ReLU()
        self.pool, self.flatten, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)

    def forward(self, x):
        return self.head(self.flatten(self.pool(self.relu(self.conv(x)))))


class Flattened(nn.Module):
    """Convolution → ReLU → linear on all cells: dY/dA is another in each."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.flatten = nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Flatten()
        self.head = nn.Linear(5 * 6 * 6, 4)

    def forward(self, x):
        return self.head(self.flatten(self.relu(self.conv(x))))


def activations(net, model, image):
    """What the ReLU gives, (K, h, w), in NumPy: a convolution as a sum over shifted pictures."""
    x = model.preprocess(image)[0].numpy()
    weight, bias = net.conv.weight.numpy(), net.conv.bias.numpy()
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    height, width = x.shape[1:]
    total = np.tile(bias[:, None, None], (1, height, width)).astype(np.float64)
    for down in range(3):
        for over in range(3):
            total += np.einsum(
                "kc,chw->khw", weight[:, :, down, over], padded[:, down : down + height, over : over + width]
            )
    return total.clip(min=0)


def slopes(net, target, versus=None):
    """dY/dA, (K, h, w), in closed form."""
    weight = net.head.weight.numpy()
    row = weight[target] - (0 if versus is None else weight[versus])
    return np.tile(row[:, None, None] / 36, (1, 6, 6)) if len(row) == 5 else row.reshape(5, 6, 6)


def grad_cam(maps, slope):
    weights = slope.mean((1, 2))  # equation 1
    return np.einsum("k,khw->hw", weights, maps)  # equation 2


def hirescam(maps, slope):
    return (slope * maps).sum(0)


def grad_cam_plus_plus(maps, slope):
    below = 2 * slope**2 + maps.sum((1, 2), keepdims=True) * slope**3
    alpha = np.divide(slope**2, below, out=np.zeros_like(below), where=below != 0)  # equation 19
    weights = (alpha * slope.clip(min=0)).sum((1, 2))  # equation 5
    return np.einsum("k,khw->hw", weights, maps)


FORMULAS = {"grad_cam": grad_cam, "hirescam": hirescam, "grad_cam_plus_plus": grad_cam_plus_plus}


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("versus", [None, 0])
@pytest.mark.parametrize("make", [Averaged, Flattened])
@pytest.mark.parametrize("method", FORMULAS)
def test_a_class_activation_map_is_its_papers_formula(method, make, versus, relu):
    net = seeded(make)
    model, image = wrap(net, (2, 6, 6), 4), np.dstack([picture(6, 6, 1, seed) for seed in (1, 2)])
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    model.preprocess = lambda given: (x.float() / 255 - 0.5) / 0.25  # two channels: no picture has them
    model.predict = lambda given: np.eye(4)[:1]
    expected = FORMULAS[method](activations(net, model, image), slopes(net, 2, versus))
    assert expected.min() < 0 or method == "grad_cam_plus_plus"
    assert expected.std() > 0
    with open_case(model, image, 2, versus, "relu") as case:
        found = explain(case, method, relu=relu).scores
    np.testing.assert_allclose(found, expected.clip(min=0) if relu else expected, rtol=1e-4, atol=1e-5)


def test_the_three_differ_where_the_gradient_does():
    """On a mean they agree up to a factor, on flattened cells they don't: so the tests above tell them apart."""
    for make, alike in ((Averaged, True), (Flattened, False)):
        model = wrap(seeded(make), (2, 6, 6), 4)
        x = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
        model.preprocess, model.predict = lambda given, x=x: x, lambda given: np.eye(4)[:1]
        with open_case(model, None, 2, None, "relu") as case:
            grad, high = (explain(case, method, relu=False).scores for method in ("grad_cam", "hirescam"))
        assert np.allclose(high, grad * 36 / 36, rtol=1e-4, atol=1e-6) == alike


def tiny_vit():
    return seeded(lambda: models.build("vit", (3, 16, 24), 3, patch=4, width=32, depth=2, heads=2))


@pytest.mark.parametrize("method", FORMULAS)
def test_tokens_are_put_back_on_their_grid(method):
    net = tiny_vit()
    model = wrap(net, (3, 16, 24))
    layer = map_layer(model, "blocks.1.norm1")
    assert (layer.prefix, layer.height, layer.width, layer.channels) == (1, 4, 6, 32)
    x = model.preprocess(picture_for(model))
    before, block = net.blocks[0](net.embedding(x)).detach(), net.blocks[1]
    tokens = block.norm1(before).requires_grad_()  # (1, 1 + 24, 32)
    after = before + block.attention(tokens)
    logits = net.head(net.norm(after + block.mlp(block.norm2(after)))[:, 0])
    (slope,) = torch.autograd.grad(logits[0, 1], tokens)
    maps, slope = (values[0, 1:].detach().numpy().T.reshape(32, 4, 6).astype(float) for values in (tokens, slope))
    assert np.abs(slope).max() > 1e-6
    small = torch.from_numpy(FORMULAS[method](maps, slope))[None, None]
    expected = flat(small, (16, 24))
    with open_case(model, picture_for(model), 1, None, layer.name) as case:
        found = explain(case, method, relu=False).scores
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert np.abs(small[0, 0].numpy() - small[0, 0].numpy()[::-1]).max() > 1e-3 * np.abs(expected).max()


def test_attention_rollout_is_the_product_of_the_layers():
    model = zoo.load("zoo:shapes-vit")
    image = picture_for(model)
    layers = []
    with model.borrow() as net, torch.no_grad():
        handles = [
            block.attention.softmax.register_forward_hook(lambda part, inputs, output: layers.append(output[0].numpy()))
            for block in net.blocks
        ]
        net(model.preprocess(image))
        for handle in handles:
            handle.remove()
    assert [layer.shape for layer in layers] == [(4, 65, 65)] * 4
    for heads, join in (("mean", np.mean), ("max", np.max), ("min", np.min)):
        flow = np.eye(65)
        for layer in layers:
            joined = join(layer, axis=0) + np.eye(65)
            flow = joined / joined.sum(-1, keepdims=True) @ flow
        with open_case(model, image, 0) as case:
            found = explain(case, "attention_rollout", heads=heads)
        expected = flat(torch.from_numpy(flow[0, 1:].reshape(1, 1, 8, 8)), (64, 64))
        np.testing.assert_allclose(found.scores, expected, rtol=1e-4)
        assert found.evaluations == 1
    flow = np.eye(65)
    for layer in layers:
        joined = layer.mean(0).astype(np.float64)
        joined[joined < np.quantile(joined, 0.9)] = 0
        joined += np.eye(65)
        flow = joined / joined.sum(-1, keepdims=True) @ flow
    with open_case(model, image, 0) as case:
        found = explain(case, "attention_rollout", discard=0.9).scores
    np.testing.assert_allclose(found, flat(torch.from_numpy(flow[0, 1:].reshape(1, 1, 8, 8)), (64, 64)), rtol=1e-3)


def shipped(name):
    return lambda: zoo.load(f"zoo:{name}")


def tiny(make, shape=(3, 8, 8), **settings):
    def build():
        return wrap(seeded(lambda: make(**settings)), shape)

    return build


ADDING_UP = {
    "lenet": shipped("digits-lenet"),
    "resnet": shipped("shapes-resnet"),
    "residual additions, one ReLU used four times": tiny(Residual),
    "the same in place": tiny(Residual, inplace=True),
    "additions of what a ReLU reads": tiny(PreActivation),
    "ReLUs that are functions, one used three times": tiny(Functional),
    "overlapping pooling": tiny(overlapping, (3, 18, 18), padding=0, ceil=False),
    "overlapping pooling over the edge": tiny(overlapping, (3, 18, 18), padding=1, ceil=True),
}


@pytest.mark.parametrize("make", ADDING_UP.values(), ids=ADDING_UP)
@pytest.mark.parametrize(("method", "settings", "near"), [
    ("deeplift", {}, 1e-4), ("deeplift", {"baseline": "white"}, 1e-4), ("deeplift", {"baseline": "blurred"}, 1e-3),
    ("integrated_gradients", {"steps": 100}, 0.02),
])  # fmt: skip
def test_the_parts_add_up_to_the_change_of_the_score(method, settings, near, make):
    model = make()
    with open_case(model, picture_for(model), 2) as case:
        found = explain(case, method, **settings)
        with torch.no_grad():
            scores = [float(case.score(x)) for x in (case.x, case.baseline(found.settings["baseline"]))]
        change = scores[0] - scores[1]
    size = max(abs(change), 0.05 * float(np.abs(found.scores).sum()))
    assert abs(change) > 1e-4
    assert found.scores.sum(dtype=float) == pytest.approx(change, abs=near * size)


def test_captums_own_deeplift_does_not_add_up_there():
    """Otherwise ours would be in vain: Captum's hooks hang on tensors, and its pooling drops what overlaps."""
    off = {}
    for name, make in ADDING_UP.items():
        model = make()
        x = model.preprocess(picture_for(model))
        with model.borrow() as net:
            plain = copy.deepcopy(net)
        try:
            parts = attr.DeepLift(plain).attribute(x, torch.zeros_like(x), target=2).sum()
        except RuntimeError:
            off[name] = "refused"
            continue
        change = (plain(x) - plain(torch.zeros_like(x)))[0, 2]
        off[name] = abs(float((parts - change).detach())) / abs(float(change.detach()))
    assert off["resnet"] < 1e-4
    assert off["lenet"] > 0.01
    assert off["additions of what a ReLU reads"] > 0.01
    assert off["overlapping pooling over the edge"] > 0.01
    assert off["residual additions, one ReLU used four times"] == "refused"


PROPAGATING = {
    "plain": tiny(lambda: nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                                        nn.Linear(54, 3, bias=False))),
    "residual": tiny(Residual, bias=False),
    "residual in place": tiny(Residual, bias=False, inplace=True),
    "pre-activation": tiny(PreActivation, bias=False),
    "functions, and layers used several times": tiny(Functional, bias=False),
    "an addition": tiny(Added),
}  # fmt: skip


@pytest.mark.parametrize("make", PROPAGATING.values(), ids=PROPAGATING)
def test_without_biases_relevance_is_input_times_gradient_and_adds_up_to_the_score(make):
    model = make()
    with open_case(model, picture_for(model), 2) as case:
        relevance, product = (explain(case, method).scores for method in ("lrp", "input_x_gradient"))
        score = explain(case, "saliency").score
    largest = np.abs(product).max()
    np.testing.assert_allclose(relevance, product, rtol=0, atol=2e-4 * largest)
    assert relevance.sum() == pytest.approx(score, rel=1e-3)
    assert abs(score) > 1e-3


def test_captums_own_relevance_is_lost_at_additions():
    """Otherwise the rewriting would be in vain: where signals are added without a layer, Captum's does not add up."""
    net = seeded(Added)
    model = wrap(net, (3, 8, 8))
    x = model.preprocess(picture_for(model))
    with torch.no_grad():
        score = float(net(x)[0, 2])
    lost = abs(float(attr.LRP(copy.deepcopy(net)).attribute(x, target=2).sum().detach()) - score)
    assert lost > 0.5 * abs(score)
    with open_case(model, picture_for(model), 2) as case:
        assert explain(case, "lrp").scores.sum() == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("rule", lrp.RULES)
def test_no_weight_changes_for_relevance(rule):
    model = zoo.load("zoo:shapes-resnet")
    with model.borrow() as net:
        before = {name: value.clone() for name, value in net.state_dict().items()}
    with open_case(model, picture_for(model), 2) as case:
        explain(case, "lrp", rule=rule)
    with model.borrow() as net:
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


LINEAR = {  # a method in which two classes' maps subtract, and the settings with which they do
    "saliency": {"signed": True},
    "input_x_gradient": {},
    "integrated_gradients": {},
    "gradient_shap": {},
    "occlusion": {},
    "feature_ablation": {},
    "kernel_shap": {},
    "grad_cam": {"relu": False},
    "hirescam": {"relu": False},
    "deeplift": {},
}


@pytest.mark.parametrize("ref", ["zoo:digits-lenet", "zoo:shapes-resnet"])
@pytest.mark.parametrize("method", LINEAR)
def test_the_map_of_a_difference_is_the_difference_of_the_maps(method, ref):
    model = zoo.load(ref)
    settings = cheap(method) | LINEAR[method]
    maps = []
    for target, versus in ((3, None), (5, None), (3, 5)):
        with open_case(model, picture_for(model), target, versus, seed=7) as case:
            maps.append(explain(case, method, **settings))
    one, other, both = (found.scores for found in maps)
    np.testing.assert_allclose(both, one - other, rtol=0, atol=1e-3 * np.abs(both).max())
    assert maps[2].score == pytest.approx(maps[0].score - maps[1].score, abs=1e-4)
    assert not np.allclose(both, one, atol=0.1 * np.abs(both).max())


def test_methods_that_bend_the_score_are_not_among_those():
    model = zoo.load("zoo:shapes-resnet")
    assert set(fitting(model)) - set(LINEAR) == {
        "deconvolution", "grad_cam_plus_plus", "guided_backprop", "guided_grad_cam", "lime", "lrp", "random",
        "smoothgrad", "sobel",
    }  # fmt: skip


def edges(grey):
    """The size of the Sobel gradient, (H, W), in NumPy; the edge is repeated."""
    padded = np.pad(grey, 1, mode="edge")
    height, width = grey.shape
    part = {(down, over): padded[1 + down : 1 + down + height, 1 + over : 1 + over + width]
            for down in (-1, 0, 1) for over in (-1, 0, 1)}  # fmt: skip
    across = sum((2 if down == 0 else 1) * (part[down, 1] - part[down, -1]) for down in (-1, 0, 1))
    along = sum((2 if over == 0 else 1) * (part[1, over] - part[-1, over]) for over in (-1, 0, 1))
    return np.hypot(across, along)


def test_edges_are_sobels():
    model = zoo.load("zoo:shapes-resnet")
    grey = model.preprocess(picture_for(model))[0].mean(0).numpy()
    with open_case(model, picture_for(model)) as case:
        np.testing.assert_allclose(explain(case, "sobel").scores, edges(grey), rtol=1e-4, atol=1e-5)


def test_guided_methods_change_only_the_relus_own_gradient():
    """By hand: y = relu(h) + h with h = w·x, where the addition reads what the ReLU reads."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.flatten, self.head = nn.ReLU(), nn.Flatten(), nn.Linear(4, 2, bias=False)
            self.head.weight.data = torch.tensor([[1.0, -2.0, 3.0, -4.0], [0.0, 0.0, 0.0, 0.0]])

        def forward(self, x):
            return self.head(self.flatten(self.relu(x) + x))

    model = wrap(Shared(), (1, 2, 2), 2)
    image = np.array([[255, 255], [0, 0]], np.uint8)[..., None]  # h: positive above, negative below
    with open_case(model, image, 0) as case:
        guided, deconvolved = (explain(case, method).scores for method in ("guided_backprop", "deconvolution"))
    np.testing.assert_array_equal(guided, [[1 + 1, 0 - 2], [0 + 3, 0 - 4]])
    np.testing.assert_array_equal(deconvolved, [[1 + 1, 0 - 2], [3 + 3, 0 - 4]])


def test_every_method_is_proved_somewhere():
    assert unfit(zoo.load("zoo:shapes-vit"), "attention_rollout") is None
    assert {*FORMULAS, "attention_rollout", "sobel", "random"} <= {*METHODS}
