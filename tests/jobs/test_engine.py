"""What every engine must do: python -m pytest tests/jobs/test_engine.py

Add an engine to ENGINES in conftest.py and it goes through all of this.
"""

import itertools
import math
import os
import signal
import threading
import time

import pytest

from explorer.errors import ExplorerError
from explorer.jobs.job import EVENTS
from tests.jobs.conftest import MB, alive, ended, told, wait


def test_a_job_runs_elsewhere_and_gives_its_result(engine, submit):
    before = time.time()
    job = ended(engine, submit("pid"))
    assert job.state == "finished"
    assert job.result["pid"] != os.getpid()
    assert job.result["threads"] == "1"
    assert before <= job.started <= job.ended <= time.time()
    assert job.error is None


def test_all_events_arrive_in_order(engine, submit):
    id = submit("count", to=3000)
    assert ended(engine, id).result == {"done": 3000}
    events = engine.events(id)
    assert [event["step"] for event in events] == list(range(3000))
    assert [event["index"] for event in events] == list(range(3000))
    assert engine.events(id, 2998) == events[2998:]
    assert engine.events(id, 3000) == []


def test_events_come_while_the_job_runs_and_tell_the_time_left(engine, submit):
    id = submit("count", to=20, pause=0.05)
    wait(lambda: len(engine.events(id)) >= 5)
    job = engine.status(id)
    assert (job.state, job.position, job.result) == ("running", 0, None)
    assert 0.1 < job.eta < 1.5
    assert ended(engine, id).eta is None


def test_positions_and_waiting_times_follow_the_queue(engine, submit):
    first = submit("count", to=200, pause=0.02)
    wait(lambda: len(engine.events(first)) >= 10)
    ids = [submit("count", to=1) for _ in range(3)]
    jobs = [engine.status(id) for id in ids]
    assert [job.state for job in jobs] == ["waiting"] * 3
    assert [job.position for job in jobs] == [1, 2, 3]
    assert 0 < jobs[0].eta < 10
    assert jobs[0].eta <= jobs[1].eta <= jobs[2].eta
    assert engine.counts() == (1, 3)
    engine.cancel(ids[0])
    assert [engine.status(id).position for id in ids] == [0, 1, 2]
    engine.cancel(first)
    assert ended(engine, ids[2]).state == "finished"
    assert engine.status(ids[1]).started <= engine.status(ids[2]).started


def test_one_job_per_owner(engine, submit):
    id = submit("tell", owner="ada")
    for _ in range(2):  # while it waits or starts, then while it runs
        with pytest.raises(ExplorerError, match="one of yours is waiting or running"):
            submit("count", owner="ada", to=1)
        wait(lambda: engine.events(id))
    engine.cancel(id)
    ended(engine, id)
    assert ended(engine, submit("count", owner="ada", to=1)).state == "finished"


def test_a_full_queue_refuses_at_once(make):
    engine = make(queue=2)
    try:
        limits = {"seconds": 30, "memory": 500 * MB}
        for number in range(3):
            engine.submit("tests.jobs.tasks:tell", {}, id=str(number), owner=str(number), **limits)
        start = time.monotonic()
        with pytest.raises(ExplorerError, match=r"full: [23] are waiting"):
            engine.submit("tests.jobs.tasks:tell", {}, id="3", owner="3", **limits)
        assert time.monotonic() - start < 2
        with pytest.raises(ExplorerError, match="'3'"):
            engine.status("3")
    finally:
        engine.close()


def test_two_workers_run_two_jobs(make):
    engine = make(workers=2)
    try:
        for number in range(3):
            engine.submit(
                "tests.jobs.tasks:tell", {}, id=str(number), owner=str(number), seconds=30, memory=500 * MB
            )  # fmt: skip
        pids = {told(engine, id) for id in "01"}
        assert len(pids) == 2
        assert engine.counts() == (2, 1)
        engine.cancel("0")
        assert told(engine, "2") in pids
    finally:
        engine.close()


def test_a_stopped_job_returns_what_it_has_within_a_step(engine, submit):
    id = submit("count", to=10_000, pause=0.01)
    wait(lambda: len(engine.events(id)) > 5)
    start = time.monotonic()
    engine.cancel(id)
    job = ended(engine, id)
    assert time.monotonic() - start < 10  # to its end it would take 100
    assert job.state == "cancelled"
    assert job.error is None
    assert job.result["done"] == engine.events(id)[-1]["step"] + 1


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(engine, submit):
    first, second = submit("tell"), submit("count", to=1)
    engine.cancel(second)
    assert engine.status(second).state == "cancelled"
    assert engine.counts()[1] == 0 or engine.status(first).state == "waiting"
    engine.cancel(first)
    ended(engine, first)
    assert engine.events(second) == []
    assert engine.status(second).started is None


