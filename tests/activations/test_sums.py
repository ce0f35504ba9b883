"""The sum told is the network's own number: every kind of layer, alone and inside shipped networks.

OMP_NUM_THREADS=1 python -m pytest tests/activations/test_sums.py
"""

import numpy as np
import pytest
import torch
from torch import nn

import explorer  # noqa: F401
from explorer import zoo
from explorer.activations import capture, sample
from explorer.activations.sums import BENDS, bend, very_sum
from explorer.errors import ExplorerError
from explorer.zoo.card import Card
from explorer.zoo.model import Model

MAPS = (4, 9, 7)  # what a tiny network of maps is given


def tiny(part: nn.Module, shape: tuple[int, ...] = MAPS) -> Model:
    """A network of this one layer, with weights that are no accident of their beginning."""
    net = nn.Sequential()
    net.add_module("part", part)
    return opened(net, shape)


def opened(net: nn.Module, shape: tuple[int, ...]) -> Model:
    dice = torch.Generator().manual_seed(0)
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=dice) + 0.2 if tensor.ndim == 1 else (
                torch.randn(tensor.shape, generator=dice)
            )  # fmt: skip
    card = Card("test:tiny", "tiny", "image-classification", "tiny", 0, shape, ("a", "b"), (), ())
    return Model(card, net.eval(), transform=lambda x: x)


def given(model: Model, shape: tuple[int, ...] = MAPS):
    from explorer.activations.feed import Feed

    return Feed(model, {"x": torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))})


def proven(model: Model, fed, name: str = "part", count: int = 12):
    """The sums of some places equal what the layer gave out, to float32 precision."""
    output = capture(model, fed, [name])[name].output[0]
    dice, last = np.random.default_rng(0), None
    for _ in range(count):
        place = tuple(int(dice.integers(size)) for size in output.shape)
        last = very_sum(model, fed, name, place)
        size = max([1.0, *np.abs(last.steps[last.at].products)])
        assert last.captured == output[place]
        assert last.total == pytest.approx(float(output[place]), abs=2e-5 * size)
    return last


CONVOLUTIONS = {
    "plain": nn.Conv2d(4, 6, 3),
    "stride": nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
    "dilation": nn.Conv2d(4, 6, 3, dilation=2, padding=2),
    "groups": nn.Conv2d(4, 8, 3, groups=2, padding=1),
    "depthwise": nn.Conv2d(4, 4, 5, groups=4, padding=2),
    "oblong": nn.Conv2d(4, 6, (1, 4), stride=(2, 1), padding=(0, 3)),
    "same": nn.Conv2d(4, 6, 4, padding="same"),
    "reflect": nn.Conv2d(4, 6, 3, padding=2, padding_mode="reflect"),
    "circular": nn.Conv2d(4, 6, 5, padding=2, padding_mode="circular"),
    "replicate": nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="replicate"),
    "transposed": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
    "transposed groups": nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2, dilation=2, bias=False),
}
POOLS = {
    "max": nn.MaxPool2d(2),
    "max padded": nn.MaxPool2d(3, 2, 1),
    "max ceil": nn.MaxPool2d(2, ceil_mode=True),
    "max dilated": nn.MaxPool2d(2, 1, dilation=2),
    "mean": nn.AvgPool2d(2),
    "mean padded": nn.AvgPool2d(3, 2, 1),
    "mean of what is there": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "mean ceil": nn.AvgPool2d(2, 2, ceil_mode=True),
    "mean ceil padded": nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "divided": nn.AvgPool2d(2, divisor_override=3),
    "adaptive": nn.AdaptiveAvgPool2d((4, 3)),
    "adaptive max": nn.AdaptiveMaxPool2d((4, 3)),
    "global": nn.AdaptiveAvgPool2d(1),
}
NORMS = {
    "batch": nn.BatchNorm2d(4),
    "batch without weights": nn.BatchNorm2d(4, affine=False),
    "batch without memory": nn.BatchNorm2d(4, track_running_stats=False),
    "instance": nn.InstanceNorm2d(4, affine=True),
    "group": nn.GroupNorm(2, 4),
    "group alone": nn.GroupNorm(4, 4, affine=False),
    "layer": nn.LayerNorm(7),
    "layer of two axes": nn.LayerNorm((9, 7)),
    "rms": nn.RMSNorm(7),
}
BENT = {
    "relu": nn.ReLU(inplace=True), "relu6": nn.ReLU6(), "gelu": nn.GELU(), "gelu tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "softplus": nn.Softplus(), "mish": nn.Mish(),
    "hardswish": nn.Hardswish(), "hardsigmoid": nn.Hardsigmoid(), "leaky": nn.LeakyReLU(0.2), "elu": nn.ELU(0.7),
    "softmax": nn.Softmax(-1), "softmax of maps": nn.Softmax(1),
}  # fmt: skip


