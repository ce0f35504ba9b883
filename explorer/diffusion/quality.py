"""The measures of samples as a background job: start one, and read what it found."""

import io
import uuid
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from explorer import jobs
from explorer.diffusion.measure import Measurement, Report, measure
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings

MOST = 2000  # samples


class Stopped(Exception):
    """Whoever started it has changed their mind."""


def start(asked: Measurement, owner: str) -> str:
    """Queue a measurement for a worker; returns the id under which it is found from now on.

    Raises ExplorerError where there are too few or too many samples, or no job can be taken.
    """
    if not 20 <= asked.count <= MOST:
        raise ExplorerError(f"{asked.count} samples", f"there can be 20 to {MOST:,}", "Choose a number between")
    id = uuid.uuid4().hex
    limits = settings().limits
    jobs.engine().submit(
        "explorer.diffusion.quality:run", {"id": id, "asked": asdict(asked)}, id=id, owner=owner,
        seconds=limits.seconds, memory=limits.job_memory,
    )  # fmt: skip
    files.write_json(folder(id) / "asked.json", asdict(asked))  # nothing is left of one that was refused
    return id


def run(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: measure, and leave the report in the folder."""

    def on_step(share: float) -> None:
        if stopping():
            raise Stopped
        report({"progress": share})

    try:
        found = measure(Measurement(**request["asked"]), on_step=on_step)
    except Stopped:
        return {}
    files.write(folder(request["id"]) / "report.npz", packed(found))
    return {"samples": len(found.samples)}


def asked_of(id: str) -> Measurement:
    """What was asked; raises ExplorerError where there is no such measurement."""
    if not (len(id) == 32 and id.isalnum()) or not (folder(id) / "asked.json").is_file():
        raise ExplorerError(f"The measurement {id!r}", "there is none of that name here", "Start one")
    return Measurement(**files.read_json(folder(id) / "asked.json"))


def found_of(id: str) -> Report | None:
    """What was measured; None where it has not ended well."""
    path = folder(id) / "report.npz"
    return unpacked(path) if path.is_file() else None


def packed(found: Report) -> bytes:
    """A report as an archive of NumPy arrays."""
    file = io.BytesIO()
    np.savez_compressed(file, **{field.name: np.asarray(getattr(found, field.name)) for field in fields(Report)})
    return file.getvalue()


def unpacked(path: Path) -> Report:
    """The report in an archive."""
    with np.load(path, allow_pickle=False) as file:
        values = {field.name: file[field.name] for field in fields(Report)}
    for field in fields(Report):
        if field.type == tuple[str, ...]:
            values[field.name] = tuple(values[field.name].tolist())
        elif field.type is float:
            values[field.name] = float(values[field.name])
    return Report(**values)


def folder(id: str) -> Path:
    """Where a measurement is kept."""
    return settings().data / "measures" / id
