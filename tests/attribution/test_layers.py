"""Which layer is read, and that in-place work does no harm: python -m pytest tests/attribution/test_layers.py"""

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

from explorer import models, zoo
from explorer.attribution import attribute, explain, map_layer, map_layers, open_case, unfit, why
from explorer.attribution.layers import grid
from explorer.attribution.traits import traits
from explorer.errors import ExplorerError
from tests.attribution.nets import Residual, cheap, fitting, hooks, picture, picture_for, seeded, wrap
from tests.zoo.conftest import save_tiny


@pytest.mark.parametrize(
    ("ref", "name", "size", "reason"),
    [
        ("zoo:digits-lenet", "relu2", "4×4", "the last layer before pooling, 4×4"),
        ("zoo:shapes-resnet", "stage3", "8×8", "the last layer before pooling, 8×8"),
        ("zoo:shapes-shortcut", "stage3", "8×8", "the last layer before pooling, 8×8"),
        ("zoo:shapes-vit", "blocks.3.norm1", "8×8",
         "the last patch tokens that the class token still reads, 8×8"),
    ],
)  # fmt: skip
def test_the_automatic_layer_of_a_shipped_network_and_its_reason(ref, name, size, reason):
    model = zoo.load(ref)
    assert (map_layer(model).name, map_layer(model).size) == (name, size)
    assert why(model) == reason
    assert map_layer(model) == map_layer(model, name)
    assert map_layer(model).name in [layer.name for layer in map_layers(model)]


def test_a_network_without_maps_has_no_layer():
    model = wrap(models.build("mlp", (1, 8, 8), 3), (1, 8, 8))
    assert map_layers(model) == ()
    assert map_layer(model) is None
    assert why(model) == ""
    with pytest.raises(ExplorerError, match="It has: none"):
        map_layer(model, "flatten")
    with open_case(model, picture_for(model)) as case:
        assert explain(case, "saliency").layer == ""


@functools.cache
def torchvision(name: str, side: int, classes: int = 5):
    """An architecture of torchvision with random weights, opened by hand."""
    from torchvision import models as theirs

    settings = {"image_size": side} if name.startswith("vit") else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = theirs.get_model(name, weights=None, num_classes=classes, **settings)
        for part in net.modules():
            if isinstance(part, nn.Linear):  # some start with a head of zeros, which reads nothing
                nn.init.normal_(part.weight, 0, 0.05)
    return wrap(net, (3, side, side), classes)


@pytest.mark.parametrize(
    ("name", "side", "layer", "channels", "size"),
    [
        ("resnet18", 64, "layer4", 512, "2×2"),
        ("vgg11", 64, "features.19", 512, "4×4"),
        ("densenet121", 64, "features", 1024, "2×2"),
        ("mobilenet_v3_small", 64, "features", 576, "2×2"),
        ("squeezenet1_1", 64, "classifier.2", 5, "3×3"),
        ("efficientnet_b0", 64, "features", 1280, "2×2"),
        ("convnext_tiny", 64, "features", 768, "2×2"),
        ("vit_b_32", 64, "encoder.layers.encoder_layer_11.ln_1", 768, "2×2"),
        ("swin_t", 64, "permute", 768, "2×2"),
    ],
)
def test_the_automatic_layer_of_torchvisions_architectures(name, side, layer, channels, size):
    model = torchvision(name, side)
    found = map_layer(model)
    assert (found.name, found.channels, found.size) == (layer, channels, size)
    with open_case(model, picture_for(model), 1) as case:
        scores = explain(case, "grad_cam", relu=False).scores
    assert np.isfinite(scores).all()
    assert scores.std() > 0


@pytest.mark.parametrize(("kind", "layer", "size"), [
    ("resnet", "net.resnet.encoder.stages.1", "4×4"),
    ("vit", "net.vit.layers.1.layernorm_before", "4×4"),
])  # fmt: skip
def test_networks_of_transformers(kind, layer, size, tmp_path):
    save_tiny(tmp_path / kind, kind)
    ref = f"file:{tmp_path / kind}"
    model = zoo.load(ref)
    found = map_layer(model)
    assert (found.name, found.size) == (layer, size)
    if kind == "vit":
        assert found.prefix == 1
        assert "class token" in why(model)
        assert unfit(model, "attention_rollout") is None
        rollout = attribute(ref, picture_for(model), "attention_rollout").scores
        assert (rollout > 0).all()
        assert rollout.std() > 0
    else:
        assert found.prefix is None
        assert "before pooling" in why(model)
        assert unfit(model, "deeplift") is None
        found = attribute(ref, picture_for(model), "deeplift", target=1)
        with open_case(model, picture_for(model), 1) as case, torch.no_grad():
            change = float(case.score(case.x) - case.score(case.baseline("mean colour")))
        assert found.scores.sum() == pytest.approx(change, rel=1e-3)
    for method in fitting(model):
        scores = attribute(ref, picture_for(model), method, target=1, **cheap(method)).scores
        assert scores.shape == (32, 32)
        assert scores.std() > 0, method


def test_a_picture_need_not_be_square():
    model = wrap(seeded(lambda: models.build("lenet", (1, 8, 12), 3)), (1, 8, 12))
    assert [layer.size for layer in map_layers(model)] == ["8×12", "8×12", "4×6", "4×6"]
    assert map_layer(model).name == "relu2"
    for method in fitting(model):
        with open_case(model, picture_for(model), 1) as case:
            found = explain(case, method, **cheap(method))
        assert found.scores.shape == (8, 12)
        assert found.picture.shape == (8, 12, 1)
        assert found.scores.std() > 0, method


