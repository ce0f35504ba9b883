"""No network, and no disk but the temporary folder, for as long as a test wants it."""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
CHANGES = {  # what Python tells before it changes a disk → which argument is the path
    "os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0, "os.rename": 1, "os.symlink": 1, "os.link": 1,
    "sqlite3.connect": 0,
}  # fmt: skip
_tried: list[str] | None = None  # a list while it is sealed
_open: tuple[str, ...] = ()  # where may be written


@contextlib.contextmanager
def sealed() -> Iterator[list[str]]:
    """Whatever connects, or writes outside the temporary folder, fails as it would without; gives what has tried to.

    Python tells of such a step before it takes it, and takes it not if that raises. Other processes go on.
    """
    global _tried, _open  # noqa: PLW0603 - a hook can't be taken away again
    _open = (os.path.realpath(tempfile.gettempdir()) + os.sep, "/dev/", "/proc/")  # not asked within: it tries to write
    if not _hooked:
        _hooked.append(sys.addaudithook(_hook))
    _tried = []
    try:
        yield _tried
    finally:
        _tried = None


_hooked: list[None] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _tried is None:
        return
    if event in CONNECTS:
        _tried.append(f"{event} {args[1:]}")
        raise OSError(errno.ENETUNREACH, "Network is unreachable")
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in CHANGES:
        path = args[CHANGES.get(event, 0)]
        if isinstance(path, str | bytes | os.PathLike):  # else it is open already
            real = os.path.realpath(os.fsdecode(path))
            if not real.startswith(_open):
                _tried.append(f"{event} {real}")
                raise OSError(errno.EROFS, "Read-only file system", real)
