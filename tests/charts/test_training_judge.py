"""The charts of a judgement say what it says, for 2 classes and for 100: python -m pytest tests/charts"""

import numpy as np
import pytest

from explorer import data
from explorer.charts import training_judge as charts
from explorer.training.judge import judge
from explorer.training.run import Evaluation


def rows(chart) -> list[dict]:
    """All data rows of a chart, which must be a valid specification."""
    return [row for table in chart.to_dict()["datasets"].values() for row in table]


def evaluation(classes: int, count: int = 600, seed: int = 0) -> Evaluation:
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, count)
    scores = random.normal(size=(count, classes)) * 2
    scores[np.arange(count), y] += 2
    raised = np.exp(scores)
    return Evaluation(tuple(f"class {i}" for i in range(classes)), y, raised / raised.sum(1, keepdims=True))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_every_chart_draws_two_and_a_hundred_classes(classes):
    given = evaluation(classes)
    found = judge(given)
    for chart in (
        charts.confusion(given, True, (0, 1)),
        charts.reliability(found),
        charts.confidences(found),
        charts.by_class(found),
        charts.by_class(found, worst_first=False),
    ):
        assert len(rows(chart)) <= 5000


def test_the_cells_are_those_of_the_confusion_matrix_and_carry_what_a_click_selects():
    given = evaluation(5)
    chart = charts.confusion(given, chosen=(3, 1))
    cells = [row for row in rows(chart) if "count" in row]
    assert {(row["i"], row["j"]): row["count"] for row in cells} == {
        (i, j): count for (i, j), count in np.ndenumerate(given.confusion) if count
    }
    for row in cells:
        assert row["share"] == pytest.approx(row["count"] / (given.y == row["i"]).sum(), abs=1e-5)
    assert {"true": "class 3", "predicted": "class 1"} in rows(chart)
    (pick,) = chart.to_dict()["params"]
    assert (pick["name"], pick["select"]["fields"]) == ("cell", ["i", "j"])


def test_numbers_stand_in_the_cells_of_few_classes_only_and_names_of_many_are_thinned():
    few, many = (charts.confusion(evaluation(classes)).to_dict() for classes in (10, 100))
    assert [layer["mark"]["type"] for layer in few["layer"]] == ["rect", "text"]
    assert [layer["mark"]["type"] for layer in many["layer"]] == ["rect"]
    assert len(few["layer"][0]["encoding"]["x"]["axis"]["values"]) == 10
    assert len(many["layer"][0]["encoding"]["x"]["axis"]["values"]) <= charts.NAMED
    assert len(many["layer"][0]["encoding"]["x"]["scale"]["domain"]) == 100


def test_of_very_many_cells_the_fullest_are_drawn():
    cells = [row for row in rows(charts.confusion(evaluation(100, 20_000))) if "count" in row]
    assert len(cells) == charts.CELLS
    assert {row["i"] for row in cells if row["i"] == row["j"]} == set(range(100))


def test_reliability_draws_the_bins_that_hold_answers():
    found = judge(evaluation(4))
    bars = [row for row in rows(charts.reliability(found)) if "count" in row]
    some = found.reliability.counts > 0
    assert [row["count"] for row in bars] == list(found.reliability.counts[some])
    np.testing.assert_allclose([row["accuracy"] for row in bars], found.reliability.accuracy[some], atol=1e-5)
    assert sum(row["count"] for row in rows(charts.confidences(found))) == found.count


def test_the_worst_classes_come_first_and_of_many_only_they():
    found = judge(evaluation(100))
    shown = charts.shown_classes(found)
    assert len(shown) == charts.CLASSES
    assert list(found.f1[shown]) == sorted(found.f1)[: charts.CLASSES]
    assert list(charts.shown_classes(found, worst_first=False)) == sorted(shown)
    drawn = {row["class"] for row in rows(charts.by_class(found)) if "measure" in row}
    assert drawn == {f"class {i}" for i in shown}


def test_a_class_that_is_never_called_and_one_without_examples_are_noted():
    given = Evaluation(("a", "b", "c"), np.array([0, 0, 1]), np.eye(3)[[0, 0, 0]])
    notes = {row["class"]: row["why"] for row in rows(charts.by_class(judge(given))) if "why" in row}
    assert notes == {"b": "never called so", "c": "never called so, no test example"}


def test_points_are_framed_where_they_are():
    test = data.load("points", "test", count=100)
    picked = np.array([3, 5])
    framed = rows(charts.picked_points(test, picked))
    assert len(framed) == len(test) + 2
    np.testing.assert_allclose([(row["x"], row["y"]) for row in framed[-2:]], test.x[picked], atol=1e-4)
