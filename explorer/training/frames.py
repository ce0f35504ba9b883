"""A small perceptron of points, recorded as it learns: all its weights at many steps, for a browser to replay."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer.training.config import TrainConfig

WIDEST, DEEPEST = 16, 6  # units and hidden layers that can be drawn
NORMS = ("none", "batch", "layer")
FIRST, EVENLY = 20, 100  # steps that are recorded: the first ones, and so many over the rest of the run
BYTES = 300_000  # that a recording may have: a browser gets it at each look


@dataclass(frozen=True, eq=False)
class Frames:
    """What was recorded, one row a step."""

    steps: np.ndarray  # (F,) int64
    weights: np.ndarray  # (F, P) float32, in the order of `flat`


@dataclass(frozen=True)
class Hidden:
    """One hidden layer: linear, then its normalisation, then its activation. The last entry of a plan is the head."""

    inputs: int
    units: int
    norm: str
    activation: str


def watchable(config: TrainConfig, task: str) -> bool:
    """Whether a run is of a network small enough to be drawn whole, on points of the plane."""
    if config.model != "mlp" or task != "points":
        return False
    size = _size(config)
    return size["width"] <= WIDEST and size["depth"] <= DEEPEST and size["norm"] in NORMS


def plan(config: TrainConfig, classes: int) -> tuple[Hidden, ...]:
    """The layers of a watchable network, in order."""
    size = _size(config)
    width, bend = size["width"], size["activation"]
    layers = [Hidden(2 if index == 0 else width, width, size["norm"], bend) for index in range(size["depth"])]
    return (*layers, Hidden(width, classes, "none", "none"))


def frame_steps(total: int) -> set[int]:
    """The steps of a run that are recorded: all at first, when most happens, then evenly."""
    return {*range(min(FIRST, total) + 1), *(round(total * share / EVENLY) for share in range(EVENLY + 1))}


def flat(model: Any) -> np.ndarray:
    """All numbers of a perceptron, (P,) float32.

    Layer by layer: the matrix row by row, the bias; then of a normalisation its scale and shift, and, where it has
    them, its running mean and variance.
    """
    import torch

    parts = []
    for layer in (*model.hidden, model.head):
        linear = getattr(layer, "linear", layer)
        parts += [linear.weight, linear.bias]
        norm = getattr(layer, "norm", None)
        if norm is not None:
            parts += [norm.weight, norm.bias]
            parts += [norm.running_mean, norm.running_var] if hasattr(norm, "running_mean") else []
    return torch.cat([part.detach().float().flatten() for part in parts]).cpu().numpy()


class Recorder:
    """Collects frames of a run, and keeps them in its folder; of a run that goes on, those that were there before."""

    def __init__(self, folder: Path, total: int) -> None:
        self._path, self.wanted = folder / "frames.safetensors", frame_steps(total)
        before = recorded(folder)
        self._steps = [] if before is None else before.steps.tolist()
        self._weights = [] if before is None else list(before.weights)

    def add(self, model: Any, step: int, anyway: bool = False) -> np.ndarray | None:
        """Record the network as it is now, where this step is wanted; gives what was recorded."""
        if (step not in self.wanted and not anyway) or step in self._steps:
            return None
        frame = flat(model)
        self._steps.append(step)
        self._weights.append(frame)
        return frame

    def write(self) -> None:
        """Leave all frames in the run's folder."""
        from safetensors.numpy import save

        from explorer.runs import files

        frames = {"steps": np.array(self._steps, np.int64), "weights": np.array(self._weights, np.float32)}
        files.write(self._path, save(frames))


def recorded(folder: Path) -> Frames | None:
    """The frames in a run's folder; None where there are none, or they are damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(folder / "frames.safetensors")
        return Frames(found["steps"], found["weights"])
    except (OSError, SafetensorError, LookupError, TypeError, ValueError):
        return None


def thinned(frames: Frames) -> Frames:
    """The frames, or so many of them, evenly, as a browser is sent; first and last among them."""
    most = max(2, BYTES // (4 * max(1, frames.weights.shape[1])))
    if len(frames.steps) <= most:
        return frames
    chosen = np.unique(np.linspace(0, len(frames.steps) - 1, most).round().astype(int))
    return Frames(frames.steps[chosen], frames.weights[chosen])


def _size(config: TrainConfig) -> dict[str, Any]:
    """The settings of a perceptron, defaults filled in."""
    from explorer.models import MODELS
    from explorer.params import check

    return check(MODELS["mlp"].make, dict(config.model_settings), "The model 'mlp'")
