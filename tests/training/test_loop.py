"""The training loop: python -m pytest tests/training"""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from explorer import data, models
from explorer.errors import ExplorerError
from explorer.training.batches import Batches, channel_statistics
from explorer.training.config import TrainConfig
from explorer.training.learner import prepare
from explorer.training.loop import steps
from explorer.training.schedules import lr_factor
from explorer.training.scoring import probabilities

TINY = TrainConfig(epochs=2, model="mlp", model_settings={"width": 8, "depth": 1}, batch_size=128)


def numbers(config):
    return [dataclasses.replace(step, seconds=0, memory=None) for step in steps(config)]


def test_the_same_config_gives_the_same_numbers_and_another_seed_others():
    one, same = numbers(TINY), numbers(TINY)
    assert one == same
    other = numbers(dataclasses.replace(TINY, seed=1))
    assert [step.loss for step in one[1:]] != [step.loss for step in other[1:]]


def test_every_step_is_on_record_and_every_epoch_is_validated():
    found = numbers(TINY)
    per_epoch = len(data.load("digits", "train")) // 128
    assert [step.step for step in found] == list(range(2 * per_epoch + 1))
    tried = [step.step for step in found if step.validation_accuracy is not None]
    assert tried == [0, per_epoch, 2 * per_epoch]
    assert found[0].loss is None
    assert found[-1].epoch == 2
    assert found[-1].validation_loss < found[0].validation_loss


def test_a_caller_that_stops_keeps_the_network_where_it_was():
    learner = prepare(TINY)
    before = [p.detach().clone() for p in learner.model.parameters()]
    taken = list(itertools.islice(steps(TINY, learner), 4))
    assert taken[-1].step == 3
    assert not torch.equal(before[0], next(iter(learner.model.parameters())))
    again = prepare(TINY)
    list(itertools.islice(steps(TINY, again), 4))
    for a, b in zip(learner.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_loop_equals_plain_pytorch_written_out(optimizer):
    config = dataclasses.replace(
        TINY, optimizer=optimizer, lr=0.02, clip_norm=0.5, label_smoothing=0.1, warmup=0.2, seed=3
    )
    ours = [step.loss for step in steps(config)][1:]

    train = data.load("digits", "train")
    mean, std = train.x.mean() / 255, train.x.std() / 255
    x = (torch.from_numpy(train.x.copy()).permute(0, 3, 1, 2).float() / 255 - mean) / std
    y = torch.from_numpy(train.y.copy())
    model = models.build("mlp", (1, 8, 8), 10, seed=3, width=8, depth=1)
    if optimizer == "adamw":
        stepper = torch.optim.AdamW(model.parameters(), 0.02, weight_decay=config.weight_decay)
    else:
        stepper = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, weight_decay=config.weight_decay)
    generator, theirs = torch.Generator().manual_seed(3), []
    per_epoch = len(y) // 128
    total, step = 2 * per_epoch, 0
    warm = round(0.2 * total)
    for _ in range(2):
        order = torch.randperm(len(y), generator=generator)
        for i in range(per_epoch):
            batch = order[i * 128 : (i + 1) * 128]
            if step < warm:
                factor = (step + 1) / (warm + 1)
            else:
                factor = 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
            stepper.param_groups[0]["lr"] = 0.02 * factor
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch], label_smoothing=0.1)
            stepper.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            stepper.step()
            theirs.append(loss.item())
            step += 1
    np.testing.assert_allclose(ours, theirs, rtol=2e-4)


def test_cosine_equals_pytorchs_annealing_after_the_warm_up():
    config = TrainConfig(warmup=0.2)
    total, warm = 100, 20
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warm)
    for step in range(warm, total):
        assert lr_factor(config, step, total) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    rising = [lr_factor(config, step, total) for step in range(warm)]
    assert rising == sorted(rising)
    assert 0 < rising[0] < rising[-1] < 1
    assert lr_factor(TrainConfig(schedule="constant", warmup=0), 50, 100) == 1


