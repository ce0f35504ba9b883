"""The worker's own parts: python -m pytest tests/jobs/test_worker.py"""

import json
import os
import subprocess
import sys
import threading
import time

from explorer.jobs import worker
from explorer.jobs.process import ROOT
from explorer.jobs.thinning import thin
from explorer.jobs.worker import BUFFER, FLUSH, Outbox, Pace, run
from tests.jobs.conftest import wait


def read_all(fd, lines):
    with os.fdopen(fd) as pipe:
        for line in pipe:
            lines.append(json.loads(line))


def test_a_server_that_does_not_read_slows_no_task_and_fills_no_memory():
    read, write = os.pipe()
    outbox = Outbox(os.fdopen(write, "wb"))
    outbox.begin()

    def work():
        for step in range(50_000):
            outbox.report({"step": step, "keep": step % 10_000 == 5})
        outbox.post('{"ended":true}')

    task = threading.Thread(target=work, daemon=True)
    task.start()
    task.join(60)
    assert not task.is_alive()
    assert len(outbox._events) <= BUFFER
    lines = []
    threading.Thread(target=read_all, args=(read, lines), daemon=True).start()
    wait(lambda: lines and lines[-1] == {"ended": True})
    steps = [event["step"] for line in lines[:-1] for event in line["events"]]
    assert (steps[0], steps[-1]) == (0, 49_999)
    assert steps == sorted(set(steps))
    assert {5, 10_005, 20_005, 30_005, 40_005} <= set(steps)


def test_the_first_event_goes_out_at_once(monkeypatch):
    monkeypatch.setattr(worker, "FLUSH", 60)
    read, write = os.pipe()
    outbox, lines = Outbox(os.fdopen(write, "wb")), []
    threading.Thread(target=read_all, args=(read, lines), daemon=True).start()
    outbox.begin()
    outbox.report({"step": 0})
    wait(lambda: lines)


def test_the_events_after_it_go_out_together():
    read, write = os.pipe()
    outbox, lines = Outbox(os.fdopen(write, "wb")), []
    threading.Thread(target=read_all, args=(read, lines), daemon=True).start()
    outbox.begin()
    outbox.report({"step": 0})
    wait(lambda: lines)
    start, reports = time.monotonic(), 0
    while time.monotonic() - start < 1:
        outbox.report({"step": 1})
        reports += 1
        time.sleep(0.002)
    arrived = len(lines)
    assert arrived <= 2 + (time.monotonic() - start) / FLUSH
    assert arrived < reports
    wait(lambda: sum(len(line["events"]) for line in lines) == 1 + reports)


def test_an_event_is_what_it_was_when_it_was_reported():
    read, write = os.pipe()
    outbox, lines = Outbox(os.fdopen(write, "wb")), []
    threading.Thread(target=read_all, args=(read, lines), daemon=True).start()
    outbox.post("{}")
    event = {"step": 0}
    for step in range(3):
        event["step"] = step
        outbox.report(event)
    wait(lambda: sum(len(line.get("events", ())) for line in lines) == 3)
    assert [event["step"] for line in lines for event in line.get("events", ())] == [0, 1, 2]
    assert "index" not in event


def test_a_task_that_ends_by_itself_has_finished_though_it_was_to_stop():
    pace = Pace()
    pace.stop.set()
    for to, stopped in ((0, False), (1, True)):
        message = json.loads(run("tests.jobs.tasks:count", {"to": to}, lambda event: None, pace))
        assert message == {"ended": {"result": {"done": 0}, "stopped": stopped}}


def burn(seconds):
    """Keep the processor busy."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_task_rests_for_what_its_share_leaves_to_others():
    pace = Pace()
    began = time.monotonic()
    for _ in range(10):
        burn(0.01)
        pace.keep()
    alone = time.monotonic() - began
    pace.share = 0.25
    began = time.monotonic()
    for _ in range(10):
        burn(0.01)
        pace.keep()
    assert time.monotonic() - began > alone + 0.2  # of 0.3 s, since the last little rest may still be due


def test_what_a_task_waits_itself_is_no_work_of_its_own():
    pace = Pace()
    pace.share = 0.01
    time.sleep(0.2)
    began = time.monotonic()
    pace.keep()
    assert time.monotonic() - began < 1


def test_a_stop_ends_a_rest():
    pace = Pace()
    pace.share = 0.001
    burn(0.02)
    threading.Timer(0.05, pace.stop.set).start()
    began = time.monotonic()
    pace.keep()
    assert time.monotonic() - began < worker.RESTS


def test_a_worker_goes_with_its_server_while_it_imports(tmp_path):
    (tmp_path / "slow_import.py").write_text("import time; time.sleep(60)")
    command = [sys.executable, "-m", "explorer.jobs.worker", "slow_import"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        process.stdin.close()
        assert process.wait(30) == 0


def test_thinning_keeps_the_ends_and_the_kept_in_order():
    events = []
    for number in range(10_000):
        events = thin([*events, number], 100, lambda event: event % 1000 == 500)
        assert len(events) <= 100
    assert (events[0], events[-1]) == (0, 9999)
    assert events == sorted(events)
    assert set(range(500, 10_000, 1000)) <= set(events)
    assert events[-40:] == list(range(9960, 10_000))  # the newest are complete


def test_thinning_bounds_even_what_is_to_be_kept():
    events = thin(list(range(100_000)), 100, lambda event: True)
    assert 40 < len(events) <= 100
    assert (events[0], events[-1]) == (0, 99_999)
    assert thin([1, 2], 1, lambda event: True) == [1, 2]
