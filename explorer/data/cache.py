"""Generated arrays on disk, so that they are made once per machine and not once per process."""

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from explorer.settings import settings

DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def cached(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that `make` gives, read from the file `name`.npz of the data folder where it is whole.

    The name must hold everything the arrays depend on, a version of the code included. A damaged file is made again;
    a disk that is full or can't be written to only means that nothing is kept.
    """
    path = settings().data / "cache" / f"{name}.npz"
    with contextlib.suppress(*DAMAGED), np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
        with contextlib.suppress(OSError):
            os.utime(path)  # recently used
        return arrays
    arrays = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, arrays)
        _tidy(path.parent, settings().limits.cache)
    return arrays


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the whole file or none of it: others may read it, and the disk may be full."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _tidy(folder: Path, limit: int) -> None:
    """Remove the files that were used longest ago until the folder holds no more bytes than the limit."""
    files = sorted(((path.stat(), path) for path in folder.iterdir()), key=lambda pair: -pair[0].st_mtime_ns)
    total = 0
    for facts, path in files:
        total += facts.st_size
        if total > limit:
            path.unlink()
