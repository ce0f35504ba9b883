"""What this server may do, read once from the machine and the environment.

| variable | values | meaning |
|---|---|---|
| `EXPLORER_MODE` | `auto`, `cpu-tiny`, `cpu`, `gpu` | the set of limits; `auto` looks at the machine |
| `EXPLORER_SHARED` | `0`, `1` | `1` on a server whose users don't know each other |
| `EXPLORER_DATA` | a folder | where runs, uploads and generated data are kept |
| `EXPLORER_TEACHER` | a word of 8 characters or more | who types it on the page "This server" sees and stops all jobs |
| `EXPLORER_<LIMIT>` | a number | any one field of `Limits`, in capitals: `EXPLORER_EPOCHS=20` |
"""

import ctypes
import functools
import importlib.metadata
import os
import platform
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import platformdirs
import psutil

from explorer.errors import ExplorerError

MB, GB = 2**20, 2**30
TINY_MEMORY = 4 * GB  # below this a machine is `cpu-tiny`
TOKEN = 8  # characters that a teacher's token has at least


@dataclass(frozen=True)
class Limits:
    """Every limit of a mode, in one place."""

    parameters: int  # of the largest model that may be opened or trained
    image_side: int  # pixels a side that a model may take
    image_pixels: int  # of the largest picture that is decoded
    tokens: int  # of the longest text
    examples: int  # in a person's own data set
    epochs: int  # of one training run
    seconds: int  # of one training run
    steps: int  # of one sampling, that a page offers
    job_memory: int  # bytes that the worker may hold
    queue: int  # jobs that may wait
    workers: int  # jobs that run at once
    idle: int  # seconds until an unused worker goes; 0: it stays
    store: int  # bytes of models held open
    cache: int  # bytes of data sets held open
    answers: int  # bytes of what pages have computed, kept for everybody
    upload: int  # bytes of one uploaded file
    threads: int  # torch threads, of each computation and of each worker
    turns: int  # computations of pages that go on at once
    unasked: int  # seconds of work that a page does unasked, where it can tell beforehand
    keep: int  # bytes that a person may keep on a shared server
    runs: int  # runs that a person may keep on a shared server
    hourly: int  # seconds of workers that a person may use in an hour on a shared server
    unseen: int  # seconds after which a shared server removes what an absent person left
    disk: int  # bytes of the data folder, above which a shared server removes what is oldest


