"""A card: all that is known of a model without opening it."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError


@dataclass(frozen=True)
class Card:
    """What a model is, what it takes, what it answers, how it was made and how good it is."""

    ref: str
    title: str
    task: str  # a key of RANKS
    architecture: str  # a name in MODELS for our own; the library's name for others
    parameters: int
    shape: tuple[int, ...]  # of one example: (C, H, W) for pictures, (2,) for points, (most tokens,) for texts
    labels: tuple[str, ...]  # the classes; of a language model none, or its vocabulary
    mean: tuple[float, ...]  # one a channel, of values between 0 and 1; for points one a coordinate, for texts none
    std: tuple[float, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the architecture
    dataset: str = ""
    dataset_settings: Mapping[str, Any] = field(default_factory=dict)
    resize: str = "shorter side to fit, then the middle"  # what happens to a picture of another size
    made: str = ""  # in words
    seed: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # {"test accuracy": 0.995}

    def __post_init__(self) -> None:
        for name, kind in (("shape", int), ("labels", str), ("mean", float), ("std", float)):
            object.__setattr__(self, name, tuple(map(kind, getattr(self, name))))

    @property
    def bytes(self) -> int:
        """What the weights take in memory, at four bytes each."""
        return 4 * self.parameters

    @property
    def attends(self) -> bool:
        """Whether it has heads of attention: a language model, or a vision transformer."""
        return self.task in TEXT_TASKS or self.architecture == "vit"

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        values = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Any, name: str) -> "Card":
        """The card of `to_json`; raises ExplorerError, which names the file `name`, for a damaged one."""
        for fault in _faults(values):
            raise _damaged(name, fault)
        return cls(**values)

    @classmethod
    def read(cls, path: Path) -> "Card":
        """The card in a file; raises ExplorerError for a missing or damaged one."""
        name = f"{path.parent.name}/{path.name}"
        try:
            values = json.loads(path.read_bytes())
        except OSError as error:
            raise _damaged(name, f"it can't be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:
            raise _damaged(name, "it is not JSON") from error
        return cls.from_json(values, name)


TEXT_TASKS = {  # tasks of networks that read texts → what such a network is
    "fill-mask": "encoder",
    "feature-extraction": "encoder",
    "text-classification": "encoder",
    "text-generation": "decoder",
    "text2text-generation": "encoder-decoder",
}
GENERATION_TASKS = {"points-generation": 1, "image-generation": 3, "text-to-image": 3}  # of diffusion models
RANKS = {  # task → numbers in its shape
    "image-classification": 3,
    "points-classification": 1,
    **dict.fromkeys(TEXT_TASKS, 1),
    **GENERATION_TASKS,
}


def _damaged(name: str, wrong: str) -> ExplorerError:
    return ExplorerError(f"The model card {name}", wrong, "Make the model again, or open another one")


def _faults(values: Any) -> Iterator[str]:
    """What is wrong with the values of a card, as clauses."""
    if not isinstance(values, dict):
        yield "it is not a JSON object"
        return
    known = {part.name: part for part in fields(Card)}
    for name in values.keys() - known.keys():
        yield f"it has a field {name[:60]!r} that no card has"
    for name, part in known.items():
        if name in values and not _RIGHT[name](values[name]):
            yield f"its {name} can't be {str(values[name])[:60]!r}"
        if name not in values and part.default is MISSING and part.default_factory is MISSING:
            yield f"its {name} is missing"
    if len(values["shape"]) != RANKS[values["task"]]:
        yield f"its shape {values['shape']} does not go with {values['task']}"
    channels = 0 if values["task"] in TEXT_TASKS else values["shape"][0]
    for name in ("mean", "std"):
        if len(values[name]) != channels:
            yield f"its {name} has {len(values[name])} values for {channels} channels"
    classifies = values["task"].endswith("-classification")
    if not values["labels"] and classifies:
        yield "its labels can't be '[]'"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _several(right: Callable[[Any], bool], least: int = 0) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, list) and len(values) >= least and all(map(right, values))


_RIGHT: dict[str, Callable[[Any], bool]] = {  # what each field of a card may be
    **dict.fromkeys(("ref", "title", "architecture", "dataset", "resize", "made"), _text),
    **dict.fromkeys(("settings", "dataset_settings"), _object),
    "task": lambda value: _text(value) and value in RANKS,
    "parameters": lambda value: _whole(value) and value >= 0,
    "shape": _several(lambda value: _whole(value) and value > 0, least=1),
    "labels": _several(_text),
    "mean": _several(lambda value: _number(value) and math.isfinite(value)),
    "std": _several(lambda value: _number(value) and 0 < value < math.inf),
    "seed": lambda value: value is None or _whole(value),
    "metrics": lambda value: _object(value) and all(map(_number, value.values())),
}
