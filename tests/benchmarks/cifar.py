"""How far the small ResNet gets on CIFAR-10, and how fast: python -m tests.benchmarks.cifar [zip or folder of pictures]

For a machine with a GPU. Without pictures it takes torchvision's files, which are downloaded where that is allowed.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("EXPLORER_DATA", tempfile.mkdtemp())  # before anything reads the settings

from explorer import data
from explorer.data.base import About
from explorer.runs import files
from explorer.settings import settings
from explorer.training import TrainConfig, presets
from explorer.training.record import record
from tests.benchmarks.machine import machine

SMALL = {"depth": 14, "width": 64}  # the ResNet; 2.8 million parameters
EPOCHS, BATCH = 30, 512
WARM = 20  # steps after which the kernels are chosen, or compiled, and the memory is taken


def rows(dataset: str, about: About, epochs: int, seeds: int) -> Iterator[tuple[str, str]]:
    """What, and what was reached, a line each."""
    levers = presets.changes("modern", replace(about, photographs=True))
    config = TrainConfig(dataset, "resnet", epochs, BATCH, model_settings=SMALL, **levers)
    for compiled in (False, True):
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                found = record(replace(config, compile=compiled, seed=seed), Path(folder), settings().device, keep=2)
                steps = files.history(Path(folder))
            what = f"ResNet-{SMALL['depth']} of width {SMALL['width']}, modern recipe, {epochs} epochs, seed {seed}"
            what += ", compiled" if compiled else ""
            if found.state != "finished":
                yield what, f"{found.state}: {found.error}"
                continue
            warm = steps[min(WARM, len(steps) - 2)]
            rest = found.seconds - warm["seconds"]
            speed = (found.steps - warm["step"]) * BATCH / rest
            yield (
                what,
                (
                    f"{found.metrics['test accuracy']:.2%} of the test split in {found.seconds:.1f} s, validations "
                    f"included; {warm['seconds']:.1f} s of it are the first {warm['step']} steps, then {speed:,.0f} "
                    f"examples/s; {max(step.get('memory', 0) for step in steps) / 2**20:,.0f} MB at the most"
                ),
            )


def main() -> None:
    """One table, Markdown."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.cifar", description=rows.__doc__)
    parser.add_argument("pictures", nargs="?", type=Path, help="class folders, or train and test over them; or a zip")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    dataset = data.own.add_images(asked.pictures, side=32) if asked.pictures else "cifar10"
    about = data.about(dataset)
    print(f"{machine('torch', 'torchvision', 'numpy')}; {settings().device}; {about.summary}\n")
    print("| what | measured |\n|---|---|")
    for what, reached in rows(dataset, about, asked.epochs, asked.seeds):
        print(f"| {what} | {reached} |", flush=True)


if __name__ == "__main__":
    main()
