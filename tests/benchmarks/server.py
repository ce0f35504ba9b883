"""The server as a person meets it: from `streamlit run` to the first picture, a training run, and the memory held."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import QUIET
from tests.browser.find import browser

ROOT = Path(__file__).parents[2]
REPEATS = 3


def rows() -> Iterator[tuple[str, str, str]]:
    """What, reached, and the target, a line each."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=QUIET)
        painted = []
        for _ in range(REPEATS):
            with server() as (process, address, began):
                visit(chromium, address, "h1")
                painted.append(time.perf_counter() - began)
                torch = any("libtorch" in part.path for part in process.memory_maps())
        times = ", ".join(f"{seconds:.2f}" for seconds in painted)
        yield "`streamlit run` → Home painted in Chromium", f"{statistics.median(painted):.2f} s ({times})", "≤ 3 s"
        yield "torch imported by then", "yes" if torch else "no", "no"
        with server() as (process, address, _):
            page = visit(chromium, f"{address}/training", "text=Test split:")
            page.wait_for_timeout(5000)  # the worker gets warm
            first, whole = _train(page)
            yield "click → first point drawn in Chromium, worker warm", f"{first:.2f} s", "≤ 1.5 s"
            yield "click → result drawn in Chromium, digits LeNet", f"{whole:.2f} s", "≤ 15 s"
            page.goto(f"{address}/training?data=shapes&network=resnet&resnet_stride=2&epochs=1")
            page.get_by_text("Test split:").wait_for()
            _train(page)
            held = {part: part.memory_full_info().pss for part in (process, *process.children(recursive=True))}
            each = " + ".join(f"{size / 2**20:.0f}" for size in held.values())
            yield (
                "server + worker memory after digits and shapes (PSS)",
                f"{sum(held.values()) / 2**20:.0f} MB ({each})",
                "≤ 1.2 GB",
            )
        chromium.close()


def _train(page: Page) -> tuple[float, float]:
    """Press Start; seconds until the curve has a point, and until the result is there."""
    stop, clicked = page.locator(".st-key-stop button"), time.perf_counter()
    page.get_by_role("button", name="Start training").click()
    stop.wait_for(timeout=60_000)
    page.wait_for_function("/Training loss\\s+[0-9]/.test(document.body.innerText)", timeout=120_000)
    first = time.perf_counter() - clicked
    stop.wait_for(state="detached", timeout=300_000)
    page.get_by_text("Test split:").wait_for(timeout=60_000)
    return first, time.perf_counter() - clicked


def visit(chromium: Browser, address: str, wanted: str) -> Page:
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.locator(wanted).first.wait_for(timeout=60_000)
    return page


@contextmanager
def server(script: str | Path = "app.py") -> Iterator[tuple[psutil.Process, str, float]]:
    """A new server on a free port with a data folder of its own: its process, its address, when it was started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    command += ["--server.address=127.0.0.1", f"--server.port={port}"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"EXPLORER_DATA": folder}, stdout=subprocess.DEVNULL
        )
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}", began
        finally:
            process.terminate()
            process.wait()
