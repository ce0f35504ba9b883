"""Measures of samples against formulas, and cases by hand: python -m pytest tests/diffusion/test_measure.py"""

import time

import numpy as np
import pytest
import torch

from explorer import data, jobs, zoo
from explorer.diffusion import measure as measuring
from explorer.diffusion import quality
from explorer.diffusion.judges import ClassJudge, ShapesJudge, _compared, judge_of
from explorer.diffusion.measure import Measurement, apart, copying, frechet, measure, spread
from explorer.errors import ExplorerError
from explorer.zoo import shapes_judge
from explorer.zoo.shapes_judge import Judge, Seen, parse

DIGITS = "zoo:digits-diffusion"


def test_the_frechet_distance_is_scipys():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)), rng.normal(1, 2, (200, 6))
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_the_sliced_distance_is_that_of_a_shift_and_of_scipy():
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(0)
    a = rng.normal(size=(1000, 2))
    angles = np.pi * (np.arange(measuring.DIRECTIONS) + 0.5) / measuring.DIRECTIONS
    shift = np.abs(np.cos(angles) * 3).mean()
    assert apart(a, a + np.array([3, 0])) == pytest.approx(shift, rel=1e-6)
    b = rng.normal(0.5, 2, size=(1000, 2))
    ways = np.stack([np.cos(angles), np.sin(angles)])
    expected = np.mean([wasserstein_distance(a @ way, b @ way) for way in ways.T])
    assert apart(a, b) == pytest.approx(expected, rel=0.02)


def test_a_copy_is_seen_and_a_new_picture_is_none():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)
    slightly = np.clip(train[[7]].astype(int) + rng.integers(-4, 5, (1, 8, 8, 1)), 0, 255).astype(np.uint8)
    near, ratio = copying(np.concatenate([slightly, rng.integers(0, 256, (1, 8, 8, 1)).astype(np.uint8)]), train)
    assert near[0] == 7
    assert ratio[0] < 0.1
    assert ratio[1] > 0.8
    far = np.sqrt((((train - slightly.astype(float)) / 255) ** 2).sum((1, 2, 3)))
    assert ratio[0] == pytest.approx(far.min() / np.sort(far)[:50].mean(), rel=1e-3)


def test_diversity_is_the_mean_distance_of_two_of_a_group():
    features = np.array([[0.0, 0], [3, 4], [10, 0], [10, 2]])
    assert spread(features, ["a", "a", "b", "b"]) == pytest.approx((5 + 2) / 2)
    assert np.isnan(spread(features, ["a", "b", "c", "d"]))


def test_real_examples_are_grouped_as_samples_are(saved, monkeypatch):
    """By what is asked for, and not by their class: two rings are not as alike as two red rings left of a blue star."""
    judge = ShapesJudge(Judge(shapes_judge.untrained()))
    model, test = zoo.load(saved("prompts")), data.load("shapes-prompts", "test")
    monkeypatch.setattr(measuring, "judge_of", lambda *asked: judge)
    monkeypatch.setattr(measuring, "_split", lambda model, split: test)
    monkeypatch.setattr(measuring, "decoded", lambda model, x: test.x[: len(x)])
    found = measure(Measurement(model.card.ref, 20, steps=1), model)
    assert found.diversity_real == pytest.approx(spread(judge.features(test.x), test.captions))


def test_captions_are_read_as_they_are_meant():
    red, blue = ("red", "ring"), ("blue", "star")
    assert parse("a red ring") == Seen("alone", (red,))
    assert parse("a red ring left of a blue star") == Seen("side by side", (red, blue))
    assert parse("a red ring right of a blue star") == Seen("side by side", (blue, red))
    assert parse("a red ring above a blue star") == Seen("one above the other", (red, blue))
    assert parse("a red ring below a blue star") == Seen("one above the other", (blue, red))
    for other in ("", "a dog", "a red ring near a blue star", "a red ring left of a blue"):
        with pytest.raises(ExplorerError, match="judge reads only"):
            parse(other)
    test = data.load("shapes-prompts", "validation")
    assert all(len(shapes_judge.numbers(parse(caption))) == 5 for caption in test.captions)


