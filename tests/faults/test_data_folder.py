"""A data folder that can't be had: python -m pytest tests/faults/test_data_folder.py"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from explorer import settings as module
from explorer.data import own
from explorer.errors import ExplorerError
from explorer.settings import read, settings
from tests.sealed import sealed
from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
ASK = "from explorer.settings import settings; print(settings().data, settings().temporary)"


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A machine whose home takes nothing; the folder of its temporary files."""
    for name in ("EXPLORER_DATA", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/dev/null/home")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    settings.cache_clear()
    return tmp_path


def test_without_a_home_that_takes_anything_a_temporary_folder_does_and_the_page_says_so(homeless):
    with sealed():
        app = open_app()
    assert not app.exception
    assert "Runs are kept in a temporary folder" in texts(app)
    assert settings().temporary
    assert settings().data.is_relative_to(homeless)
    assert settings().data.stat().st_mode & 0o077 == 0
    assert os.environ["XDG_CACHE_HOME"] == str(settings().data / "downloads")
    name = own.add_text("Once upon a time there was a very small network that wanted to learn to read. " * 100)
    assert own.about(name).task == "text"
    worker = subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True, cwd=ROOT)
    assert worker.stdout.split() == [str(settings().data), "True"]


def test_a_home_that_nobody_knows_is_no_folder_called_tilde(homeless, monkeypatch):
    monkeypatch.setattr(module.platformdirs, "user_data_dir", lambda name: f"~/.local/share/{name}")
    assert read({}).data.is_relative_to(homeless)
    assert not (Path.cwd() / "~").exists()


def test_without_the_variable_home_it_starts():
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [os.environ["EXPLORER_DATA"], "False"]


def test_a_folder_that_somebody_else_has_put_there_is_not_taken(homeless):
    spare = read({}).data
    spare.rmdir()
    (homeless / "elsewhere").mkdir()
    spare.symlink_to(homeless / "elsewhere")
    with pytest.raises(ExplorerError, match="EXPLORER_DATA"):
        read({})


def test_a_folder_that_was_named_is_that_or_none(homeless):
    with pytest.raises(ExplorerError, match="EXPLORER_DATA"):
        read({"EXPLORER_DATA": "/dev/null/x"})
    assert not read({"EXPLORER_DATA": str(homeless / "named")}).temporary
