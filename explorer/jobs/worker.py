"""A worker process: `python -m explorer.jobs.worker [module to import first …]`.

It speaks JSON lines over the pipes that were its stdin and stdout:

    {"task": "package.module:function", "request": {…}}     to it: run this
    {"share": 0.5}                                          to it: work half of the time, until told otherwise
    {"stop": true}                                          to it: stop what you run
    {"ready": true}                                         from it: the modules are imported
    {"events": [{…}, …]}                                    from it: what was reported since
    {"ended": {"result": {…}, "stopped": false}}            from it: the task returned
    {"ended": {"error": "…", "trace": "…"}}                 from it: the task raised

When the pipe to it closes, its server has gone, and so does it.
"""

import contextlib
import faulthandler
import gc
import importlib
import json
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from explorer.errors import ExplorerError
from explorer.jobs.thinning import thin

FLUSH = 0.1  # seconds between two messages with events
BUFFER = 5000  # events that may wait for a server that doesn't read
NICE = 10  # a page that somebody waits for goes before a job that takes minutes anyway

REST, RESTS = 0.02, 1.0  # seconds: what is too short to lie down for, and the longest rest

log = logging.getLogger("explorer.jobs.worker")
encode = json.JSONEncoder(separators=(",", ":")).encode


class Outbox:
    """What the server is still to be told, and the thread that tells it, so that nobody else ever waits for it."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._events: list[tuple[str, bool]] = []  # as JSON, and whether it must be kept
        self._messages: list[str] = []
        self._count = 0  # events of this job
        self._due = 0.0  # when events may go out again
        self._changed = threading.Condition(threading.Lock())
        threading.Thread(target=self._send, name="outbox", daemon=True).start()

    def begin(self) -> None:
        """A job begins: its first event goes out at once."""
        with self._changed:
            self._count, self._due = 0, 0.0

    def report(self, event: dict[str, Any]) -> None:
        """Add an event; where the server doesn't read, older ones are thinned out."""
        with self._changed:
            line = encode({**event, "index": self._count})
            self._count += 1
            self._events.append((line, bool(event.get("keep"))))
            if len(self._events) == 1:
                self._changed.notify()
            elif len(self._events) > BUFFER:
                self._events = thin(self._events, BUFFER, lambda event: event[1])

    def post(self, message: str) -> None:
        """Add any other message; it goes out at once, after the events before it."""
        with self._changed:
            self._messages.append(message)
            self._changed.notify()

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._events or self._messages)
                self._changed.wait_for(lambda: self._messages, max(0.0, self._due - time.monotonic()))
                events, self._events = self._events, []
                messages, self._messages = self._messages, []
                self._due = time.monotonic() + FLUSH
            lines = [f'{{"events":[{",".join(event for event, _ in events)}]}}'] if events else []
            try:
                self._pipe.write("".join(line + "\n" for line in lines + messages).encode())
                self._pipe.flush()
            except OSError:  # the server has gone
                os._exit(0)


class Pace:
    """How much of the time a task works, the rest being left to pages, and when it is to stop."""

    def __init__(self) -> None:
        self.share = 1.0  # of the time
        self.stop = threading.Event()
        self._worked, self._due = time.process_time(), 0.0  # seconds of the processor by now, and those to rest

    def keep(self) -> None:
        """Rest for as long as the work since the last call allows; a stop ends that."""
        worked, self._worked = self._worked, time.process_time()
        self._due += (self._worked - worked) * (1 / self.share - 1)
        if self._due >= REST:
            self.stop.wait(min(self._due, RESTS))
            self._due = 0.0


class Jobs:
    """The jobs that the server sends, read by a thread, so that a stop or the server's end is seen at any time."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._queue: queue.SimpleQueue[tuple[dict[str, Any], Pace]] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="jobs", daemon=True).start()

    def next(self) -> tuple[dict[str, Any], Pace]:
        """The next job, and its pace."""
        return self._queue.get()

    def _read(self) -> None:
        pace = Pace()
        for line in self._pipe:
            command = json.loads(line)
            if "stop" in command:
                pace.stop.set()
            elif "share" in command:
                pace.share = command["share"]
            else:
                pace = Pace()
                self._queue.put((command, pace))
        os._exit(0)


def run(task: str, request: dict[str, Any], report: Callable[[dict[str, Any]], None], pace: Pace) -> str:
    """Run one task; returns the message that says how it ended."""
    told = False

    def stopping() -> bool:
        nonlocal told
        pace.keep()
        told = told or pace.stop.is_set()
        return told

    try:
        module, name = task.split(":")
        result = getattr(importlib.import_module(module), name)(request, report, stopping)
        return encode({"ended": {"result": result, "stopped": told}})
    except ExplorerError as error:
        return encode({"ended": {"error": str(error)}})
    except Exception as error:  # noqa: BLE001 (the server logs it)
        sentence = f"This is a bug of ours, and the server's log says where: {type(error).__name__}: {error}"
        return encode({"ended": {"error": sentence, "trace": traceback.format_exc()}})


def main(warm: list[str]) -> None:
    """Import the modules, then run one job after another until the server goes."""
    logging.basicConfig(level=logging.INFO, format="worker %(process)d %(name)s %(levelname)s: %(message)s")
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # where Linux runs out of memory it takes this process, not the server
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as file:
        file.write(str(NICE))  # where Linux shares time among terminals first, this is the nice that counts
    faulthandler.enable()
    jobs, outbox = Jobs(_taken(0, os.O_RDONLY)), Outbox(_taken(1, os.O_WRONLY))
    for module in warm:
        try:
            importlib.import_module(module)
        except Exception:
            log.exception("%s could not be imported ahead of the jobs that may need it", module)
    outbox.post(encode({"ready": True}))
    while True:
        job, pace = jobs.next()
        outbox.begin()
        outbox.post(run(job["task"], job["request"], outbox.report, pace))
        gc.collect()  # a network is full of cycles, and the next job wants the memory


def _taken(fd: int, mode: int) -> BinaryIO:
    """The pipe behind stdin or stdout, now out of reach of libraries that read or print."""
    pipe = os.fdopen(os.dup(fd), "rb" if mode == os.O_RDONLY else "wb")
    if mode == os.O_RDONLY:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, fd)
        os.close(nothing)
    else:
        os.dup2(2, fd)
    return pipe


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:  # a task that calls sys.exit; the thread that reads must not hold up the end
        sys.stderr.flush()
        os._exit(1)
