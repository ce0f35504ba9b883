"""How well the layers are, proved in NumPy and by hand: python -m pytest tests/activations/test_health.py"""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from explorer import data, training, zoo
from explorer.activations.feed import Feed, sample
from explorer.activations.health import NEAR, examine, health, stands_out
from explorer.activations.health_loss import task
from explorer.activations.health_over_training import over_training, spread, weights_of
from explorer.errors import ExplorerError
from explorer.training import TrainConfig
from explorer.zoo.card import Card
from explorer.zoo.model import Model

COUNT, CLASSES = 11, 3


def wrap(net, shape=(3, 6, 6)):
    """A network as an opened model without data of its own, and examples for it with their classes."""
    card = Card("file:tiny", "tiny", "image-classification", "tiny", 1, shape, tuple("abc"), (0.5,), (0.25,))
    model = Model(card, net)
    dice = torch.Generator().manual_seed(3)
    x = torch.randn(COUNT, *shape, generator=dice)
    y = np.arange(COUNT) % CLASSES
    return model, Feed(model, {"x": x}, y=y)


def seeded(net, scale=0.5):
    dice = torch.Generator().manual_seed(0)
    for weight in net.parameters():
        weight.data = scale * torch.randn(weight.shape, generator=dice)
    return net


def small(act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(3, 5, 3), act(), nn.Flatten(), nn.Linear(80, CLASSES))


def outputs(net, x):
    """What each layer of a plain sequence gives out, and the loss's gradient there, by hand."""
    found, inputs = [], x
    for part in net:
        inputs = part(inputs)
        inputs.retain_grad()
        found.append(inputs)
    return found


@pytest.mark.parametrize("batch", [COUNT, 4, 1])
def test_moments_and_gradients_are_those_of_numpy_and_autograd_however_many_pass_at_a_time(batch):
    net = seeded(small())
    model, given = wrap(net)
    with model.borrow() as before:
        pass
    found = health(model, given=given, batch=batch)
    net.requires_grad_(True)
    calls = outputs(net, given.inputs["x"])
    loss = functional.cross_entropy(calls[-1], torch.tensor(given.y))
    loss.backward()
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)
    assert [layer.name for layer in found.layers] == ["0", "1", "2", "3"]
    for layer, output in zip(found.layers, calls, strict=True):
        values = output.detach().numpy()
        assert layer.values == values.size
        assert layer.shape == values.shape[1:]
        assert layer.mean == pytest.approx(values.mean(dtype=np.float64), abs=1e-6)
        assert layer.std == pytest.approx(values.std(dtype=np.float64), rel=1e-5)
        assert (layer.low, layer.high) == pytest.approx((values.min(), values.max()))
        assert layer.zeros == (values == 0).mean()
        assert layer.gradient == pytest.approx(float(output.grad.norm()), rel=1e-4)
    for weight in found.weights:
        by_hand = dict(net.named_parameters())[weight.name]
        assert weight.norm == pytest.approx(by_hand.norm().item(), rel=1e-5)
        assert weight.gradient == pytest.approx(float(by_hand.grad.norm()), rel=1e-4)
        assert weight.ratio == pytest.approx((by_hand.grad.norm() / by_hand.norm()).item(), rel=1e-4)
        assert weight.layer == weight.name.partition(".")[0]
    net.requires_grad_(False)
    with model.borrow() as again:
        assert again is before
        assert not any(weight.requires_grad for weight in again.parameters())


def test_units_made_dead_by_hand_are_found_exactly_and_told():
    net = seeded(small())
    net[0].bias.data[[1, 4]] = -1000.0
    model, given = wrap(net)
    found = health(model, given=given)
    assert found["1"].dead == 2
    assert found["0"].dead == 0
    assert found["2"].dead == 2 * 16, "features of the flattened dead channels never vary"
    assert found["1"].dead_means == "never above zero"
    units = examine(model, "1", given=given)
    assert np.flatnonzero(units.dead).tolist() == [1, 4]
    assert units.active[[1, 4]].tolist() == [0, 0]
    told = [finding for finding in stands_out(found) if finding.layer == "1"]
    assert "2 of its 5 units are dead, 40%" in told[0].words


