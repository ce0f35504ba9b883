"""A question that a worker answers in the background: asked, found again by its id, answered in a folder of its own."""

import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from explorer import belongings, jobs
from explorer.data.cache import DAMAGED
from explorer.errors import ExplorerError
from explorer.settings import settings

ASKED, FOUND = "asked.json", "found.npz"
Found = TypeVar("Found")


class Stopped(Exception):
    """Whoever started it has changed their mind."""


@dataclass(frozen=True)
class Study:
    """One kind of question: what a person calls it, the function that a worker calls, and the folder of all answers."""

    word: str  # "measurement"
    work: str  # "module:function"
    home: str  # in the data folder

    def start(self, asked: dict[str, Any], owner: str) -> str:
        """Queue a question, as JSON values; returns the id under which it is found from now on.

        Raises ExplorerError where no job can be taken, or the person keeps too much; nothing is left of one that was
        refused.
        """
        from explorer.runs import files

        belongings.allow(owner)
        id, limits = uuid.uuid4().hex, settings().limits
        with belongings.begun(self.folder(id), owner):
            files.write_json(self.folder(id) / ASKED, asked)
            jobs.engine().submit(
                self.work, {"id": id, "asked": asked},
                id=id, owner=owner, seconds=limits.seconds, memory=limits.job_memory,
            )  # fmt: skip
        return id

    def answer(
        self,
        request: dict[str, Any],
        report: Callable[[dict[str, Any]], None],
        stopping: Callable[[], bool],
        make: Callable[[Callable[[float], None]], Any],
    ) -> dict[str, Any]:
        """What a worker does: `make` the answer, a dataclass of arrays, and leave it in the folder.

        make: is given a function to tell the share that is done, which ends the work once somebody has stopped it.
        """
        from explorer.runs import files

        def on_step(share: float) -> None:
            if stopping():
                raise Stopped
            report({"progress": share})

        try:
            found = make(on_step)
        except Stopped:
            return {}
        files.write(self.folder(request["id"]) / FOUND, packed(found))
        return {"done": True}

    def asked(self, id: str) -> Any:
        """What was asked; raises ExplorerError where there is none of that id."""
        from explorer.runs import files

        if not (len(id) == 32 and id.isalnum()) or not (self.folder(id) / ASKED).is_file():
            raise ExplorerError(f"The {self.word} {id[:40]!r}", "there is none of that name here", "Start one")
        belongings.use(self.folder(id))
        return files.read_json(self.folder(id) / ASKED)

    def found(self, id: str, kind: type[Found]) -> Found | None:
        """What was found; None where it has not ended well. Raises ExplorerError where it is damaged."""
        path = self.folder(id) / FOUND
        try:
            return unpacked(kind, path) if path.is_file() else None
        except DAMAGED as error:
            raise ExplorerError(f"This {self.word}", "the file of its answer is damaged", "Start it again") from error

    def folder(self, id: str) -> Path:
        """Where a question and its answer are kept."""
        return settings().data / self.home / id


def packed(found: Any) -> bytes:
    """A dataclass of arrays, numbers, words and tuples of words as an archive of NumPy arrays."""
    file = io.BytesIO()
    np.savez_compressed(file, **{field.name: np.asarray(getattr(found, field.name)) for field in fields(found)})
    return file.getvalue()


def unpacked(kind: type[Found], path: Path) -> Found:
    """The dataclass in an archive, each field as its annotation says."""
    hints = get_type_hints(kind)
    with np.load(path, allow_pickle=False) as file:
        values = {field.name: file[field.name] for field in fields(kind)}
    for name, value in values.items():
        if hints[name] in (int, float, bool, str):
            values[name] = hints[name](value)
        elif hints[name] == tuple[str, ...]:
            values[name] = tuple(value.tolist())
    return kind(**values)
