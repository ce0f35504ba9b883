"""A real server on a free port and a real browser before it: `pytest -m browser`."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import find
from tests.drawn import Drawn

ROOT = Path(__file__).parents[2]
PATIENCE = 120_000  # milliseconds that anything may take on a slow and busy machine of two cores
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A journey through pages takes longer than a unit, and on a busy machine much longer."""
    for item in items:
        if item.get_closest_marker("browser") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def serve(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts `streamlit run script` with the explorer's config; gives its address. All stop when the tests end."""
    started, folders = [], []

    def start(script: Path = ROOT / "app.py", **environment: str) -> str:
        for folder in folders:
            drawn.take(folder)
        folders.append(tmp_path_factory.mktemp("data"))
        drawn.lend(folders[-1])
        server, address = begin(script, {"EXPLORER_DATA": str(folders[-1])} | environment)
        started.append(server)
        return f"http://{address}"

    yield start
    end(*started)


@pytest.fixture(scope="session")
def server(serve: Callable[..., str]) -> str:
    """The address of the app."""
    return serve()


@pytest.fixture(scope="session")
def browser() -> Iterator["playwright.sync_api.Browser"]:  # noqa: F821
    """The Chromium or Chrome that is installed here, or else Playwright's own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)  # the visitors' own does not reach it
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find.browser(), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., "playwright.sync_api.Page"]]:  # noqa: F821
    """Opens an address as one more visitor, in a window of a given width and colour scheme."""
    visitors = []

    def visit(address: str, width: int = 1440, height: int = 900, scheme: str = "light"):
        visitor = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        visitors.append(visitor)
        visitor.set_default_timeout(PATIENCE)
        page = visitor.new_page()
        page.asked_for = []
        page.on("request", lambda request: page.asked_for.append(request.url))
        page.goto(address)
        return page

    yield visit
    for visitor in visitors:
        visitor.close()


@pytest.fixture
def page(open_page, server):
    """The app's Home, in a wide, light window."""
    return open_page(server)


def picture(canvas: "playwright.sync_api.Locator") -> str:  # noqa: F821
    """What a canvas shows."""
    return canvas.evaluate("canvas => canvas.toDataURL()")


def changed(canvas: "playwright.sync_api.Locator", before: str) -> None:  # noqa: F821
    """Waits until a canvas shows something else."""
    _painted(canvas, lambda now: now != before, "still shows what it did")


def same(canvas: "playwright.sync_api.Locator", wanted: str) -> None:  # noqa: F821
    """Waits until a canvas shows what it should."""
    _painted(canvas, lambda now: now == wanted, "shows something else")


def _painted(canvas: "playwright.sync_api.Locator", fits: Callable[[str], bool], wrong: str) -> None:  # noqa: F821
    deadline = time.monotonic() + PATIENCE / 1000
    while not fits(picture(canvas)):
        assert time.monotonic() < deadline, f"{canvas} {wrong}"
        canvas.page.wait_for_timeout(50)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(script: Path, port: int) -> list[str]:
    """What starts a server for the tests: on this machine alone, and not watching its own files."""
    return [
        sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true",
        "--server.address=127.0.0.1", f"--server.port={port}", "--server.fileWatcherType=none",
    ]  # fmt: skip


def begin(script: Path, environment: dict[str, str]) -> tuple[subprocess.Popen, str]:
    """A server that takes connections, and its host and port; another port where somebody was quicker."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    for last in (False, True):
        port = free_port()
        server = subprocess.Popen(command(script, port), cwd=ROOT, env=environment)
        try:
            await_port(port, server)
            break
        except ChildProcessError:
            if last:
                raise
        except TimeoutError:
            end(server)
            raise
    return server, f"127.0.0.1:{port}"


def end(*servers: subprocess.Popen) -> None:
    """Ask servers to stop, and make those that don't."""
    for server in servers:
        server.terminate()
    for server in servers:
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def await_port(port: int, server: subprocess.Popen) -> None:
    """Waits until the server accepts connections; raises TimeoutError after 60 seconds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ChildProcessError("the server ended at once")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the server opened no port within 60 seconds")
