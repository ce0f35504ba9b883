"""Charts of explanations say what their results say: python -m pytest tests/charts/test_attribution.py"""

import numpy as np
import pytest

from explorer.attribution.leaderboard import Standing
from explorer.attribution.measures import MEASURES, SHARES, Measured
from explorer.attribution.sanity import Cascade
from explorer.charts import attribution as charts
from tests.charts.test_charts import rows

RNG = np.random.default_rng(0)
TITLES = ["Grad-CAM", "Sobel edges"]


@pytest.mark.parametrize("which", ["deletion", "insertion"])
def test_curves_hold_every_share_of_every_method(which):
    measured = [Measured(name, {}, RNG.random(len(SHARES)), RNG.random(len(SHARES))) for name in TITLES]
    found = rows(charts.curves(measured, TITLES, which))
    assert len(found) == 2 * len(SHARES)
    first = [row for row in found if row["method"] == "Grad-CAM"]
    np.testing.assert_allclose([row["probability"] for row in first], getattr(measured[0], which))
    assert first[0]["share"] == (0 if which == "deletion" else 1)


def test_the_agreement_grid_has_a_cell_for_every_two_and_none_for_an_empty_map():
    found = rows(charts.agreement(np.array([[1, 0.25], [0.25, np.nan]]), TITLES))
    assert [row["agreement"] for row in found] == [1, 0.25, 0.25, None]


def test_the_cascade_marks_its_step_and_leaves_out_what_could_not_be_compared():
    similarity = np.array([[1.0, 1.0], [0.5, np.nan]])
    found = rows(charts.cascade(Cascade(("a", "b"), ("", "head"), ((), ()), similarity), TITLES, 1))
    assert {"step": 1} in found
    values = {(row["step"], row["method"]): row["similarity"] for row in found if "method" in row}
    assert values[1, "Grad-CAM"] == 0.5
    assert values[1, "Sobel edges"] is None


def test_the_standing_is_sorted_the_better_way_round_with_its_interval():
    deletion = next(kind for kind in MEASURES if kind.name == "deletion")
    insertion = next(kind for kind in MEASURES if kind.name == "insertion")
    mean = np.array([[0.2, 0.2], [0.7, 0.7]])
    found = Standing(("grad_cam", "sobel"), ("deletion", "insertion"), mean, np.array([[0.1, np.nan]] * 2), 5)
    lower = rows(charts.standing(found, deletion, TITLES))
    assert [row["method"] for row in lower] == TITLES
    assert (lower[0]["low"], lower[0]["high"]) == pytest.approx((0.1, 0.3))
    higher = rows(charts.standing(found, insertion, TITLES))
    assert [row["method"] for row in higher] == TITLES[::-1]
    assert higher[0]["low"] == higher[0]["high"] == 0.7
    assert [row["kind"] for row in higher] == ["baseline", "method"]
