"""The engine of one machine: a queue in this process, and worker processes that stay warm between jobs."""

import atexit
import heapq
import json
import logging
import math
import queue as queues
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from explorer.errors import ExplorerError
from explorer.jobs.engine import JobStatus
from explorer.jobs.hour import Hour
from explorer.jobs.job import Job
from explorer.jobs.process import Worker

TICK = 0.25  # seconds between two looks at a running job's memory and time
START = 120.0  # seconds that a worker may take to get ready
CLOSE = 2.0  # seconds that running jobs have when the server stops
FULL = 0.8  # a worker that still holds this part of a job's memory after it makes room for a fresh one
JOBS = 200  # ended jobs that are remembered
EVENTS = 50_000  # events that are kept of all ended jobs together
RECENT = 10  # finished jobs that the usual duration is taken from
STEP = 0.05  # a change of a job's share of the time that it is not told

log = logging.getLogger("explorer.jobs")


class LocalEngine:
    """An `Engine` (see there) on this machine.

    workers: jobs that run at once, each in a process of its own, which is started when it is first needed.
    queue: jobs that may wait beyond those.
    idle: seconds after which an unused worker goes, until it is needed again; 0: it stays.
    threads: what OMP_NUM_THREADS, and so torch, is told in each worker.
    warm: modules that a worker imports before it takes a job.
    grace: seconds between the request to stop and force.
    hourly: seconds of the workers that one owner may use in an hour; 0: as many as there are.
    share: of the time, that jobs may work just now; what they are told to rest counts for none of their limits.
    """

    def __init__(
        self,
        workers: int,
        queue: int,
        idle: float,
        threads: int,
        warm: Sequence[str] = (),
        grace: float = 5.0,
        hourly: float = 0,
        share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._workers, self._queue, self._idle, self._grace = workers, queue, idle, grace
        self._make_worker = lambda: Worker(warm, threads, self._wake)
        self._changed = threading.Condition()  # guards all below; never held while reading, writing or waiting
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._ended: deque[Job] = deque()
        self._took: deque[float] = deque(maxlen=RECENT)  # seconds
        self._hourly, self._hour = hourly, Hour()
        self._share = share
        self._asked = False  # somebody wants a warm worker
        self._closed = False
        self._threads: list[threading.Thread] = []  # one for each worker
        self._closing: queues.SimpleQueue[Job | None] = queues.SimpleQueue()
        self._closer = threading.Thread(target=self._close_jobs, name="jobs closer", daemon=True)

    # What sessions call

    def submit(
        self,
        task: str,
        request: dict[str, Any],
        *,
        id: str,
        owner: str,
        seconds: float,
        memory: int,
        on_done: Callable[[JobStatus], None] | None = None,
    ) -> None:
        request = json.loads(json.dumps(request))  # a copy, and an early error where it is no JSON
        with self._changed:
            if self._closed:
                raise ExplorerError("A new job", "this server is shutting down", "Try again when it is back")
            before = self._jobs.get(id)
            if before and not (before.outcome and before.closed):
                raise ExplorerError("This job", "it is going on already", "Wait for its end, or stop it")
            if any(job.owner == owner for job in (*self._running, *self._waiting)):
                raise ExplorerError(
                    "A second job", "one of yours is waiting or running already", "Stop that one, or wait for its end"
                )
            if self._hourly and (wait := self._hour.wait(owner, self._hourly, time.monotonic())):
                raise ExplorerError(
                    "A new job",
                    f"you have used the {self._hourly / 60:.0f} minutes of computing that one person has in an hour",
                    f"Try again in {max(1, math.ceil(wait / 60))} min",
                )
            if len(self._waiting) + len(self._running) >= self._queue + self._workers:
                raise ExplorerError(
                    "A new job", f"the queue is full: {len(self._waiting)} are waiting", "Try again in a few minutes"
                )
            if before:
                self._ended.remove(before)
            self._jobs[id] = job = Job(id, owner, task, request, seconds, memory, on_done)
            self._waiting.append(job)
        self.warm_up()

    def status(self, id: str) -> JobStatus:
        with self._changed:
            return self._status(self._job(id))

    def listing(self) -> list[JobStatus]:
        with self._changed:
            return [self._status(job) for job in (*self._running, *self._waiting)]

    def events(self, id: str, since: int = 0) -> list[dict[str, Any]]:
        with self._changed:
            return self._job(id).since(since)

    def cancel(self, id: str) -> None:
        with self._changed:
            job = self._job(id)
            if job.outcome or job.stop is not None:
                return
            job.stop = ""
            if job.worker:
                job.worker.wake()
            else:
                self._end(job, "cancelled")

    def counts(self) -> tuple[int, int]:
        with self._changed:
            return len(self._running), len(self._waiting)

    def warm_up(self) -> None:
        with self._changed:
            self._asked = True
            self._changed.notify_all()
            if not self._threads and not self._closed:
                atexit.register(self.close)
                self._threads = [
                    threading.Thread(target=self._serve, name=f"jobs {number}", daemon=True)
                    for number in range(self._workers)
                ]
                for thread in (*self._threads, self._closer):
                    thread.start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for job in list(self._waiting):
                self._end(job, "cancelled", error="The server was stopped.")
            for job in self._running:
                job.stop = "The server was stopped." if job.stop is None else job.stop
                job.worker.wake()
            self._changed.notify_all()
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()
        if threads:
            self._closing.put(None)
            self._closer.join(CLOSE)
            atexit.unregister(self.close)

    # What the thread of a worker does

    def _serve(self) -> None:
        """The life of one worker after another."""
        well = True
        while self._wanted(well):
            try:
                worker = self._make_worker()
            except OSError as error:  # no memory for another process, say
                self._fail_next(f"({error})")
                well = False
                continue
            well = self._ready(worker)
            while well and (job := self._next(worker)):
                self._run(worker, job)
                if worker.memory() > FULL * job.memory:
                    break
            worker.end()

    def _wanted(self, well: bool) -> bool:
        """Wait until a worker is wanted; False when the engine closes.

        Where workers stay, the next one is wanted at once, unless the last did not even get ready.
        """
        with self._changed:
            if self._idle or not well:
                self._changed.wait_for(lambda: self._closed or self._waiting or self._asked)
            return not self._closed

    def _ready(self, worker: Worker) -> bool:
        """Wait until a new worker is ready; where it doesn't get there, the next job has failed."""
        limit = time.monotonic() + START
        while not self._closed:
            message = worker.receive(TICK)
            if message.get("ready"):
                return True
            if message.get("gone") or time.monotonic() > limit:
                worker.kill()
                self._fail_next(f"and ended {worker.ending()}")
                return False
        return False

    def _fail_next(self, why: str) -> None:
        """A worker did not get ready: the next job fails in its place, so that the queue is never stuck."""
        log.error("A worker process could not start %s", why)
        with self._changed:
            self._asked = False
            if self._waiting:
                error = _sentence("This job", f"its worker process could not start {why}", "See the server's log")
                self._end(self._waiting[0], "failed", error=error)

    def _next(self, worker: Worker) -> Job | None:
        """Wait for a job; None when the worker should go: unused for long, dead, or the engine closes."""
        with self._changed:
            while True:
                self._asked = False
                used = self._changed.wait_for(
                    lambda: self._closed or self._waiting or self._asked or worker.gone, self._idle or None
                )
                if self._closed or worker.gone or not used:
                    return None
                if self._waiting:
                    job = self._waiting.popleft()
                    self._running.append(job)
                    job.begin(worker)
                    return job

    def _run(self, worker: Worker, job: Job) -> None:
        """Run one job to its end, whatever that is."""
        worker.send({"task": job.task, "request": job.request})
        asked = None  # when it was asked to stop
        looked = job.began  # when its memory was looked at, and what share of the time it may work
        told = 1.0
        while True:
            message = worker.receive(TICK)
            now = time.monotonic()
            if events := message.get("events"):
                with self._changed:
                    job.record(events)
            elif ended := message.get("ended"):
                return self._conclude(job, ended)
            elif message.get("gone"):
                worker.kill()  # its own processes may have outlived it
                wrong = f"its worker process ended unexpectedly, {worker.ending()}"
                error = _sentence("This job", wrong, "Start it again, or make it smaller")
                return self._end(job, "failed", error=error)
            if now - looked >= TICK:
                job.rested += (1 - told) * (now - looked)
                looked, held, share = now, worker.memory(), self._share()
                if abs(share - told) > STEP:
                    worker.send({"share": share})
                    told = share
                if held > job.memory:
                    worker.kill()
                    return self._end(job, "failed", error=_too_much(held, job.memory))
            if job.stop is None and job.worked > job.seconds:
                job.stop = f"Stopped at the time limit of {job.seconds:g} s."
            if job.stop is not None and asked is None:
                worker.send({"stop": True})
                asked = now
            grace = min(self._grace, CLOSE) if self._closed else self._grace
            if asked is not None and now - asked > grace:
                worker.kill()
                forced = f"It did not stop within {grace:g} s, so its process was ended."
                return self._end(job, "cancelled", error=f"{job.stop} {forced}".strip())

    def _conclude(self, job: Job, ended: dict[str, Any]) -> None:
        """A task returned or raised."""
        if "result" in ended:
            if ended["stopped"]:
                self._end(job, "cancelled", ended["result"], job.stop or None)
            else:
                self._end(job, "finished", ended["result"])
            return
        if "trace" in ended:
            log.error("Job %s, %s:\n%s", job.id, job.task, ended["trace"])
        self._end(job, "failed", error=ended["error"])

    def _end(self, job: Job, state: str, result: dict[str, Any] | None = None, error: str | None = None) -> None:
        """A job is over: off the lists, its owner free for another, on_done on its way."""
        with self._changed:
            (self._running if job in self._running else self._waiting).remove(job)
            job.outcome = JobStatus(
                job.id, job.owner, state, 0, None, job.started, time.time(), result, error, job.task, job.queued
            )
            job.worker = None
            if job.started is not None:
                self._hour.add(job.owner, job.worked, time.monotonic())
            if state == "finished":
                self._took.append(time.monotonic() - job.began)
            if job.on_done:
                self._closing.put(job)
            else:
                job.closed = True
            self._ended.append(job)
            if len(self._ended) > JOBS:
                del self._jobs[self._ended.popleft().id]
            held = sum(len(job.events) for job in self._ended)
            for old in self._ended:
                if held <= EVENTS:
                    break
                held -= len(old.events)
                old.events = []

    def _close_jobs(self) -> None:
        """Call on_done of what has ended; a slow one keeps no worker waiting."""
        while job := self._closing.get():
            try:
                job.on_done(job.outcome)
            except Exception:
                log.exception("Job %s: closing it failed", job.id)
            job.closed = True

    def _status(self, job: Job) -> JobStatus:
        if job.outcome and job.closed:
            return job.outcome
        facts = {"task": job.task, "queued": job.queued}
        if job.started is not None:
            return JobStatus(job.id, job.owner, "running", 0, job.remaining(self._usual()), job.started, **facts)
        position = self._waiting.index(job) + 1 if job in self._waiting else 1
        return JobStatus(job.id, job.owner, "waiting", position, self._until(position), **facts)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _job(self, id: str) -> Job:
        if id not in self._jobs:
            raise ExplorerError(f"The job {id!r}", "this server doesn't run it, or not any more", "Start it again")
        return self._jobs[id]

    # How long things take

    def _usual(self) -> float | None:
        """Seconds that a job usually takes: the median of recent ones; None: no idea yet."""
        return statistics.median(self._took) if self._took else None

    def _until(self, position: int) -> float | None:
        """Seconds until the job at a position of the queue starts, if all take as long as it seems."""
        usual = self._usual()
        lasts = [job.remaining(usual) for job in self._running]
        if None in lasts:
            return None
        if usual is None and lasts:  # as long as those that run
            now = time.monotonic()
            usual = statistics.median(now - job.began + last for job, last in zip(self._running, lasts, strict=True))
        free = lasts + [0.0] * (self._workers - len(lasts))
        heapq.heapify(free)
        for _ in range(position - 1):
            if usual is None:
                return None
            heapq.heapreplace(free, free[0] + usual)
        return free[0]


def _sentence(asked: str, wrong: str, do: str) -> str:
    return str(ExplorerError(asked, wrong, do))


def _too_much(held: int, limit: int) -> str:
    return _sentence(
        "This job",
        f"it held {held / 2**20:.0f} MB of memory and may hold {limit / 2**20:.0f} MB, so it was ended",
        "Lower the batch size, or choose a smaller model",
    )
