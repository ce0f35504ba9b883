"""The machine that figures were taken on, in one line."""

import platform
from importlib.metadata import version

from explorer.settings import cores, memory


def machine(*libraries: str) -> str:
    """Processor, cores, memory, Python, and the versions of some libraries."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (f"{platform.processor() or platform.machine()}, {cores()} cores, {memory() / 2**30:.0f} GB; "
            f"Python {platform.python_version()}, {versions}")  # fmt: skip
