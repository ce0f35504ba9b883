"""Questions that a worker answers: python -m pytest tests/jobs/test_study.py"""

from dataclasses import dataclass

import numpy as np
import pytest

from explorer import jobs
from explorer.errors import ExplorerError
from explorer.jobs.study import Study, packed, unpacked
from tests.jobs.conftest import wait

STUDY = Study("count", "tests.jobs.test_study:run", "counts")


@dataclass(frozen=True, eq=False)
class Found:
    counts: np.ndarray
    words: tuple[str, ...]
    mean: float
    name: str
    many: int
    whole: bool


FOUND = Found(np.arange(3), ("a", "ring"), 1.5, "counted", 3, True)


def run(request, report, stopping):
    def make(on_step):
        for share in (0.5, 1.0):
            on_step(share)
        return FOUND

    return STUDY.answer(request, report, stopping, make)


def same(one: Found, other: Found) -> bool:
    return np.array_equal(one.counts, other.counts) and all(
        getattr(one, name) == getattr(other, name) and type(getattr(one, name)) is type(getattr(other, name))
        for name in ("words", "mean", "name", "many", "whole")
    )


def test_what_a_worker_found_comes_back_with_its_types(tmp_path):
    id = STUDY.start({"ref": "zoo:x", "steps": 2}, "me")
    wait(lambda: jobs.engine().status(id).over, 60)
    assert jobs.engine().status(id).state == "finished", jobs.engine().status(id).error
    assert STUDY.asked(id) == {"ref": "zoo:x", "steps": 2}
    assert same(STUDY.found(id, Found), FOUND)
    path = tmp_path / "one.npz"
    path.write_bytes(packed(FOUND))
    assert same(unpacked(Found, path), FOUND)


def test_who_stops_it_finds_nothing_and_is_told_no_more():
    told = []
    assert run({"id": "a" * 32}, told.append, lambda: True) == {}
    assert told == []
    assert STUDY.found("a" * 32, Found) is None


@pytest.mark.parametrize("id", ["", "../../etc/passwd", "a" * 32, "A" * 31, "a" * 33])
def test_an_id_that_there_is_not_is_refused(id):
    with pytest.raises(ExplorerError, match="none of that name"):
        STUDY.asked(id)