@pytest.mark.parametrize("part", [pytest.param(part, id=name) for group in (CONVOLUTIONS, POOLS, NORMS, BENT)
                                  for name, part in group.items()])  # fmt: skip
def test_every_kind_of_layer_of_maps(part):
    model = tiny(part)
    proven(model, given(model))


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_a_linear_layer_of_vectors_and_of_tokens(shape):
    model = tiny(nn.Linear(5, 4), shape)
    found = proven(model, given(model, shape))
    weight, bias = model_weights(model)
    np.testing.assert_array_equal(found.root.kernel[:, 0], weight[found.position[-1]])
    assert found.root.bias == bias[found.position[-1]]
    assert found.root.products.sum() + found.root.bias == pytest.approx(found.total)


def model_weights(model: Model) -> tuple[np.ndarray, np.ndarray]:
    with model.borrow() as net:
        return net.part.weight.detach().numpy(), net.part.bias.detach().numpy()


def test_gpts_turned_linear_layer():
    from transformers.pytorch_utils import Conv1D

    model = tiny(Conv1D(6, 5), (3, 5))
    proven(model, given(model, (3, 5)))


@pytest.mark.parametrize("name", sorted(BENDS))
def test_formulas_are_those_of_transformers_too(name):
    from transformers import activations

    made = getattr(activations, name, None) or getattr(nn, name, None)
    if made is None:
        pytest.skip(f"this version has no {name}")
    part = made()
    x = torch.linspace(-4, 4, 17)
    _, formula = bend(part)
    np.testing.assert_allclose([formula(float(one)) for one in x], part(x), atol=2e-5)


def test_the_window_is_where_the_patch_lies():
    model = tiny(CONVOLUTIONS["stride"])
    fed = given(model)
    found = very_sum(model, fed, "part", (3, 2, 1))
    assert found.root.window == (3, 1)
    np.testing.assert_allclose(found.root.patch, fed.inputs["x"][0, :, 3:6, 1:4], atol=1e-7)
    corner = very_sum(model, fed, "part", (3, 0, 0)).root
    assert corner.window == (-1, -1)
    assert not corner.patch[:, 0].any()
    assert not corner.patch[:, :, 0].any()


def test_it_goes_back_to_the_sum_and_on_to_what_bends_it():
    net = nn.Sequential()
    for name, part in (("conv", nn.Conv2d(4, 6, 3)), ("norm", nn.BatchNorm2d(6)), ("relu", nn.ReLU(inplace=True)),
                       ("next", nn.Conv2d(6, 2, 1))):  # fmt: skip
        net.add_module(name, part)
    model = opened(net, MAPS)
    fed = given(model)
    output = capture(model, fed).layers
    for at, name in enumerate(("conv", "norm", "relu")):
        found = very_sum(model, fed, name, (2, 3, 1))
        assert [step.layer for step in found.steps] == ["conv", "norm", "relu"]
        assert found.at == at
        for step, layer in zip(found.steps, output, strict=False):
            assert step.captured == layer.output[0, 2, 3, 1]
            assert step.value == pytest.approx(step.captured, abs=1e-4)
    assert [step.layer for step in very_sum(model, fed, "next", (0, 0, 0)).steps] == ["next"]


