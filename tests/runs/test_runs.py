"""The list of runs and their folders: python -m pytest tests/runs"""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from mlflow import MlflowClient
from safetensors.numpy import save

from explorer import runs
from explorer.errors import ExplorerError
from explorer.runs import database, files, store
from explorer.settings import settings

HISTORY = [
    {"step": 0, "epoch": 0.0, "seconds": 0.0, "validation_loss": 2.3, "validation_accuracy": 0.1},
    {"step": 1, "epoch": 0.5, "seconds": 0.1, "loss": 2.0, "accuracy": 0.2, "lr": 0.1, "grad_norm": 1.0},
    {"step": 2, "epoch": 1.0, "seconds": 0.2, "loss": 1.0, "validation_loss": 1.5, "validation_accuracy": 0.6},
    {"step": 4, "epoch": 2.0, "seconds": 0.4, "loss": 0.5, "validation_loss": 1.4, "validation_accuracy": 0.6},
    {"step": 6, "epoch": 3.0, "seconds": 0.6, "loss": 0.1, "validation_loss": 1.9, "validation_accuracy": 0.5},
]


RUN = {"capture_output": True, "text": True, "timeout": 60}


def make(owner="local"):
    return runs.create("lenet on digits", {"lr": 0.1, "epochs": 3}, owner)


def test_a_finished_run_is_found_again_with_all_that_it_measured():
    id = make()
    assert runs.get(id).state == "running"
    runs.finish(id, "finished", {"test accuracy": 0.98}, HISTORY)
    run = runs.get(id)
    assert (run.state, run.name, run.ref) == ("finished", "lenet on digits", f"run:{id}")
    assert run.config == {"lr": "0.1", "epochs": "3"}
    assert run.metrics["test accuracy"] == 0.98
    assert [one.id for one in runs.listing("local")] == [id]


def test_mlflow_itself_shows_the_run_its_curves_and_its_checkpoints():
    id = make()
    files.write(files.checkpoint(runs.folder(id), 2), save({"w": np.zeros(2, np.float32)}))
    runs.finish(id, "stopped", {"test accuracy": 0.9}, HISTORY)
    client = MlflowClient(tracking_uri=runs.tracking_uri())
    run = client.get_run(id)
    assert run.info.status == "KILLED"
    assert run.data.params["lr"] == "0.1"
    assert run.data.tags["torch"]
    assert [(m.step, m.value) for m in client.get_metric_history(id, "loss")] == [
        (1, 2.0),
        (2, 1.0),
        (4, 0.5),
        (6, 0.1),
    ]
    assert [one.path for one in client.list_artifacts(id, "checkpoints")] == ["checkpoints/00000002.safetensors"]


def test_a_long_curve_is_thinned_for_mlflow_but_keeps_every_validation():
    id = make()
    history = [{"step": s, "loss": 1.0} | ({"validation_loss": 2.0} if s % 7 == 0 else {}) for s in range(5000)]
    runs.finish(id, "finished", {}, history)
    client = MlflowClient(tracking_uri=runs.tracking_uri())
    assert len(client.get_metric_history(id, "loss")) == 1000
    assert len(client.get_metric_history(id, "validation_loss")) == 715


def test_people_see_their_own_runs_and_open_others_by_link():
    mine, yours = make("anna"), make("ben")
    assert [run.id for run in runs.listing("anna")] == [mine]
    assert runs.get(yours).owner == "ben"
    with pytest.raises(ExplorerError, match="somebody else's"):
        runs.delete(yours, "anna")
    runs.delete(mine, "anna")
    assert runs.listing("anna") == []
    with pytest.raises(ExplorerError, match="none of that id"):
        runs.get(mine)


