"""The range test: python -m pytest tests/training/test_range_test.py"""

import dataclasses
import math

import numpy as np
import pytest

from explorer.training.config import TrainConfig
from explorer.training.loop import Diverged, steps
from explorer.training.range_test import HIGHEST, LOWEST, STEPS, judged, range_test, rate


def test_the_rate_grows_by_the_same_factor_from_the_lowest_to_the_highest():
    rates = np.array([rate(step) for step in range(STEPS)])
    assert rates[0] == pytest.approx(LOWEST)
    assert rates[-1] == pytest.approx(HIGHEST)
    np.testing.assert_allclose(rates[1:] / rates[:-1], rates[1] / rates[0])


def test_a_plain_network_falls_breaks_and_gets_a_rate_with_which_it_learns():
    config = TrainConfig(optimizer="sgd", weight_decay=0.0, clip_norm=0.0)
    found = range_test(config)
    np.testing.assert_allclose(found.rates, [rate(step) for step in range(len(found.rates))], rtol=1e-6)
    assert found.broke > found.suggested
    after = {}
    for times in (1, 1e-3, 100):
        tried = dataclasses.replace(config, lr=found.suggested * times, epochs=2, schedule="constant", warmup=0.0)
        try:
            *_, last = steps(tried)
            after[times] = last.validation_loss
        except Diverged:
            after[times] = math.inf
    assert min(after, key=after.get) == 1
    assert after[1] < after[1e-3] - 0.2


def test_a_curve_worked_out_by_hand():
    rates = np.logspace(-6, 1, 71)
    bend = 2.3 - 2 / (1 + np.exp(-6 * (np.log10(rates) + 3)))  # falls fastest at 1e-3
    curve = bend + np.where(rates > 0.1, 5 * (np.log10(rates) + 1), 0)
    found = judged(rates, curve, curve)
    assert found.suggested == pytest.approx(1e-3, rel=0.3)
    assert 0.1 < found.broke < 10
    late = judged(rates, np.roll(curve, 16), np.roll(curve, 16))  # falls just before it breaks
    assert late.suggested <= rates[np.roll(curve, 16).argmin()] / 10


def test_where_the_loss_never_falls_nothing_is_suggested():
    rates = np.logspace(-6, 1, 50)
    found = judged(rates, np.full(50, 2.3), np.full(50, 2.3))
    assert math.isnan(found.suggested)
    assert math.isnan(found.broke)
    short = judged(rates[:3], np.full(3, np.nan), np.full(3, np.nan))
    assert math.isnan(short.suggested)
    assert len(short.rates) == 0


def test_as_a_job_it_is_found_again(monkeypatch):
    from explorer.training import range_test as module

    config = TrainConfig(model="mlp", model_settings={"width": 8, "depth": 1})
    told = []
    request = {"id": "0" * 32, "asked": config.to_dict()}
    assert module.work(request, told.append, lambda: False) == {"done": True}
    found = module.STUDY.found("0" * 32, module.RangeTest)
    assert len(found.rates) == len(found.losses) == len(told)
    assert isinstance(found.suggested, float)
    assert module.work(request | {"id": "1" * 32}, told.append, lambda: True) == {}
