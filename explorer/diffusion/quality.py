"""The measures of samples as a background job: start one, and read what it found."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from explorer.diffusion.measure import Measurement, Report, measure
from explorer.errors import ExplorerError
from explorer.jobs.study import Study

MOST = 2000  # samples
STUDY = Study("measurement", "explorer.diffusion.quality:run", "measures")


def start(asked: Measurement, owner: str) -> str:
    """Queue a measurement for a worker; returns the id under which it is found from now on.

    Raises ExplorerError where there are too few or too many samples, or no job can be taken.
    """
    if not 20 <= asked.count <= MOST:
        raise ExplorerError(f"{asked.count} samples", f"there can be 20 to {MOST:,}", "Choose a number between")
    return STUDY.start(asdict(asked), owner)


def run(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: measure, and leave the report in the folder."""
    asked = Measurement(**request["asked"])
    return STUDY.answer(request, report, stopping, lambda on_step: measure(asked, on_step=on_step))


def asked_of(id: str) -> Measurement:
    """What was asked; raises ExplorerError where there is no such measurement."""
    return Measurement(**STUDY.asked(id))


def found_of(id: str) -> Report | None:
    """What was measured; None where it has not ended well."""
    return STUDY.found(id, Report)
