"""The server under load: a classroom's, in the smallest mode, on a free port with a data folder of its own."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.browser.conftest import ROOT, await_port, command, free_port

CLASS = {"EXPLORER_MODE": "cpu-tiny", "EXPLORER_SHARED": "1"}


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    address: str
    process: psutil.Process
    log: Path

    def memory(self) -> list[int]:
        """Bytes held by the server and by each of its workers, shared pages divided among those that share them."""
        return [part.memory_full_info().pss for part in (self.process, *self.process.children(recursive=True))]

    def worked(self) -> float:
        """Seconds of the processor that the server has taken, its workers not counted."""
        return sum(self.process.cpu_times()[:2])

    def faults(self) -> list[str]:
        """The last lines of the tracebacks in its log: bugs that no page may have shown."""
        faults, inside = [], False
        for line in self.log.read_text("utf-8", "replace").splitlines():
            if line.startswith("Traceback"):
                inside = True
            elif inside and line and not line.startswith((" ", "\t")):
                faults.append(line)
                inside = False
        return faults

    def raised(self) -> list[tuple[str, bool]]:
        """What pages have raised, and whether it came from our own code rather than from within Streamlit."""
        found, last = [], ""
        for line in re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text("utf-8", "replace")).splitlines():
            frame = re.match(r"  (/\S+)", line)
            if frame and ("site-packages/streamlit" in frame[1] or frame[1].startswith(f"{ROOT}/")):
                last = frame[1]
            elif re.match(r"[A-Za-z]+(Error|Exception)\b: ", line):
                found.append((f"{line[:200]} ({last})", "site-packages/streamlit" not in last))
        return found


@contextmanager
def serve(**environment: str) -> Iterator[Server]:
    """A new server; it and its data are gone afterwards."""
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data, log = Path(folder, "data"), Path(folder, "log")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "EXPLORER_DATA": str(data)} | CLASS | environment
        with log.open("wb") as written:
            process = subprocess.Popen(command(ROOT / "app.py", port), cwd=ROOT, env=environment,
                                       stdout=written, stderr=subprocess.STDOUT)  # fmt: skip
        try:
            await_port(port, process)
            yield Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid), log)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
