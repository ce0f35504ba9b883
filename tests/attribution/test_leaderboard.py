"""The leaderboard as a job: python -m pytest tests/attribution/test_leaderboard.py"""

import time

import numpy as np
import pytest
from scipy.stats import bootstrap

from explorer import jobs
from explorer.attribution import leaderboard
from explorer.attribution.leaderboard import Race
from explorer.errors import ExplorerError

RACE = Race("zoo:digits-lenet", ("saliency", "grad_cam", "random"), images=6)


def ended(id: str) -> jobs.JobStatus:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        status = jobs.engine().status(id)
        if status.over:
            return status
        time.sleep(0.05)
    raise TimeoutError(id)


def test_a_race_runs_in_a_worker_and_is_found_again_by_its_id():
    id = leaderboard.start(RACE, "anna")
    status = ended(id)
    assert status.state == "finished"
    assert status.error is None
    assert leaderboard.race(id) == RACE
    rows = leaderboard.rows(id)
    assert len({row["image"] for row in rows}) == 6
    found = leaderboard.standing(RACE.methods, rows, ("deletion", "milliseconds", "mass"))
    assert np.isfinite(found.mean[:, :2]).all()
    assert np.isnan(found.mean[:, 2]).all()  # nobody knows where a digit's pixels end
    assert found.images == 6


def test_a_race_that_is_stopped_keeps_what_it_has():
    id = leaderboard.start(Race("zoo:shapes-resnet", ("saliency", "random"), images=500), "anna")
    while len(leaderboard.rows(id)) < 2:
        assert not jobs.engine().status(id).over
        time.sleep(0.05)
    jobs.engine().cancel(id)
    assert ended(id).state == "cancelled"
    assert 2 <= len(leaderboard.rows(id)) < 500


def test_the_same_race_has_the_same_numbers():
    reports = []

    def once() -> list:
        import uuid

        id = uuid.uuid4().hex
        leaderboard.folder(id).mkdir(parents=True)
        request = {"id": id, "race": {**RACE.__dict__, "images": 2}}
        leaderboard.run(request, reports.append, lambda: False)
        return [{k: v for k, v in row.items() if "milliseconds" not in k} for row in leaderboard.rows(id)]

    assert once() == once()
    assert [event["progress"] for event in reports] == [0.5, 1.0, 0.5, 1.0]


def test_the_interval_is_the_one_that_the_bootstrap_finds():
    rng = np.random.default_rng(0)
    values = rng.exponential(size=200)
    rows = [{"image": i, "a x": value} for i, value in enumerate(values)]
    found = leaderboard.standing(("a",), rows, ("x",))
    assert found.mean[0, 0] == pytest.approx(values.mean())
    interval = bootstrap((values,), np.mean, rng=rng).confidence_interval
    assert 2 * found.margin[0, 0] == pytest.approx(interval.high - interval.low, rel=0.1)
    single = leaderboard.standing(("a",), rows[:1], ("x",))
    assert single.mean[0, 0] == pytest.approx(values[0])
    assert np.isnan(single.margin[0, 0])
    assert leaderboard.standing(("a",), [], ("x",)).images == 0


@pytest.mark.parametrize(
    ("race", "sentence"),
    [
        (Race("zoo:nonsense", ("saliency",)), "no model of that name"),
        (Race("zoo:digits-lenet", ("nonsense",)), "none of that name"),
        (Race("zoo:digits-lenet", ("saliency",), images=1), "between 2 and"),
    ],
)
def test_what_can_not_be_raced_is_refused_before_anything_starts(race, sentence):
    with pytest.raises(ExplorerError, match=sentence):
        leaderboard.start(race, "anna")


def test_an_unknown_race_is_refused():
    for id in ("0" * 32, "../../etc/passwd", ""):
        with pytest.raises(ExplorerError, match="none of that name"):
            leaderboard.race(id)
