"""Networks of every new family open up on the other pages: python -m pytest tests/models/test_inside.py"""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from explorer import activations, attention, models
from explorer.attribution.explain import explain, open_case
from explorer.source import Parts, imports, keywords
from explorer.zoo.model import Model
from tests.attribution.nets import fitting, picture_for, wrap

SHAPE = (3, 32, 32)
NETS = {
    "vgg": {"norm": "batch", "drop_block": 0.1, "dropout": 0.1},
    "densenet": {"dropout": 0.1, "activation": "elu"},
    "efficientnet": {"stochastic_depth": 0.2, "dropout": 0.1},
    "cnn-transformer": {"stochastic_depth": 0.2, "dropout": 0.1},
    "resnet": {"depth": 18, "width": 8, "stochastic_depth": 0.2, "activation": "gelu", "norm": "group"},
}


@functools.cache
def trained(name: str) -> Model:
    """A network that learned for a moment where it is bright, as an opened model."""
    net = models.build(name, SHAPE, 3, seed=1, **NETS[name])
    chance = torch.Generator().manual_seed(0)
    x, y = torch.randn(24, *SHAPE, generator=chance), torch.arange(24) % 3
    for row, which in zip(x, y, strict=True):
        row[:, 10 * which : 10 * which + 10] += 2.0
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(8):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    return wrap(net, SHAPE)


def explained(model: Model, method: str, **settings: Any) -> np.ndarray:
    with open_case(model, picture_for(model), target=1) as case:
        return explain(case, method, **settings).scores


@pytest.mark.parametrize("name", NETS)
def test_every_layer_is_captured(name):
    model = trained(name)
    found = activations.capture(model, picture_for(model)[None])
    with model.borrow() as net:
        expected = net(model.preprocess(picture_for(model))).numpy()
        names = [layer for layer, part in net.named_modules() if layer and not isinstance(part, nn.Sequential)]
    np.testing.assert_allclose(found.answer, expected, rtol=1e-4, atol=1e-5)
    assert not [layer for layer in names if layer not in found and layer not in found.left_out]
    assert sum(layer in found for layer in names) > 0.9 * len(names)


@pytest.mark.parametrize("name", NETS)
def test_grad_cam_explains_it(name):
    model = trained(name)
    assert "grad_cam" in fitting(model)
    scores = explained(model, "grad_cam", relu=False)
    assert scores.shape == SHAPE[1:]
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


@pytest.mark.parametrize(("pool", "before"), [("class token", 1), ("sequence", 0)])
def test_the_heads_of_a_convolutional_transformer_lie_on_the_picture(pool, before):
    model = wrap(models.build("cnn-transformer", SHAPE, 3, seed=1, pool=pool), SHAPE)
    found = attention.attend(model, picture_for(model))
    assert (found.patches.before, found.patches.rows, found.patches.columns) == (before, 8, 8)
    assert found.weights.shape == (2, 4, 64 + before, 64 + before)
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    assert ("attention_rollout" in fitting(model)) == bool(before)
    if before:
        assert np.ptp(explained(model, "attention_rollout")) > 0


@pytest.mark.parametrize("name", [*NETS, "vit", "mlp", "lenet"])
def test_its_source_stands_alone(name):
    settings = NETS.get(name, {"dropout": 0.2})
    net = models.build(name, SHAPE, 3, seed=1, **settings).eval()
    parts, make = Parts(), models.MODELS[name].make
    parts.add(make)
    script = "\n".join(
        [
            *imports(parts.imports | {"from __future__ import annotations"}),
            *parts.sources,
            f"net = {make.__name__}({SHAPE}, 3{keywords(settings)})",
        ]
    )
    assert "explorer" not in script
    scope: dict = {}
    with torch.random.fork_rng():
        exec(compile(script, "script.py", "exec"), scope)
    alone = scope["net"]
    alone.load_state_dict(net.state_dict())
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(alone.eval()(x), net(x))