@pytest.mark.parametrize(
    ("tokens", "shape", "found"),
    [
        (65, (64, 64), (1, 8, 8)),
        (64, (64, 64), (0, 8, 8)),
        (66, (64, 64), (2, 8, 8)),
        (69, (64, 64), (5, 8, 8)),
        (25, (16, 24), (1, 4, 6)),
        (24, (24, 16), (0, 6, 4)),
        (67, (64, 64), None),
        (2, (64, 64), None),  # a class token and one patch
        (1, (64, 64), None),
        (0, (64, 64), None),
        (17, (4, 4096), None),
    ],
)
def test_tokens_as_a_grid(tokens, shape, found):
    assert grid(tokens, shape) == found


def test_an_unknown_layer_is_refused_with_the_names():
    with pytest.raises(ExplorerError, match=r"'fc1'.*no maps of that name.*It has: conv1, relu1, conv2, relu2"):
        attribute("zoo:digits-lenet", np.zeros((8, 8), np.uint8), layer="fc1")


@pytest.mark.parametrize("method", ["grad_cam", "hirescam", "grad_cam_plus_plus", "guided_grad_cam"])
def test_any_layer_can_be_read(method):
    model = zoo.load("zoo:shapes-vit")
    maps = []
    for layer in map_layers(model)[::6]:
        with open_case(model, picture_for(model), 2, layer=layer.name) as case:
            found = explain(case, method)
        assert found.layer == layer.name
        maps.append(found.scores)
    assert not any(np.allclose(maps[0], other) for other in maps[1:])


def test_layers_that_work_in_place_are_explained_as_if_they_did_not():
    model = torchvision("resnet18", 64)
    with model.borrow() as net:
        flags = [part.inplace for part in net.modules() if hasattr(part, "inplace")]
        apart = copy.deepcopy(net)
    assert all(flags)
    for part in apart.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    other = wrap(apart, (3, 64, 64), 5)
    assert map_layer(other) == map_layer(model)
    for method in ("grad_cam", "hirescam", "saliency", "guided_backprop", "deeplift", "lrp"):
        maps = []
        for each in (model, other):
            with open_case(each, picture_for(each), 1) as case:
                maps.append(explain(case, method).scores)
                if each is model:
                    tree = case.score.net
        np.testing.assert_array_equal(maps[0], maps[1])
        assert [part.inplace for part in tree.modules() if hasattr(part, "inplace")] == flags
        with model.borrow() as again:
            assert again is tree, "something was left on it"
    shared = model._pool._module
    assert [part.inplace for part in shared.modules() if hasattr(part, "inplace")] == flags
    assert hooks(shared) == 0
    assert all(not weight.requires_grad and weight.grad is None for weight in shared.parameters())


def test_a_layer_before_work_in_place_keeps_what_it_gave():
    """`y += x` and in-place ReLUs overwrite what the layer gave; its maps are what they were."""
    net = seeded(lambda: Residual(inplace=True))
    model = wrap(net, (3, 8, 8))
    x = model.preprocess(picture_for(model))
    first = net.conv(x)
    inside = net.blocks[0].conv2(net.blocks[0].conv1(first).relu()).detach().requires_grad_()
    after = net.blocks[1]((inside + first).relu())
    (slope,) = torch.autograd.grad(net.head(net.flatten(net.pool(after)))[0, 2], inside)
    with open_case(model, picture_for(model), 2, layer="blocks.0.conv2") as case:
        found = explain(case, "hirescam", relu=False).scores
    np.testing.assert_allclose(found, (slope * inside).sum(1)[0].detach().numpy(), rtol=1e-4, atol=1e-5)


class Constant(nn.Module):
    """A forward pass that makes a tensor of its own, and one that is not of the last step's shape."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu(self.conv(x - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)))
        return self.head(self.relu(x).mean((2, 3)))


def test_following_the_calls_of_a_network_leaves_no_trace_on_it():
    for make in (Constant, Residual):
        net = seeded(make)
        model = wrap(net, (3, 8, 8))
        found = traits(model)
        assert (found.graph is None) == (make is Constant)
        names = set(dict(net.named_buffers())) | set(vars(net))
        assert not any("constant" in name for name in names)
        maps = []
        for _ in range(2):  # the second time on another tree
            with model.borrow(), open_case(model, picture_for(model), 1) as case:
                maps.append(explain(case, "guided_backprop").scores)
        np.testing.assert_array_equal(maps[0], maps[1])


class Several(nn.Module):
    """Takes a picture or a list of them, and so takes what stands in for a picture for a list."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x):
        x = self.relu(self.conv(x)) + (0 if isinstance(x, torch.Tensor) else 1)
        return self.head(x.mean((2, 3)))


def test_calls_that_were_followed_wrongly_are_not_believed():
    model = wrap(seeded(Several), (3, 8, 8))
    assert traits(model).graph is None
    assert "depends on its input" in unfit(model, "lrp")


def test_a_grey_picture_of_another_size_is_fitted_first():
    found = attribute("zoo:shapes-resnet", picture(100, 60, 1), "grad_cam")
    assert found.scores.shape == (64, 64)
    assert found.picture.shape == (64, 64, 3)
    np.testing.assert_array_equal(found.picture[..., 0], found.picture[..., 2])
