"""The server's end of one worker process."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]  # the folder that holds the `explorer` package
CHILDREN = 1.0  # seconds between two looks at a worker's own processes: each look goes over all of the machine's
LEAVE = 2.0  # seconds that an unused worker has to go by itself


class Worker:
    """A worker process: messages go in and out, its memory is known, and it can be ended.

    Not `multiprocessing`: under `streamlit run` the main module is the app's script, and a spawned child would run it.
    """

    def __init__(self, warm: Sequence[str], threads: int, on_gone: Callable[[], None]) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "explorer.jobs.worker", *warm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C in the terminal is for the server alone
        )
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._on_gone = on_gone
        self._children: list[psutil.Process] = []
        self._looked = -CHILDREN
        threading.Thread(target=self._read, name="worker", daemon=True).start()

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def send(self, message: dict[str, Any]) -> None:
        """Tell the worker something; where it has gone, `receive` will say so."""
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next message; {} when there is none for that long or after `wake`; {"gone": true} at the end."""
        try:
            return self._inbox.get(timeout=seconds)
        except queue.Empty:
            return {"gone": True} if self.gone else {}

    def wake(self) -> None:
        """Let the thread that waits in `receive` look around."""
        self._inbox.put({})

    def memory(self) -> int:
        """Bytes of memory that the worker and the processes it started hold."""
        held = 0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            if time.monotonic() - self._looked >= CHILDREN:
                self._children = process.children(recursive=True)
                self._looked = time.monotonic()
            held = process.memory_info().rss
        for child in self._children:
            with contextlib.suppress(psutil.Error):
                held += child.memory_info().rss
        return held

    def end(self) -> None:
        """Let an unused worker go, and make it go where it doesn't."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVE)
        self.kill()

    def kill(self) -> None:
        """End the worker and the processes it started, now."""
        with contextlib.suppress(psutil.Error):
            self._children = psutil.Process(self._process.pid).children(recursive=True) or self._children
        self._process.kill()
        for child in self._children:
            with contextlib.suppress(psutil.Error):
                child.kill()  # psutil makes sure that it is still the same process
        self._process.wait()

    def ending(self) -> str:
        """How the process ended, as a clause."""
        code = self._process.returncode
        if code >= 0:
            return f"with exit code {code}"
        name = signal.Signals(-code).name
        return f"by {name}" + (", most often because the machine ran out of memory" if name == "SIGKILL" else "")

    def _read(self) -> None:
        with self._process.stdout as pipe:
            for line in pipe:
                if line.endswith(b"\n"):  # not where it was killed in mid-line
                    self._inbox.put(json.loads(line))
        try:
            self._process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._inbox.put({"gone": True})
        self._on_gone()
