"""The start-up check: what is here, what is missing, and what to do about it. It imports no heavy library."""

import contextlib
import importlib.metadata
import inspect
import json
import os
import platform
import re
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

from explorer import settings as machine
from explorer.settings import GB, MB, Limits, settings
from explorer.zoo.sources.zoo import SHIPPED, shipped

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
LITTLE = 1 * GB  # free bytes of a disk on which runs soon don't fit
HEADER = 100 * MB  # of a safetensors file at most
GOOD, LOOK, MISSING = "good", "look", "missing"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: str  # good | look: it works, but should be known | missing
    found: str
    do: str = ""  # where it is not good


def checks() -> list[Check]:
    """Everything that can be looked at without asking the network."""
    return [python(), *libraries(), device(), mode(), room(), folder(), disk(), database(), models(), teacher()]


def python() -> Check:
    """The version of Python, and the machine."""
    version = platform.python_version()
    found = f"{version} on {platform.system()} {platform.machine()}, {_many(machine.cores(), 'core')}"
    if tuple(map(int, platform.python_version_tuple()[:2])) < (3, 11):
        return Check("Python", MISSING, found, "Install Python 3.11 or newer")
    return Check("Python", GOOD, found)


def libraries() -> list[Check]:
    """Each library of requirements.txt, without importing it."""
    found = []
    for name, wanted in re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(Check(name, MISSING, "not installed", "Run pip install -r requirements.txt"))
            continue
        same = version.split("+")[0] == wanted
        do = f"Tested with {wanted}: where something breaks, run pip install -r requirements.txt"
        found.append(Check(name, GOOD, version) if same else Check(name, LOOK, version, do))
    return found


def device() -> Check:
    """Where torch computes, and whether it could do better."""
    now, could = settings().device, machine.device()
    names = {"cpu": "the processor", "cuda": "the GPU (CUDA)", "mps": "the GPU (Apple)"}
    if now == could:
        return Check("Device", GOOD, f"torch computes on {names[now]}")
    found = f"torch computes on {names[now]}, though it could on {names[could]}"
    return Check("Device", LOOK, found, "Set EXPLORER_MODE=gpu, or leave it out")


def mode() -> Check:
    """The mode, and who is served."""
    now = settings()
    if now.shared:
        return Check("Mode", GOOD, f"{now.mode}, shared: everybody sees their own runs and uploads only")
    return Check("Mode", GOOD, f"{now.mode}, for one person, who may name folders of this computer")


def room() -> Check:
    """Whether the memory is enough for what the limits allow."""
    limits, memory = settings().limits, machine.memory()
    most = limits.store + limits.cache + limits.answers + limits.workers * limits.job_memory
    found = f"{memory / GB:.1f} GB; the limits allow models, data and jobs of {most / GB:.1f} GB"
    if most > memory:
        return Check("Memory", LOOK, found, "Lower EXPLORER_STORE and EXPLORER_JOB_MEMORY, or use cpu-tiny")
    return Check("Memory", GOOD, found)


def folder() -> Check:
    """Whether the data folder can be written to, tried with a file."""
    name, where = "Data folder", "it" if settings().shared else str(settings().data)  # strangers need not know
    try:
        with tempfile.TemporaryFile(dir=settings().data) as file:
            file.write(b"written")
    except OSError as error:
        return Check(name, MISSING, f"{where} can't be written to ({error.strerror})", "Set EXPLORER_DATA to another")
    return Check(name, GOOD, f"{where} can be written to")


def disk() -> Check:
    """How much is free where the data folder is."""
    try:
        free = shutil.disk_usage(settings().data).free
    except OSError as error:
        return Check("Disk", MISSING, f"it does not answer ({error.strerror})", "Set EXPLORER_DATA to another folder")
    found = f"{free / GB:.1f} GB free"
    if free < LITTLE:
        return Check("Disk", LOOK, found, "Free some space: new runs and uploads will soon be refused")
    return Check("Disk", GOOD, found)


def database() -> Check:
    """Whether the list of runs answers."""
    name, path = "List of runs", settings().data / "runs" / "mlflow.db"
    if not path.exists():
        return Check(name, GOOD, "empty: it is made with the first run")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as asked:
            count = asked.execute("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'").fetchone()[0]
    except sqlite3.Error as error:
        do = f"Move {path.name} away: a new list is made, and the runs' folders stay"
        return Check(name, MISSING, f"it does not answer ({error})", do)
    return Check(name, GOOD, _many(count, "run"))


def models() -> Check:
    """Whether the weights of every shipped model are whole, by the sizes that their files claim."""
    damaged = [
        str(path.relative_to(SHIPPED))
        for card in shipped()
        for path in _weights(SHIPPED / card.ref.removeprefix("zoo:"))
        if not whole(path)
    ]
    count = len(shipped())
    if damaged or not count:
        found = f"damaged or missing: {', '.join(damaged)}" if damaged else "there are none"
        return Check("Shipped models", MISSING, found, "Take the folder explorer/zoo/shipped from the project again")
    return Check("Shipped models", GOOD, f"{count}, all whole")


def teacher() -> Check:
    """Whether anybody can look after the server from a browser."""
    if settings().teacher:
        return Check("Teacher's view", GOOD, "opens to whoever knows the token")
    if not settings().shared:
        return Check("Teacher's view", GOOD, "off; nobody needs it on their own computer")
    return Check("Teacher's view", LOOK, "off", f"Set EXPLORER_TEACHER to {machine.TOKEN} characters or more")


def hub(timeout: float = 5.0) -> Check:
    """Whether the Hugging Face Hub answers: it asks the network, so only when somebody wants to know."""
    import httpx2
    from huggingface_hub import constants, get_session

    name, do = "Hugging Face Hub", "All that ships works without it; models that were downloaded before do too"
    if constants.HF_HUB_OFFLINE:
        return Check(name, LOOK, "switched off by HF_HUB_OFFLINE", do)
    try:
        answer = get_session().get(f"{constants.ENDPOINT}/api/models", params={"limit": 1}, timeout=timeout)
        answer.raise_for_status()
    except (httpx2.HTTPError, OSError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        return Check(name, MISSING, f"{constants.ENDPOINT} can't be reached ({reason[:200]})", do)
    return Check(name, GOOD, f"{constants.ENDPOINT} answers")


def limits() -> list[tuple[str, str, str]]:
    """Every limit: its name, its value as a person reads it, and what it bounds, as settings.py says."""
    about = dict(
        re.findall(r"^    (\w+): int(?:  # (.+))?$", Path(inspect.getfile(Limits)).read_text("utf-8"), re.MULTILINE)
    )
    now = settings().limits
    return [(one.name, _told(getattr(now, one.name), about[one.name]), about[one.name]) for one in fields(Limits)]


def whole(path: Path) -> bool:
    """Whether a safetensors file has all the bytes that its header claims."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > HEADER:
                return False
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            return os.fstat(file.fileno()).st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return False


def _weights(folder: Path) -> list[Path]:
    """The weights in a shipped model's folder; where there are none, those that there should be."""
    return sorted(folder.rglob("*.safetensors")) or [folder / "model.safetensors"]


def _told(value: int, about: str) -> str:
    if "bytes" in about:
        return f"{value / GB:.1f} GB" if value >= GB else f"{value / MB:.0f} MB"
    return f"{value:,}"


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
