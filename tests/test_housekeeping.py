"""What is removed, and what never is, by a clock of the test's own: python -m pytest tests/test_housekeeping.py"""

import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest

from explorer import belongings, housekeeping, jobs, runs
from explorer.jobs import JobStatus
from explorer.settings import settings

BEGIN = housekeeping.begin  # the tests' own conftest keeps it from beginning
DAY = 86_400.0
NOW = 2_000_000_000.0
CONFIG = {"model": "mlp", "dataset": "points"}


@pytest.fixture(scope="module")
def drawn():
    """Nothing is in the cache."""


@pytest.fixture
def shared(monkeypatch):
    """A shared server: shared(unseen=…, disk=…)."""

    def shared(**limits):
        monkeypatch.setenv("EXPLORER_SHARED", "1")
        for name, value in ({"unseen": int(7 * DAY)} | limits).items():
            monkeypatch.setenv(f"EXPLORER_{name.upper()}", str(value))
        settings.cache_clear()

    return shared


@pytest.fixture(autouse=True)
def working(monkeypatch):
    """The owners who have a job, instead of an engine."""
    owners = []

    class Engine:
        def listing(self):
            return [JobStatus(str(number), owner, "waiting") for number, owner in enumerate(owners)]

    monkeypatch.setattr(jobs, "engine", Engine)
    return owners


def at(path, days):
    """Say that a file, or all in a folder, was changed so many days ago."""
    for one in (path, *path.rglob("*")) if path.is_dir() else (path,):
        os.utime(one, (NOW - days * DAY, NOW - days * DAY))


def leave(home, letter, days, owner="anna", size=100, **files):
    """A folder of somebody's, used so many days ago; files: more of its JSON."""
    folder = settings().data / home / (letter * 32)
    belongings.mark(folder, owner)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "found.npz").write_bytes(b"x" * size)
    at(folder, days)
    return folder


def was_here(owner, days):
    belongings.see(owner)
    at(settings().data / "people" / owner, days)


def left():
    """The letters of everything that is still there."""
    return "".join(sorted(thing.id[0] for thing in belongings.things()))


def test_on_a_persons_own_computer_no_run_and_no_upload_is_ever_removed(monkeypatch):
    monkeypatch.setenv("EXPLORER_DISK", "1")
    settings.cache_clear()
    leave("runs/artifacts", "a", 1000, "local")
    leave("own", "b", 1000, "local", about={"title": "pictures"})
    leave("races", "c", 1000, "local")
    swept = housekeeping.sweep(NOW)
    assert (swept.things, swept.bytes) == ((), 0)
    assert left() == "abc"


def test_studies_that_nobody_opened_for_long_go_everywhere():
    for letter, home in zip("abcdef", list(belongings.HOMES)[3:], strict=False):
        leave(home, letter, 31, "local")
    leave("measures", "g", 29, "local")
    swept = housekeeping.sweep(NOW)
    assert left() == "g"
    assert len(swept.things) == 6
    assert swept.bytes == 6 * (100 + len("local"))


def test_a_drawing_goes_unless_a_run_learned_from_it():
    for letter, drawn in (("a", True), ("b", True), ("c", True), ("d", False)):
        leave("own", letter, 31, "local", about={"title": "points", "drawn": drawn})
    leave("own", "e", 1, "local", about={"title": "points", "drawn": True})
    run = leave("runs/artifacts", "f", 31, "local")
    (run / "artifacts").mkdir()
    (run / "artifacts" / "config.json").write_text(json.dumps(CONFIG | {"dataset": f"own:{'b' * 32}"}))
    leave("races", "g", 31, "local", asked={"contest": {"configs": [CONFIG | {"dataset": f"own:{'c' * 32}"}]}})
    at(run, 31)
    housekeeping.sweep(NOW)
    assert left() == "bcdefg"


def test_a_shared_server_removes_all_of_a_person_who_was_not_seen(shared):
    shared()
    was_here("anna", 8)
    was_here("ben", 6)
    for letter, home in zip("abcd", ("runs/artifacts", "own", "races", "measures"), strict=True):
        leave(home, letter, 8, "anna")
        leave(home, letter.upper(), 8, "ben")
    leave("own", "e", 1, "anna")  # by link, somebody else opens it
    leave("own", "f", 1000, "local")  # made before the server was shared
    swept = housekeeping.sweep(NOW)
    assert left() == "ABCDef"
    assert {thing.owner for thing in swept.things} == {"anna"}
    assert not (settings().data / "people" / "anna").exists()
    assert belongings.seen("ben") > 0


def test_who_has_a_job_keeps_everything(shared, working):
    shared(disk=1)
    leave("own", "a", 100)
    working.append("anna")
    assert housekeeping.sweep(NOW).things == ()
    working.clear()
    housekeeping.sweep(NOW)
    assert left() == ""


