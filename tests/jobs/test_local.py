"""What the local engine's processes do: python -m pytest tests/jobs/test_local.py"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from explorer import jobs
from explorer.errors import ExplorerError
from explorer.jobs import LocalEngine, local, worker
from explorer.jobs.process import ROOT
from explorer.settings import settings
from tests.jobs.conftest import MB, alive, ended, told, wait

LIMITS = {"seconds": 30, "memory": 500 * MB}


@pytest.fixture
def opened():
    """Make engines that are closed in any case."""
    with contextlib.ExitStack() as stack:

        def make(*arguments, **settings):
            engine = LocalEngine(*arguments, **settings)
            stack.callback(engine.close)
            return engine

        yield make


def workers():
    """The processes that this one has started."""
    return {child.pid for child in psutil.Process().children()}


def test_nothing_starts_before_it_is_needed_and_warm_up_starts_it(opened):
    before = workers()
    engine = opened(1, 10, 0, 1)
    assert workers() == before
    engine.warm_up()
    (pid,) = wait(lambda: workers() - before)
    engine.submit("tests.jobs.tasks:pid", {}, id="a", owner="a", **LIMITS)
    assert ended(engine, "a").result["pid"] == pid
    engine.close()
    assert workers() == before


def test_a_job_leaves_the_rest_of_the_time_to_pages(opened):
    share = 0.2
    engine = opened(1, 10, 0, 1, share=lambda: share)
    engine.submit("tests.jobs.tasks:burn", {}, id="a", owner="a", **LIMITS)
    process = psutil.Process(told(engine, "a"))

    def worked():
        """Of the time, in the next second."""
        began, had = time.monotonic(), sum(process.cpu_times()[:2])
        time.sleep(1)
        return (sum(process.cpu_times()[:2]) - had) / (time.monotonic() - began)

    time.sleep(2 * local.TICK)
    assert worked() < 0.35
    share = 1.0
    wait(lambda: worked() > 0.35)


def test_what_a_job_leaves_to_pages_is_no_time_of_its_own(opened):
    engine = opened(1, 10, 0, 1, share=lambda: 0.25)
    engine.submit("tests.jobs.tasks:burn", {}, id="a", owner="a", seconds=0.5, memory=500 * MB)
    job = ended(engine, "a")
    assert "time limit of 0.5 s" in job.error
    assert job.ended - job.started > local.TICK + (0.5 - local.TICK) / 0.25 - 2 * local.TICK


def test_warm_up_keeps_an_idle_worker(opened):
    engine = opened(1, 10, 0.4, 1)
    engine.submit("tests.jobs.tasks:pid", {}, id="a", owner="a", **LIMITS)
    pid = ended(engine, "a").result["pid"]
    for _ in range(6):
        time.sleep(0.15)
        engine.warm_up()
        assert alive(pid)
    wait(lambda: not alive(pid))


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_worker_that_dies_unused_is_replaced(opened):
    before = workers()
    engine = opened(1, 10, 0, 1)
    engine.submit("tests.jobs.tasks:pid", {}, id="a", owner="a", **LIMITS)
    pid = ended(engine, "a").result["pid"]
    os.kill(pid, signal.SIGKILL)
    (fresh,) = wait(lambda: workers() - before - {pid})
    engine.submit("tests.jobs.tasks:pid", {}, id="b", owner="a", **LIMITS)
    assert ended(engine, "b").result["pid"] == fresh


def test_force_takes_the_processes_that_a_task_started(opened):
    engine = opened(1, 10, 0, 1, grace=0.2)
    engine.submit("tests.jobs.tasks:deaf_parent", {}, id="a", owner="a", **LIMITS)
    pid, child = told(engine, "a"), told(engine, "a", "child")
    assert alive(child)
    engine.cancel("a")
    ended(engine, "a")
    wait(lambda: not alive(pid) and not alive(child), 2)


def test_a_worker_that_kept_much_memory_makes_room_for_a_fresh_one(opened):
    engine = opened(1, 10, 0, 1)
    pids = []
    for number, size in enumerate((1, 1, 190 * MB, 1)):
        engine.submit(
            "tests.jobs.tasks:leave", {"bytes": size}, id=str(number), owner="a", seconds=30, memory=220 * MB
        )  # fmt: skip
        pids.append(ended(engine, str(number)).result["pid"])
    assert pids[0] == pids[1] == pids[2] != pids[3]


def test_a_module_that_cannot_be_imported_ahead_stops_nobody(opened, capfd):
    engine = opened(1, 10, 0, 1, warm=("explorer.not_there", "json"))
    engine.submit("tests.jobs.tasks:pid", {}, id="a", owner="a", **LIMITS)
    assert ended(engine, "a").state == "finished"
    assert "explorer.not_there could not be imported ahead" in capfd.readouterr().err


def test_a_worker_that_cannot_start_fails_the_job_and_frees_the_queue(opened, monkeypatch):
    engine = opened(1, 10, 0, 1)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    for id in "ab":
        engine.submit("tests.jobs.tasks:pid", {}, id=id, owner=id, **LIMITS)
    for id in "ab":
        assert "could not start and ended with exit code 1" in ended(engine, id).error
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    engine.submit("tests.jobs.tasks:pid", {}, id="c", owner="c", **LIMITS)
    assert "could not start ([Errno 2]" in ended(engine, "c").error
    monkeypatch.undo()
    engine.submit("tests.jobs.tasks:pid", {}, id="d", owner="d", **LIMITS)
    assert ended(engine, "d").state == "finished"


def test_a_worker_that_never_gets_ready_is_given_up(opened, monkeypatch, tmp_path):
    (tmp_path / "slow_import.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(local, "START", 0.5)
    engine = opened(1, 10, 0, 1, warm=("slow_import",))
    engine.submit("tests.jobs.tasks:pid", {}, id="a", owner="a", **LIMITS)
    assert "could not start" in ended(engine, "a").error


def test_ended_jobs_are_forgotten_in_time(opened, monkeypatch):
    monkeypatch.setattr(local, "JOBS", 3)
    monkeypatch.setattr(local, "EVENTS", 25)
    engine = opened(1, 10, 0, 1)
    for id in "abcd":
        engine.submit("tests.jobs.tasks:count", {"to": 10}, id=id, owner="a", **LIMITS)
        ended(engine, id)
    with pytest.raises(ExplorerError, match="'a'"):
        engine.status("a")
    assert engine.status("b").state == "finished"
    assert [len(engine.events(id)) for id in "bcd"] == [0, 10, 10]


SERVER = """
import sys, time
from explorer.jobs import LocalEngine
if __name__ != "__main__":
    raise SystemExit("the server's script ran again")
