"""Whose everything is, and how much of it there may be: python -m pytest tests/test_belongings.py"""

import io
import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import explorer
from explorer import belongings, data, runs
from explorer.errors import ExplorerError
from explorer.jobs.study import Study
from explorer.settings import settings

CSV = "".join(f"{x},{y},{'ab'[x % 2]}\n" for x in range(6) for y in range(6)).encode()


@pytest.fixture
def limited(monkeypatch):
    """A shared server with limits of one's own: limited(keep=100, runs=2)."""

    def limited(**limits):
        monkeypatch.setenv("EXPLORER_SHARED", "1")
        for name, value in limits.items():
            monkeypatch.setenv(f"EXPLORER_{name.upper()}", str(value))
        settings.cache_clear()

    return limited


def leave(home, name, owner="anna", size=100, used=None):
    """A folder of somebody's with so many bytes in it."""
    folder = settings().data / home / name
    belongings.mark(folder, owner)
    (folder / "found.npz").write_bytes(b"x" * (size - len(owner)))
    for path in folder.iterdir():
        os.utime(path, (used, used) if used else None)
    return folder


def test_everything_that_is_started_or_added_knows_its_owner():
    upload = data.own.add_points(io.BytesIO(CSV), "points", owner="anna").removeprefix("own:")
    run = runs.create("a run", {}, "ben")
    leave("measures", "c" * 32, "cleo")
    found = {(thing.kind, thing.id): thing.owner for thing in belongings.things()}
    assert found == {("upload", upload): "anna", ("run", run): "ben", ("measurement", "c" * 32): "cleo"}
    assert [thing.id for thing in belongings.things("ben")] == [run]
    assert belongings.things("nobody") == []


def test_what_was_made_before_there_were_marks_still_has_an_owner(limited):
    folder = settings().data / "races" / ("a" * 32)
    folder.mkdir(parents=True)
    (folder / "asked.json").write_text(json.dumps({"owner": "anna", "contest": {}}))
    (settings().data / "ranges" / ("b" * 32)).mkdir(parents=True)
    assert {thing.kind: thing.owner for thing in belongings.things()} == {"race": "anna", "range test": "local"}
    limited()
    assert {thing.kind: thing.owner for thing in belongings.things()} == {"race": "anna", "range test": ""}


def test_every_kind_of_study_is_counted():
    sources = [path.read_text(encoding="utf-8") for path in Path(explorer.__file__).parent.rglob("*.py")]
    homes = {home for text in sources for home in re.findall(r'Study\("[^"]+", "[^"]+", "(\w+)"\)', text)}
    assert len(homes) >= 5
    assert homes <= set(belongings.HOMES)


def test_the_bytes_of_all_files_count_and_drafts_are_nobodys():
    folder = leave("own", "a" * 32, size=1000)
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_bytes(b"x" * 500)
    (settings().data / "own" / ".part-x").mkdir()
    (thing,) = belongings.things()
    assert (thing.kind, thing.id, thing.bytes) == ("upload", "a" * 32, 1500)


def test_opening_is_written_down_but_not_every_second():
    now = time.time()
    folder = leave("ranges", "a" * 32, used=now - 1000)
    (thing,) = belongings.things()
    assert thing.used == pytest.approx(now - 1000, abs=1)
    belongings.use(folder)
    (thing,) = belongings.things()
    assert thing.used == pytest.approx(now, abs=5)
    recent = now - 30
    os.utime(folder / "owner", (recent, recent))
    belongings.use(folder)
    assert (folder / "owner").stat().st_mtime == pytest.approx(recent, abs=0.01)
    assert (folder / "owner").read_text() == "anna"
    belongings.use(folder.parent / "nothing")  # and where there is nothing, nothing is made
    assert [path.name for path in folder.parent.iterdir()] == ["a" * 32]


def test_who_was_here_is_known():
    assert belongings.seen("anna") == belongings.seen("") == 0
    belongings.see("anna")
    assert belongings.seen("anna") == pytest.approx(time.time(), abs=5)


def test_a_person_keeps_so_many_runs_and_others_do_not_count(limited):
    limited(runs=2)
    for number in range(2):
        belongings.allow("anna", runs=1)
        leave("runs/artifacts", str(number) * 32)
    leave("own", "u" * 32)  # no run
    belongings.allow("anna")
    belongings.allow("ben", runs=2)
    with pytest.raises(ExplorerError, match=r"A new run: you keep 2, and one person may keep 2 here\. Delete"):
        belongings.allow("anna", runs=1)
    with pytest.raises(ExplorerError, match="3 new runs"):
        belongings.allow("ben", runs=3)


def test_a_person_keeps_so_many_bytes(limited):
    limited(keep=1000)
    leave("own", "a" * 32, size=900)
    belongings.allow("anna", more=100)
    with pytest.raises(ExplorerError, match="This server"):
        belongings.allow("anna", more=101)
    belongings.allow("ben", more=1000)
    leave("ranges", "b" * 32, size=100)
    with pytest.raises(ExplorerError, match="may keep"):
        belongings.allow("anna")


def test_on_a_persons_own_computer_there_is_no_such_limit(monkeypatch):
    monkeypatch.setenv("EXPLORER_KEEP", "1")
    monkeypatch.setenv("EXPLORER_RUNS", "1")
    settings.cache_clear()
    leave("runs/artifacts", "a" * 32, "local")
    belongings.allow("local", runs=40, more=10**9)


def test_limits_hold_wherever_something_begins(limited, monkeypatch):
    from explorer import jobs, zoo
    from explorer.attention import census
    from explorer.attribution import leaderboard
    from explorer.training import TrainConfig, racing, start
    from explorer.training.race import Contest

    class Forbidden:
        def submit(self, *args, **more):
            raise AssertionError("a job was queued")

    limited(keep=1000, runs=3)
    monkeypatch.setattr(jobs, "engine", Forbidden)
    card = SimpleNamespace(dataset="digits", dataset_settings=())
    monkeypatch.setattr(zoo, "load", lambda ref: SimpleNamespace(card=card))
    leave("ranges", "a" * 32, size=1000)
    config = TrainConfig(epochs=1, model="mlp")
    begin = {
        "run": lambda: start(config, "anna"),
        "race": lambda: racing.start(Contest(("a", "b"), (config, config), 1), "anna"),
        "study": lambda: Study("count", "x:y", "ranges").start({}, "anna"),
        "leaderboard": lambda: leaderboard.start(leaderboard.Race("zoo:any", (), 2), "anna"),
        "census": lambda: census.start(census.Census("zoo:any", 2), "anna"),
        "upload": lambda: data.own.add_points(io.BytesIO(CSV), owner="anna"),
        "text": lambda: data.own.add_text("the bears find boris with their mother . " * 200, owner="anna"),
    }
    for act in begin.values():
        with pytest.raises(ExplorerError, match="may keep"):
            act()
    assert [thing.id for thing in belongings.things()] == ["a" * 32]  # and nothing is left of what was refused
    with pytest.raises(ExplorerError, match="4 new runs"):
        racing.start(Contest(("a", "b"), (config, config), 2), "ben")


def test_a_full_disk_is_told(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(ExplorerError, match="the disk did not take it"):
        belongings.mark(blocked / "a", "anna")