def test_the_list_is_searched_once_until_somebody_writes(monkeypatch):
    asked, search = [], store._search
    monkeypatch.setattr(store, "_search", lambda *about: asked.append(about) or search(*about))
    first = make()
    for _ in range(3):
        assert [run.id for run in runs.listing("local")] == [first]
    assert len(asked) == 1
    second = make()
    assert {run.id for run in runs.listing("local")} == {first, second}
    runs.finish(second, "finished", {"test accuracy": 0.5})
    assert {run.state for run in runs.listing("local")} == {"running", "finished"}
    runs.delete(first, "local")
    assert [run.id for run in runs.listing("local")] == [second]
    assert len(asked) == 4


def test_the_list_follows_what_another_program_writes():
    first, second = make(), make()
    assert len(runs.listing("local")) == 2
    code = f"from mlflow import MlflowClient; MlflowClient({runs.tracking_uri()!r}).delete_run({first!r})"
    subprocess.run([sys.executable, "-c", code], check=True, **RUN)
    assert [run.id for run in runs.listing("local")] == [second]


def test_no_connection_waits_for_the_disk():
    make()
    engine = database.opened().store.engine
    with engine.connect() as one, engine.connect() as other:
        assert [each.exec_driver_sql("PRAGMA synchronous").scalar() for each in (one, other)] == [0, 0]


@pytest.mark.parametrize("id", ["", "../..", "0" * 32, "a" * 31, "A" * 32, "0" * 32 + "\n"])
def test_an_unknown_or_crooked_id_is_refused(id):
    with pytest.raises(ExplorerError, match="none of that id"):
        runs.folder(id)


def test_a_run_whose_server_died_is_listed_as_interrupted(tmp_path):
    create = "from explorer import runs; import sys; sys.stdout.write(runs.create('x', {}, 'local'))"
    read = "from explorer import runs; run = runs.listing('local')[0]; print(run.id, run.state, run.error, sep='|')"
    environment = os.environ | {"EXPLORER_DATA": str(tmp_path)}
    first, again = (
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, **RUN) for code in (create, read)
    )
    assert again.stdout.strip() == f"{first.stdout}|interrupted|The server stopped while this run was going on."


def test_the_best_checkpoint_is_the_one_of_highest_accuracy_then_lowest_loss(tmp_path):
    files.append_history(tmp_path, HISTORY)
    for step in (0, 2, 4, 6):
        files.write(files.checkpoint(tmp_path, step), b"weights")
    assert files.checkpoints(tmp_path) == [0, 2, 4, 6]
    assert files.best(tmp_path) == 4
    files.checkpoint(tmp_path, 4).unlink()
    assert files.best(tmp_path) == 2
    assert files.best(tmp_path / "empty") is None


def test_a_history_whose_last_line_was_cut_off_keeps_the_rest(tmp_path):
    files.append_history(tmp_path, HISTORY)
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text()[:-20])
    assert files.history(tmp_path) == HISTORY[:-1]


def test_a_full_disk_is_told_and_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "card.json"
    files.write(path, b"old")

    write = Path.write_bytes

    def full(self, content):
        write(self, content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ExplorerError, match="No space left"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_database_is_told_and_the_runs_folders_stay(tmp_path, monkeypatch):
    from explorer.settings import settings

    id = make()
    folder = runs.folder(id)
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))
    settings.cache_clear()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(ExplorerError, match="database is damaged"):
        runs.listing("local")
    assert folder.is_dir()


def test_looking_makes_no_database_and_warming_up_makes_it_beside():
    database = settings().data / "runs" / "mlflow.db"
    assert runs.listing("local") == []
    assert not database.exists()
    runs.warm_up()
    deadline = time.monotonic() + 60
    while not database.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    id = runs.create("first", {}, "local")  # waits for whoever makes it
    assert [run.id for run in runs.listing("local")] == [id]


def test_forty_people_begin_runs_at_once():
    made, threads = [], []
    for number in range(40):
        threads.append(
            Thread(target=lambda number=number: made.append(runs.create(f"r{number}", {}, f"owner-{number}")))
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)  # MLflow's fifteen connections would wait for each other for 30 s, and give up
    assert len(set(made)) == 40
    assert len(runs.listing()) == 40
