"""The start-up check: python -m pytest tests/server/test_server_check.py"""

import errno
import http.server
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import fields

import numpy as np
import pytest
from safetensors.numpy import save

from explorer import settings as machine
from explorer.server import check
from explorer.server.check import GOOD, LOOK, MISSING
from explorer.settings import GB, Limits, settings


def test_here_nothing_is_missing_and_nothing_heavy_is_imported():
    script = (
        "import sys; from explorer.server import check; found = check.checks(); check.limits();"
        "print(*{'torch', 'mlflow', 'transformers', 'sklearn', 'streamlit'} & set(sys.modules));"
        "print(*{one.state for one in found}); print(len(found))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported, states, count = ran.stdout.split("\n")[:3]
    assert imported == ""
    assert "missing" not in states.split()
    assert int(count) > 20


def test_everything_says_what_to_do_where_it_is_not_good(monkeypatch):
    monkeypatch.setattr(check.importlib.metadata, "version", _no_library)
    for one in check.checks():
        assert one.state in (GOOD, LOOK, MISSING)
        assert one.found
        assert bool(one.do) == (one.state != GOOD), one


def _no_library(name):
    raise check.importlib.metadata.PackageNotFoundError(name)


def test_every_library_that_is_required_is_looked_at(monkeypatch):
    wanted = [line.partition("==")[0] for line in check.REQUIREMENTS.read_text().splitlines() if line]
    assert [one.name for one in check.libraries()] == wanted
    assert {"torch", "streamlit", "captum"} <= set(wanted)
    monkeypatch.setattr(check.importlib.metadata, "version", lambda name: "0.0.1+cpu")
    assert {one.state for one in check.libraries()} == {LOOK}
    monkeypatch.setattr(check.importlib.metadata, "version", _no_library)
    assert {one.state for one in check.libraries()} == {MISSING}


def test_a_gpu_that_is_not_used_and_too_little_memory_are_told(monkeypatch):
    monkeypatch.setenv("EXPLORER_MODE", "cpu")
    settings.cache_clear()
    monkeypatch.setattr(machine, "device", lambda: "cuda")
    monkeypatch.setattr(machine, "memory", lambda: 2 * GB)
    assert check.device().state == LOOK
    assert "EXPLORER_MODE=gpu" in check.device().do
    assert check.room().state == LOOK
    monkeypatch.setattr(machine, "device", lambda: "cpu")
    monkeypatch.setattr(machine, "memory", lambda: 64 * GB)
    assert check.device().state == check.room().state == GOOD


def test_a_data_folder_that_takes_nothing_is_told_and_strangers_do_not_learn_where_it_is(monkeypatch):
    before = list(settings().data.iterdir())
    assert str(settings().data) in check.folder().found
    assert list(settings().data.iterdir()) == before  # what was tried is gone again
    monkeypatch.setenv("EXPLORER_SHARED", "1")
    settings.cache_clear()

    def full(dir):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = check.folder()
    assert found.state == MISSING
    assert "No space left" in found.found
    assert all(str(settings().data) not in one.found + one.do for one in check.checks())


def test_little_space_is_told(monkeypatch):
    usage = check.shutil.disk_usage("/")
    monkeypatch.setattr(check.shutil, "disk_usage", lambda path: usage._replace(free=GB // 2))
    assert (check.disk().state, check.disk().found) == (LOOK, "0.5 GB free")


def test_the_list_of_runs_is_asked_without_mlflow():
    import sqlite3

    assert check.database().state == GOOD
    path = settings().data / "runs" / "mlflow.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE runs (lifecycle_stage TEXT)")
        made.executemany("INSERT INTO runs VALUES (?)", [("active",), ("active",), ("deleted",)])
    made.close()
    assert check.database().found == "2 runs"
    path.write_bytes(b"this is no database" * 100)
    assert check.database().state == MISSING


def test_weights_that_are_cut_off_grown_or_no_weights_are_not_whole(tmp_path):
    path = tmp_path / "model.safetensors"
    content = save({"w": np.arange(6, dtype=np.float32), "b": np.zeros(2, np.float32)}, {"made": "here"})
    for found, whole in ((content, True), (content[:-1], False), (content + b"x", False), (content[:20], False),
                         (b"", False), (b"\xff" * 100, False), (_framed(b"[1]"), False), (_framed(b"{}"), True),
                         (_framed(b'{"w": 3}'), False)):  # fmt: skip
        path.write_bytes(found)
        assert check.whole(path) == whole
    assert not check.whole(tmp_path / "nothing")


def _framed(header):
    return len(header).to_bytes(8, "little") + header


def test_every_shipped_model_is_whole_and_one_that_is_not_is_named(monkeypatch, tmp_path):
    assert check.models().state == GOOD
    for card in check.shipped():
        assert all(path.is_file() for path in check._weights(check.SHIPPED / card.ref.removeprefix("zoo:")))
    monkeypatch.setattr(check, "SHIPPED", tmp_path)  # where none of their weights are
    found = check.models()
    assert found.state == MISSING
    assert "digits-lenet/model.safetensors" in found.found
    monkeypatch.setattr(check, "shipped", list)
    assert check.models().state == MISSING


def test_the_teachers_view_is_missed_on_a_shared_server_only(monkeypatch):
    states = []
    for shared, token in (("0", ""), ("1", ""), ("1", "correct horse")):
        monkeypatch.setenv("EXPLORER_SHARED", shared)
        monkeypatch.setenv("EXPLORER_TEACHER", token)
        settings.cache_clear()
        states.append(check.teacher().state)
        assert "horse" not in str(check.checks()) + str(settings())
    assert states == [GOOD, LOOK, GOOD]


def test_every_limit_is_told_with_what_it_bounds():
    found = {name: (value, about) for name, value, about in check.limits()}
    assert list(found) == [one.name for one in fields(Limits)]
    assert found["upload"][0] == f"{settings().limits.upload / 2**20:.0f} MB"
    assert found["epochs"][0] == f"{settings().limits.epochs:,}"
    assert "on a shared server" in found["keep"][1]


@pytest.fixture
def hub(monkeypatch):
    """A Hub on this machine: hub.status is what it answers with."""
    from huggingface_hub import constants

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps([]).encode()
            self.send_response(server.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.status = 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_when_somebody_wants_to_know(hub, monkeypatch):
    from huggingface_hub import constants

    assert check.hub().state == GOOD
    hub.status = 503
    assert check.hub().state == MISSING
    hub.shutdown()
    hub.server_close()
    assert check.hub().state == MISSING
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert check.hub().state == LOOK
