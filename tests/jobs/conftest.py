"""Engines to test, and how to wait for them."""

import contextlib
import time

import psutil
import pytest

from explorer.jobs import LocalEngine

MB = 2**20

# Every engine is made by one of these: make(workers, queue, idle, grace) gives an Engine.
ENGINES = {"local": lambda workers, queue, idle, grace: LocalEngine(workers, queue, idle, 1, ("json",), grace)}


@pytest.fixture(params=ENGINES, scope="session")
def make(request):
    """How to make an engine of the kind under test; whoever makes one closes it."""

    def make(workers=1, queue=10, idle=0, grace=0.5):
        return ENGINES[request.param](workers, queue, idle, grace)

    return make


@pytest.fixture(scope="session")
def shared(make):
    """One engine that most tests use one after another."""
    engine = make()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared):
    """The shared engine, with nothing of the test before in it."""
    wait(lambda: shared.counts() == (0, 0))
    return shared


@pytest.fixture
def submit(engine, request):
    """Submit to the shared engine: submit("count", to=3) gives the job's id."""
    numbers = iter(range(1000))
    ids = []

    def submit(task, owner=None, seconds=30, memory=500 * MB, on_done=None, **wanted):
        id = f"{request.node.name}-{next(numbers)}"
        engine.submit(
            f"tests.jobs.tasks:{task}",
            wanted, id=id, owner=owner or id, seconds=seconds, memory=memory, on_done=on_done,
        )  # fmt: skip
        ids.append(id)
        return id

    yield submit
    for id in ids:
        engine.cancel(id)


def wait(condition, seconds=60):
    """Whatever becomes true in that time; fails when nothing does."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if found := condition():
            return found
        time.sleep(0.005)
    pytest.fail("it did not happen in time")
    return None


def ended(engine, id, seconds=60):
    """The status of a job once it has ended."""
    wait(lambda: engine.status(id).over, seconds)
    return engine.status(id)


def told(engine, id, key="pid"):
    """A value that a job reports."""
    return next(event[key] for event in wait(lambda: engine.events(id)) if key in event)


def alive(pid):
    """Whether a process runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture(scope="session")
def worker_shelf():
    """Every test has workers of its own."""
