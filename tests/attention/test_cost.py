"""The cost is what was measured, and the fit is what generated it: python -m pytest tests/attention/test_cost.py"""

from dataclasses import astuple

import numpy as np
import pytest
import torch

from explorer.attention import cost
from explorer.errors import ExplorerError

LENGTHS = np.array(cost.LENGTHS[:12], float)
FAST = {"lengths": (16, 32, 48, 64, 96), "width": 32, "heads": 2, "repeats": 1}


@pytest.mark.parametrize("terms", [(2e-5, 3e-7, 7e-9), (0, 0, 7e-9), (1e-4, 1e-6, 0), (3e-3, 0, 0)])
def test_the_fit_recovers_what_made_the_timings(terms):
    found = cost.fit(LENGTHS, terms[0] + terms[1] * LENGTHS + terms[2] * LENGTHS**2)
    assert (found.constant, found.linear, found.quadratic) == pytest.approx(terms, rel=1e-6, abs=1e-14)
    assert terms[1:] == (0, 0) or found.r2 == pytest.approx(1)


def test_the_fit_recovers_it_from_noisy_timings_too():
    rng = np.random.default_rng(0)
    terms = np.array([5e-5, 4e-7, 7e-9])
    exact = terms @ np.stack([np.ones(12), LENGTHS, LENGTHS**2])
    found = [cost.fit(LENGTHS, exact * rng.normal(1, 0.03, 12)) for _ in range(50)]
    middle = np.median([(one.constant, one.linear, one.quadratic) for one in found], axis=0)
    np.testing.assert_allclose(middle, terms, rtol=0.1)
    assert min(one.r2 for one in found) > 0.97


def test_no_term_of_a_fit_is_negative():
    found = cost.fit(LENGTHS, 1e-3 + 1e-8 * (LENGTHS - 400).clip(0) ** 2)
    assert min(found.constant, found.linear, found.quadratic) >= 0


def test_shares_sum_to_one_and_follow_the_terms():
    found = cost.Fit(1.0, 0.1, 0.01, 1.0)
    assert found.shares(10) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found.shares(1e6)[2] > 0.99
    assert found.at(np.array([0.0, 10.0])).tolist() == [1.0, 3.0]


def made(attention: cost.Fit, linear: cost.Fit) -> cost.Cost:
    seconds = {"attention": attention, "fused": attention, "linear": linear}
    curves = tuple(cost.Curve(name, fit.at(LENGTHS), np.ones(12, int), fit) for name, fit in seconds.items())
    return cost.Cost("a machine", "cpu", 64, 4, 1, LENGTHS, curves, "")


def test_the_crossing_is_where_both_take_as_long():
    found = made(cost.Fit(0, 0, 1e-8, 1), cost.Fit(0, 1e-5, 0, 1))
    assert found.crossing() == pytest.approx(1000)
    assert found.counted_crossing == 384
    assert made(cost.Fit(0, 1e-6, 0, 1), cost.Fit(0, 1e-5, 0, 1)).crossing() is None
    assert made(cost.Fit(1, 0, 1e-8, 1), cost.Fit(0, 1e-9, 0, 1)).crossing() is None  # it was dearer all along
    assert found.layer.shares(1000)[1:] == pytest.approx((0.5, 0.5))


def test_a_measurement_says_what_it_measured():
    found = cost.measure(**FAST)
    assert tuple(curve.name for curve in found.curves) == cost.NAMES
    assert found.lengths.tolist() == list(FAST["lengths"])
    assert not found.stopped
    assert "torch" in found.machine
    assert all((curve.seconds > 0).all() for curve in found.curves)


def test_the_bytes_are_those_of_the_tensors():
    found = cost.measure(**FAST)
    n, width, heads = found.lengths, FAST["width"], FAST["heads"]
    scores, output = 4 * heads * n**2, 4 * width * n
    assert found.curve("attention").bytes.tolist() == (2 * scores + output).tolist()  # the weights are as large
    assert (found.curve("fused").bytes < found.curve("attention").bytes).all()
    assert found.curve("linear").bytes.tolist() == (8 * width * n * 4).tolist()  # before and after the GELU


def test_the_ledger_forgets_what_has_gone_and_leaves_views_out():
    given = torch.zeros(100)
    with cost.Ledger() as ledger:
        made = given.view(10, 10).t()
        assert ledger.held == 0
        kept = given + 1
        for _ in range(5):
            made = kept * 2  # there are three at once, as the next is made before the last goes
        view = kept[10:]
        del kept
        assert ledger.held == 800
        del view, made
        assert ledger.held == 0
    assert ledger.peak == 1200


def test_it_stops_before_a_length_that_would_take_too_long_and_says_so():
    found = cost.measure(lengths=(16, 32, 48, 64, 10**6), width=32, heads=2, repeats=1, seconds=3)
    assert found.lengths.tolist() == [16, 32, 48, 64]
    assert "1,000,000 tokens would take too long for 3 seconds in all" in found.stopped


def test_it_stops_before_a_length_that_is_too_large_and_says_so(monkeypatch):
    monkeypatch.setattr(cost, "BLOCK", 4 * 2 * 80**2)
    found = cost.measure(**FAST)
    assert found.lengths.tolist() == [16, 32, 48, 64]
    assert "at 96 tokens the scores alone take" in found.stopped


def test_too_little_time_is_refused():
    with pytest.raises(ExplorerError, match=r"only 1 lengths fit here.*Choose a smaller width"):
        cost.measure(lengths=(16, 10**6), width=32, heads=2, repeats=1, seconds=3)


def test_what_is_saved_comes_back(tmp_path):
    found = cost.measure(**FAST)
    cost.save(found, tmp_path / "cost.json")
    again = cost.recorded(tmp_path / "cost.json")
    assert (again.machine, again.width, again.heads, again.stopped) == (found.machine, 32, 2, "")
    for ours, theirs in zip(found.curves, again.curves, strict=True):
        assert ours.fit == theirs.fit
        assert ours.seconds.tolist() == theirs.seconds.tolist()
        assert ours.bytes.tolist() == theirs.bytes.tolist()


def test_the_recorded_measurement_is_quadratic():
    found = cost.recorded()
    for name, least in (("attention", 0.95), ("fused", 0.99)):
        curve = found.curve(name)
        assert curve.fit.r2 > least
        again = cost.fit(found.lengths, curve.seconds)
        assert astuple(curve.fit) == pytest.approx(astuple(again), rel=1e-6)
        assert curve.fit.shares(float(found.lengths[-1]))[2] > 0.8
    assert found.curve("linear").fit.shares(float(found.lengths[-1]))[1] > 0.8
