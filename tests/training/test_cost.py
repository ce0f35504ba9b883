"""What a run is said to cost, beside counts by hand and a real run: python -m pytest tests/training/test_cost.py"""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from explorer import data
from explorer.errors import ExplorerError
from explorer.training import TrainConfig, loop
from explorer.training import cost as prices
from explorer.training.cost import _saved, cost, flops, kept_bytes
from explorer.training.learner import prepare
from explorer.training.loop import steps

FLOAT, LONG = 4, 8  # bytes
MLP = TrainConfig("digits", "mlp", label_smoothing=0.0, batch_size=32, epochs=2)
LENET = TrainConfig("digits", "lenet", label_smoothing=0.0, batch_size=32, epochs=2)


def test_an_mlp_by_hand():
    # 64 pixels → 64 → 64 → 10
    weights = 64 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10
    found = cost(MLP)
    assert found.parameters == weights
    assert found.flops == 2 * (64 * 64 + 64 * 64 + 64 * 10) + 64 + 64  # products, and one for each ReLU
    assert found.weights == found.gradients == weights * FLOAT
    assert found.optimizer == pytest.approx(2 * weights * FLOAT, abs=6 * FLOAT)  # Adam's two means; a counter for each
    # Kept: what each linear layer is given (the picture and both ReLUs' outputs, which the ReLUs keep too), the
    # logarithms of the softmax, the true classes, and the one number that the loss is divided by.
    each = (64 + 64 + 64 + 10) * FLOAT + LONG
    assert found.activations == 32 * each + FLOAT
    assert found.memory == found.weights + found.gradients + found.optimizer + found.activations
    assert found.steps == 2 * (len(data.load("digits", "train")) // 32)


def test_a_convolutional_net_by_hand():
    # 1×8×8 → 16×8×8 → 16×4×4 → 32×4×4 → 32×2×2 = 128 → 64 → 10
    found = cost(LENET)
    assert found.parameters == (9 * 16 + 16) + (9 * 16 * 32 + 32) + (128 * 64 + 64) + (64 * 10 + 10)
    convolutions = 2 * (9 * 16 * 64 + 9 * 16 * 32 * 16)
    others = 16 * 64 + 4 * 16 * 16 + 32 * 16 + 4 * 32 * 4 + 64  # ReLU, pooling, ReLU, pooling, ReLU
    assert found.flops == convolutions + others + 2 * (128 * 64 + 64 * 10)
    maps = 64 + 16 * 64 + 16 * 16 + 32 * 16 + 128 + 64 + 10  # inputs of all layers, and the softmax's logarithms
    places = 16 * 16 + 32 * 4  # where each maximum was
    assert found.activations == pytest.approx(32 * (maps * FLOAT + places * LONG + LONG) + FLOAT, rel=0.01)


def test_memory_grows_by_the_same_for_each_example_and_is_what_a_whole_batch_keeps():
    config = TrainConfig("digits", "lenet", model_settings={"norm": "batch"}, batch_size=64)
    learner = prepare(config)
    assert cost(config).activations == pytest.approx(kept_bytes(learner, 64), rel=0.01)
    assert cost(dataclasses.replace(config, batch_size=128)).activations == pytest.approx(
        kept_bytes(prepare(config), 128), rel=0.01
    )


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(LENET, label_smoothing=0.1),
        TrainConfig("sort", "gpt", batch_size=8),
        TrainConfig("points", "points-denoiser", batch_size=32, label_smoothing=0.0),
    ],
    ids=lambda config: config.model,
)
def test_what_a_pass_keeps_is_what_a_real_step_keeps(config):
    learner = prepare(config)
    own = {one.untyped_storage().data_ptr() for one in (*learner.model.parameters(), *learner.model.buffers())}
    taken = steps(config, learner)
    with _saved() as kept:
        assert [next(taken).step, next(taken).step] == [0, 1]
    found = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in kept}
    real = sum(size for place, size in found.items() if place not in own)
    assert kept_bytes(prepare(config), config.batch_size) == pytest.approx(real, rel=0.01)


def test_a_mean_of_the_weights_and_plain_steps_are_counted():
    averaged = cost(dataclasses.replace(MLP, ema=0.99))
    assert averaged.weights == 2 * averaged.gradients
    assert cost(dataclasses.replace(MLP, optimizer="sgd", momentum=0.0)).optimizer == 0
    momentum = cost(dataclasses.replace(MLP, optimizer="sgd", momentum=0.9))
    assert momentum.optimizer == momentum.gradients


