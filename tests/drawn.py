"""Pictures that the explorer draws itself: once for all tests that run together, because it takes half a minute."""

import contextlib
import os
from pathlib import Path

import pytest

NAMES = "shapes*.npz"


class Drawn:
    """The drawn data sets of this run of the tests; they come into a data folder, and leave it, as hard links."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        base = factory.getbasetemp()
        self._folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "drawn"
        self._folder.mkdir(exist_ok=True)

    def lend(self, data: Path) -> None:
        """Put what was drawn so far into the cache of a data folder."""
        (data / "cache").mkdir(exist_ok=True)
        _link(self._folder, data / "cache")

    def take(self, data: Path) -> None:
        """Keep what was drawn there since, for the others."""
        _link(data / "cache", self._folder)


def _link(here: Path, there: Path) -> None:
    for path in here.glob(NAMES):
        with contextlib.suppress(OSError):  # another process was quicker, or links are not to be had
            os.link(path, there / path.name)
