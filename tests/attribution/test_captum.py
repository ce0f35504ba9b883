"""Every method against Captum, called directly: python -m pytest tests/attribution/test_captum.py"""

import copy

import numpy as np
import pytest
import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnLasso
from torch import nn

from explorer import zoo
from explorer.attribution import METHODS, explain, map_layer, map_layers, open_case
from explorer.attribution.baselines import NAMES, segments
from explorer.attribution.methods import lrp
from tests.attribution.nets import picture_for, seeded, wrap

REFS = ("zoo:digits-lenet", "zoo:shapes-resnet", "zoo:shapes-vit")
TARGET, SEED, SAMPLES, PIECES = 3, 11, 40, 12


class Direct:
    """What a reader of Captum's documentation would have: a plain network, an input, a baseline, superpixels."""

    def __init__(self, ref):
        self.model = zoo.load(ref)
        with self.model.borrow() as net:
            self.net = copy.deepcopy(net)
        picture = picture_for(self.model)
        self.x = self.model.preprocess(picture)
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.model.card.mean, self.model.card.std))
        self.black = ((0 - mean) / std).expand_as(self.x).clone()
        self.mean = torch.zeros_like(self.x)  # the mean colour is 0 to the network
        self.mask = torch.from_numpy(segments(picture, PIECES))[None, None]  # (1, 1, H, W)
        self.deviation = float(self.x.amax() - self.x.amin())

    @property
    def layer(self):
        return self.net.get_submodule(map_layer(self.model).name)

    def pieces(self, effect):
        """What a piece does, shared among its pixels."""
        sizes = torch.bincount(self.mask.flatten())[self.mask]
        return (effect / sizes)[:, :1]


def window(d, share, step):
    height, width = (max(1, round(share * side)) for side in d.x.shape[2:])
    return {
        "sliding_window_shapes": (d.x.shape[1], height, width),
        "strides": (d.x.shape[1], max(1, round(step * height)), max(1, round(step * width))),
    }


def guided_grad_cam(d):
    return attr.GuidedGradCam(d.net, d.layer).attribute(d.x, target=TARGET, interpolate_mode="bilinear")


def smoothgrad(d):
    return attr.NoiseTunnel(attr.Saliency(d.net)).attribute(
        d.x, nt_type="smoothgrad", nt_samples=SAMPLES, stdevs=0.15 * d.deviation, target=TARGET
    )


def lime(d):
    lasso = attr.Lime(d.net, SkLearnLasso(alpha=0.01))
    return d.pieces(
        lasso.attribute(d.x, d.mean, target=TARGET, feature_mask=d.mask, n_samples=SAMPLES, perturbations_per_eval=8)
    )


def kernel_shap(d):
    return d.pieces(
        attr.KernelShap(d.net).attribute(
            d.x, d.mean, target=TARGET, feature_mask=d.mask, n_samples=SAMPLES, perturbations_per_eval=8
        )
    )


EQUAL = {  # method: its settings, and the direct call
    "saliency": ({}, lambda d: attr.Saliency(d.net).attribute(d.x, target=TARGET)),
    "input_x_gradient": ({}, lambda d: attr.InputXGradient(d.net).attribute(d.x, target=TARGET)),
    "integrated_gradients": (
        {"steps": 20, "baseline": "black"},
        lambda d: attr.IntegratedGradients(d.net).attribute(d.x, d.black, target=TARGET, n_steps=20),
    ),
    "deeplift": (
        {"baseline": "black"},
        lambda d: attr.DeepLift(d.net).attribute(d.x, d.black, target=TARGET),
    ),
    "guided_backprop": ({}, lambda d: attr.GuidedBackprop(d.net).attribute(d.x, target=TARGET)),
    "deconvolution": ({}, lambda d: attr.Deconvolution(d.net).attribute(d.x, target=TARGET)),
    "guided_grad_cam": ({}, guided_grad_cam),
    "occlusion": (
        {"window": 0.25, "stride": 0.5, "baseline": "black"},
        lambda d: attr.Occlusion(d.net).attribute(d.x, baselines=d.black, target=TARGET, **window(d, 0.25, 0.5)),
    ),
    "feature_ablation": (
        {"pieces": PIECES},
        lambda d: d.pieces(attr.FeatureAblation(d.net).attribute(d.x, d.mean, target=TARGET, feature_mask=d.mask)),
    ),
    "smoothgrad": ({"samples": SAMPLES}, smoothgrad),
    "lime": ({"samples": SAMPLES, "pieces": PIECES}, lime),
    "kernel_shap": ({"samples": SAMPLES, "pieces": PIECES}, kernel_shap),
}


OTHERWISE = {
    ("deeplift", "zoo:shapes-vit"),  # there are no rules for its layers
    ("deeplift", "zoo:digits-lenet"),  # Captum's parts don't add up where a pooling follows a ReLU: test_formulas.py
    ("guided_grad_cam", "zoo:shapes-vit"),  # Captum can't read tokens as maps
}


