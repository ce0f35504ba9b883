"""Every lever of a recipe acts: python -m pytest tests/training/test_recipe.py"""

import dataclasses
import functools
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from explorer import data, models
from explorer.errors import ExplorerError
from explorer.params import acts, params
from explorer.training.augment import Augment, Chance, erased, mirrored, seeds, shifted
from explorer.training.config import PICTURES_ONLY, TrainConfig, unfit
from explorer.training.learner import prepare, restore, save
from explorer.training.loop import steps
from explorer.training.schedules import SCHEDULES, lr_factor

TINY = TrainConfig(epochs=2, model="mlp", model_settings={"width": 8, "depth": 1}, batch_size=128)
TOTAL = 103
CHANCE = lambda: torch.Generator().manual_seed(0)  # noqa: E731


def losses(config, learner=None):
    return [step.loss for step in steps(config, learner) if step.loss is not None]


def rates(make, total=TOTAL):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0, momentum=0.9)
    schedule, found = make(optimizer), []
    for _ in range(total):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


REFERENCES = {  # schedule → the recipe, and PyTorch's own
    "cosine": ({"warmup": 0.0}, lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL)),
    "constant": ({"warmup": 0.0}, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    "step": ({"warmup": 0.0, "decay": 0.2}, lambda o: lr_scheduler.StepLR(o, math.ceil(TOTAL / 3), 0.2)),
    "exponential": ({"warmup": 0.0}, lambda o: lr_scheduler.ExponentialLR(o, 0.1 ** (1 / TOTAL))),
    "restarts": ({"warmup": 0.0}, lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, math.ceil(TOTAL / 7), 2)),
    "one-cycle": ({"warmup": 0.3}, lambda o: lr_scheduler.OneCycleLR(o, 1.0, TOTAL, pct_start=0.3)),
    "cyclic": ({"warmup": 0.0}, lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, TOTAL / 6)),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_schedule_is_pytorchs(name):
    settings, reference = REFERENCES[name]
    config = TrainConfig(schedule=name, **settings)
    np.testing.assert_allclose([lr_factor(config, step, TOTAL) for step in range(TOTAL)], rates(reference), atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
def test_a_schedule_stays_between_nothing_and_the_full_rate_and_a_warm_up_climbs_to_it(name, total):
    for warmup in (0.0, 0.2, 0.5):
        config = TrainConfig(schedule=name, warmup=warmup, cycles=10)
        found = [lr_factor(config, step, total) for step in range(total)]
        assert all(0 <= factor <= 1 for factor in found)
    rising = found[: round(0.5 * total)]
    assert rising == sorted(rising)


def test_the_warm_up_is_pytorchs_linear_one():
    config, warm = TrainConfig(warmup=0.2), 20
    linear = rates(lambda o: lr_scheduler.LinearLR(o, 1 / (warm + 1), 1.0, warm), warm)
    np.testing.assert_allclose([lr_factor(config, step, 100) for step in range(warm)], linear)


def test_the_loop_uses_the_scheduled_rate_at_every_step():
    config = dataclasses.replace(TINY, schedule="one-cycle", warmup=0.3, lr=0.01)
    learner = prepare(config)
    found = [step.lr for step in steps(config, learner) if step.lr is not None]
    np.testing.assert_allclose(found, [0.01 * lr_factor(config, step, learner.total) for step in range(learner.total)])


def test_on_a_plateau_the_rate_drops_when_pytorchs_own_would():
    config = dataclasses.replace(
        TINY, schedule="plateau", patience=1, decay=0.5, epochs=30, warmup=0.0, lr=0.05, weight_decay=0.0
    )
    found = list(steps(config))
    tried = [step.validation_loss for step in found if step.validation_loss is not None][1:]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], config.lr)
    reference, expected = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1), []
    for loss in tried:
        expected.append(optimizer.param_groups[0]["lr"])
        reference.step(loss)
    per_epoch = (len(found) - 1) // 30
    np.testing.assert_allclose([step.lr for step in found[1::per_epoch]], expected)
    assert expected[-1] < config.lr


