"""Print the figures of README, measured here and now: python -m tests.benchmarks"""

import os
import platform
import tempfile
from importlib.metadata import version

os.environ["EXPLORER_DATA"] = tempfile.mkdtemp()  # before anything reads the settings

from explorer.settings import cores, memory, settings
from tests.benchmarks import activations, attention, attribution, diffusion, server, training


def main() -> None:
    """One table, Markdown, as it stands in README."""
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "transformers", "captum", "streamlit", "numpy")
    )
    print(f"{platform.processor() or platform.machine()}, {cores()} cores, {memory() / 2**30:.0f} GB; "
          f"Python {platform.python_version()}, {libraries}; mode {settings().mode}\n")  # fmt: skip
    print("| what | measured | target |\n|---|---|---|")
    for part in (server, training, attribution, attention, diffusion, activations):
        for what, reached, target in part.rows():
            print(f"| {what} | {reached} | {target} |", flush=True)


if __name__ == "__main__":
    main()
