"""A classifier is asked about its test examples once: python -m pytest tests/test_tried.py"""

import numpy as np
import pytest

from explorer import data, zoo
from explorer.activations.compare import disagreements
from explorer.store import Store
from explorer.tried import tried, untried
from explorer.zoo.model import Model

LENET = "zoo:digits-lenet"


@pytest.fixture
def asked(monkeypatch):
    """How many examples each call of `predict` was about, with nothing kept before."""
    import explorer.tried

    monkeypatch.setattr(explorer.tried, "ANSWERS", Store(lambda: 10**7))
    counts, predict = [], Model.predict

    def counting(model, x, *args):
        counts.append(len(x))
        return predict(model, x, *args)

    monkeypatch.setattr(Model, "predict", counting)
    return counts


def test_who_looks_at_the_answers_and_who_compares_networks_share_them(asked):
    model, test = zoo.load(LENET), data.load("digits", "test")
    assert untried(model, model.card, test) == len(test)
    found = tried(model, model.card, test)
    assert untried(model, model.card, test) == 0
    table = disagreements(LENET, LENET)
    assert asked == [len(test)]
    np.testing.assert_array_equal(table.right_a, found.argmax(1) == test.y)
    np.testing.assert_allclose(table.sure_b, found.max(1))


def test_a_few_are_other_answers_than_all(asked):
    model, test = zoo.load(LENET), data.load("digits", "test")
    few = tried(model, model.card, test, 20)
    assert untried(model, model.card, test) == len(test)
    np.testing.assert_allclose(few, tried(model, model.card, test)[:20], atol=1e-6)
    assert asked == [20, len(test)]