OPTIMISERS = {
    "sgd": lambda w: torch.optim.SGD(w, 0.02, momentum=0.0, weight_decay=0.01),
    "momentum": lambda w: torch.optim.SGD(w, 0.02, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda w: torch.optim.SGD(w, 0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda w: torch.optim.RMSprop(w, 0.02, momentum=0.9, weight_decay=0.01),
    "adam": lambda w: torch.optim.Adam(w, 0.02, weight_decay=0.01),
    "adamw": lambda w: torch.optim.AdamW(w, 0.02, weight_decay=0.01),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_is_pytorchs_and_differs_from_all_others(name):
    changes = {"sgd": {"momentum": 0.0}, "nesterov": {"nesterov": True}}.get(name, {})
    optimizer = {"momentum": "sgd", "nesterov": "sgd"}.get(name, name)
    config = dataclasses.replace(
        TINY, optimizer=optimizer, lr=0.02, warmup=0.0, schedule="constant", clip_norm=0.0, epochs=1, **changes
    )
    learner = prepare(config)
    model = models.build("mlp", (1, 8, 8), 10, width=8, depth=1)
    theirs, stepper = [], OPTIMISERS[name](model.parameters())
    for x, y in learner.train(next(learner.orders()), 128):
        loss = nn.functional.cross_entropy(model(x), y, label_smoothing=config.label_smoothing)
        stepper.zero_grad()
        loss.backward()
        stepper.step()
        theirs.append(loss.item())
    np.testing.assert_allclose(losses(config, learner), theirs, rtol=1e-4)


def test_accumulated_batches_make_the_step_of_one_large_batch():
    large = dataclasses.replace(TINY, batch_size=128, clip_norm=0.1)
    small = dataclasses.replace(TINY, batch_size=32, accumulate=4, clip_norm=0.1)
    assert large.batch == small.batch
    np.testing.assert_allclose(losses(large), losses(small), rtol=1e-4)


@pytest.mark.parametrize(("dataset", "model"), [("story", "gpt"), ("dates", "seq2seq")])
def test_accumulated_texts_weigh_as_many_tokens_as_are_asked_in_them(dataset, model):
    size = {"width": 16, "depth": 1, "heads": 1}
    large = TrainConfig(dataset, model, epochs=1, batch_size=64, clip_norm=0.0, model_settings=size)
    small = dataclasses.replace(large, batch_size=16, accumulate=4)
    first, second = (next(step for step in steps(config) if step.step == 1) for config in (large, small))
    assert second.loss == pytest.approx(first.loss, rel=1e-5)
    assert second.grad_norm == pytest.approx(first.grad_norm, rel=1e-5)
    for name, (length, moved) in first.layers.items():
        assert second.layers[name] == pytest.approx((length, moved), rel=1e-4)


def test_each_gradient_is_clipped_and_the_length_is_told_as_it_was():
    config = dataclasses.replace(
        TINY, optimizer="sgd", momentum=0.0, lr=1.0, weight_decay=0.0, clip_norm=0.0, clip_value=0.01, warmup=0.0
    )
    learner = prepare(config)
    before = [one.detach().clone() for one in learner.model.parameters()]
    (step,) = (step for step in itertools.islice(steps(config, learner), 2) if step.step)
    moved = torch.cat([(new - old).flatten() for new, old in zip(learner.model.parameters(), before, strict=True)])
    assert moved.abs().max().item() == pytest.approx(0.01, rel=1e-3)
    assert step.grad_norm > 0.01 * math.sqrt((moved != 0).sum())
    assert step.grad_norm == pytest.approx(
        next(s for s in steps(dataclasses.replace(config, clip_value=0.0)) if s.step).grad_norm
    )


def test_the_mean_of_the_weights_is_tried_beside_the_weights_themselves():
    config = dataclasses.replace(TINY, ema=0.99)
    found, learner = [], prepare(config)
    found = [step for step in steps(config, learner) if step.validation_loss is not None]
    plain = [step for step in steps(TINY) if step.validation_loss is not None]
    assert [step.raw_loss for step in found] == [step.validation_loss for step in plain]
    assert found[-1].validation_loss != found[-1].raw_loss
    assert all(step.raw_loss is None for step in plain)


def test_a_run_stops_early_when_validation_gets_no_better():
    config = dataclasses.replace(TINY, epochs=60, lr=0.3, early_stopping=3, warmup=0.0, schedule="constant")
    tried = [(s.validation_accuracy, -s.validation_loss) for s in steps(config) if s.validation_loss is not None][1:]
    assert len(tried) < 60
    best = max(range(len(tried)), key=tried.__getitem__)
    assert len(tried) - 1 - best == 3


def test_rare_classes_are_drawn_as_often_as_others():
    config = TrainConfig(dataset_settings={"imbalance": 20}, balanced=True)
    train = data.load("digits", "train", imbalance=20)
    counts = np.bincount(train.y)
    assert counts[9] == round(counts[0] / 20) or counts[9] < counts[0] / 10
    orders = prepare(config).orders()
    drawn = np.bincount(train.y[torch.cat([next(orders) for _ in range(20)]).numpy()])
    assert drawn.max() < 1.3 * drawn.min()
    plain = np.bincount(train.y[next(prepare(dataclasses.replace(config, balanced=False)).orders()).numpy()])
    assert plain.max() > 5 * plain.min()


# ---- augmentation ----


def test_pictures_are_mirrored_and_shifted_as_torchvision_does_it():
    from torchvision.transforms.v2 import functional as v2

    x = torch.randint(0, 256, (6, 3, 9, 7), dtype=torch.uint8, generator=CHANCE())
    which = torch.tensor([True, False, True, False, False, True])
    for out, given, mirror in zip(mirrored(x, which), x, which, strict=True):
        assert torch.equal(out, v2.horizontal_flip(given) if mirror else given)
    by = torch.tensor([[0, 0], [2, -1], [-3, 3], [1, 0], [0, -2], [-1, -1]])
    for out, given, (down, right) in zip(shifted(x, by), x, by.tolist(), strict=True):
        padded = v2.pad(given, [3, 3, 3, 3])
        assert torch.equal(out, v2.crop(padded, 3 - down, 3 - right, 9, 7))


def test_shifts_reach_as_far_as_they_may_in_every_direction():
    augment = Augment(TrainConfig(crop=2, flip=True), 10)
    dot = torch.zeros(600, 1, 9, 9, dtype=torch.uint8)
    dot[:, :, 4, 4] = 255
    out = augment.bytes(dot, CHANCE())
    places = out[:, 0].sum(0)
    assert places.nonzero().amin(0).tolist() == [2, 2]
    assert places.nonzero().amax(0).tolist() == [6, 6]


def test_rectangles_are_erased_in_the_share_and_of_the_size_that_was_asked():
    x = torch.ones(4000, 1, 32, 32)
    holes = (erased(x, 0.25, CHANCE()) == 0).float().mean((1, 2, 3))
    assert (holes > 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    sizes = holes[holes > 0]
    assert 0.015 < sizes.min() < 0.04
    assert 0.28 < sizes.max() < 0.36
    assert sizes.mean().item() == pytest.approx((0.02 + 0.33) / 2, abs=0.02)


@pytest.mark.parametrize("lever", ["mixup", "cutmix"])
def test_mixed_labels_are_shares_that_sum_to_one_and_agree_with_the_pictures(lever):
    augment = Augment(TrainConfig(**{lever: 1.0}), 3)
    x, y = torch.stack([torch.full((1, 8, 8), float(k)) for k in (0, 1, 2, 1)]), torch.tensor([0, 1, 2, 1])
    for seed in range(20):
        with Chance(seed, torch.device("cpu")):
            mixed, shares = augment.mixed(x, y, CHANCE())
        torch.testing.assert_close(shares.sum(1), torch.ones(4))
        values = mixed.mean((1, 2, 3))  # each picture is painted with the number of its class
        torch.testing.assert_close(values, shares @ torch.arange(3.0), atol=1e-5, rtol=0)


def test_beside_mixup_cutmix_has_its_turns():
    augment, generator = Augment(TrainConfig(mixup=1.0, cutmix=1.0), 2), CHANCE()
    x, y = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)]), torch.tensor([0, 1])
    kinds = {len(augment.mixed(x, y, generator)[0][0].unique()) > 1 for _ in range(40)}
    assert kinds == {True, False}  # a rectangle has two greys, a blend one


def test_randaugment_changes_pictures_more_the_stronger_it_is():
    x = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, generator=CHANCE())
    changes = []
    for strength in (1, 25):
        with Chance(3, torch.device("cpu")):
            out = Augment(TrainConfig(randaugment=strength), 2).bytes(x, CHANCE())
        assert out.dtype == torch.uint8
        changes.append((out.float() - x.float()).abs().mean().item())
    assert 0 < changes[0] < changes[1]


