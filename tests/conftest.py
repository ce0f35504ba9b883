"""What every test shares: a data folder of its own, and nothing of the person's."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path_factory, monkeypatch):
    """Runs, uploads and caches of a test go to a folder of its own; a worker, which knows no other, ends with it."""
    from explorer import jobs
    from explorer.settings import settings

    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path_factory.mktemp("data")))
    settings.cache_clear()
    yield
    if jobs._engine.cache_info().currsize:
        jobs.engine().close()
        jobs._engine.cache_clear()
    settings.cache_clear()
