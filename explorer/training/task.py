"""What a worker runs: one training run into its folder, told step by step."""

import base64
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from explorer import data
from explorer.training.config import TrainConfig
from explorer.training.loop import Step
from explorer.training.record import record

THREADS = torch.get_num_threads()  # as the engine said
LOOK = 0.05  # seconds between two looks at whether to stop, where a run goes slowly
ENOUGH = 100_000  # numbers in a batch from which a second thread is worth its while


def train(request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]) -> dict:
    """Train `request["config"]` into `request["folder"]` on `request["device"]`; returns the outcome.

    request["most"]: steps to take this time, 0 for all. request["pace"]: steps a second at most, 0 for no limit.
    """
    config = TrainConfig.from_dict(request["config"])
    torch.set_num_threads(threads(config))
    epochs, pace, frames = config.epochs, request.get("pace", 0.0), []
    due = time.monotonic()

    def on_step(step: Step) -> None:
        nonlocal due
        event = step.told
        if frames:
            event["frame"] = base64.b64encode(frames.pop().tobytes()).decode()
        report(event | {"progress": step.epoch / epochs, "keep": "validation_loss" in event or "frame" in event})
        if pace:
            due = max(due + 1 / pace, time.monotonic())
            while (wait := due - time.monotonic()) > 0 and not stopping():
                time.sleep(min(wait, LOOK))

    return dataclasses.asdict(
        record(
            config, Path(request["folder"]), request["device"], on_step, stopping,
            on_frame=frames.append, most=request.get("most", 0),
        )
    )  # fmt: skip


def threads(config: TrainConfig) -> int:
    """How many threads this run is worth.

    On tiny batches threads mostly wait for each other: a LeNet on digits learns from 51,000 examples/s on one thread
    and 55,000 on two of two idle cores; where another process is busy, 52,000 on one and 200 to 5,000 on two.
    """
    shape = data.load(config.dataset, "train", **dict(config.dataset_settings)).shape
    return THREADS if config.batch_size * math.prod(shape) >= ENOUGH else 1
