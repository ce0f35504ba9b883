"""Modes and limits: python -m pytest tests/test_settings.py"""

import dataclasses
import subprocess
import sys

import pytest

from explorer import settings
from explorer.errors import ExplorerError


@pytest.fixture
def environment(tmp_path):
    return {"EXPLORER_DATA": str(tmp_path / "made for it")}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A laptop without a GPU, whatever runs the test."""
    monkeypatch.setattr(settings, "device", lambda: "cpu")
    monkeypatch.setattr(settings, "memory", lambda: 16 * settings.GB)
    monkeypatch.setattr(settings, "cores", lambda: 2)


def test_the_machine_decides_the_mode(environment, monkeypatch):
    assert settings.read(environment).mode == "cpu"
    monkeypatch.setattr(settings, "memory", lambda: 1 * settings.GB)
    tiny = settings.read(environment)
    assert tiny.mode == "cpu-tiny"
    monkeypatch.setattr(settings, "device", lambda: "cuda")
    gpu = settings.read(environment)
    assert (gpu.mode, gpu.device) == ("gpu", "cuda")
    assert gpu.limits.store > settings.read(environment | {"EXPLORER_MODE": "cpu"}).limits.store > tiny.limits.store


def test_a_forced_cpu_mode_leaves_the_gpu_alone(environment, monkeypatch):
    monkeypatch.setattr(settings, "device", lambda: "cuda")
    assert settings.read(environment | {"EXPLORER_MODE": "cpu-tiny"}).device == "cpu"


def test_any_limit_can_be_set_by_its_name(environment):
    limits = settings.read(environment | {"EXPLORER_EPOCHS": "7", "EXPLORER_QUEUE": "3"}).limits
    assert (limits.epochs, limits.queue) == (7, 3)


def test_a_shared_server_takes_smaller_uploads_and_shorter_runs_and_asks_before_long_work(environment):
    alone, shared = settings.read(environment), settings.read(environment | {"EXPLORER_SHARED": "1"})
    assert shared.shared
    assert not alone.shared
    assert shared.limits.upload < alone.limits.upload
    assert shared.limits.seconds < alone.limits.seconds
    assert shared.limits.unasked < alone.limits.unasked
    assert settings.read(environment | {"EXPLORER_SHARED": "1", "EXPLORER_UNASKED": "0"}).limits.unasked == 0


@pytest.mark.parametrize("mode", settings.MODES)
def test_every_limit_of_every_mode_is_a_positive_whole_number(mode):
    for name, value in dataclasses.asdict(settings.MODES[mode](2)).items():
        assert isinstance(value, int)
        assert value > 0 or name == "idle"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EXPLORER_MODE", "huge"),
        ("EXPLORER_MODE", "gpu"),
        ("EXPLORER_SHARED", "yes"),
        ("EXPLORER_EPOCHS", "-3"),
        ("EXPLORER_EPOCHS", "many"),
        ("EXPLORER_DATA", "/dev/null/x"),
    ],
)
def test_an_invalid_value_is_refused_by_the_name_of_its_variable(environment, variable, value):
    with pytest.raises(ExplorerError, match=variable):
        settings.read(environment | {variable: value})


def test_a_containers_limits_are_respected(monkeypatch):
    files = {"/sys/fs/cgroup/memory.max": str(settings.GB), "/sys/fs/cgroup/cpu.max": "100000 100000"}
    monkeypatch.undo()
    monkeypatch.setattr(settings, "_first_line", lambda path: files.get(path, ""))
    assert settings.memory() == settings.GB
    assert settings.cores() == 1


def test_reading_the_settings_imports_neither_torch_nor_streamlit():
    code = "import sys, explorer.settings as s; s.settings(); assert not {'torch', 'streamlit'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