def test_a_tanh_of_large_weights_is_saturated_and_of_small_ones_not():
    large = seeded(small(nn.Tanh), scale=50)
    model, given = wrap(large)
    found = health(model, given=given)
    values = torch.tanh(large[0](given.inputs["x"])).detach().numpy()
    assert found["1"].saturated == pytest.approx((np.abs(values) > 0.97).mean())
    assert found["1"].saturated > 0.9
    assert any("flat part" in finding.words for finding in stands_out(found) if finding.layer == "1")
    calm, given = wrap(seeded(small(nn.Tanh), scale=0.01))
    assert health(calm, given=given)["1"].saturated == 0
    assert health(calm, given=given)["0"].saturated is None, "a convolution has no flat part"


@pytest.mark.parametrize(
    ("act", "flat"),
    [
        (nn.Sigmoid(), lambda x: np.abs(2 * x - 1) > 0.97),
        (nn.Hardtanh(-0.5, 0.7), lambda x: (x <= -0.5) | (x >= np.float32(0.7))),
        (nn.ReLU6(), lambda x: (x <= 0) | (x >= 6)),
        (nn.ReLU(), lambda x: x == 0),
        (nn.ELU(2.0), lambda x: x < -0.97 * 2),
        (nn.Hardswish(), lambda x: x == 0),
    ],
)
def test_saturation_means_the_flat_part_of_each_function(act, flat):
    net = seeded(nn.Sequential(nn.Conv2d(3, 5, 3), act, nn.Flatten(), nn.Linear(80, CLASSES)), scale=1.5)
    model, given = wrap(net)
    values = act(net[0](given.inputs["x"])).detach().numpy()
    share = health(model, given=given)["1"].saturated
    assert 0 < share < 1
    assert share == pytest.approx(flat(values).mean())


@pytest.mark.parametrize("batch", [COUNT, 3])
def test_one_layer_unit_by_unit_is_what_numpy_counts(batch):
    net = seeded(small())
    model, given = wrap(net)
    found = examine(model, "1", given=given, batch=batch, bins=20)
    values = net[:2](given.inputs["x"]).detach().numpy()  # (N, 5, 4, 4)
    by_unit = values.transpose(0, 2, 3, 1).reshape(-1, 5)
    counts, edges = np.histogram(values[values != 0], 20, (values.min(), values.max()))
    np.testing.assert_allclose(found.edges, edges, atol=1e-6)
    assert found.counts.sum() == np.count_nonzero(values)
    assert np.abs(found.counts - counts).sum() <= 2, "but for a value that lies on an edge"
    np.testing.assert_allclose(found.mean, by_unit.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(found.high, by_unit.max(0))
    np.testing.assert_allclose(found.above, (by_unit > 0).mean(0))
    np.testing.assert_allclose(found.active, (values.max((2, 3)) > 0).mean(0))
    assert found.near == pytest.approx((np.abs(values) < NEAR * np.sqrt((values**2).mean())).mean(), abs=1e-3)
    strengths = np.linalg.eigvalsh(np.cov(by_unit, rowvar=False))
    assert found.directions == pytest.approx(strengths.sum() ** 2 / (strengths**2).sum(), rel=1e-4)


class Odd(nn.Module):
    """A ReLU used twice, a tuple, layers that give nothing, that pass on, that are written into, that never run."""

    class Pair(nn.Module):
        def forward(self, x):
            return x * 2, None

    class Nothing(nn.Module):
        def forward(self, x):
            return None

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 6)
        self.relu, self.pair, self.nothing = nn.ReLU(inplace=True), self.Pair(), self.Nothing()
        self.drop, self.idle, self.head = nn.Dropout(0.5), nn.Linear(2, 2), nn.Linear(6, CLASSES)

    def forward(self, x):
        x = self.relu(self.one(x))
        self.nothing(x)
        x, _ = self.pair(self.relu(self.two(self.drop(x))))
        x += 1  # into what the pair gave out
        return self.head(x)


