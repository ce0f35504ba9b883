"""What every test shares: a data folder of its own, and nothing of the person's."""

import os
import shutil
import tempfile

import pytest

from tests.drawn import Drawn

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("EXPLORER_UNASKED", "600")  # seconds: a slow machine is to ask no more than a fast one
SPARE = tempfile.TemporaryDirectory(prefix="explorer-", ignore_cleanup_errors=True)
os.environ["EXPLORER_DATA"] = SPARE.name  # what fixtures of modules use, which run before `own_data_folder`


def pytest_unconfigure():
    """Nothing is left behind."""
    SPARE.cleanup()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """The data sets that were drawn so far; a module whose tests want none of them says None."""
    return Drawn(tmp_path_factory)


@pytest.fixture(scope="session")
def worker_shelf():
    """Where a worker waits for the next test; a folder whose tests are about workers says None."""
    from tests.shelf import Shelf

    made = Shelf()
    yield made
    made.clear()


@pytest.fixture(autouse=True)
def own_data_folder(drawn, worker_shelf, tmp_path_factory, monkeypatch):
    """Runs, uploads and caches of a test go to a folder of its own, which its worker is told."""
    from explorer import jobs
    from explorer.settings import settings

    folder = tmp_path_factory.mktemp("data")
    if drawn:
        drawn.lend(folder)
    monkeypatch.setenv("EXPLORER_DATA", str(folder))
    if worker_shelf:
        monkeypatch.setattr(jobs, "LocalEngine", worker_shelf.engine)
    monkeypatch.setattr("explorer.housekeeping.begin", lambda: None)  # no thread that outlives the test and its folder
    settings.cache_clear()
    yield
    if jobs._engine.cache_info().currsize:
        jobs.engine().close()
        jobs._engine.cache_clear()
    settings.cache_clear()
    if drawn:
        drawn.take(folder)


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
