"""How much of the workers' time a person has used: python -m pytest tests/jobs/test_hour.py"""

import pytest

from explorer.errors import ExplorerError
from explorer.jobs import LocalEngine
from explorer.jobs.hour import HOUR, Hour
from tests.jobs.conftest import ended, told

LIMITS = {"seconds": 30, "memory": 500 * 2**20}


def test_only_the_last_hour_counts_and_each_for_themselves():
    hour = Hour()
    hour.add("anna", 100, 1000)
    hour.add("anna", 50, 2000)
    hour.add("ben", 7, 2000)
    assert hour.used("anna", 2000) == 150
    assert hour.used("ben", 2000) == 7
    assert hour.used("cleo", 2000) == 0
    assert hour.used("anna", 900 + HOUR + 30) == 120  # 30 s of the first lie before the hour
    assert hour.used("anna", 1000 + HOUR) == 50
    assert hour.used("anna", 2000 + HOUR) == 0
    assert hour._jobs == {}  # whoever used nothing is forgotten


@pytest.mark.parametrize("limit", [1, 40, 100, 120, 149])
def test_after_the_wait_there_is_time_again_and_not_before(limit):
    hour = Hour()
    hour.add("anna", 100, 1000)
    hour.add("anna", 50, 2000)
    wait = hour.wait("anna", limit, 2100)
    assert wait > 0
    assert hour.used("anna", 2100 + wait - 0.01) > limit
    assert hour.used("anna", 2100 + wait + 0.01) < limit


def test_who_is_below_the_limit_does_not_wait():
    hour = Hour()
    assert hour.wait("anna", 100, 0) == 0
    hour.add("anna", 99, 100)
    assert hour.wait("anna", 100, 100) == 0
    assert hour.wait("anna", 99, 100) > 0  # all of it is used


def test_an_engine_refuses_who_has_used_their_hour():
    engine = LocalEngine(1, 10, 0, 1, ("json",), hourly=1e-6)
    try:
        engine.submit("tests.jobs.tasks:pid", {}, id="a", owner="anna", **LIMITS)
        assert ended(engine, "a", 60).state == "finished"
        with pytest.raises(ExplorerError, match=r"you have used the .* Try again in 60 min"):
            engine.submit("tests.jobs.tasks:pid", {}, id="b", owner="anna", **LIMITS)
        engine.submit("tests.jobs.tasks:pid", {}, id="b", owner="ben", **LIMITS)
        assert ended(engine, "b").state == "finished"
    finally:
        engine.close()


def test_the_list_of_jobs_has_those_that_run_and_those_that_wait_in_order(engine, submit):
    assert engine.listing() == []
    first, second, third = (submit("tell", owner=owner) for owner in ("anna", "ben", "cleo"))
    told(engine, first)
    found = engine.listing()
    assert [(job.id, job.owner, job.state, job.position) for job in found] == [
        (first, "anna", "running", 0), (second, "ben", "waiting", 1), (third, "cleo", "waiting", 2),
    ]  # fmt: skip
    assert {job.task for job in found} == {"tests.jobs.tasks:tell"}
    assert found[0].queued <= found[0].started
    assert found[0].queued <= found[1].queued <= found[2].queued
    engine.cancel(second)
    engine.cancel(first)
    assert ended(engine, first).task == "tests.jobs.tasks:tell"
    assert [job.id for job in engine.listing()] == [third]
