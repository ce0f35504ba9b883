"""Our layouts of the papers are torchvision's, number for number: python -m pytest tests/models/test_references.py"""

import pytest
import torch
from torch import nn

from explorer import models
from explorer.models.base import outline

SHAPE, CLASSES = (3, 224, 224), 1000
PAIRS = {
    "vgg11": ("vgg", {"layout": "11", "width": 64, "head": "perceptron"}),
    "vgg16": ("vgg", {"layout": "16", "width": 64, "head": "perceptron"}),
    "vgg13_bn": ("vgg", {"layout": "13", "width": 64, "head": "perceptron", "norm": "batch"}),
    "vgg19": ("vgg", {"layout": "19", "width": 64, "head": "perceptron"}),
    "resnet18": ("resnet", {"depth": 18, "width": 64, "stem": "imagenet"}),
    "resnet34": ("resnet", {"depth": 34, "width": 64, "stem": "imagenet"}),
    "resnet50": ("resnet", {"depth": 50, "width": 64, "stem": "imagenet"}),
    "densenet121": ("densenet", {"layout": "121", "growth": 32, "stem": "imagenet"}),
    "efficientnet_b0": ("efficientnet", {"layout": "b0"}),
    "efficientnet_b1": ("efficientnet", {"layout": "b1"}),
    "efficientnet_b2": ("efficientnet", {"layout": "b0", "width": 1.1, "depth": 1.2}),  # the next sizes of the paper
    "efficientnet_b3": ("efficientnet", {"layout": "b0", "width": 1.2, "depth": 1.4}),
}


def theirs(name: str) -> nn.Module:
    """A network of torchvision that takes no memory yet."""
    from torchvision.models import get_model

    with torch.device("meta"):
        return get_model(name, weights=None)


def filled(net: nn.Module, seed: int = 0) -> nn.Module:
    """With running means and variances, scales and shifts as training would leave them."""
    generator = torch.Generator().manual_seed(seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            part.bias.data.normal_(0, 0.1, generator=generator)
    return net


@pytest.mark.parametrize("name", PAIRS)
def test_every_weight_has_the_shape_of_torchvisions_in_the_same_order(name):
    family, settings = PAIRS[name]
    reference = theirs(name)
    ours = outline(family, SHAPE, CLASSES, **settings)
    assert [value.shape for value in ours.state_dict().values()] == [
        value.shape for value in reference.state_dict().values()
    ]
    assert models.count(family, SHAPE, CLASSES, **settings) == sum(weight.numel() for weight in reference.parameters())
    for one, other in zip(_norms(ours), _norms(reference), strict=True):
        assert (one.eps, one.momentum) == (other.eps, other.momentum)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121", "efficientnet_b0"])
def test_with_the_same_weights_the_answer_is_torchvisions(name):
    family, settings = PAIRS[name]
    ours = filled(models.build(family, (3, 64, 64), CLASSES, seed=1, **settings)).eval()
    reference = copied(ours, theirs(name)).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        answer = ours(x)
        assert answer.std() > 1e-3
        torch.testing.assert_close(answer, reference(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_with_the_same_weights_the_maps_of_vgg_are_torchvisions(norm):
    settings = {"layout": "11", "width": 64, "norm": norm}  # its perceptron alone would take half a gigabyte
    ours = filled(models.build("vgg", (3, 64, 64), 10, seed=1, **settings)).eval()
    reference = copied(ours.groups, theirs("vgg11_bn" if norm == "batch" else "vgg11").features).eval()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours.groups(x), reference(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("settings", [{"layout": "16"}, {"layout": "19"}])
def test_a_deep_vgg_passes_its_input_on_with_no_normalisation(settings):
    net = models.build("vgg", (3, 32, 32), 10, seed=1, **settings)
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert 0.1 < net.groups(x).std() < 10  # with PyTorch's own start it is below 0.01


def copied(ours: nn.Module, reference: nn.Module) -> nn.Module:
    """The reference with our weights, one after the other."""
    weights = zip(reference.state_dict(), ours.state_dict().values(), strict=True)
    reference.load_state_dict(dict(weights), assign=True)
    return reference


def _norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