def ours(model, method, layer="", **settings):
    with open_case(model, picture_for(model), TARGET, None, layer, SEED) as case:
        return explain(case, method, **settings).scores


def same(scores, raw, tolerance=1e-5):
    """A map (H, W) against Captum's answer (1, c, H, W), summed over channels."""
    expected = raw.detach().sum(1)[0].numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(
    ("method", "ref"), [(method, ref) for ref in REFS for method in EQUAL if (method, ref) not in OTHERWISE]
)
def test_a_method_is_captums(method, ref):
    model, direct = zoo.load(ref), Direct(ref)
    settings, call = EQUAL[method]
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        raw = call(direct)
    same(ours(model, method, **settings), raw)


def test_signed_saliency_is_the_gradient():
    direct = Direct("zoo:shapes-resnet")
    same(ours(direct.model, "saliency", signed=True), attr.Saliency(direct.net).attribute(direct.x, TARGET, abs=False))


@pytest.mark.parametrize("ref", ["zoo:digits-lenet", "zoo:shapes-resnet"])
@pytest.mark.parametrize("relu", [False, True])
def test_grad_cam_and_hirescam_are_captums_at_every_layer(ref, relu):
    direct = Direct(ref)
    names = [layer.name for layer in map_layers(direct.model)]
    for name in (*names[:: max(1, len(names) // 4)], names[-1]):
        part = direct.net.get_submodule(name)
        cam = attr.LayerGradCam(direct.net, part).attribute(direct.x, target=TARGET, relu_attributions=relu)
        product = attr.LayerGradientXActivation(direct.net, part).attribute(direct.x, target=TARGET).sum(1, True)
        for method, raw in (("grad_cam", cam), ("hirescam", product.relu() if relu else product)):
            large = attr.LayerAttribution.interpolate(raw, tuple(direct.x.shape[2:]), "bilinear")
            np.testing.assert_allclose(
                ours(direct.model, method, name, relu=relu),
                large.detach()[0, 0].numpy(),
                rtol=0,
                atol=1e-5 * float(product.abs().max()),
            )
        assert product.abs().max() > 0


def test_gradient_shap_is_captums_from_the_same_draws(monkeypatch):
    direct = Direct("zoo:shapes-resnet")
    model, samples, noise = direct.model, 24, 0.1
    scores = ours(model, "gradient_shap", samples=samples, noise=noise)
    generator = torch.Generator().manual_seed(SEED)
    which = torch.randint(len(NAMES), (samples,), generator=generator)
    share = torch.rand(samples, 1, 1, 1, generator=generator)
    spread = torch.full((samples, *direct.x.shape[1:]), noise * direct.deviation)
    drawn = torch.normal(0.0, spread, generator=generator)
    with open_case(model, picture_for(model), TARGET) as case:
        baselines = torch.cat([case.baseline(name) for name in NAMES])
    monkeypatch.setattr(np.random, "choice", lambda *args, **kwargs: which.numpy())
    monkeypatch.setattr(np.random, "uniform", lambda *args, **kwargs: share.flatten().numpy())
    monkeypatch.setattr(torch, "normal", lambda mean, deviation: drawn)
    raw = attr.GradientShap(direct.net).attribute(
        direct.x, baselines, n_samples=samples, stdevs=noise * direct.deviation, target=TARGET
    )
    same(scores, raw)


class Plain(nn.Module):
    """Convolutions, ReLUs and a pooling, each used once: Captum's LRP takes it as it is."""

    def __init__(self):
        super().__init__()
        self.conv1, self.relu1, self.pool = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2, self.relu2 = nn.Conv2d(6, 8, 3), nn.ReLU()
        self.head = nn.Linear(8 * 36, 5)

    def forward(self, x):
        x = self.pool(self.relu1(self.conv1(x)))
        return self.head(torch.flatten(self.relu2(self.conv2(x)), 1))


@pytest.mark.parametrize("rule", lrp.RULES)
def test_relevance_is_captums(rule):
    net = seeded(Plain)
    model = wrap(net, (3, 16, 16), 5)
    before = copy.deepcopy(net.state_dict())
    theirs = copy.deepcopy(net).requires_grad_(True)
    for part in theirs.modules():
        if isinstance(part, nn.Conv2d):
            part.rule = lrp.RULES[rule]()
    raw = attr.LRP(theirs).attribute(model.preprocess(picture_for(model)), target=TARGET)
    same(ours(model, "lrp", rule=rule), raw)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "a weight was changed"


def test_each_rule_of_relevance_is_another():
    model = wrap(seeded(Plain), (3, 16, 16), 5)
    maps = [ours(model, "lrp", rule=rule) for rule in lrp.RULES]
    assert len(maps) > 1
    assert not any(np.allclose(maps[0], other, rtol=1e-2) for other in maps[1:])


def test_all_that_calls_captum_is_compared_here():
    own = {"attention_rollout", "grad_cam_plus_plus", "random", "sobel"}  # see test_formulas
    here = {*EQUAL, "grad_cam", "hirescam", "gradient_shap", "lrp"}
    assert {*METHODS} == own | here
