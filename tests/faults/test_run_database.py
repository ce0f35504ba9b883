"""A run database that is locked, damaged or lost: python -m pytest tests/faults/test_run_database.py"""

import contextlib
import subprocess
import sys
import threading

import pytest

from explorer import belongings, runs, training, zoo
from explorer.errors import ExplorerError
from explorer.runs import database, files
from explorer.runs.database import Damaged
from explorer.settings import settings
from explorer.training import TrainConfig
from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - a fixture

TINY = TrainConfig(model="mlp", model_settings={"width": 8, "depth": 1}, epochs=1, batch_size=256)
HISTORY = [{"step": 0, "validation_loss": 2.3}, {"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(how="BEGIN EXCLUSIVE"):
    """Another process that holds a lock on the database."""
    command = [sys.executable, "-c", HOLD, str(database.file()), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.stdin.close()


def make(name="mlp on digits", owner="local", **tags):
    """A run of no network, with a folder as real ones have it."""
    id = runs.create(name, TINY.to_dict(), owner, tags or None)
    files.write_json(runs.folder(id) / "config.json", TINY.to_dict())
    files.append_history(runs.folder(id), HISTORY)
    return id


def end(id, state="finished", accuracy=0.9):
    outcome = {"state": state, "steps": 2, "best": 0, "metrics": {"test accuracy": accuracy}, "error": ""}
    files.write_json(runs.folder(id) / "outcome.json", outcome)
    runs.finish(id, state, outcome["metrics"], HISTORY)


def garbage(after=0):
    """Overwrite the database from some byte on."""
    with database.file().open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(after)
        file.write(b"no database" * ((size - after) // 11))


# ---- locked ----


@pytest.mark.parametrize("how", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_where_another_program_holds_it_nobody_waits_for_mlflow(how, monkeypatch):
    from mlflow import MlflowClient

    id = make()
    asked = []
    monkeypatch.setattr(database, "insert", lambda *args: asked.append(args))
    monkeypatch.setattr(MlflowClient, "search_runs", lambda *args, **more: asked.append(args) or [])
    with held(how):
        with pytest.raises(ExplorerError, match="another program holds its database"):
            runs.create("second", {}, "local")
        if how == "BEGIN EXCLUSIVE":
            with pytest.raises(ExplorerError, match="another program holds its database"):
                runs.listing()
            assert asked == []
        else:
            assert runs.listing() == []  # who only reads is let in
            assert len(asked) == 1
    assert runs.folder(id).is_dir()


def test_many_people_who_ask_at_once_wait_no_longer_than_one(monkeypatch):
    make()
    database._forget()  # as after a restart of the server
    said, look, together = [], database._look, threading.Barrier(30)

    def met(asked):
        together.wait(60)  # until all thirty are here: nobody waits for another's answer before they ask
        look(asked)

    def ask():
        try:
            runs.listing()
        except ExplorerError as error:
            said.append(str(error))

    monkeypatch.setattr(database, "_look", met)
    with held():
        people = [threading.Thread(target=ask) for _ in range(30)]
        for one in people:
            one.start()
        for one in people:
            one.join()
    assert len(said) == 30


def test_pages_answer_and_what_ends_meanwhile_is_told_afterwards():
    id, later = make(), make("goes on")
    with held():
        training_page, models = open_app("pages/training.py"), open_app("pages/models.py")
        end(id)
    for app in (training_page, models):
        assert not app.exception
        assert "another program holds its database" in texts(app)
    assert not [one for one in training_page.button if one.key == "mend"]  # it is whole
    assert {run.id: run.state for run in runs.listing()} == {id: "finished", later: "running"}
    assert runs.get(id).metrics["test accuracy"] == 0.9


# ---- damaged ----


def test_a_damaged_one_is_made_anew_from_the_runs_folders():
    finished, put_down, going, raced, other = (
        make(), make("put down"), make("goes on"), make("raced", race="r" * 32), make("of another", "anna")
    )  # fmt: skip
    end(finished)
    end(put_down, "stopped")
    end(raced)
    end(other, "diverged")
    before = {id: runs.get(id) for id in (finished, put_down, going, raced, other)}
    garbage()
    content = database.file().read_bytes()
    for ask in (runs.listing, lambda: runs.get(finished), lambda: make("new")):
        with pytest.raises(Damaged, match="Make the list anew"):
            ask()
    runs.mend()
    for id, was in before.items():
        now = runs.get(id)
        assert (now.name, now.owner, now.state, now.config) == (was.name, was.owner, was.state, was.config)
        assert now.metrics.get("test accuracy") == was.metrics.get("test accuracy")
        assert abs((now.created - was.created).total_seconds()) < 0.01
    assert [run.id for run in runs.listing("local")] == [going, put_down, finished]
    (aside,) = database.file().parent.glob("damaged-*.db")
    assert aside.read_bytes() == content
    runs.mend()  # a whole one stays
    assert len(list(database.file().parent.glob("*.db"))) == 2
    end(going)
    assert runs.get(going).state == "finished"
    runs.delete(finished, "local")
    assert finished not in [run.id for run in runs.listing()]
    assert make("new") in [run.id for run in runs.listing()]


def test_damage_behind_the_first_page_is_found_when_a_server_starts():
    id = make()
    end(id)
    database._forget()
    garbage(after=4096)
    with pytest.raises(Damaged):
        runs.listing()
    runs.mend()
    assert [run.id for run in runs.listing()] == [id]


def test_runs_from_before_their_names_were_written_down_are_listed_by_what_they_are():
    id = make("a name of long ago")
    folder = runs.folder(id)
    (folder.parent / database.ABOUT).unlink()
    (folder.parent / belongings.OWNER).unlink()
    database.file().unlink()
    (run,) = runs.listing("local")
    assert (run.id, run.name, run.state, run.error) == (id, "mlp on digits", "interrupted", database.BROKE_OFF)


def test_a_lost_one_is_made_anew_by_whoever_asks():
    id = make()
    end(id)
    database.file().unlink()
    assert [run.id for run in runs.listing("local")] == [id]
    second = make("second")
    assert [run.id for run in runs.listing("local")] == [second, id]


def test_pages_go_on_with_a_damaged_one_and_offer_to_make_it_anew():
    id = training.fit(TINY).ref
    garbage()
    app = open_app("pages/training.py", run=id)
    assert not app.exception
    assert "its database is damaged" in texts(app)
    assert "Test split:" in texts(app)  # the run of the link is read from its folder
    models = open_app("pages/models.py")
    assert not models.exception
    assert "its database is damaged" in texts(models)
    assert zoo.load(id).card.architecture == "mlp"
    app.button(key="mend").click().run()
    assert not app.exception
    assert "its database is damaged" not in texts(app)
    assert id in [run.ref for run in runs.listing()]


# ---- gone ----


def test_a_data_folder_that_vanishes_is_begun_anew(tmp_path, monkeypatch):
    id = make()
    end(id)
    settings().data.rename(tmp_path / "elsewhere")
    assert runs.listing() == []
    runs.finish(id, "finished", {})  # of a run that has gone
    again = make("again")
    assert [run.id for run in runs.listing()] == [again]
    with pytest.raises(ExplorerError, match="none of that id"):
        runs.get(id)


def test_a_data_folder_that_can_not_come_back_is_told_in_a_sentence(tmp_path):
    make()
    settings().data.rename(tmp_path / "elsewhere")
    settings().data.write_text("a file in its place")
    try:
        assert runs.listing() == []
        with pytest.raises(ExplorerError, match=r"Not a directory|File exists"):
            make("again")
        with pytest.raises(ExplorerError, match=r"Not a directory|File exists"):
            training.start(TINY)
        app = open_app("pages/training.py")
        assert not app.exception
    finally:
        settings().data.unlink()
