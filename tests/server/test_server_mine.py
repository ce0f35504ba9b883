"""What a person keeps, and that nobody takes it from them: python -m pytest tests/server/test_server_mine.py"""

import io
import json
import os

import pytest

from explorer import belongings, data, housekeeping, jobs, runs
from explorer.errors import ExplorerError
from explorer.jobs import JobStatus
from explorer.runs import files
from explorer.server import load, mine
from explorer.settings import settings
from explorer.training import racing

CSV = "".join(f"{x},{y},{'ab'[x % 2]}\n" for x in range(6) for y in range(6)).encode()
CONFIG = {"model": "mlp", "dataset": "points"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """A shared server whose engine has the jobs of the list."""
    monkeypatch.setenv("EXPLORER_SHARED", "1")
    settings.cache_clear()
    going = []

    class Engine:
        def listing(self):
            return going

    monkeypatch.setattr(jobs, "engine", Engine)
    return going


def left_by(owner):
    """A run, an upload, a study, and a race with a run of its own; the ids by kind."""
    run = runs.create("a run", CONFIG, owner)
    files.write_json(runs.folder(run) / "config.json", CONFIG)
    upload = data.own.add_points(io.BytesIO(CSV), f"{owner}s points", owner=owner).removeprefix("own:")
    letter = owner[0]
    study = letter * 32
    belongings.mark(settings().data / "projections" / study, owner)
    files.write_json(settings().data / "projections" / study / "asked.json", {"selection": {"ref": "zoo:shapes-vit"}})
    race, raced = letter * 31 + "1", runs.create("of the race", CONFIG, owner, tags={"race": "1"})
    files.write(runs.folder(raced) / "model", b"x" * 1000)
    belongings.mark(racing.folder(race), owner)
    files.write_json(racing.folder(race) / "asked.json", {"owner": owner, "contest": {"names": ["plain", "mixed"]}})
    files.write_json(racing.folder(race) / "runs.json", {"0-0": raced})
    return {"run": run, "upload": upload, "projection": study, "race": race, "raced": raced}


def test_each_person_is_told_of_their_own_things_and_nobody_can_take_them_from_another():
    anna, ben = left_by("anna"), left_by("ben")
    for owner, ids in (("anna", anna), ("ben", ben)):
        found = {one.thing.kind: one for one in mine.kept(owner)}
        assert {kind: one.thing.id for kind, one in found.items()} == {
            kind: id for kind, id in ids.items() if kind != "raced"
        }
        assert {one.title for one in found.values()} == {
            "mlp on points", f"{owner}s points", "of zoo:shapes-vit", "plain against mixed",
        }  # fmt: skip
        assert sum(one.runs for one in found.values()) == 2
        assert found["race"].thing.bytes > 1000  # its run is part of it
        assert [run.id for run in runs.listing(owner)] == [ids["run"]]
    for one in mine.kept("anna"):
        with pytest.raises(ExplorerError, match="somebody else's"):
            mine.delete(one.thing, "ben")
    with pytest.raises(ExplorerError, match="somebody else's"):
        racing.delete(anna["race"], "ben")
    with pytest.raises(ExplorerError, match="somebody else's"):
        runs.delete(anna["run"], "ben")
    before = belongings.things("anna")
    for one in mine.kept("ben"):
        mine.delete(one.thing, "ben")
    assert belongings.things("ben") == []
    assert belongings.things("anna") == before
    assert [run.id for run in runs.listing()] == [anna["run"]]
    for gone in (lambda: runs.get(ben["raced"]), lambda: data.load(f"own:{ben['upload']}"),
                 lambda: racing.asked(ben["race"])):  # fmt: skip
        with pytest.raises(ExplorerError, match=r"none of that|nobody brought"):
            gone()


def test_looking_at_the_list_is_not_using_what_is_on_it():
    left_by("anna")
    for thing in belongings.things():
        for path in thing.folder.rglob("*"):
            os.utime(path, (1e9, 1e9))
    mine.kept("anna")
    load.people()
    assert {thing.used for thing in belongings.things()} == {1e9}


def test_what_goes_on_is_not_deleted(quiet):
    study = "a" * 32
    belongings.mark(settings().data / "ranges" / study, "anna")
    (settings().data / "ranges" / study / "asked.json").write_text(json.dumps(CONFIG))
    (one,) = mine.kept("anna")
    assert one.title == "mlp on points"
    quiet.append(JobStatus(study, "anna", "waiting", 1))
    with pytest.raises(ExplorerError, match="it is going on"):
        mine.delete(one.thing, "anna")
    quiet.clear()
    mine.delete(one.thing, "anna")
    assert mine.kept("anna") == []


def test_a_thing_whose_files_are_damaged_is_listed_and_can_be_deleted():
    for home in belongings.HOMES:
        belongings.mark(settings().data / home / ("a" * 32), "anna")
        (settings().data / home / ("a" * 32) / "asked.json").write_text("{")
    found = mine.kept("anna")
    assert len(found) == len(belongings.HOMES)
    for one in found:
        if one.thing.kind != "race":  # whose owner is in what is damaged
            mine.delete(one.thing, "anna")
    assert [thing.kind for thing in belongings.things()] == ["race"]


def test_everybody_who_keeps_anything_is_counted():
    for letter in "abc":
        belongings.mark(settings().data / "own" / (letter * 32), "anna")
    belongings.mark(settings().data / "runs" / "artifacts" / ("d" * 32), "ben")
    belongings.see("ben")
    anna, ben = load.people()
    assert (anna.owner, anna.runs, anna.uploads, anna.bytes, anna.seen) == ("anna", 0, 3, 12, 0)
    assert (ben.owner, ben.runs, ben.uploads, ben.bytes) == ("ben", 1, 0, 3)
    assert ben.seen > 0
    server, *_ = load.processes()
    assert server.name == "server"
    assert server.bytes > 10 * 2**20


def test_the_housekeeping_takes_no_sides():
    left_by("anna")
    for thing in belongings.things():
        housekeeping.remove(thing)
    assert belongings.things() == []
    assert runs.listing() == []
