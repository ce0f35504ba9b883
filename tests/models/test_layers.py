"""What the architectures share, against torch's own: python -m pytest tests/models/test_layers.py"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from explorer import models
from explorer.models.layers import (
    ACTIVATIONS,
    NORMS,
    growing,
    halved,
    make_drop_block,
    make_norm,
    make_stochastic_depth,
    make_unit_norm,
)
from explorer.params import params
from explorer.training.objectives import denoises

FUNCTIONS = {
    "relu": functional.relu,
    "leaky-relu": lambda x: functional.leaky_relu(x, 0.01),
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "mish": functional.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
RATES = ("dropout", "drop_block", "stochastic_depth")
DROPPING = [
    (name, setting)
    for name in models.fitting((3, 64, 64))
    for setting in RATES
    if setting in params(models.MODELS[name].make)
]


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_perceptron_is_linear_norm_activation_by_hand(activation, norm):
    net = models.build("mlp", (5,), 3, seed=2, width=8, depth=1, activation=activation, norm=norm, dropout=0.5).eval()
    x, layer = pictures(4, 5), net.hidden[0]
    hidden = functional.linear(x, layer.linear.weight, layer.linear.bias)
    if norm == "layer":
        hidden = functional.layer_norm(hidden, (8,))
    expected = functional.linear(FUNCTIONS[activation](hidden), net.head.weight, net.head.bias)
    torch.testing.assert_close(net(x), expected)
    assert list(dict(layer.named_children())) == [
        "linear", *(["norm"] if norm == "layer" else []), "activation", "dropout"
    ]  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
def test_a_normalisation_of_maps_is_the_mean_and_deviation_over_its_own_values(norm):
    x = 3 * pictures(4, 16, 5, 5) + 1
    over = {"batch": (0, 3, 4, 2), "layer": (1, 2, 3, 4), "group": (2, 3, 4), "instance": (3, 4)}
    made = make_norm(norm, 16)
    if norm == "none":
        assert made is None
        return
    grouped = x.unflatten(1, (8, 2)) if norm == "group" else x.unflatten(1, (16, 1))  # (N, groups, channels, H, W)
    variance, mean = torch.var_mean(grouped, over[norm], correction=0, keepdim=True)
    torch.testing.assert_close(made(x), ((grouped - mean) / (variance + 1e-5).sqrt()).flatten(1, 2))
    assert [tuple(weight.shape) for weight in made.parameters()] == [(16,), (16,)]


@pytest.mark.parametrize("norm", ["batch", "layer", "group"])
def test_a_normalisation_of_units_is_that_of_maps_of_one_cell(norm):
    x = 3 * pictures(6, 16) + 1
    torch.testing.assert_close(make_unit_norm(norm, 16)(x), make_norm(norm, 16)(x[:, :, None, None]).flatten(1))


def test_stochastic_depth_keeps_the_share_that_was_asked_for_and_the_mean():
    part = make_stochastic_depth(0.3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = part(torch.ones(20_000, 2, 1, 1))
    rows = kept[:, :, 0, 0]
    assert torch.equal(rows[:, 0], rows[:, 1]), "an example's branch is there or not as a whole"
    assert (rows[:, 0] > 0).float().mean().item() == pytest.approx(0.7, abs=0.01)  # deviation 0.003
    assert rows.mean().item() == pytest.approx(1.0, abs=0.015)
    assert torch.equal(part.eval()(torch.ones(9, 1)), torch.ones(9, 1))


def test_drop_block_drops_about_the_share_in_squares_of_three():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = make_drop_block(0.1)(torch.ones(400, 4, 16, 16)) > 0
    dropped = (~kept).float()
    # squares that overlap count once: 1 - (1 - γ)^9 of the middle's cells, γ = 0.1 · 16² / (9 · 14²)
    gamma = 0.1 * 16**2 / (9 * 14**2)
    assert dropped[:, :, 2:-2, 2:-2].mean().item() == pytest.approx(1 - (1 - gamma) ** 9, abs=0.005)
    assert dropped.mean().item() == pytest.approx(0.1, abs=0.01)
    whole = -functional.max_pool2d(-dropped, 3, 1)  # (…, 14, 14), 1 where a square of 3×3 is dropped
    squares = functional.max_pool2d(functional.pad(whole, (2, 2, 2, 2)), 3, 1)
    assert torch.equal(squares, dropped), "every dropped cell lies in a dropped square"


@pytest.mark.parametrize(("rate", "blocks"), [(0.5, 4), (0.9, 1), (0.0, 3)])
def test_later_blocks_are_skipped_more_often(rate, blocks):
    assert growing(rate, blocks) == pytest.approx([1 - (1 - (index / blocks) * rate) for index in range(1, blocks + 1)])


@pytest.mark.parametrize(
    ("name", "settings", "shares"),
    [
        ("resnet", {"depth": 14}, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ("vit", {"depth": 3}, [0.2, 0.2, 0.4, 0.4, 0.6, 0.6]),
        ("cnn-transformer", {"depth": 2}, [0.3, 0.3, 0.6, 0.6]),
        ("efficientnet", {}, [0.12, 0.36, 0.6]),  # the other two of its five blocks change the shape
    ],
)
def test_the_rates_of_a_networks_blocks_grow_with_depth(name, settings, shares):
    net = models.build(name, (3, 32, 32), 3, stochastic_depth=0.6, **settings)
    assert [part.p for part in net.modules() if type(part).__name__ == "StochasticDepth"] == pytest.approx(shares)


@pytest.mark.parametrize(("name", "setting"), DROPPING)
def test_what_is_dropped_acts_in_training_only_and_is_not_there_at_rate_0(name, setting):
    shape = (3, 64, 64)
    plain, net = (models.build(name, shape, 3, seed=3, **{setting: rate}) for rate in (0.0, 0.6))
    kind = {"dropout": "Dropout", "drop_block": "DropBlock2d", "stochastic_depth": "StochasticDepth"}[setting]
    assert not any(type(part).__name__ in (kind, "Identity") for part in plain.modules())
    assert any(type(part).__name__ == kind for part in net.modules())
    assert list(net.state_dict()) == list(plain.state_dict())
    x = pictures(2, *shape)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        once, again = net(x), net(x)
        assert not torch.allclose(once, again)
        torch.testing.assert_close(net.load_state_dict(plain.state_dict()) and net.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("name", [name for name in models.fitting((3, 64, 64)) if not denoises(name)])
def test_every_activation_is_a_module_of_its_own_and_none_writes_into_what_it_reads(name):
    net = models.build(name, (3, 64, 64), 3)
    calls: dict[nn.Module, int] = {}
    for part in net.modules():
        assert not getattr(part, "inplace", False)
        if isinstance(part, tuple(ACTIVATIONS.values())):
            part.register_forward_hook(lambda part, inputs, output: calls.update({part: calls.get(part, 0) + 1}))
            calls[part] = 0
    net(pictures(2, 3, 64, 64))
    assert calls
    assert set(calls.values()) == {1}


def test_rates_say_what_they_are_for_and_begin_at_0():
    for name, setting in DROPPING:
        param = params(models.MODELS[name].make)[setting]
        assert (param.control.group, param.default, param.control.low) == ("Regularisation", 0.0, 0.0)


def test_halvings_are_those_of_a_padded_convolution_with_a_stride():
    for side in range(1, 40):
        x = torch.zeros(1, 1, side, side)
        for times in range(1, 5):
            x = functional.conv2d(x, torch.zeros(1, 1, 3, 3), stride=2, padding=1)
            assert x.shape[-1] == halved(side, times)
