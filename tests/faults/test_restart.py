"""A server that ends in mid-run, and a browser that goes: python -m pytest tests/faults/test_restart.py"""

import contextlib
import gc
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from explorer import jobs, runs, training, zoo
from explorer.errors import ExplorerError
from explorer.runs import database, files
from explorer.settings import settings
from explorer.training import racing
from explorer.training.range_test import STUDY, RangeTest
from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
SERVER = """
import sys, time
from explorer import training
from explorer.training import TrainConfig, racing
from explorer.training.race import Contest
from explorer.training.range_test import STUDY

tiny = TrainConfig(model="mlp", model_settings={"width": 8, "depth": 1}, epochs=40, batch_size=64)
run = training.start(tiny, "anna", pace=25)
race = racing.start(Contest(("a", "b"), (tiny, TrainConfig.from_dict(tiny.to_dict() | {"lr": 0.01})), 1), "ben")
study = STUDY.start(tiny.to_dict(), "cleo")
print(run, race, study, flush=True)
time.sleep(600)
"""


def wait(condition, seconds=90):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def ended(id):
    wait(lambda: jobs.engine().status(id).over)
    return jobs.engine().status(id)


def works(process):
    """Whether a process is a worker."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return "explorer.jobs.worker" in process.cmdline()
    return False


def test_after_a_restart_what_ran_is_interrupted_what_it_recorded_opens_and_it_goes_on(empty_database):
    database.file().parent.mkdir()
    shutil.copy(empty_database(), database.file())
    environment = os.environ | {"EXPLORER_WORKERS": "1", "EXPLORER_MODE": "cpu"}
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as server:
        try:
            run, race, study = server.stdout.readline().split()
            folder = settings().data / "runs" / "artifacts" / run / "artifacts"
            wait((folder / files.PUT_DOWN).exists)
        finally:
            server.kill()
    # another server, over the same folder
    assert (runs.get(run).state, runs.get(run).error) == ("interrupted", database.BROKE_OFF)
    assert training.read(folder, f"run:{run}").state == "interrupted"
    assert [one.id for one in runs.listing("anna")] == [run]
    recorded = len(files.history(folder))
    assert recorded > 1
    assert zoo.load(f"run:{run}@0").card.architecture == "mlp"
    training.resume(run, "anna")
    assert ended(run).state == "finished"
    assert runs.get(run).state == "finished"
    steps = [line["step"] for line in files.history(folder)]
    assert steps == list(range(len(steps)))
    assert len(steps) > recorded

    assert len(racing.result(race).trials) == 0
    app = open_app("pages/training.py", view="Is it real?", race="own", raced=race)
    assert not app.exception
    assert "It was interrupted" in texts(app)
    assert STUDY.found(study, RangeTest) is None
    app = open_app("pages/training.py", view="Before it runs", range=study)
    assert not app.exception
    assert "It was interrupted" in texts(app)


def test_a_killed_worker_fails_its_run_which_can_go_on_from_its_last_checkpoint():
    tiny = training.TrainConfig(model="mlp", model_settings={"width": 8, "depth": 1}, epochs=40, batch_size=64)
    before = set(psutil.Process().children())
    id = training.start(tiny, pace=25)
    wait((runs.folder(id) / files.PUT_DOWN).exists)
    (worker,) = [child for child in set(psutil.Process().children()) - before if works(child)]
    worker.kill()
    job = ended(id)
    assert (job.state, runs.get(id).state) == ("failed", "failed")
    assert "ended unexpectedly" in runs.get(id).error
    training.resume(id)
    assert ended(id).state == "finished"
    assert runs.get(id).state == "finished"


def test_a_run_goes_on_without_its_browser_and_its_owner_finds_it():
    app = open_app("pages/training.py")
    app.selectbox(key="network").set_value("mlp").run()
    app.slider(key="epochs").set_value(1)
    app.button(key="start").click().run()
    assert not app.exception
    id = app.session_state["run"].removeprefix("run:")
    del app
    gc.collect()
    assert ended(id).state == "finished"
    app = open_app("pages/training.py")
    assert [run.id for run in runs.listing("local")] == [id]
    assert id in " ".join(str(link.proto) for link in app.get("page_link"))
    app = open_app("pages/training.py", run=f"run:{id}")
    assert not app.exception
    assert "Test split:" in texts(app)
    with pytest.raises(ExplorerError, match="somebody else's"):
        runs.delete(id, "another")
