"""Training: what to train, the loop, and the run that it leaves. Importing this does not import torch."""

from explorer.training.config import TrainConfig
from explorer.training.launch import check_limits, fit, resume, start
from explorer.training.run import Evaluation, TrainRun, evaluate, read

__all__ = [
    "Evaluation",
    "TrainConfig",
    "TrainRun",
    "check_limits",
    "evaluate",
    "fit",
    "read",
    "resume",
    "start",
    "steps",
]


def __getattr__(name: str):
    if name == "steps":  # its module needs torch
        from explorer.training.loop import steps

        return steps
    raise AttributeError(name)
