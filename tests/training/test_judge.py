"""A classifier is judged as scikit-learn and a pencil judge it: python -m pytest tests/training/test_judge.py"""

import warnings

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
)

from explorer import zoo
from explorer.training.judge import LEAST, chance_error, judge, latency, reliability, size, wilson
from explorer.training.run import Evaluation
from explorer.zoo.sources.zoo import SHIPPED


def evaluation(classes: int = 5, count: int = 400, seed: int = 0) -> Evaluation:
    """Answers that are right about half of the time."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, count)
    scores = random.normal(size=(count, classes)) * 1.5
    scores[np.arange(count), y] += 1.5
    raised = np.exp(scores)
    return Evaluation(tuple(f"c{i}" for i in range(classes)), y, raised / raised.sum(1, keepdims=True))


def answers(y: list[int], predicted: list[int], classes: int) -> Evaluation:
    """Answers of full confidence."""
    return Evaluation(tuple(f"c{i}" for i in range(classes)), np.array(y), np.eye(classes)[predicted])


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_the_measures_are_those_of_scikit_learn(classes):
    given = evaluation(classes)
    found = judge(given)
    y, predicted = given.y, given.predicted
    expected = precision_recall_fscore_support(y, predicted, labels=range(classes), zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(getattr(found, name), values)
    macro = precision_recall_fscore_support(y, predicted, average="macro", zero_division=0)
    assert (found.macro_precision, found.macro_recall, found.macro_f1) == pytest.approx(macro[:3])
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, predicted))
    assert found.nll == pytest.approx(log_loss(y, given.probabilities, labels=range(classes)))
    brier = brier_score_loss(y, given.probabilities, labels=range(classes), scale_by_half=False)
    assert found.brier == pytest.approx(brier)
    assert found.accuracy == (y == predicted).mean()
    np.testing.assert_array_equal(found.called, np.bincount(predicted, minlength=classes))


def test_a_class_worked_by_hand():
    found = judge(answers([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2], 3))
    np.testing.assert_allclose(found.precision, [2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(found.recall, [2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(found.f1, [2 / 3, 1 / 2, 1])
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found.brier == pytest.approx(2 * 2 / 6)  # a wrong answer of full confidence is 2 away
    assert found.nll == pytest.approx(-2 * np.log(LEAST) / 6)


def test_what_is_not_defined_is_said_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = judge(answers([0, 1, 2, 2], [0, 0, 0, 0], 4))  # all are called the same; class 3 has no example
        stray = judge(answers([0, 0, 1, 1], [0, 0, 1, 3], 4))  # class 3 is called, and has no example
    np.testing.assert_array_equal(same.precision, [0.25, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(same.recall, [1, 0, 0, np.nan])
    np.testing.assert_allclose(same.f1, [0.4, 0, 0, np.nan])
    assert same.macro_precision == pytest.approx(0.25 / 3)
    assert same.balanced_accuracy == pytest.approx(1 / 3)
    np.testing.assert_array_equal(stray.precision, [1, 1, np.nan, 0])
    np.testing.assert_array_equal(stray.recall, [1, 0.5, np.nan, np.nan])
    assert stray.balanced_accuracy == pytest.approx(0.75)
    assert list(stray.support) == [2, 2, 0, 0]


def test_a_perfect_network_is_still_not_certain_to_be_perfect():
    found = judge(answers([0, 1, 2] * 10, [0, 1, 2] * 10, 3))
    assert found.accuracy == found.macro_f1 == found.interval[1] == 1
    assert found.interval[0] == pytest.approx(30 / (30 + 1.959964**2))
    assert found.reliability.expected_error == found.reliability.largest_error == found.brier == found.nll == 0


@pytest.mark.parametrize(("right", "count"), [(0, 10), (1, 10), (57, 60), (60, 60), (431, 1000)])
def test_the_interval_is_that_of_scipy(right, count):
    low, high = wilson(right, count)
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_calibration_worked_by_hand():
    """Six answers in three of five bins: 0.5 ✓ and 0.6 ✗ in (0.4, 0.6], 0.7 ✓, and 0.9 ✓, 0.9 ✗ and 1 ✓ in (0.8, 1]."""
    confidence = np.array([0.5, 0.6, 0.7, 0.9, 0.9, 1.0])
    right = np.array([True, False, True, True, False, True])
    found = reliability(confidence, right, bins=5)
    np.testing.assert_array_equal(found.counts, [0, 0, 2, 1, 3])
    np.testing.assert_allclose(found.confidence, [np.nan, np.nan, 0.55, 0.7, 2.8 / 3])
    np.testing.assert_allclose(found.accuracy, [np.nan, np.nan, 0.5, 1, 2 / 3])
    np.testing.assert_allclose(found.gaps, [0, 0, 0.05, -0.3, 0.8 / 3])
    assert found.expected_error == pytest.approx((2 * 0.05 + 1 * 0.3 + 3 * 0.8 / 3) / 6)
    assert found.largest_error == pytest.approx(0.3)
    assert np.isnan(found.interval[:2]).all()
    np.testing.assert_allclose(found.interval[2], wilson(1, 2))


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    found = reliability(np.array([0.0, 0.2, 0.200001, 1.0]), np.full(4, True), bins=5)
    np.testing.assert_array_equal(found.counts, [2, 1, 0, 0, 1])


def test_chance_alone_makes_a_calibration_error_that_shrinks_with_the_number_of_answers():
    random = np.random.default_rng(0)
    few, many = random.uniform(0.3, 1, 50), random.uniform(0.3, 1, 5000)
    assert chance_error(many, random) < 0.3 * chance_error(few, random)
    below = [
        reliability(few, random.random(50) < few).expected_error < chance_error(few, np.random.default_rng(trial))
        for trial in range(100)
    ]
    assert 85 <= sum(below) < 100
    assert chance_error(np.ones(10), random) == 0


def test_an_over_confident_network_is_off_by_more_than_chance_and_a_calibrated_one_is_not():
    random = np.random.default_rng(1)
    y = random.integers(0, 2, 2000)
    sure = random.uniform(0.5, 1, 2000)
    called = np.where(random.random(2000) < sure, y, 1 - y)  # right as often as it is sure
    for claimed, calibrated in ((sure, True), (np.full(2000, 0.99), False)):
        probabilities = np.where(np.eye(2, dtype=bool)[called], claimed[:, None], 1 - claimed[:, None])
        found = judge(Evaluation(("a", "b"), y, probabilities))
        assert (found.reliability.expected_error < found.chance_error) == calibrated


def test_latency_is_measured_on_a_private_tree_and_grows_with_the_batch():
    model = zoo.load("zoo:shapes-vit")
    found = latency(model, model.card.shape)
    assert 0 < found.one < found.batch
    assert found.device == "cpu"
    with model.borrow() as module:
        assert not module.training


def test_size_counts_parameters_memory_and_the_file():
    model = zoo.load("zoo:digits-lenet")
    file = SHIPPED / "digits-lenet" / "model.safetensors"
    found = size(model, file)
    with model.borrow() as module:
        assert found.parameters == sum(weight.numel() for weight in module.parameters())
        assert found.memory == sum(one.nbytes for one in (*module.parameters(), *module.buffers()))
    assert found.disk == len(file.read_bytes())
    assert found.disk < found.memory  # shipped in half precision
