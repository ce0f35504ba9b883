"""Files that are damaged, one after the other: python -m pytest tests/faults/test_damaged.py"""

import os
import shutil

import pytest

from explorer import runs, training, zoo
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.training import TrainConfig
from explorer.training.range_test import STUDY, RangeTest
from explorer.zoo.sources import zoo as shipped
from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - a fixture

TINY = TrainConfig(model="mlp", model_settings={"width": 8, "depth": 1}, epochs=1, batch_size=256)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run that has ended well."""
    from explorer.training.record import record

    folder = tmp_path_factory.mktemp("run")
    record(TINY, folder)
    return folder


@pytest.fixture
def run(trained):
    """A run of that folder's contents; its id."""
    id = runs.create("mlp on digits", TINY.to_dict(), "local")
    shutil.copytree(trained, runs.folder(id), dirs_exist_ok=True)
    runs.finish(id, "finished", {"test accuracy": 0.9})
    return id


def spoil(path):
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Two shipped models in a folder of their own."""
    for name in ("digits-lenet", "shapes-resnet"):
        shutil.copytree(shipped.SHIPPED / name, tmp_path / "shelf" / name)
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shelf")
    zoo._store.cache_clear()
    yield tmp_path / "shelf"
    zoo._store.cache_clear()


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_a_damaged_shipped_model_is_told_when_it_is_opened_and_the_others_open(shelf, name):
    spoil(shelf / "digits-lenet" / name)
    with pytest.raises(ExplorerError, match="digits-lenet"):
        zoo.load("zoo:digits-lenet")
    app = open_app("pages/models.py", model="zoo:digits-lenet")
    assert not app.exception
    (told,) = app.warning if name == "card.json" else app.error  # without its card another takes its place
    assert r"digits\-lenet" in told.value
    assert zoo.load("zoo:shapes-resnet").labels
    assert "zoo:shapes-resnet" in [card.ref for card in zoo.cards()]


def test_a_run_whose_card_is_damaged_takes_no_page_with_it(run):
    spoil(runs.folder(run) / "card.json")
    app = open_app("pages/models.py")
    assert not app.exception
    assert not app.error
    assert not any(run in option for option in app.selectbox(key="model").options)
    with pytest.raises(ExplorerError, match=r"card\.json"):
        zoo.load(f"run:{run}")


def test_without_its_recipe_a_run_is_a_sentence_on_its_page_and_its_network_opens(run):
    spoil(runs.folder(run) / "config.json")
    app = open_app("pages/training.py", run=f"run:{run}")
    assert not app.exception
    assert r"config\.json of this run" in app.error[0].value
    assert zoo.load(f"run:{run}").card.parameters > 0


def test_with_a_damaged_outcome_or_note_all_that_was_recorded_is_shown(run, trained):
    files.note(runs.folder(run), "a note")
    whole = training.read(trained, f"run:{run}")
    for name in ("outcome.json", "notes.json", "predictions.safetensors"):
        spoil(runs.folder(run) / name)
    os.utime(runs.folder(run) / "history.jsonl", (0, 0))
    found = training.read(runs.folder(run), f"run:{run}")
    assert (found.state, found.notes) == ("interrupted", ())
    assert (found.history, found.checkpoints, found.best) == (whole.history, whole.checkpoints, whole.best)
    assert training.evaluate(found, found.best).accuracy == training.evaluate(whole, whole.best).accuracy


def test_a_run_that_ends_with_a_damaged_outcome_is_closed_all_the_same(run):
    spoil(runs.folder(run) / "outcome.json")
    training.launch._close(run, runs.folder(run), "failed", "Its worker ended.")
    assert (runs.get(run).state, runs.get(run).error) == ("failed", "Its worker ended.")
    assert training.read(runs.folder(run), f"run:{run}").state == "failed"


def test_a_damaged_checkpoint_leaves_the_others(run):
    first, *_, last = files.checkpoints(runs.folder(run))
    spoil(files.checkpoint(runs.folder(run), last))
    with pytest.raises(ExplorerError, match="is damaged"):
        zoo.load(f"run:{run}@{last}")
    assert zoo.load(f"run:{run}@{first}").card.parameters > 0


def test_a_damaged_answer_is_told_and_can_be_asked_for_again():
    id = "a" * 32
    files.write_json(STUDY.folder(id) / "asked.json", TINY.to_dict())
    for damage in (b"", b"no archive", b"PK\x03\x04 half of one"):
        files.write(STUDY.folder(id) / "found.npz", damage)
        with pytest.raises(ExplorerError, match="its answer is damaged"):
            STUDY.found(id, RangeTest)
    app = open_app("pages/training.py", view="Before it runs", range=id)
    assert not app.exception
    assert "its answer is damaged" in texts(app)
    assert [one for one in app.button if one.key == "range-test"]
