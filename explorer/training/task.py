"""What a worker runs: one training run into its folder, told step by step."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from explorer import data
from explorer.training import loop
from explorer.training.config import TrainConfig
from explorer.training.record import record

THREADS = torch.get_num_threads()  # as the engine said
ENOUGH = 100_000  # numbers in a batch from which a second thread is worth its while


def train(request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]) -> dict:
    """Train `request["config"]` into `request["folder"]` on `request["device"]`; returns the outcome."""
    config = TrainConfig.from_dict(request["config"])
    torch.set_num_threads(threads(config))
    epochs = config.epochs

    def on_step(step: loop.Step) -> None:
        event = {key: value for key, value in dataclasses.asdict(step).items() if value is not None}
        report(event | {"progress": step.epoch / epochs, "keep": "validation_loss" in event})

    return dataclasses.asdict(record(config, Path(request["folder"]), request["device"], on_step, stopping))


def threads(config: TrainConfig) -> int:
    """How many threads this run is worth.

    On tiny batches threads mostly wait for each other: a LeNet on digits learns from 51,000 examples/s on one thread
    and 55,000 on two of two idle cores; where another process is busy, 52,000 on one and 200 to 5,000 on two.
    """
    shape = data.load(config.dataset, "train", **dict(config.dataset_settings)).shape
    return THREADS if config.batch_size * math.prod(shape) >= ENOUGH else 1
