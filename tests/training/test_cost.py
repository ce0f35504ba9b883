"""What a run is said to cost, beside counts by hand and a real run: python -m pytest tests/training/test_cost.py"""

import dataclasses
import time

import pytest
import torch

from explorer import data
from explorer.training import TrainConfig
from explorer.training.cost import _saved, cost, flops, kept_bytes
from explorer.training.learner import prepare
from explorer.training.loop import steps
from explorer.training.record import record

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


@pytest.mark.parametrize("config", [dataclasses.replace(LENET, epochs=4), TrainConfig("points", "mlp", epochs=5)])
def test_the_seconds_are_of_the_order_of_a_real_run(config, tmp_path):
    cost(config)  # what is imported and loaded first does not count
    said = sorted(cost(config).seconds for _ in range(3))[1]
    took = min(record(config, tmp_path / str(index), keep=2).seconds for index in range(3))  # others work here too
    assert took / 8 < said < took * 8


def test_it_is_quick_where_a_step_is_dear_and_leaves_chance_alone():
    deep = {"patch": 1, "depth": 12, "dropout": 0.1}
    config = TrainConfig("digits", "vit", epochs=1, model_settings=deep, batch_size=512)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    start = time.process_time()
    found = cost(config)
    assert time.process_time() - start < 5  # a step of the whole batch takes longer
    assert torch.equal(torch.get_rng_state(), before)
    assert found.seconds > 1
    assert found.activations > 100 * found.weights


def test_every_kind_of_network_has_a_price():
    for config in (
        TrainConfig("digits", "lenet", mixup=1.0, crop=1, flip=True, erasing=0.5),
        TrainConfig("sort", "gpt", epochs=1, batch_size=4),
        TrainConfig("points", "mlp", batch_size=1, accumulate=4),
    ):
        found = cost(config)
        assert min(found.flops, found.activations, found.parameters, found.steps) > 0
        assert found.seconds > 0
    assert flops(config) == cost(config).flops
