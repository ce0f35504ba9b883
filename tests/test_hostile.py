"""Inputs that mean harm are refused in a sentence and none of their code runs: python -m tests.hostile"""

from collections import Counter

import pytest

from tests import hostile

HUNG = 20.0  # seconds of the processor that none may cost; how long they take is measured by python -m tests.load


@pytest.fixture(scope="module", autouse=True)
def warm():
    hostile.warm_up()


@pytest.fixture(scope="module")
def corpus():
    return hostile.corpus()


KINDS = (
    "ref", "data", "id", "zip", "picture", "table", "text", "folder", "run", "config", "command", "link", "report",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_one_is_refused_in_a_sentence_or_does_no_harm(corpus, kind):
    found = [hostile.attempt(one) for one in corpus if one.kind == kind]
    assert {outcome.hostile.name: outcome.work for outcome in found if outcome.work > HUNG} == {}
    for outcome in (one for one in found if one.refusal):
        assert len(outcome.refusal) < 4000


def test_there_are_many_and_each_has_its_own_name(corpus):
    counts = Counter((one.kind, one.name) for one in corpus)
    assert {name for name, count in counts.items() if count > 1} == set()
    assert {one.kind for one in corpus} == set(KINDS)
    assert len([one for one in corpus if not one.harmless]) > 500


def test_one_that_is_taken_or_whose_code_runs_is_told():
    taken = hostile.Hostile("ref", "a good one", lambda: None)
    with pytest.raises(AssertionError, match="it was taken"):
        hostile.attempt(taken)
    run = hostile.Hostile("ref", "code", lambda: hostile.pickle.loads(hostile.PICKLE), harmless=True)
    with pytest.raises(AssertionError, match="its code has run"):
        hostile.attempt(run)
    with pytest.raises(ZeroDivisionError):
        hostile.attempt(hostile.Hostile("ref", "a bug", lambda: 1 / 0))
