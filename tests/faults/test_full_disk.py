"""A disk that takes nothing more, at everything that writes: python -m pytest tests/faults/test_full_disk.py"""

import contextlib

import pytest

from explorer import belongings, data, jobs, runs, training, zoo
from explorer.attribution import leaderboard
from explorer.data import own
from explorer.errors import ExplorerError
from explorer.jobs.study import Study
from explorer.runs import files
from explorer.settings import settings
from explorer.training import TrainConfig, racing
from explorer.training.race import Contest
from tests.test_pages import always_inside_app, open_app  # noqa: F401 - a fixture

resource = pytest.importorskip("resource")

TINY = TrainConfig(model="mlp", model_settings={"width": 8, "depth": 1}, epochs=1, batch_size=256)
CONTEST = Contest(("slow", "fast"), (TINY, TrainConfig.from_dict(TINY.to_dict() | {"lr": 0.01})), seeds=1)
STUDY = Study("count", "tests.jobs.test_study:run", "ranges")


@contextlib.contextmanager
def full_disk(most=0):
    """No file grows beyond so many bytes: writes fail wherever they come from, in SQLite and in C as well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True, scope="module")
def ready():
    """What the tests open, libraries included, is open before the disk is full."""
    data.load("digits", "train")
    zoo.load("zoo:digits-lenet")


@pytest.fixture
def queued(monkeypatch):
    """What is submitted to the engine, which does nothing."""
    asked = []

    class Idle:
        def submit(self, task, request, **facts):
            asked.append(task)

        def counts(self):
            return 0, 0

        def warm_up(self):
            pass

    monkeypatch.setattr(jobs, "engine", Idle)
    return asked


def kept():
    """Every file of the data folder but the database, the cache, and who was here."""
    root = settings().data
    return [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] not in
            ("cache", "people") and "mlflow.db" not in path.name]  # fmt: skip


STARTS = {
    "run": lambda: training.start(TINY),
    "race": lambda: racing.start(CONTEST),
    "study": lambda: STUDY.start({"to": 1}, "local"),
    "leaderboard": lambda: leaderboard.start(leaderboard.Race("zoo:digits-lenet", ("random", "sobel"), 2), "local"),
    "points": lambda: own.add_points(points()),
}


def points():
    from io import BytesIO

    return BytesIO("\n".join(f"{i},{i % 7},{'ab'[i % 2]}" for i in range(40)).encode())


@pytest.mark.parametrize("what", STARTS)
def test_what_can_not_be_kept_is_refused_before_it_is_queued_and_leaves_nothing(what, queued):
    runs.listing()  # with a database, or without
    with full_disk(), pytest.raises(ExplorerError, match=r"the disk|does not answer|could not be kept"):
        STARTS[what]()
    assert queued == []
    assert kept() == []
    assert runs.listing() == []
    assert belongings.things() == []
    STARTS[what]()  # and with some room
    assert len(belongings.things()) == 1


def test_a_run_is_refused_as_well_where_the_database_was_there_before(queued):
    first = training.start(TINY)
    with full_disk(), pytest.raises(ExplorerError, match="does not answer"):
        training.start(TINY)
    assert [run.id for run in runs.listing()] == [first]


def test_the_page_says_so(queued):
    app = open_app("pages/training.py")
    with full_disk():
        app.button(key="start").click().run()
    assert not app.exception
    assert "does not answer" in app.error[0].value or "the disk did not take it" in app.error[0].value


def test_a_run_that_fills_the_disk_keeps_what_it_had_and_the_list_learns_of_its_end():
    told = []

    def tell(step):
        if step.step == 3:
            told.append(resource.getrlimit(resource.RLIMIT_FSIZE))
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, told[0][1]))

    try:
        with pytest.raises(ExplorerError, match="the disk did not take it"):
            training.fit(TINY, tell)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, told[0])
    (run,) = runs.listing()
    assert run.state == "interrupted"
    assert 0 in files.checkpoints(runs.folder(run.id))
    assert training.evaluate(training.read(runs.folder(run.id), run.ref), 0).accuracy < 0.5


def test_the_end_of_a_run_is_written_down_when_there_is_room_again():
    id = runs.create("mlp on digits", {}, "local")
    with full_disk():
        runs.finish(id, "finished", {"test accuracy": 0.9})
    assert runs.listing()[0].state == runs.get(id).state == "finished"
    assert runs.get(id).metrics == {"test accuracy": 0.9}


def test_a_curve_grows_by_whole_lines_or_not_at_all(tmp_path):
    files.append_history(tmp_path, [{"step": 0, "loss": 2.0}])
    size = (tmp_path / "history.jsonl").stat().st_size
    with full_disk(size + 5), pytest.raises(ExplorerError, match="the disk did not take it"):
        files.append_history(tmp_path, [{"step": 1, "loss": 1.0}])
    files.append_history(tmp_path, [{"step": 2, "loss": 0.5}])
    assert [line["step"] for line in files.history(tmp_path)] == [0, 2]


def test_the_networks_of_a_race_are_handed_over_when_there_is_room():
    id = racing._open(CONTEST, "local")
    racing._race(id, lambda *step: None)
    with full_disk():
        racing.collect(id)
    assert [one.run for one in racing.result(id).trials] == ["", ""]
    racing.collect(id)
    found = [one.run for one in racing.result(id).trials]
    assert [runs.get(run).state for run in found] == ["finished", "finished"]
    assert len(list(runs.folder(found[0]).parents[1].iterdir())) == 2  # no half run beside them


def test_an_answer_that_can_not_be_kept_fails_its_job_with_a_sentence():
    from tests.jobs.test_study import run

    with full_disk(), pytest.raises(ExplorerError, match="the disk did not take it"):
        run({"id": "a" * 32}, lambda event: None, lambda: False)
    assert not list(STUDY.folder("a" * 32).glob("*"))