def test_a_deaf_job_is_stopped_by_force_and_the_next_one_runs(engine, submit):
    id, following = submit("deaf"), submit("count", to=1)
    pid = told(engine, id)
    start = time.monotonic()
    engine.cancel(id)
    job = ended(engine, id)
    assert 0.4 < time.monotonic() - start < 10
    assert job.state == "cancelled"
    assert "did not stop within 0.5 s" in job.error
    assert not alive(pid)
    assert ended(engine, following).state == "finished"


@pytest.mark.parametrize(("task", "result"), [("count", True), ("deaf", False)])
def test_the_time_limit_stops_a_job_and_says_so(engine, submit, task, result):
    job = ended(engine, submit(task, seconds=0.4, to=1000, pause=0.01))
    assert job.state == "cancelled"
    assert "time limit of 0.4 s" in job.error
    assert bool(job.result) == result


def test_the_memory_limit_ends_a_job_and_says_what_to_lower(engine, submit):
    job = ended(engine, submit("eat", memory=150 * MB))
    assert job.state == "failed"
    assert "may hold 150 MB" in job.error
    assert "batch size" in job.error
    assert ended(engine, submit("count", to=1)).state == "finished"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_worker_killed_from_outside_fails_its_job_only(engine, submit):
    id, following = submit("tell"), submit("pid")
    pid = told(engine, id)
    os.kill(pid, signal.SIGKILL)
    job = ended(engine, id)
    assert job.state == "failed"
    assert "ended unexpectedly, by SIGKILL, most often because the machine ran out of memory" in job.error
    assert ended(engine, following).result["pid"] != pid


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("task", "ending"), [("abort", "by SIGABRT"), ("segfault", "by SIGSEGV"), ("leave_early", "with exit code")]
)
def test_a_crash_fails_its_job_only(engine, submit, task, ending):
    id, following = submit(task), submit("count", to=1)
    job = ended(engine, id)
    assert job.state == "failed"
    assert ending in job.error
    assert ended(engine, following).state == "finished"


def test_a_refusal_fails_with_its_own_sentence(engine, submit):
    id = submit("refuse")
    job = ended(engine, id)
    assert job.state == "failed"
    assert job.error == "A learning rate of 9: the loss is no number any more. Lower it."
    assert [event["step"] for event in engine.events(id)] == [0]


@pytest.mark.parametrize(
    ("task", "name"),
    [("bug", "ZeroDivisionError"), ("unwritable", "TypeError"), ("missing", "AttributeError")],
)
def test_a_bug_is_called_one_and_logged_in_full(engine, submit, caplog, task, name):
    job = ended(engine, submit(task))
    assert job.state == "failed"
    assert "bug" in job.error
    assert name in job.error
    assert "Traceback" in caplog.text
    assert name in caplog.text


def test_what_a_task_prints_and_reads_stays_out_of_the_way(engine, submit):
    assert ended(engine, submit("chatter")).result == {"read": ""}
    assert ended(engine, submit("count", to=1)).state == "finished"


def test_nan_passes(engine, submit):
    id = submit("nan")
    job = ended(engine, id)
    assert math.isnan(job.result["loss"])
    assert job.result["worst"] == math.inf
    assert math.isnan(engine.events(id)[0]["loss"])


def test_a_request_that_is_no_json_is_an_error_of_the_caller(engine, submit):
    with pytest.raises(TypeError):
        submit("count", to=object())
    assert engine.counts() == (0, 0)


def test_a_flood_of_events_stays_bounded(engine, submit):
    id = submit("flood", events=200_000)
    job = ended(engine, id, 30)
    assert job.state == "finished"
    steps = [event["step"] for event in engine.events(id)]
    assert 1000 < len(steps) <= EVENTS
    assert (steps[0], steps[-1]) == (0, 199_999)
    assert all(a < b for a, b in itertools.pairwise(steps))
    assert set(range(500, 200_000, 1000)) <= set(steps)