def a_second_each(monkeypatch):
    """Let every trial of validation examples take a second, and a step a hundredth for each example."""
    monkeypatch.setattr(prices, "_timed", lambda learner, batch: batch / 100)
    monkeypatch.setattr(prices, "time", SimpleNamespace(perf_counter=itertools.count(0.0).__next__))


def test_the_seconds_are_those_of_all_steps_and_of_every_trial(monkeypatch):
    a_second_each(monkeypatch)
    train, held_out = (len(data.load("digits", split)) for split in ("train", "validation"))
    trials = (2 + 1) * held_out / 32  # a second for the 32 examples that were tried
    assert cost(MLP).seconds == pytest.approx(2 * (train // 32) * 0.32 + trials)
    assert cost(dataclasses.replace(MLP, ema=0.99)).seconds == pytest.approx(2 * (train // 32) * 0.32 + 2 * trials)
    twice = dataclasses.replace(MLP, accumulate=2)
    assert cost(twice).seconds == pytest.approx(2 * (train // 64) * 2 * 0.32 + trials)


def test_a_denoiser_is_asked_more_often_for_the_fewer_examples_there_are(monkeypatch):
    a_second_each(monkeypatch)
    held_out = len(data.load("points", "validation"))
    states = held_out * math.ceil(1000 / held_out)  # in a real run; 8 examples are asked 125 times each
    config = TrainConfig("points", "points-denoiser", epochs=1, batch_size=8)
    count = len(data.load("points", "train")) // 8
    assert cost(config).seconds == pytest.approx(count * 0.08 + 2 * states / 1000)


@pytest.mark.parametrize("batch", [8, 512])  # 512 are half of all
def test_a_step_is_timed_without_trying_the_validation_split(batch, monkeypatch):
    tried = []
    monkeypatch.setattr(loop, "_validation", lambda learner: tried.append(learner.step) or {})
    prices._timed(prepare(TrainConfig("points", "points-denoiser", batch_size=batch)), batch)
    assert tried == [0]


def test_a_batch_of_more_examples_than_there_are_costs_what_these_cost(monkeypatch):
    a_second_each(monkeypatch)
    few = dataclasses.replace(MLP, dataset="points", dataset_settings={"count": 100}, batch_size=512)
    train, held_out = (len(data.load("points", split, count=100)) for split in ("train", "validation"))
    found, small = cost(few), 2 ** int(math.log2(train))
    assert found.steps == 2
    assert found.seconds == pytest.approx(2 * train / 100 + 3 * held_out / small)
    assert found.activations == pytest.approx(kept_bytes(prepare(few), train), rel=0.01)


def test_where_a_step_is_dear_a_smaller_one_is_timed_and_chance_is_left_alone(monkeypatch):
    deep = {"patch": 1, "depth": 12, "dropout": 0.1}
    config, sizes = TrainConfig("digits", "vit", epochs=1, model_settings=deep, batch_size=512), []
    monkeypatch.setattr(prices, "_timed", lambda learner, batch: sizes.append(batch) or 1 + batch / 10)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    found = cost(config)
    assert max(sizes) * prices.PASSES * found.flops <= prices.PATIENCE
    assert 2 <= max(sizes) < 512
    assert torch.equal(torch.get_rng_state(), before)
    assert found.seconds > len(data.load("digits", "train")) // 512 * (1 + 512 / 10)
    assert found.activations > 100 * found.weights


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig("digits", "densenet", batch_size=1),
        TrainConfig("digits", "resnet", batch_size=1, model_settings={"stride": 2}),
    ],
    ids=lambda config: config.model,
)
def test_a_normalisation_without_spread_is_refused_with_a_sentence(config):
    with pytest.raises(ExplorerError, match="has no spread"):
        cost(config)


def test_every_kind_of_network_has_a_price():
    for config in (
        TrainConfig("digits", "lenet", mixup=1.0, crop=1, flip=True, erasing=0.5),
        TrainConfig("sort", "gpt", epochs=1, batch_size=4),
        TrainConfig("points", "mlp", batch_size=1, accumulate=4),
    ):
        found = cost(config)
        assert min(found.flops, found.activations, found.parameters, found.steps) > 0
        assert found.seconds > 0
        assert flops(config) == found.flops
