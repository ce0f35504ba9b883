"""Training through a worker with live events, beside the bare loop; and the journey from click to result."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from explorer import jobs, runs, training
from explorer.training.config import TrainConfig
from explorer.zoo import cards
from explorer.zoo.build import test_accuracy
from explorer.zoo.recipes import RECIPES

REPEATS = 3
COMPARED = {  # long enough to be past the first steps
    "digits LeNet": TrainConfig(epochs=60),
    "shapes ResNet": TrainConfig(
        dataset="shapes", model="resnet", model_settings=RECIPES["shapes-resnet"].model_settings, epochs=1
    ),
}


def rows() -> Iterator[tuple[str, str, str]]:
    """What, reached, and the target, a line each."""
    for name, config in COMPARED.items():
        ratios, ours = [], []
        for _ in range(REPEATS):  # in turns, so that both meet the same machine
            bare = _bare(config)
            ours.append(_worker(config))
            ratios.append(ours[-1] / bare)
        spread = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        yield (
            f"{name}: worker with live events and all measurements ÷ bare loop",
            f"{statistics.median(ratios):.2f} ({spread}; {statistics.median(ours):,.0f} examples/s)",
            "≥ 0.95",
        )
    for card in cards():
        yield (
            f"`{card.ref}` as shipped: test accuracy",
            f"{test_accuracy(card):.1%} ({card.parameters:,} parameters)",
            ("≥ 97 %, under 1 M parameters" if card.ref == "zoo:shapes-resnet" else ""),
        )
    jobs.engine().close()
    jobs._engine.cache_clear()
    yield "Start → first point, worker cold", f"{_first_point(TrainConfig()):.2f} s", "≤ 6 s"
    yield "Start → first point, worker warm", f"{_first_point(TrainConfig()):.2f} s", "≤ 1.5 s"
    start = time.perf_counter()
    id = training.start(TrainConfig(), "benchmark")
    _wait(id)
    accuracy = training.read(runs.folder(id), f"run:{id}").metrics["test accuracy"]
    yield "digits LeNet, default recipe: click → finished", f"{time.perf_counter() - start:.1f} s", "≤ 15 s"
    yield "digits LeNet, default recipe: test accuracy", f"{accuracy:.1%}", "≥ 98 %"

    yield from _paused()
    yield from _playground()


def _paused() -> Iterator[tuple[str, str, str]]:
    """How long a pause takes, and one more step of a run that is paused."""
    id = training.start(TrainConfig(epochs=200), "benchmark")
    while not any("loss" in event for event in jobs.engine().events(id)):
        time.sleep(0.01)
    start = time.perf_counter()
    jobs.engine().cancel(id)
    _until_over(id)
    yield "digits LeNet: Pause → the worker is free", f"{time.perf_counter() - start:.2f} s", ""
    took = []
    for _ in range(5):
        start = time.perf_counter()
        training.resume(id, "benchmark", most=1)
        _until_over(id)
        took.append(time.perf_counter() - start)
    yield "the same: One step → taken, and all put down again", f"{statistics.median(took):.2f} s", ""


def _playground() -> Iterator[tuple[str, str, str]]:
    """What the browser gets of a run of the playground."""
    from explorer.training.frames import recorded, thinned
    from explorer.zoo.sources.zoo import SHIPPED

    frames = thinned(recorded(SHIPPED / "points-mlp"))
    size = 4 * frames.weights.size * 4 / 3 / 1024  # as base64
    yield f"the playground's recording, {len(frames.steps)} frames of 74 weights, sent", f"{size:.0f} KB", ""


def _until_over(id: str) -> None:
    while not jobs.engine().status(id).over:
        time.sleep(0.005)


def _bare(config: TrainConfig) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.bare", json.dumps(config.to_dict())]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout)


def _worker(config: TrainConfig) -> float:
    """Examples per second of a run in the worker while its events are read twice a second."""
    id = training.start(config, "benchmark")
    _wait(id)
    last = runs.history(runs.folder(id))[-1]
    return last["step"] * config.batch_size / last["seconds"]


def _first_point(config: TrainConfig) -> float:
    start = time.perf_counter()
    id = training.start(config, "benchmark")
    while not any("loss" in event for event in jobs.engine().events(id)):
        time.sleep(0.01)
    seconds = time.perf_counter() - start
    _wait(id)
    return seconds


def _wait(id: str) -> None:
    while runs.get(id).state == "running":
        jobs.engine().events(id)
        time.sleep(0.5)