def test_a_wrong_place_is_no_wrong_colour():
    asked = parse("a red ring left of a blue star")
    assert _compared(asked, asked) == (1, 1, 1)
    assert _compared(parse("a red ring right of a blue star"), asked) == (1, 1, 0)
    assert _compared(parse("a red ring above a blue star"), asked) == (1, 1, 0)
    assert _compared(parse("a red ring left of a green star"), asked) == (0.5, 1, 1)
    assert _compared(parse("a red ring"), asked) == (0.5, 0.5, 0)
    assert _compared(parse("a red ring left of a blue star"), parse("a red ring")) == (1, 1, 0)


def test_the_judge_of_shapes_answers_in_groups():
    judge = Judge(shapes_judge.untrained())
    test = data.load("shapes-prompts", "validation")
    seen = judge.see(test.x[:6])
    assert all(len(one.things) == (1 if one.lies == "alone" else 2) for one in seen)
    assert judge.features(test.x[:6]).shape == (6, shapes_judge.FEATURES)
    right, words = ShapesJudge(judge).right(test.x[:6], test.captions[:6])
    assert right.shape == (3, 6)
    assert len(words) == 6


def test_digits_are_judged_by_the_best_classifier_of_digits():
    judge = judge_of(zoo.load(DIGITS))
    assert isinstance(judge, ClassJudge)
    assert judge.model.card.ref == "zoo:digits-lenet"
    test = data.load("digits", "test")
    right, said = judge.right(test.x[:50], judge.asked(test)[:50])
    assert right.mean() > 0.95
    assert set(said) <= set(test.labels)
    features = judge.features(test.x[:20])
    with judge.model.borrow() as net, torch.inference_mode():
        logits = net(judge.model.preprocess(test.x[:20]))
        expected = net.fc2(torch.tensor(features))
    torch.testing.assert_close(expected, logits)


def test_a_run_of_ones_own_can_judge_what_nothing_that_ships_has_learned():
    from explorer import training
    from explorer.training import TrainConfig

    run = training.fit(TrainConfig(epochs=1, batch_size=256))
    assert judge_of(zoo.load(DIGITS), run.ref).model.card.ref.startswith(run.ref)
    with pytest.raises(ExplorerError, match="no network here has learned"):
        judge_of(zoo.load(DIGITS), "zoo:shapes-resnet")


def test_nobody_judges_what_nobody_has_learned(saved):
    with pytest.raises(ExplorerError, match="no network here has learned"):
        judge_of(zoo.load(saved("guided")))
    with pytest.raises(ExplorerError, match="data that it learned from are not known"):
        measure(Measurement(saved("guided")))
    with pytest.raises(ExplorerError, match="points have no judge"):
        measure(Measurement("zoo:points-diffusion"))


def test_a_measurement_runs_in_a_worker_and_its_report_comes_back_whole():
    asked = Measurement(DIGITS, 20, steps=5)
    id = quality.start(asked, "somebody")
    assert quality.asked_of(id) == asked
    for _ in range(600):
        if jobs.engine().status(id).over:
            break
        time.sleep(0.1)
    assert jobs.engine().status(id).state == "finished", jobs.engine().status(id).error
    found, here = quality.found_of(id), measure(asked)
    assert found.asked == here.asked
    assert found.accuracy == here.accuracy
    np.testing.assert_array_equal(found.samples, here.samples)
    np.testing.assert_allclose(found.right, here.right)
    assert found.frechet == pytest.approx(here.frechet, rel=1e-3)
    assert found.said == here.said


def test_what_can_t_be_measured_is_refused():
    for count in (5, 5000):
        with pytest.raises(ExplorerError, match="there can be 20"):
            quality.start(Measurement(DIGITS, count), "somebody")
    with pytest.raises(ExplorerError, match="none of that name"):
        quality.asked_of("../../etc")