def test_above_its_bound_the_folder_loses_first_who_left_first_and_then_what_is_oldest(shared):
    shared(unseen=int(100 * DAY), disk=5000)
    was_here("anna", 20)
    was_here("ben", 0)
    leave("own", "a", 10, "anna", 1900)
    leave("own", "b", 15, "anna", 1900)
    leave("own", "c", 50, "ben", 1900)
    leave("own", "d", 40, "ben", 1900)
    leave("own", "e", 0.01, "ben", 1900)  # just now
    housekeeping.sweep(NOW)
    assert left() == "de"
    housekeeping.sweep(NOW)
    assert left() == "de"  # small enough


def test_what_was_used_just_now_stays_however_full_the_folder_is(shared, caplog):
    shared(disk=1)
    leave("own", "a", 0.01)
    assert housekeeping.sweep(NOW).things == ()
    assert left() == "a"
    assert "all in it is in use" in caplog.text


def test_a_run_goes_from_the_list_as_well(shared):
    shared()
    run = runs.create("old", CONFIG, "anna")
    kept = runs.create("new", CONFIG, "ben")
    at(runs.folder(run).parent, 8)
    at(runs.folder(kept).parent, 6)
    swept = housekeeping.sweep(NOW)
    assert [thing.id for thing in swept.things] == [run]
    assert [one.id for one in runs.listing()] == [kept]
    assert not (settings().data / "runs" / "artifacts" / run).exists()


def test_old_runs_without_a_mark_are_their_owners(shared):
    run = runs.create("old", CONFIG, "anna")
    mark = runs.folder(run).parent / belongings.OWNER
    mark.unlink()
    shared()
    housekeeping.sweep()
    assert mark.read_text() == "anna"
    assert [thing.owner for thing in belongings.things()] == ["anna"]


def test_drafts_of_a_process_that_was_killed_go_after_an_hour():
    data = settings().data
    old = [data / "runs" / "artifacts" / "x" / "artifacts" / ".card.json.4711", data / "cache" / "shapesabc.part",
           data / "own" / ".part-xyz" / "data.npz"]  # fmt: skip
    young = data / "cache" / "digits.part"
    kept = [data / "own" / ("a" * 32) / "about.json", data / "torchvision" / "mnist.part"]
    for path in (*old, young, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        at(path, 0.01 if path is young else 1)
    at(old[-1].parent, 1)
    swept = housekeeping.sweep(NOW)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (young, *kept))
    assert (swept.leftovers, swept.bytes) == (3, 15)
    assert not (data / "own" / ".part-xyz").exists()


def test_a_races_copy_of_a_run_that_was_handed_over_goes():
    race = leave("races", "a", 1, "local", runs={"0-0": "b" * 32})
    for name in ("0-0", "1-0"):
        (race / "runs" / name).mkdir(parents=True)
        (race / "runs" / name / "model").write_bytes(b"x" * 10)
    assert housekeeping.sweep(NOW).bytes == 10
    assert [path.name for path in (race / "runs").iterdir()] == ["1-0"]  # nobody has that one yet


def test_generated_data_that_nobody_opened_go_and_are_made_again():
    from explorer.data.cache import cached

    made = []

    def make():
        made.append(1)
        return {"x": np.arange(3)}

    cached("numbers", make)
    at(settings().data / "cache" / "numbers.npz", 29)
    housekeeping.sweep(NOW)
    cached("numbers", make)
    assert len(made) == 1
    at(settings().data / "cache" / "numbers.npz", 31)
    assert housekeeping.sweep(NOW).leftovers == 1
    assert (cached("numbers", make)["x"] == np.arange(3)).all()
    assert len(made) == 2


def test_it_begins_once_however_many_ask(monkeypatch):
    begun, swept = [], threading.Event()
    monkeypatch.setattr(housekeeping, "_begun", begun)
    monkeypatch.setattr(housekeeping, "_sweep_for_ever", swept.set)
    askers = [threading.Thread(target=BEGIN) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(begun) == 1
    assert swept.wait(60)
    assert begun[0].daemon


def test_a_sweep_that_fails_is_logged_and_the_next_one_comes(monkeypatch, caplog):
    tried = []

    def fail():
        tried.append(1)
        raise OSError("the disk is gone")

    def stop(seconds):
        if len(tried) == 2:
            raise SystemExit

    monkeypatch.setattr(housekeeping, "sweep", fail)
    monkeypatch.setattr(housekeeping.time, "sleep", stop)
    with pytest.raises(SystemExit):
        housekeeping._sweep_for_ever()
    assert caplog.text.count("A sweep failed") == 2


def test_downloads_are_bounded_by_themselves_and_cost_nobody_a_run(shared, monkeypatch):
    shared(disk=5000)
    monkeypatch.setattr(housekeeping, "settings", lambda: replace(settings(), temporary=True))
    was_here("anna", 0)
    leave("own", "a", 50, "anna", 1900)
    for name, days in (("old", 9), ("older", 10), ("new", 8), ("newest", 0.01)):
        path = settings().data / "downloads" / "hub" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(2400))
        at(path, days)
    housekeeping.sweep(NOW)
    assert left() == "a"
    assert {path.name for path in (settings().data / "downloads" / "hub").iterdir()} == {"new", "newest"}
