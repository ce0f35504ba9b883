"""Print the figures of README, measured here and now: python -m tests.benchmarks"""

import os
import tempfile

os.environ["EXPLORER_DATA"] = tempfile.mkdtemp()  # before anything reads the settings

from explorer.settings import settings
from tests.benchmarks import activations, attention, attribution, diffusion, server, training
from tests.benchmarks.machine import machine


def main() -> None:
    """One table, Markdown, as it stands in README."""
    print(f"{machine('torch', 'transformers', 'captum', 'streamlit', 'numpy')}; mode {settings().mode}\n")
    print("| what | measured | target |\n|---|---|---|")
    for part in (server, training, attribution, attention, diffusion, activations):
        for what, reached, target in part.rows():
            print(f"| {what} | {reached} | {target} |", flush=True)


if __name__ == "__main__":
    main()