class Twice(nn.Module):
    """A residual block that adds, and a unit that no step explains."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU()

    def forward(self, x):
        return self.relu(self.one(x) + self.two(x))


class Odd(nn.Module):
    """A block whose answer is none of its parts' and no sum of them."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return torch.sin(self.one(x)) * x


def test_an_addition_is_found_by_its_numbers():
    model = tiny(Twice())
    found = proven(model, given(model), "part.relu")
    assert [step.kind for step in found.steps] == ["addition", "ReLU"]
    assert set(found.root.names) == {"part.one", "part.two"}


def test_what_is_no_single_step_is_refused():
    model = tiny(Odd())
    with pytest.raises(ExplorerError, match=r"does more than one step.*part\.one"):
        very_sum(model, given(model), "part", (0, 0, 0))
    with pytest.raises(ExplorerError, match="gives out"):
        very_sum(model, given(model), "part.one", (0, 0))
    with pytest.raises(ExplorerError, match="did not run"):
        very_sum(model, given(model), "nowhere", (0, 0, 0))


class Shifted(nn.Linear):
    """A linear layer that does something of its own."""

    def forward(self, x):
        return super().forward(x) + 1


def test_a_sum_that_does_not_come_out_is_refused():
    model = tiny(Shifted(5, 4), (5,))
    with pytest.raises(ExplorerError, match="something of its own"):
        very_sum(model, given(model, (5,)), "part", (0,))


def test_the_borrowed_tree_comes_back_untouched():
    model = tiny(BENT["relu"])
    with model.borrow() as before:
        pass
    very_sum(model, given(model), "part", (0, 0, 0))
    with model.borrow() as after:
        assert after is before


SHIPPED = {
    "zoo:shapes-resnet": (), "zoo:digits-lenet": (), "zoo:shapes-vit": (), "zoo:story-gpt": (), "zoo:story-bert": (),
    "zoo:dates-seq2seq": (), "zoo:points-diffusion": (), "zoo:digits-diffusion": ("unet.time_proj",),
}  # fmt: skip


@pytest.mark.parametrize("ref", SHIPPED)
def test_real_layers_come_out(ref):
    model = zoo.load(ref)
    fed = sample(model, 1)
    dice, refused, seen = np.random.default_rng(0), [], set()
    for layer in capture(model, fed):
        if layer.output is None or layer.output.ndim < 2 or (layer.kind, layer.name.rpartition(".")[2]) in seen:
            continue
        seen.add((layer.kind, layer.name.rpartition(".")[2]))
        place = tuple(int(dice.integers(size)) for size in layer.output.shape[1:])
        try:
            found = very_sum(model, fed, layer.name, place)
        except ExplorerError:
            refused.append(layer.name)
            continue
        size = max([1.0, *np.abs(found.steps[found.at].products)])
        assert found.captured == layer.output[(0, *place)]
        assert found.total == pytest.approx(found.captured, abs=1e-5 * size), layer.name
    assert tuple(refused) == SHIPPED[ref]


@pytest.mark.parametrize(("ref", "layer"), [("zoo:shapes-vit", "blocks.1.attention.out"),
                                            ("zoo:story-gpt", "transformer.h.1.attn.c_proj"),
                                            ("zoo:story-bert", "bert.encoder.layer.1.attention.self")])  # fmt: skip
def test_attention_is_weights_times_values(ref, layer):
    model = zoo.load(ref)
    found = very_sum(model, sample(model, 1), layer, (3, 5))
    mixed = found.root
    assert mixed.kernel.sum() == pytest.approx(1)
    assert (mixed.kernel >= 0).all()
    assert mixed.products.sum() == pytest.approx(mixed.captured, abs=1e-5)
    if ref == "zoo:story-gpt":
        assert not mixed.kernel[4:].any()  # what comes later is not seen


def test_scores_under_a_softmax_are_told():
    model = zoo.load("zoo:shapes-vit")
    found = very_sum(model, sample(model, 1), "blocks.0.attention.softmax", (1, 4, 7))
    assert found.root.note.startswith("s = q·k / √d = ")
    assert 0 < found.total < 1
