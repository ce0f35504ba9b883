"""The status strip says what is held and busy, and wakes nothing up."""

import sys
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from explorer.ui.status import facts


@pytest.fixture
def quiet(monkeypatch):
    """A server that was asked for nothing yet."""
    monkeypatch.setenv("EXPLORER_MODE", "cpu")
    monkeypatch.delitem(sys.modules, "explorer.zoo", raising=False)
    monkeypatch.delitem(sys.modules, "explorer.jobs", raising=False)


def words() -> list[str]:
    return [text for _, text in facts()]


def test_a_server_that_did_nothing_yet_holds_nothing_and_imports_nothing(quiet):
    assert words() == ["CPU · cpu", "0 models · 0.0 MB", "0 running · 0 waiting"]
    assert "explorer.zoo" not in sys.modules
    assert "explorer.jobs" not in sys.modules


def test_models_held_and_jobs_are_counted(quiet, monkeypatch):
    zoo = SimpleNamespace(held=lambda: [("zoo:a", 1_500_000), ("run:b", 500_000)])
    jobs = SimpleNamespace(engine=lambda: SimpleNamespace(counts=lambda: (1, 3)))
    monkeypatch.setitem(sys.modules, "explorer.zoo", zoo)
    monkeypatch.setitem(sys.modules, "explorer.jobs", jobs)
    assert words() == ["CPU · cpu", "2 models · 2.0 MB", "1 running · 3 waiting"]


def test_a_shared_server_says_so(quiet, monkeypatch):
    monkeypatch.setenv("EXPLORER_SHARED", "1")
    assert words()[0] == "CPU · cpu · shared"


def test_the_strip_is_a_caption_for_each_fact(quiet):
    def page():
        from explorer.ui.status import status

        status()

    test = AppTest.from_function(page, default_timeout=60).run()
    assert not test.exception
    assert [one.value for one in test.caption] == [
        ":material/memory: CPU · cpu",
        ":material/deployed_code: 0 models · 0.0 MB",
        ":material/task_alt: 0 running · 0 waiting",
    ]