engine = LocalEngine(1, 10, 0, 1)
engine.submit(sys.argv[1], {}, id="a", owner="a", seconds=60, memory=10**9)
while not engine.events("a"):
    time.sleep(0.01)
print(engine.events("a")[0]["pid"], flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
"""


@pytest.fixture
def server(tmp_path):
    """Start a small server whose worker runs a task; gives the server and its worker's pid."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    started = []

    def start(task, then):
        command = [sys.executable, str(script), f"tests.jobs.tasks:{task}", then]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("sign", "seconds"), [("SIGKILL", 20), ("SIGTERM", 20), ("SIGINT", 30)])
def test_a_server_that_is_killed_leaves_no_worker(server, sign, seconds):
    process, worker = server("deaf", "wait")
    assert alive(worker)
    process.send_signal(getattr(signal, sign))
    wait(lambda: not alive(worker), seconds)


def test_a_server_that_ends_leaves_no_worker(server):
    process, worker = server("tell", "end")
    assert process.wait(5) == 0
    assert not alive(worker)


def test_the_server_has_one_engine_and_its_limits(monkeypatch):
    monkeypatch.setenv("EXPLORER_QUEUE", "3")
    settings.cache_clear()
    jobs._engine.cache_clear()
    made = []
    threads = [threading.Thread(target=lambda: made.append(jobs.engine())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, made))) == 1
    assert made[0].counts() == (0, 0)
    jobs._engine.cache_clear()


def test_importing_jobs_imports_neither_torch_nor_streamlit():
    code = "import sys, explorer.jobs; assert not {'torch', 'streamlit', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_threads_of_a_worker_are_counted_and_soon_sleep_and_its_work_waits_for_pages(opened, monkeypatch):
    engine = opened(1, 5, 0, 2)
    names = ["GOMP_SPINCOUNT", "OMP_NUM_THREADS"]
    engine.submit("tests.jobs.tasks:environment", {"names": names}, id="a", owner="anna", **LIMITS)
    told = ended(engine, "a").result
    assert told["OMP_NUM_THREADS"] == "2"
    assert told["GOMP_SPINCOUNT"] == "1000"
    assert told["nice"] >= min(os.nice(0) + worker.NICE, 19)
    assert not told["group"] or told["group"].endswith(f"nice {worker.NICE}\n")  # else its nice would not count


def test_the_share_of_a_job_falls_with_those_who_compute_on_pages(monkeypatch):
    for load, share in ((0.0, 1.0), (0.5, 0.5), (30.0, jobs.LEAST)):
        monkeypatch.setattr(jobs, "TURNS", SimpleNamespace(load=load))
        assert jobs._share() == share