def test_layers_used_twice_tuples_and_those_that_give_nothing():
    net = seeded(Odd())
    model, given = wrap(net, (4,))
    with model.borrow() as before:
        pass
    found = health(model, given=given)
    assert [layer.name for layer in found.layers] == ["one", "relu", "two", "relu#2", "pair", "head"]
    assert "no numbers" in found.left_out["nothing"]
    assert found.left_out["drop"] == "it gives on what it is given"
    x = given.inputs["x"]
    first = net.one(x).relu()
    second = net.two(first).relu()
    for name, values in (("one", net.one(x)), ("relu", first), ("relu#2", second), ("pair", second * 2)):
        assert found[name].mean == pytest.approx(float(values.mean()), abs=1e-6), name
    pair = (second * 2).detach().requires_grad_()
    functional.cross_entropy(net.head(pair + 1), torch.tensor(given.y)).backward()
    assert found["pair"].gradient == pytest.approx(float(pair.grad.norm()), rel=1e-4)
    assert {weight.gradient is None for weight in found.weights if weight.name.startswith("idle")} == {True}
    assert examine(model, "relu#2", given=given).layer.mean == pytest.approx(float(second.mean()), abs=1e-6)
    with model.borrow() as again:
        assert again is before
        assert again.relu.inplace
    with pytest.raises(ExplorerError, match="none of that name"):
        examine(model, "nowhere", given=given)
    with pytest.raises(ExplorerError, match="did not run so often"):
        examine(model, "relu#3", given=given)


def test_fill_tokens_count_nowhere():
    model = zoo.load("zoo:story-gpt")
    asked = task(model, 6)
    keep = asked.given.keep.numpy()
    assert not keep.all(), "the texts are of unequal length"
    with model.borrow() as net, torch.no_grad():
        states = net(**asked.given.inputs, output_hidden_states=True).hidden_states[-1].numpy()
        logits = net(**asked.given.inputs).logits
    found = health(model, 6, batch=4)
    counted = states[keep]
    layer = found["transformer.ln_f"]
    assert layer.values == counted.size
    assert layer.mean == pytest.approx(counted.mean(), abs=1e-5)
    assert layer.std == pytest.approx(counted.std(), rel=1e-4)
    truth = asked.given.inputs["input_ids"][:, 1:].masked_fill(~asked.given.keep[:, 1:], -100)
    loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), truth.flatten(), ignore_index=-100)
    assert found.loss == pytest.approx(float(loss), rel=1e-4)
    units = examine(model, "transformer.ln_f", 6, batch=4)
    np.testing.assert_allclose(units.mean, counted.mean(0), atol=1e-5)
    np.testing.assert_allclose(units.high, counted.max(0), rtol=1e-4)


def test_a_denoisers_loss_is_the_squared_error_against_its_noise():
    model = zoo.load("zoo:points-diffusion")
    asked, given = task(model, 20), sample(model, 20)
    torch.testing.assert_close(asked.given.inputs["x"], given.inputs["x"])
    noise = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    with model.borrow() as net, torch.no_grad():
        loss = (asked.given.run(net) - noise).square().mean()
    found = health(model, 20, batch=7)
    assert found.loss == pytest.approx(float(loss), rel=1e-4)
    assert found["unet.time.0"].dead is None, "the time is the same for all: nothing there can be dead"


def test_a_masked_model_is_asked_the_words_that_are_hidden_from_it():
    model = zoo.load("zoo:story-bert")
    asked = task(model, 8)
    hidden = asked.truth != -100
    assert 0.02 < float(hidden.sum() / asked.given.keep.sum()) < 0.3
    whole = sample(model, 8).inputs["input_ids"]
    torch.testing.assert_close(whole[hidden], asked.truth[hidden])
    torch.testing.assert_close(whole[~hidden], asked.given.inputs["input_ids"][~hidden])
    assert (asked.given.inputs["input_ids"][hidden] == model.tokenizer.mask_token_id).float().mean() > 0.5


