"""Tiny tasks for the tests of engines."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from explorer.errors import ExplorerError

left_behind = []  # what a job leaves in its worker


def count(request, report, stopping):
    """Count to `to`, one step every `pause` seconds."""
    done = 0
    for step in range(request["to"]):
        if stopping():
            break
        done = step + 1
        report({"step": step, "progress": done / request["to"]})
        time.sleep(request.get("pause", 0))
    return {"done": done}


def tell(request, report, stopping):
    """Say which process this is, then wait until told to stop."""
    report({"pid": os.getpid()})
    while not stopping():
        time.sleep(0.01)
    return {"pid": os.getpid()}


def burn(request, report, stopping):
    """Keep the processor busy until told to stop."""
    report({"pid": os.getpid()})
    while not stopping():
        until = time.process_time() + 0.005
        while time.process_time() < until:
            pass
    return {}


def pid(request, report, stopping):
    return {"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}


def deaf(request, report, stopping):
    report({"pid": os.getpid()})
    while True:
        pass


def deaf_parent(request, report, stopping):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    report({"pid": os.getpid(), "child": child.pid})
    while True:
        pass


def eat(request, report, stopping):
    held = []
    while True:
        held.append(bytearray(os.urandom(1)) * 10_000_000)
        time.sleep(0.01)


def leave(request, report, stopping):
    left_behind.append(b"x" * request["bytes"])
    return {"pid": os.getpid()}


def refuse(request, report, stopping):
    report({"step": 0})
    raise ExplorerError("A learning rate of 9", "the loss is no number any more", "Lower it")


def bug(request, report, stopping):
    return {"x": 1 / 0}


def unwritable(request, report, stopping):
    report({"what": object()})


def abort(request, report, stopping):
    os.abort()


def segfault(request, report, stopping):
    if hasattr(signal, "SIGSEGV"):
        os.kill(os.getpid(), signal.SIGSEGV)
    ctypes.string_at(0)


def leave_early(request, report, stopping):
    sys.exit(3)


def chatter(request, report, stopping):
    """Print to stdout in three ways, and try to read stdin."""
    print('{"ended": {"result": {"forged": true}}}', flush=True)
    os.write(1, b"noise without an end")
    subprocess.run([sys.executable, "-c", "print('noise')"], check=True)
    return {"read": sys.stdin.read()}


def nan(request, report, stopping):
    report({"loss": math.nan, "progress": math.nan})
    return {"loss": math.nan, "worst": math.inf}


def flood(request, report, stopping):
    start = time.perf_counter()
    for step in range(request["events"]):
        report({"step": step, "loss": 0.123456789, "keep": step % 1000 == 500})
    return {"seconds": time.perf_counter() - start}


def environment(request, report, stopping):
    """What the worker's environment says, and how far it stands back."""
    group, on = Path("/proc/self/autogroup"), Path("/proc/sys/kernel/sched_autogroup_enabled")
    told = {name: os.environ.get(name) for name in request["names"]} | {"nice": os.nice(0)}
    return told | {"group": group.read_text() if on.exists() and on.read_text().strip() == "1" else ""}
