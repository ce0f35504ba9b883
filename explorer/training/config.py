"""What to train and how: every setting of a run, with its range, its meaning and its paper."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from explorer.errors import ExplorerError
from explorer.params import Choice, LogSlider, Number, Slider, Toggle, check

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One training run, complete: the same config and seed on the same device give the same numbers.

    The `settings` of model and data set are pairs (name, value); a dict is taken too.
    """

    dataset: str = "digits"
    model: str = "lenet"
    epochs: Annotated[int, Slider(1, 200, group="Length", help="How often every training example is seen.")] = 30
    batch_size: Annotated[
        int,
        Choice(
            (8, 16, 32, 64, 128, 256, 512),
            group="Length",
            help="Examples that share one step, or all of them: larger batches give smoother, fewer steps.",
            paper="https://arxiv.org/abs/1812.06162",
        ),
    ] = 64
    optimizer: Annotated[
        str,
        Choice(
            OPTIMIZERS,
            group="Optimiser",
            help="AdamW scales each weight's step by its own gradient history; SGD takes the plain gradient.",
            paper="https://arxiv.org/abs/1711.05101",
        ),
    ] = "adamw"
    lr: Annotated[
        float,
        LogSlider(
            1e-5,
            10.0,
            label="Learning rate",
            group="Optimiser",
            help="The length of a step. Too small learns nothing, too large blows up: try it.",
            paper="https://arxiv.org/abs/1206.5533",
        ),
    ] = 3e-3
    momentum: Annotated[
        float,
        Slider(
            0.0,
            0.99,
            step=0.01,
            group="Optimiser",
            help="How much of the last step SGD carries on (AdamW keeps its own).",
            paper="https://proceedings.mlr.press/v28/sutskever13.html",
        ),
    ] = 0.9
    weight_decay: Annotated[
        float,
        LogSlider(
            1e-5,
            1.0,
            zero=True,
            group="Optimiser",
            help="Pulls every weight towards zero at each step, so that only useful ones stay large.",
            paper="https://arxiv.org/abs/1711.05101",
        ),
    ] = 0.01
    schedule: Annotated[
        str,
        Choice(
            SCHEDULES,
            group="Schedule",
            help="Cosine lets the learning rate glide to zero, so that the last steps only polish.",
            paper="https://arxiv.org/abs/1608.03983",
        ),
    ] = "cosine"
    warmup: Annotated[
        float,
        Slider(
            0.0,
            0.5,
            step=0.01,
            label="Warm-up",
            group="Schedule",
            help="The share of the run in which the learning rate climbs from zero.",
            paper="https://arxiv.org/abs/1706.02677",
        ),
    ] = 0.1
    label_smoothing: Annotated[
        float,
        Slider(
            0.0,
            0.5,
            step=0.01,
            group="Regularisation",
            help="Asks for a little less than certainty, which keeps the network from bragging.",
            paper="https://arxiv.org/abs/1512.00567",
        ),
    ] = 0.05
    clip_norm: Annotated[
        float,
        LogSlider(
            0.01,
            100.0,
            zero=True,
            label="Gradient clipping",
            group="Regularisation",
            help="The longest gradient that a step may follow; 0 leaves it as it is.",
            paper="https://arxiv.org/abs/1211.5063",
        ),
    ] = 1.0
    ema: Annotated[
        float,
        Choice(
            (0.0, 0.9, 0.99, 0.995, 0.999, 0.9999),
            label="Averaged weights",
            group="Regularisation",
            help="Keeps a running mean of the weights, of which each step changes only what is missing to 1; the mean "
            "is what is tried and kept. 0 keeps the weights themselves.",
            paper="https://arxiv.org/abs/1503.05671",
        ),
    ] = 0.0
    amp: Annotated[
        bool,
        Toggle(
            label="Mixed precision",
            group="Hardware",
            help="Half-precision arithmetic where it is safe; acts on a GPU only.",
            paper="https://arxiv.org/abs/1710.03740",
        ),
    ] = True
    seed: Annotated[
        int,
        Number(
            0, 2**31 - 1, group="Hardware", help="Decides first weights and order of examples: same seed, same run."
        ),
    ] = 0
    model_settings: tuple[tuple[str, Any], ...] = ()
    dataset_settings: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name in ("model_settings", "dataset_settings"):
            object.__setattr__(self, name, _pairs(getattr(self, name)))
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("dataset", "model", "model_settings", "dataset_settings"):
            values.pop(name)  # checked where the data set and the model are made
        check(TrainConfig, values, "This training run")

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        return dataclasses.asdict(self) | {
            "model_settings": dict(self.model_settings),
            "dataset_settings": dict(self.dataset_settings),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The config of `to_dict`; raises ExplorerError for a setting that there isn't."""
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ExplorerError(
                "This training run", f"it has no setting {sorted(unknown)[0]!r}", "Leave it out, or check its spelling"
            )
        return cls(**values)


def _pairs(settings: Any) -> tuple[tuple[str, Any], ...]:
    """A dict or pairs as sorted, hashable pairs."""
    return tuple(sorted((str(name), value) for name, value in dict(settings).items()))
