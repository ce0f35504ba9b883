"""What every test shares: a data folder of its own, and nothing of the person's."""

import os
import shutil
import tempfile

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")
SPARE = tempfile.TemporaryDirectory(prefix="explorer-", ignore_cleanup_errors=True)
os.environ["EXPLORER_DATA"] = SPARE.name  # what fixtures of modules use, which run before `own_data_folder`


def pytest_unconfigure():
    """Nothing is left behind."""
    SPARE.cleanup()


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path_factory, monkeypatch):
    """Runs, uploads and caches of a test go to a folder of its own; a worker, which knows no other, ends with it."""
    from explorer import jobs
    from explorer.settings import settings

    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setattr("explorer.housekeeping.begin", lambda: None)  # no thread that outlives the test and its folder
    settings.cache_clear()
    yield
    if jobs._engine.cache_info().currsize:
        jobs.engine().close()
        jobs._engine.cache_clear()
    settings.cache_clear()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A function that gives a run database without runs: MLflow takes seconds to make one, so it is made once."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"

    def made():
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        if not path.exists():
            SqlAlchemyStore(f"sqlite:///{path}", path.parent.as_uri()).engine.dispose()
        return path

    return made


@pytest.fixture(autouse=True)
def quick_database(empty_database, monkeypatch):
    """A test that trains begins with a copy of it."""
    from explorer.runs import database

    make = database._open

    def open_():
        if not database.file().exists():
            database.file().parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_database(), database.file())
        return make()

    monkeypatch.setattr(database, "_open", open_)
