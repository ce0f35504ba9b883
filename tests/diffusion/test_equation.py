"""The sum on the screen is the step that was made: python -m pytest tests/diffusion/test_equation.py"""

import numpy as np
import pytest

from explorer import zoo
from explorer.diffusion import SAMPLERS, sample
from explorer.diffusion.equation import SEVERAL, WORDS, update

NUMBER = 16


@pytest.mark.parametrize("steps", [5, 7, NUMBER])
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", [name for name in WORDS if name != "flow"])
def test_the_terms_sum_to_the_next_state(saved, sampler, predicts, steps):
    ref = saved("free", prediction_type=predicts)
    found, config = sample(ref, sampler, steps=steps, seed=3, count=2), zoo.load(ref).config
    for at in range(len(found.answers)):
        step = update(found, at, config)
        known = {
            "clean": found.clean[at], "noise": found.noise[at], "state": found.shown[at],
            "clean before": found.clean[max(at - 1, 0)],
        }  # fmt: skip
        total = sum(factor * known[what] for factor, what in step.terms if what != "fresh")
        fresh = sum(factor for factor, what in step.terms if what == "fresh")
        rest = found.shown[at + 1] - total
        if fresh:  # what is left is noise of that deviation
            assert rest.std() / fresh == pytest.approx(1, abs=0.25)
        else:
            largest = max(np.abs(factor * known[what]).max() for factor, what in step.terms if what != "fresh")
            assert np.abs(rest).max() < 2e-3 * largest, at


def test_flow_matching_moves_along_the_same_line(saved):
    ref = saved("free", prediction_type="flow")
    found, config = sample(ref, "flow", steps=6, seed=3), zoo.load(ref).config
    for at in range(6):
        total = sum(
            factor * {"clean": found.clean, "noise": found.noise}[what][at]
            for factor, what in update(found, at, config).terms
        )
        np.testing.assert_allclose(total, found.shown[at + 1], atol=2e-3)


def test_every_sampler_has_its_sentence():
    assert {*WORDS, *SEVERAL} == set(SAMPLERS)