@dataclass(frozen=True)
class Settings:
    """The mode, where it runs, and its limits."""

    mode: str  # cpu-tiny | cpu | gpu
    shared: bool  # people don't see each other's runs, and name no paths
    device: str  # cpu | cuda | mps, as torch calls it
    data: Path  # runs, uploads and generated data
    limits: Limits
    teacher: str = field(default="", repr=False)  # the token that opens the teacher's view; "": nothing does
    temporary: bool = False  # the data folder is among the temporary files, because no other takes anything


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from an environment; an invalid value raises an ExplorerError that names its variable."""
    mode = environment.get("EXPLORER_MODE", "auto")
    if mode not in ("auto", *MODES):
        raise _invalid("EXPLORER_MODE", mode, f"auto, {', '.join(MODES)}")
    found = device()
    if mode == "gpu" and found == "cpu":
        raise ExplorerError(
            "EXPLORER_MODE='gpu'", "torch can use no GPU here", "Set EXPLORER_MODE=cpu, or leave it out"
        )
    if mode == "auto":
        mode = "gpu" if found != "cpu" else "cpu-tiny" if memory() < TINY_MEMORY else "cpu"
    shared = environment.get("EXPLORER_SHARED", "0")
    if shared not in ("0", "1"):
        raise _invalid("EXPLORER_SHARED", shared, "0, 1")
    limits = MODES[mode](cores())
    if shared == "1":
        together = limits.turns + limits.workers  # who computes at once shares the cores
        threads = max(1, min(limits.threads, cores() // together))
        limits = replace(limits, upload=min(limits.upload, 20 * MB), seconds=min(limits.seconds, 900), threads=threads,
                         unasked=min(limits.unasked, 1))  # fmt: skip
    for limit in fields(Limits):
        name = f"EXPLORER_{limit.name.upper()}"
        if name in environment:
            limits = replace(limits, **{limit.name: _number(name, environment[name])})
    teacher = environment.get("EXPLORER_TEACHER", "")
    if 0 < len(teacher) < TOKEN:
        raise ExplorerError(
            "EXPLORER_TEACHER", f"it has fewer than {TOKEN} characters", "Set it to a longer one, or unset it"
        )
    folder, temporary = _folder(environment.get("EXPLORER_DATA", ""))
    on = found if mode == "gpu" else "cpu"
    return Settings(mode, shared == "1", on, folder, limits, teacher, temporary)


@functools.cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return read(os.environ)


def cores() -> int:
    """Processor cores that this process may use, a container's limit respected."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _first_line("/sys/fs/cgroup/cpu.max").split()  # "200000 100000" or "max 100000"
    if len(quota) == 2 and quota[0].isdigit():
        allowed = min(allowed, max(1, int(quota[0]) // int(quota[1])))
    return allowed


def memory() -> int:
    """Bytes of memory that this process may use, a container's limit respected."""
    total = psutil.virtual_memory().total
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _first_line(name)
        if limit.isdigit():
            total = min(total, int(limit))
    return total


def device() -> str:
    """The device torch could use here, found without importing torch (which takes over a second)."""
    try:
        build = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return "cpu"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    if build.endswith("+cpu"):
        return "cpu"
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return "cpu"
    count = ctypes.c_int()
    found = cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return "cuda" if found else "cpu"


def _tiny(cores: int) -> Limits:
    return Limits(
        parameters=30_000_000, image_side=224, image_pixels=30_000_000, tokens=128, examples=10_000, epochs=50,
        seconds=600, steps=100, job_memory=800 * MB, queue=40, workers=1, idle=300, store=150 * MB, cache=150 * MB,
        answers=80 * MB, upload=20 * MB, threads=min(cores, 2), turns=1, unasked=6,
        keep=200 * MB, runs=60, hourly=1800, unseen=86_400, disk=2 * GB,
    )  # fmt: skip


def _cpu(cores: int) -> Limits:
    return Limits(
        parameters=400_000_000, image_side=384, image_pixels=60_000_000, tokens=512, examples=100_000, epochs=200,
        seconds=3600, steps=1000, job_memory=4 * GB, queue=40, workers=1, idle=0, store=2 * GB, cache=1 * GB,
        answers=500 * MB, upload=200 * MB, threads=min(cores, 8), turns=max(1, cores // 4), unasked=6,
        keep=2 * GB, runs=200, hourly=1800, unseen=7 * 86_400, disk=50 * GB,
    )  # fmt: skip


def _gpu(cores: int) -> Limits:
    return replace(_cpu(cores), parameters=3_000_000_000, image_side=1024, tokens=2048, examples=500_000, store=12 * GB,
                   job_memory=16 * GB, cache=4 * GB)  # fmt: skip


MODES = {"cpu-tiny": _tiny, "cpu": _cpu, "gpu": _gpu}


def _invalid(variable: str, value: str, allowed: str) -> ExplorerError:
    return ExplorerError(f"{variable}={value!r}", "it is not a value of this variable", f"Use one of: {allowed}")


def _number(variable: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ExplorerError(f"{variable}={value!r}", "it is not a whole number", f"Set {variable} to one, or unset it")
    if int(value) == 0 and variable not in ("EXPLORER_IDLE", "EXPLORER_UNASKED"):
        raise ExplorerError(f"{variable}={value!r}", "nothing could be done here", f"Set {variable} to 1 or more")
    return int(value)


def _folder(named: str) -> tuple[Path, bool]:
    """The data folder, and whether it is a temporary one, which it becomes where the usual one takes nothing.

    Who names a folder wants things to be kept there, so one that can't be written to is refused.
    """
    folder = Path(named or platformdirs.user_data_dir("deep-learning-explorer"))
    if (named or folder.is_absolute()) and _takes(folder):  # without a home it begins with ~
        return folder, False
    if not named:  # one for each user of the machine, which the workers find as well
        spare = Path(tempfile.gettempdir()) / f"deep-learning-explorer-{getattr(os, 'getuid', int)()}"
        if _takes(spare, mode=0o700) and _ours(spare):
            return spare, True
    raise ExplorerError(
        f"The data folder {str(folder)!r}", "it can't be written to", "Set EXPLORER_DATA to a folder that can"
    )


def _takes(folder: Path, mode: int = 0o777) -> bool:
    """Whether something can be written into a folder, which is made where there is none."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


def _ours(folder: Path) -> bool:
    """Whether nobody else has put this folder among the temporary files, which are everybody's."""
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == getattr(os, "getuid", int)()


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().split("\n")[0]
    except OSError:
        return ""