ENDINGS = {
    "finished": ("count", {"to": 1}, "finished"),
    "refused": ("refuse", {}, "failed"),
    "bug": ("bug", {}, "failed"),
    "crash": ("abort", {}, "failed"),
    "time": ("tell", {"seconds": 0.2}, "cancelled"),
    "force": ("deaf", {"seconds": 0.2}, "cancelled"),
    "memory": ("eat", {"memory": 100 * MB}, "failed"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_on_done_is_called_once_however_it_ends(engine, submit, ending):
    task, wanted, state = ENDINGS[ending]
    calls = []
    job = ended(engine, submit(task, on_done=calls.append, **wanted))
    assert job.state == state
    assert calls == [job]
    time.sleep(0.05)
    assert len(calls) == 1


def test_on_done_is_called_for_cancelled_jobs_too(engine, submit):
    calls = []
    running = submit("tell", on_done=calls.append)
    told(engine, running)
    waiting = submit("tell", on_done=calls.append)
    for id in (waiting, running):
        engine.cancel(id)
        engine.cancel(id)  # pressed twice
        assert ended(engine, id).state == "cancelled"
    assert [job.id for job in calls] == [waiting, running]


def test_a_job_shows_its_end_only_when_on_done_has_returned(engine, submit):
    go, thread = threading.Event(), []

    def on_done(job):
        thread.append(threading.current_thread())
        go.wait(5)

    id = submit("count", to=1, on_done=on_done, owner="ada")
    wait(lambda: thread)
    assert engine.status(id).state == "running"
    assert thread[0] is not threading.current_thread()
    following = submit("count", to=1, owner="ada")  # neither the owner nor the worker waits for it
    assert ended(engine, following).state == "finished"
    go.set()
    assert ended(engine, id).state == "finished"


def test_an_on_done_that_raises_harms_nobody(engine, submit, caplog):
    def on_done(job):
        raise RuntimeError("the disk is full")

    assert ended(engine, submit("count", to=1, on_done=on_done)).state == "finished"
    assert "the disk is full" in caplog.text
    calls = []
    assert ended(engine, submit("count", to=1, on_done=calls.append)) in calls


def test_an_unknown_job_is_refused_by_its_name(engine):
    for ask in (engine.status, engine.events, engine.cancel):
        with pytest.raises(ExplorerError, match="'nobody'"):
            ask("nobody")


def test_many_sessions_submit_poll_and_cancel_at_once(make):
    engine = make(workers=2, queue=60)
    done, problems = [], []

    def session(number):
        try:
            for turn in range(3):
                id = f"{number}-{turn}"
                engine.submit(
                    "tests.jobs.tasks:count", {"to": 20, "pause": 0.001},
                    id=id, owner=str(number), seconds=30, memory=500 * MB, on_done=lambda job: done.append(job.id),
                )  # fmt: skip
                if turn == 1:
                    engine.cancel(id)
                seen = 0
                while not engine.status(id).over:
                    new = engine.events(id, seen)
                    seen = new[-1]["index"] + 1 if new else seen
                    engine.counts()
                    time.sleep(0.01)
                assert engine.status(id).state == ("finished" if turn != 1 else "cancelled")
        except (AssertionError, ExplorerError) as problem:
            problems.append(problem)

    threads = [threading.Thread(target=session, args=(number,)) for number in range(20)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert problems == []
        assert sorted(done) == sorted(f"{number}-{turn}" for number in range(20) for turn in range(3))
        assert engine.counts() == (0, 0)
    finally:
        engine.close()


def test_close_ends_everything_and_says_so(make):
    engine, calls = make(), []
    limits = {"seconds": 30, "memory": 500 * MB, "on_done": calls.append}
    engine.submit("tests.jobs.tasks:tell", {}, id="running", owner="a", **limits)
    engine.submit("tests.jobs.tasks:tell", {}, id="waiting", owner="b", **limits)
    pid = told(engine, "running")
    engine.close()
    assert not alive(pid)
    assert {job.id: (job.state, job.error) for job in calls} == {
        "running": ("cancelled", "The server was stopped."),
        "waiting": ("cancelled", "The server was stopped."),
    }
    assert engine.status("running").state == "cancelled"
    with pytest.raises(ExplorerError, match="shutting down"):
        engine.submit("tests.jobs.tasks:tell", {}, id="late", owner="c", **limits)
    engine.close()


def test_an_idle_worker_goes_and_comes_back(make):
    engine = make(idle=0.3)
    try:
        limits = {"seconds": 30, "memory": 500 * MB}
        engine.submit("tests.jobs.tasks:pid", {}, id="a", owner="a", **limits)
        first = ended(engine, "a").result["pid"]
        assert alive(first)
        wait(lambda: not alive(first))
        engine.submit("tests.jobs.tasks:pid", {}, id="b", owner="a", **limits)
        assert ended(engine, "b").result["pid"] != first
    finally:
        engine.close()
