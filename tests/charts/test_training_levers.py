"""Charts of the levers: python -m pytest tests/charts/test_training_levers.py"""

import math

import numpy as np
import pytest

from explorer.charts import training as curves
from explorer.charts import training_levers as charts
from explorer.training.config import TrainConfig
from explorer.training.loop import steps
from explorer.training.preview import rates
from explorer.training.range_test import judged


@pytest.fixture(scope="module")
def history():
    config = TrainConfig(model="mlp", model_settings={"width": 8, "depth": 2}, epochs=6, batch_size=128, ema=0.9)
    kept = []
    for step in steps(config):
        kept.append({name: value for name, value in vars(step).items() if value is not None})
    return kept


def rows(chart) -> list[dict]:
    return [row for part in chart.to_dict()["datasets"].values() for row in part]


def test_the_schedule_is_drawn_point_by_point_with_its_peak():
    at, values = rates(TrainConfig(), 50)
    found = rows(charts.schedule(at, values, 3e-3))
    assert {"rate": 3e-3} in found
    assert [row["rate"] for row in found if "step" in row] == pytest.approx(values.tolist())


def test_the_range_test_marks_the_suggested_rate_and_where_it_broke():
    line = np.logspace(-6, 1, 60)
    curve = 2.3 - 2 / (1 + np.exp(-6 * (np.log10(line) + 3))) + np.where(line > 0.1, 5 * (np.log10(line) + 1), 0)
    found = judged(line, curve, curve)
    words = [row["words"] for row in rows(charts.range_curve(found)) if "words" in row]
    assert words == [f"suggested {found.suggested:.2g}", f"breaks {found.broke:.2g}"]
    flat = judged(line, np.full(60, 2.3), np.full(60, 2.3))
    assert math.isnan(flat.suggested)
    assert not [row for row in rows(charts.range_curve(flat)) if "words" in row]


@pytest.mark.parametrize("kind", ["updates", "gradients"])
def test_every_layer_has_a_row_and_every_measured_step_a_column(kind, history):
    measured = [record for record in history if "layers" in record]
    found = rows(getattr(charts, kind)(history, history[-1]["step"]))
    names = list(measured[-1]["layers"])
    assert {row["layer"] for row in found} == set(names)
    assert len(found) == len(names) * len(measured)
    first = next(row for row in found if row["layer"] == names[0])
    assert first["value"] == pytest.approx(measured[0]["layers"][names[0]][kind == "updates"])
    assert all(row["until"] > row["step"] or row["step"] == history[-1]["step"] for row in found)


def test_silent_units_and_the_gap_are_drawn_over_the_steps(history):
    total = history[-1]["step"]
    assert {row["layer"] for row in rows(charts.silent(history, total))} == {
        "hidden.0.activation", "hidden.1.activation"
    }  # fmt: skip
    gaps = [row for row in rows(charts.gap(history, total)) if "step" in row]
    last = history[-1]
    assert gaps[-1]["step"] == total
    assert gaps[-1]["gap"] == pytest.approx(last["validation_loss"] - last["loss"], abs=0.3)


def test_charts_of_nothing_are_empty_and_valid():
    for chart in (charts.updates([], 0), charts.gradients([], 0), charts.silent([], 0), charts.gap([], 0)):
        assert chart.to_dict()


def test_weights_that_are_not_averaged_have_a_curve_of_their_own(history):
    found = rows(curves.learning_curve(history, "accuracy", history[-1]["step"]))
    raw = [row["value"] for row in found if row["curve"] == curves.NOT_AVERAGED]
    assert raw == pytest.approx([record["raw_accuracy"] for record in history if "raw_accuracy" in record])
    plain = [{name: value for name, value in one.items() if not name.startswith("raw")} for one in history]
    legend = curves.learning_curve(plain, "accuracy", 1).to_dict()["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert legend == ["training", "validation"]
