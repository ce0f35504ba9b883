"""Every chart is a valid Vega-Lite specification that says what its result says: python -m pytest tests/charts"""

import altair as alt
import numpy as np
import pytest

from explorer import data
from explorer.charts import models, training
from explorer.training.run import Evaluation, Regions

HISTORY = [{"step": 0, "epoch": 0.0, "validation_loss": 2.3, "validation_accuracy": 0.1}] + [
    {"step": s, "epoch": s / 10, "loss": 2 / s, "accuracy": 1 - 1 / s, "lr": 0.1, "grad_norm": 1.0}
    | ({"validation_loss": 2.5 / s, "validation_accuracy": 0.9} if s % 10 == 0 else {})
    for s in range(1, 5001)
]
RNG = np.random.default_rng(0)


def rows(chart: alt.TopLevelMixin) -> list[dict]:
    """All data rows of a chart, which must be a valid specification."""
    return [row for table in chart.to_dict()["datasets"].values() for row in table]


@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
def test_a_learning_curve_is_thinned_and_keeps_both_ends_and_the_mark(quantity):
    found = rows(training.learning_curve(HISTORY, quantity, 5000, at=30))
    steps = [row["step"] for row in found if row.get("curve") == "training"]
    assert len(steps) <= training.POINTS
    assert steps[-1] == 5000
    assert steps == sorted(steps)
    assert {row["curve"] for row in found if "curve" in row} == {"training", "validation"}
    assert {"step": 30} in found


@pytest.mark.parametrize("history", [[], HISTORY[:1], HISTORY[:2]])
def test_a_run_that_has_just_begun_can_be_drawn(history):
    training.learning_curve(history, "loss", 10).to_dict()
    training.small_curve(history, "lr", "learning rate", 10).to_dict()


def test_the_smooth_curve_is_the_exponentially_weighted_mean():
    found = [row for row in rows(training.learning_curve(HISTORY[:20], "loss", 20)) if row["curve"] == "training"]
    values = np.array([row["value"] for row in found])
    span = max(2, len(values) / 25)
    weights = (1 - 2 / (span + 1)) ** np.arange(len(values))
    expected = [(values[: i + 1][::-1] * weights[: i + 1]).sum() / weights[: i + 1].sum() for i in range(len(values))]
    np.testing.assert_allclose([row["smooth"] for row in found], expected)


def test_the_answer_chart_ranks_the_classes():
    probabilities = RNG.dirichlet(np.ones(20))
    found = rows(models.answer(probabilities, [f"c{i}" for i in range(20)], true=int(probabilities.argmax())))
    assert [row["probability"] for row in found] == sorted(probabilities, reverse=True)[:10]
    assert found[0]["answer"] == "true class"


def test_points_are_drawn_with_their_mistakes_over_the_answers_everywhere():
    test = data.load("points", "test")
    wrong = Evaluation(test.labels, test.y, np.eye(len(test.labels))[(test.y + 1) % len(test.labels)])
    grid = RNG.uniform(-1, 1, (64 * 64, 2))
    regions = Regions(test.labels, grid, RNG.dirichlet(np.ones(2), len(grid)), 0.1)
    found = rows(training.points(test, wrong, regions))
    assert {row["answer"] for row in found if "answer" in row} == {"wrong"}
    assert sum("x2" in row for row in found) == 64 * 64


def test_the_loss_of_a_classifier_is_in_nats_before_its_first_step_too():
    def title(record):
        spec = training.learning_curve([record], "loss", 10).to_dict()
        return spec["layer"][0]["encoding"]["y"]["title"]

    start = {"step": 0, "epoch": 0.0, "validation_loss": 2.3}
    assert title(start | {"validation_accuracy": 0.1}) == "loss (nats)"
    assert title(start) == "squared error"