@pytest.mark.parametrize("ref", ["zoo:shapes-vit", "zoo:dates-seq2seq", "zoo:points-flow", "zoo:shapes-diffusion"])
def test_networks_of_every_kind_can_be_examined(ref):
    model = zoo.load(ref)
    found = health(model, 2)
    assert len(found.layers) > 5
    assert np.isfinite(found.loss)
    assert all(np.isfinite([layer.mean, layer.std]).all() for layer in found.layers)
    assert sum(weight.gradient is not None for weight in found.weights) > 0.5 * len(found.weights)
    assert any(layer.gradient for layer in found.layers)


def test_without_data_and_truth_the_networks_own_answers_are_asked_of_shapes():
    model, _ = wrap(seeded(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, CLASSES))), (3, 64, 64))
    found = health(model, 5)
    assert "shapes" in found.examples
    assert "own answers" in found.loss_means
    x = model.preprocess(data.load("shapes", "test").x[:5])
    with model.borrow() as net, torch.no_grad():
        logits = net(x)
    assert found.loss == pytest.approx(float(functional.cross_entropy(logits, logits.argmax(1))), rel=1e-4)


def test_what_stands_out_names_the_layer_the_number_and_the_rule():
    deep = [part for _ in range(8) for part in (nn.Linear(8, 8), nn.Tanh())]
    model, given = wrap(seeded(nn.Sequential(*deep, nn.Linear(8, CLASSES)), scale=0.02), (8,))
    faded = stands_out(health(model, given=given))
    assert any("vanishes on its way back" in finding.words and finding.layer == "0" for finding in faded)
    broken = seeded(small())
    broken[0].bias.data[0] = float("nan")
    model, given = wrap(broken)
    found = health(model, given=given)
    assert found["0"].broken == COUNT * 16
    assert found["0"].std > 0
    assert any("no numbers" in finding.words for finding in stands_out(found))
    assert stands_out(dataclasses.replace(found, layers=(), weights=())) == ()


def test_over_training_is_what_two_checkpoints_of_a_run_say():
    run = training.fit(TrainConfig(dataset="digits", model="lenet", epochs=1))
    found = over_training(run.ref, "relu3", 40, most=2)
    assert found.steps.tolist() == [run.checkpoints[0], run.checkpoints[-1]]
    assert found.kept == len(run.checkpoints)
    first, last = (zoo.load(f"{run.ref}@{step}") for step in found.steps)
    with first.borrow() as one, last.borrow() as other:
        for place, name in enumerate(found.modules):
            before, now = (
                np.concatenate([weight.detach().numpy().ravel() for weight in net.get_submodule(name).parameters()])
                for net in (one, other)
            )
            assert found.norms[1, place] == pytest.approx(np.linalg.norm(now), rel=1e-5)
            update = np.linalg.norm(now - before) / np.linalg.norm(before)
            assert found.updates[0, place] == pytest.approx(update, rel=1e-4)
    assert [*weights_of(run.ref)] == list(found.modules)
    for place, model in enumerate((first, last)):
        units = examine(model, "relu3", 40)
        assert found.dead[place] == units.dead.sum()
        assert found.std[place] == pytest.approx(units.layer.std)
        assert found.shares[place].sum() + found.zeros[place] == pytest.approx(1)
    assert found.edges[-1] == pytest.approx(max(examine(model, "relu3", 40).layer.high for model in (first, last)))
    with pytest.raises(ExplorerError, match="were not kept"):
        over_training("zoo:digits-lenet", "relu3")


def test_many_checkpoints_are_thinned_evenly():
    assert spread([0, 1, 5]) == [0, 1, 5]
    assert spread(list(range(100)), 4) == [0, 33, 66, 99]
