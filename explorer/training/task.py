"""What a worker runs: one training run into its folder, told step by step."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer.training import loop
from explorer.training.config import TrainConfig
from explorer.training.record import record


def train(request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]) -> dict:
    """Train `request["config"]` into `request["folder"]` on `request["device"]`; returns the outcome."""
    config = TrainConfig.from_dict(request["config"])
    epochs = config.epochs

    def on_step(step: loop.Step) -> None:
        event = {key: value for key, value in dataclasses.asdict(step).items() if value is not None}
        report(event | {"progress": step.epoch / epochs, "keep": "validation_loss" in event})

    return dataclasses.asdict(record(config, Path(request["folder"]), request["device"], on_step, stopping))
