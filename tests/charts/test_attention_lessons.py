"""The lessons' charts say what their results say: python -m pytest tests/charts/test_attention_lessons.py"""

import altair as alt
import numpy as np
import pytest

from explorer.attention import cost, positions
from explorer.charts import attention_lessons as charts


def rows(chart: alt.TopLevelMixin) -> list[dict]:
    return [row for data in chart.to_dict()["datasets"].values() for row in data]


def test_a_small_matrix_shows_its_numbers_and_hides_what_is_masked():
    values = np.array([[1.234, -0.001], [0.5, -2.0]])
    found = rows(charts.matrix(values, ["the", "the"], ["a", "b"], 2.0, np.array([[False, False], [False, True]])))
    assert [row["text"] for row in found] == ["1.23", "0.00", "0.50", "−∞"]
    assert [row["value"] for row in found] == [1.234, -0.001, 0.5, None]
    assert len({row["row"] for row in found}) == 2  # a word that occurs twice stays two


@pytest.mark.parametrize("kind", positions.KINDS)
def test_positions_travel_as_one_row_a_token(kind):
    found = positions.encoding(kind, 128, 128)
    chart = charts.encoding(found)
    sent = rows(chart)
    assert len(sent) == 128
    unpacked = np.array([[float(number) for number in row["row"].split(" ")] for row in sent])
    np.testing.assert_allclose(unpacked, found.picture, rtol=5e-3, atol=1e-9)
    assert len(chart.to_json(indent=None)) < 180_000  # of 16,384 cells


@pytest.mark.parametrize("kind", positions.KINDS)
def test_every_distance_has_its_mean_and_its_band(kind):
    found = positions.encoding(kind, 24, 16)
    sent = rows(charts.by_distance(found))
    assert len(sent) == len(found.lines) * 24
    np.testing.assert_allclose([row["mean"] for row in sent], found.mean.ravel(), atol=1e-4)
    assert all(row["low"] <= row["high"] for row in sent)


def test_turns_are_told_apart_by_the_length_of_the_text():
    found = positions.encoding("rotary", 64, 32)
    points = [row for row in rows(charts.turns(found)) if "pair" in row]
    assert [row["within"].startswith("comes") for row in points] == (found.turns <= 64).tolist()
    assert len(rows(charts.pairs(found))) == 64


@pytest.mark.parametrize("log", [True, False])
def test_the_cost_shows_every_measurement_and_its_fit(log):
    found = cost.recorded()
    chart = charts.seconds(found, log)
    datasets = chart.to_dict()["datasets"].values()
    lines, points = ({(row["what"], row["tokens"]): row["time"] for row in data} for data in sorted(
        (data for data in datasets if "time" in data[0]), key=len, reverse=True))  # fmt: skip
    for curve in found.curves:
        name = charts.CALLED[curve.name]
        assert [points[name, n] for n in found.lengths] == pytest.approx((1e3 * curve.seconds).tolist())
        drawn = [(n, time) for (what, n), time in lines.items() if what == name]
        assert [time for _, time in drawn] == pytest.approx([1e3 * curve.fit.at(n) for n, _ in drawn])
    assert any("they cross" in row.get("text", "") for row in rows(chart))
    assert len(rows(charts.space(found, log))) == 3 * len(found.lengths)


def test_the_shares_sum_to_one_at_every_length():
    sent = rows(charts.shares(cost.recorded()))
    total: dict[float, float] = {}
    for row in sent:
        total[row["tokens"]] = total.get(row["tokens"], 0) + row["share"]
    assert list(total.values()) == pytest.approx([1] * 60)