def test_a_diverging_run_says_so_after_the_step_that_shows_it():
    config = dataclasses.replace(TINY, optimizer="sgd", lr=10.0, clip_norm=0, epochs=8, warmup=0.0, weight_decay=1.0)
    seen = []
    with pytest.raises(ExplorerError, match="Lower the learning rate"):
        any(map(seen.append, steps(config)))
    assert not math.isfinite(seen[-1].loss)
    assert all(math.isfinite(step.loss) for step in seen[1:-1])


def test_gradient_clipping_reports_the_norm_before_it():
    clipped = numbers(dataclasses.replace(TINY, clip_norm=0.01, epochs=1))
    assert all(step.grad_norm > 0.01 for step in clipped[1:])


def test_a_split_too_large_for_the_device_comes_from_a_data_loader_in_the_same_order(monkeypatch):
    from explorer.training import batches

    train = data.load("digits", "train")
    mean, std = channel_statistics(train)
    near = Batches(train, torch.device("cpu"), mean, std)
    monkeypatch.setattr(batches, "_free", lambda device: 0)
    far = Batches(train, torch.device("cpu"), mean, std)
    assert near.resident
    assert not far.resident
    order = torch.randperm(len(train))
    for (x, y), (other_x, other_y) in zip(near(order, 500), far(order, 500), strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_pictures_are_normalised_by_the_training_splits_own_mean_and_spread():
    train = data.load("digits", "train")
    mean, std = channel_statistics(train)
    assert mean[0] == pytest.approx((train.x / 255).mean())
    assert std[0] == pytest.approx((train.x / 255).std())
    x = next(Batches(train, torch.device("cpu"), mean, std)(torch.arange(len(train)), len(train)))[0]
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std().item() == pytest.approx(1, abs=1e-3)


def test_probabilities_sum_to_one():
    learner = prepare(TINY)
    found = probabilities(learner.kept, "mlp", learner.validation)
    assert found.shape == (len(learner.validation), 10)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("model", models.MODELS)
def test_every_architecture_trains_on_data_of_its_kind(model):
    dataset = next(
        name
        for name in ("digits", "sort", "dates", "points")
        if data.DATASETS[name].facts["task"] in models.reads(model)
    )
    narrow = {name: value for name, value in {"width": 32, "depth": 1}.items() if dataset != "digits"}
    settings = {"resnet": {"width": 8}, "unet": {"width": 8}, "vit": {"patch": 2, "width": 32, "depth": 1}}.get(
        model, narrow
    )
    found = numbers(TrainConfig(dataset=dataset, model=model, model_settings=settings, epochs=1, batch_size=256))
    assert found[-1].validation_loss < found[0].validation_loss


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "nonsense"}, "none of that name"),
        ({"model": "nonsense"}, "none of that name"),
        ({"model_settings": {"wings": 2}}, "no setting 'wings'"),
        ({"dataset": "points", "model": "lenet", "model_settings": {}}, "takes pictures"),
        ({"dataset_settings": {"colour": 1}}, "no setting 'colour'"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, words):
    with pytest.raises(ExplorerError, match=words):
        prepare(dataclasses.replace(TINY, **changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("lr", -1.0),
        ("lr", math.nan),
        ("optimizer", "magic"),
        ("batch_size", 7),
        ("warmup", 2.0),
        ("amp", "half"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(ExplorerError, match=field):
        TrainConfig(**{field: value})


def test_a_config_survives_json_and_refuses_what_it_does_not_know():
    import json

    config = TrainConfig(model_settings={"width": 8, "kernel": 5}, lr=0.5)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert hash(config) == hash(TrainConfig(model_settings=(("kernel", 5), ("width", 8)), lr=0.5))
    with pytest.raises(ExplorerError, match="no setting 'speed'"):
        TrainConfig.from_dict({"speed": 3})