def test_threads_that_draw_at_once_take_turns():
    def draw(seed: int) -> list[float]:
        with Chance(seed, torch.device("cpu")):
            return [torch.rand(200).sum().item() for _ in range(20)]

    expected = [draw(seed) for seed in range(8)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(8) as pool:
        found = [list(pool.map(draw, range(8))) for _ in range(6)]
    assert all(one == expected for one in found)
    assert torch.equal(torch.get_rng_state(), before)


def test_chance_is_the_same_from_the_same_seed_and_leaves_everybody_elses_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with Chance(7, torch.device("cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("draw", ["a generator of its own", "the process-wide one"])
def test_another_seed_and_another_step_draw_differently(draw):
    drawn = set()
    for seed, step in itertools.product((0, 1, 2, 2**31 - 1), (0, 1, 500)):
        number = seeds(seed, step)
        with Chance(number, torch.device("cpu")):
            chance = torch.Generator().manual_seed(number) if draw == "a generator of its own" else None
            drawn.add(tuple(torch.rand(3, generator=chance).tolist()))
    assert len(drawn) == 4 * 3


# ---- put down and taken up ----

HARD = {
    "plain": {},
    "sgd, plateau": {"optimizer": "sgd", "schedule": "plateau", "lr": 0.05, "early_stopping": 9, "nesterov": True},
    "rmsprop, averaged": {"optimizer": "rmsprop", "lr": 1e-3, "ema": 0.9},
    "augmented, balanced": {"mixup": 0.4, "crop": 1, "erasing": 0.5, "balanced": True, "optimizer": "adam"},
    "dropout": {"model_settings": {"width": 8, "depth": 2, "dropout": 0.3}},
    "accumulated": {"batch_size": 32, "accumulate": 4},
    "convolutions, adamw": {"model": "lenet", "model_settings": {"width": 4}},
    "convolutions, sgd": {"model": "lenet", "model_settings": {"width": 4}, "optimizer": "sgd", "lr": 0.1},
    "normalised convolutions, adam": {"model": "resnet", "model_settings": {"width": 8}, "optimizer": "adam"},
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("at", [1, 9, 13])  # of 9 steps an epoch
def test_a_run_goes_on_as_if_it_had_never_stopped(name, at, tmp_path):
    config = dataclasses.replace(TINY, **HARD[name])
    whole = [dataclasses.replace(step, seconds=0, memory=None) for step in steps(config)]
    learner = prepare(config)
    first = list(itertools.islice(steps(config, learner), at + 1))
    save(learner, tmp_path / "state.safetensors")
    again = prepare(config)
    restore(again, tmp_path / "state.safetensors")
    assert again.step == at
    rest = list(steps(config, again))
    assert rest[0].step == at + 1
    assert rest[0].seconds > first[-1].seconds
    found = [dataclasses.replace(step, seconds=0, memory=None) for step in (*first, *rest)]
    assert [step.loss for step in found] == [step.loss for step in whole]
    assert [step.validation_loss for step in found] == [step.validation_loss for step in whole]
    assert [step.lr for step in found] == [step.lr for step in whole]


def test_a_run_that_was_put_down_where_it_would_have_stopped_early_does_not_go_on(tmp_path):
    config = dataclasses.replace(TINY, epochs=60, lr=0.3, early_stopping=2, warmup=0.0, schedule="constant")
    whole = list(steps(config))
    assert whole[-1].epoch < 60
    learner = prepare(config)
    list(itertools.islice(steps(config, learner), len(whole)))  # paused at the last step, before it ended by itself
    save(learner, tmp_path / "state.safetensors")
    again = prepare(config)
    restore(again, tmp_path / "state.safetensors")
    assert list(steps(config, again)) == []


def test_a_run_that_was_put_down_where_no_loss_is_scaled_goes_on_where_it_is(tmp_path):
    path = tmp_path / "state.safetensors"
    for here, there in (("off", "fp16"), ("fp16", "off")):
        learner = prepare(dataclasses.replace(TINY, amp=here))
        list(itertools.islice(steps(learner.config, learner), 3))
        save(learner, path)
        again = prepare(dataclasses.replace(TINY, amp=there))
        restore(again, path)
        assert next(steps(again.config, again)).step == 3


def test_a_damaged_or_foreign_state_is_refused_with_a_sentence(tmp_path):
    path, learner = tmp_path / "state.safetensors", prepare(TINY)
    save(learner, path)
    with pytest.raises(ExplorerError, match="damaged"):
        restore(prepare(dataclasses.replace(TINY, model_settings={"width": 10, "depth": 1})), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ExplorerError, match="damaged"):
        restore(prepare(TINY), path)


# ---- hardware ----


@pytest.mark.parametrize(("amp", "kind"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_mixed_precision_computes_products_in_half_and_keeps_weights_whole(amp, kind):
    config = dataclasses.replace(TINY, amp=amp, epochs=4)
    learner, seen = prepare(config), set()
    learner.model.head.register_forward_hook(lambda module, inputs, output: seen.add((module.training, output.dtype)))
    found = list(steps(config, learner))
    assert (True, kind) in seen
    assert {one.dtype for one in learner.model.parameters()} == {torch.float32}
    assert learner.scaler.is_enabled() == (amp == "fp16")
    plain = list(steps(dataclasses.replace(config, amp="auto")))
    assert found[-1].loss == pytest.approx(plain[-1].loss, rel=0.05)
    assert found[-1].loss != plain[-1].loss


def test_a_compiled_network_learns_the_same(monkeypatch):
    quick = functools.partial(torch.compile, backend="aot_eager")  # all but the last stage, which is the C++ compiler's
    monkeypatch.setattr(torch, "compile", quick)
    config = dataclasses.replace(TINY, compile=True, epochs=1)
    learner = prepare(config)
    assert learner.forward is not learner.model
    np.testing.assert_allclose(losses(config, learner), losses(dataclasses.replace(config, compile=False)), rtol=1e-3)


def test_without_a_compiler_it_is_refused(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ExplorerError, match="no C\\+\\+ compiler"):
        prepare(dataclasses.replace(TINY, compile=True))


# ---- what goes together ----


@pytest.mark.parametrize("lever", PICTURES_ONLY)
def test_what_changes_pictures_is_refused_for_points_with_its_reason(lever):
    value = {"flip": True, "crop": 1, "randaugment": 5}.get(lever, 0.5)
    with pytest.raises(ExplorerError, match="these examples are none"):
        prepare(TrainConfig("points", "mlp", **{lever: value}))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TrainConfig(model="unet", mixup=0.5), "no classes to mix"),
        (TrainConfig("sort", "gpt", balanced=True), "no class of its own"),
        (TrainConfig(crop=5), "more than half of a picture of 8×8 out of sight. Choose 4 at the most"),
        (TrainConfig(batch_size=512, accumulate=4), "would see 2,048 examples, and there are 1,"),
        (TrainConfig(model="mlp", model_settings={"drop_block": 0.1}), "no setting 'drop_block'"),
        (TrainConfig(model="mlp", model_settings={"norm": "batch"}, batch_size=1), "one example has no spread"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(config, words):
    with pytest.raises(ExplorerError, match=words):
        prepare(config)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ExplorerError, match="needs a momentum"):
        TrainConfig(optimizer="sgd", nesterov=True, momentum=0.0)


def test_every_lever_of_the_recipe_has_help_a_group_and_says_when_it_acts():
    found = params(TrainConfig)
    values = {name: param.default for name, param in found.items()}
    for name, param in found.items():
        assert param.control.help
        assert param.control.group
        if param.control.when:
            needed, wanted = param.control.when
            assert list(found).index(needed) < list(found).index(name)
            assert acts(param, values | {needed: wanted[0]})
    assert not acts(found["momentum"], values)
    assert set(unfit("points", False)) == set(PICTURES_ONLY)


# ---- what is measured ----


def test_a_layers_numbers_are_those_worked_out_by_hand():
    config = dataclasses.replace(TINY, clip_norm=0.01)
    learner = prepare(config)
    name, weight = "hidden.0.linear", learner.model.hidden[0].linear.weight
    before = weight.detach().clone()
    step = next(step for step in steps(config, learner) if step.step == 1)
    x, y = next(learner.train(next(prepare(config).orders()), 128))
    model = prepare(config).model
    nn.functional.cross_entropy(model(x), y, label_smoothing=config.label_smoothing).backward()
    length, ratio = step.layers[name]
    assert length == pytest.approx(model.hidden[0].linear.weight.grad.norm().item(), rel=1e-4)
    assert ratio == pytest.approx(((weight - before).norm() / before.norm()).item(), rel=1e-4)
    assert set(step.layers) == {name, "head"}


def test_layers_are_measured_about_a_hundred_times_and_units_at_every_trial():
    config = dataclasses.replace(TINY, epochs=40)
    found = list(steps(config))
    assert 80 < sum(step.layers is not None for step in found) < 140
    assert all((step.dead is not None) == (step.validation_loss is not None) for step in found)


def test_a_unit_that_never_speaks_is_dead():
    learner = prepare(TINY)
    with torch.no_grad():
        learner.model.hidden[0].linear.bias[:3] = -1e6
    step = next(steps(TINY, learner))
    assert step.dead == {"hidden.0.activation": 3 / 8}
    assert not learner.model.hidden[0].activation._forward_hooks
