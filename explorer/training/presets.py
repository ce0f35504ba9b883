"""Races that ship: tricks that are known to work, to fail, or to be lost in noise, each with its measured result.

`python -m explorer.training bench --presets` measures all of them anew, or the ones that are named after it.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from explorer import data
from explorer.params import params
from explorer.registry import Registry
from explorer.runs import files
from explorer.training.config import TrainConfig, unfit
from explorer.training.race import Contest, Race, rounded

PRESETS = Registry("race")  # facts: expected and because, sentences; paper; claims: recipe → the word of its verdict
RACED = Path(__file__).parent / "raced"

# Changes to TrainConfig. Standard is how He et al. 2016 trained (section 3.4), for small pictures and few epochs;
# modern is what timm's and torchvision's newer recipes have in common (Wightman et al. 2021, table 2).
STANDARD: dict[str, Any] = {
    "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "step", "cycles": 3,
    "decay": 0.1, "warmup": 0.0, "label_smoothing": 0.0, "clip_norm": 0.0,
}  # fmt: skip
MODERN: dict[str, Any] = {
    "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.05, "schedule": "one-cycle", "warmup": 0.3,
    "label_smoothing": 0.1, "ema": 0.99, "clip_norm": 1.0, "crop": 1, "mixup": 0.2,
}  # fmt: skip
EIGHTH = 8  # the part of its side by which a picture may be shifted: He et al. 2016, section 4.2, 4 of 32 pixels
RECIPES = {"standard": STANDARD, "modern": MODERN}
KEPT = ("epochs", "batch_size", "accumulate", "amp", "compile", "seed")  # what a recipe takes as it finds it
PLAIN = {"warmup": 0.0, "label_smoothing": 0.0, "clip_norm": 0.0, "weight_decay": 0.0}  # no trick but the one at stake


@PRESETS.register(
    "recipe",
    expected="In four epochs modern gets further.",
    because="A LeNet has no normalisation, so SGD starts slowly where Adam does not. With more epochs the "
    "standard recipe catches up: after eight we measured +1.2 points (between −0.2 and +2.5), which is within noise. "
    "On other networks it may be the other way round.",
    paper="https://arxiv.org/abs/2110.00476",
    claims={"modern": "better"},
)
def recipe() -> Contest:
    """In four epochs, does a modern recipe get a LeNet further than the standard one of ten years ago?"""
    return _contest(TrainConfig(epochs=4), RECIPES)


@PRESETS.register(
    "learning-rate",
    expected="Ten times the rate is worse, and a hundred times learns nothing.",
    because="Beyond some rate each step jumps over what it aims at. It is the first setting to get right.",
    paper="https://arxiv.org/abs/1206.5533",
    claims={"ten times": "worse", "a hundred times": "worse"},
)
def learning_rate() -> Contest:
    """What does a learning rate do that is ten times too large?"""
    common = TrainConfig(epochs=12, lr=0.01, **PLAIN)
    return _contest(common, {"lr 0.01": {}, "ten times": {"lr": 0.1}, "a hundred times": {"lr": 1.0}})


@PRESETS.register(
    "label-smoothing",
    expected="A little better.",
    because="Asking for a little less than certainty keeps the scores from growing without end, so that a few odd "
    "digits pull less at the weights.",
    paper="https://arxiv.org/abs/1906.02629",
    claims={"smoothed": "better"},
)
def label_smoothing() -> Contest:
    """Does label smoothing help?"""
    common = TrainConfig(epochs=12, label_smoothing=0.0)
    return _contest(common, {"none": {}, "smoothed": {"label_smoothing": 0.1}})


@PRESETS.register(
    "warm-up",
    expected="Without warm-up it is worse.",
    because="Adam's first steps rest on hardly any gradients, so their sizes are off, and attention that is once "
    "one-sided hardly learns any more.",
    paper="https://arxiv.org/abs/2002.04745",
    claims={"no warm-up": "worse"},
)
def warm_up() -> Contest:
    """Does a transformer need its warm-up?"""
    size = {"patch": 4, "width": 32, "depth": 4}
    common = TrainConfig(model="vit", model_settings=size, epochs=5, lr=0.03, **PLAIN)
    return _contest(common, {"warm-up": {"warmup": 0.25}, "no warm-up": {}})


@PRESETS.register(
    "optimisers",
    expected="In 20 epochs all three get further than plain SGD at the same rate; Nesterov hardly more than momentum.",
    because="Momentum adds up what many steps agree on, and Adam scales each weight's step by its own gradients: both "
    "go far along the flat valleys of the spirals' loss, where plain SGD creeps.",
    paper="https://proceedings.mlr.press/v28/sutskever13.html",
    claims={"momentum": "better", "Nesterov": "better", "Adam": "better"},
)
def optimisers() -> Contest:
    """SGD, momentum, Nesterov or Adam: does it matter?"""
    common = TrainConfig("points", "mlp", epochs=20, optimizer="sgd", lr=0.1, **PLAIN)
    return _contest(
        common,
        {
            "SGD": {"momentum": 0.0},
            "momentum": {"momentum": 0.9},
            "Nesterov": {"momentum": 0.9, "nesterov": True},
            "Adam": {"optimizer": "adam", "lr": 0.01},
        },
    )


@PRESETS.register(
    "normalisation",
    expected="It does not learn without.",
    because="A sigmoid's slope is a quarter at the most, so a gradient that passes eight of them has all but vanished. "
    "Batch normalisation brings every layer back to where its slope is steep.",
    paper="https://arxiv.org/abs/1502.03167",
    claims={"batch": "better"},
)
def normalisation() -> Contest:
    """Can a deep network of sigmoids learn without normalisation?"""
    deep = {"depth": 8, "activation": "sigmoid"}
    common = TrainConfig(model="mlp", model_settings=deep, epochs=10)
    return _contest(common, {"none": {}, "batch": {"model_settings": {**deep, "norm": "batch"}}})


@PRESETS.register(
    "clipping",
    expected="Without clipping it is worse.",
    because="Where the loss is steep, one step along the whole gradient throws the weights so far that they never come "
    "back; clipped, it keeps its direction and a length that can be borne.",
    paper="https://arxiv.org/abs/1211.5063",
    claims={"no clipping": "worse"},
)
def clipping() -> Contest:
    """Does clipping the gradient save a step that is too large?"""
    common = TrainConfig(model="mlp", model_settings={"depth": 4}, epochs=8, optimizer="sgd", lr=1.0, **PLAIN)
    return _contest(common, {"clipped": {"clip_norm": 1.0}, "no clipping": {}})


@PRESETS.register(
    "augmentation",
    expected="It is worse, by far.",
    because="Augmentation keeps a large network from learning its examples by heart. A tiny one has no room for that; "
    "it needs all it has for the digits as they are, and a mirrored 2 is none.",
    paper="https://arxiv.org/abs/2106.10270",
    claims={"heavy": "worse"},
)
def augmentation() -> Contest:
    """Does a tiny network gain from heavy augmentation?"""
    common = TrainConfig(model_settings={"width": 4}, epochs=20, lr=0.01)
    heavy = {"crop": 2, "flip": True, "erasing": 0.5, "mixup": 1.0}
    return _contest(common, {"none": {}, "heavy": heavy})


@PRESETS.register(
    "rare-classes",
    expected="Drawing all classes alike is better.",
    because="There are 50 times fewer nines than zeros to learn from, and as many of both in the test: who sees them "
    "rarely rather never says nine.",
    paper="https://arxiv.org/abs/1710.05381",
    claims={"alike": "better"},
)
def rare_classes() -> Contest:
    """Must rare classes be shown more often?"""
    common = TrainConfig(dataset_settings={"imbalance": 50}, epochs=25)
    return _contest(common, {"as they come": {}, "alike": {"balanced": True}})


@PRESETS.register(
    "averaging",
    expected="Nothing that shows.",
    because="A running mean of the weights smooths what a high learning rate shakes; where the rate glides to zero in "
    "the end, there is little left to smooth.",
    paper="https://arxiv.org/abs/1803.05407",
    claims={"averaged": "within noise"},
)
def averaging() -> Contest:
    """Does averaging the weights help, where the learning rate glides to zero anyway?"""
    common = TrainConfig(epochs=12, label_smoothing=0.0)
    return _contest(common, {"plain": {}, "averaged": {"ema": 0.99}})


def fitted(name: str, about: data.About) -> dict[str, Any]:
    """What one of the RECIPES has on some data: shifts go with the side, and photographs are mirrored and shifted."""
    found, idle = dict(RECIPES[name]), unfit(about.task, denoises=False)
    if about.task == "image" and ("crop" in found or about.photographs):
        found |= {"crop": max(1, min(about.shape[1:]) // EIGHTH)} | ({"flip": True} if about.photographs else {})
    return {lever: value for lever, value in found.items() if lever not in idle}


def changes(name: str, about: data.About) -> dict[str, Any]:
    """What one of the RECIPES sets on some data: every lever but those of KEPT; what can't act there stays off."""
    usual = {lever: param.default for lever, param in params(TrainConfig).items() if lever not in KEPT}
    return usual | fitted(name, about)


def shipped(name: str) -> Race | None:
    """The measured result that ships with a preset; None where there is none of its present configs."""
    path = RACED / f"{name}.json"
    if not path.is_file():
        return None
    found = Race.from_dict(json.loads(path.read_bytes()))
    return found if found.contest == PRESETS[name].make() else None


def ship(name: str, found: Race) -> None:
    """Put a measured result in its place, as small as its curves allow."""
    small = json.dumps(rounded(found).to_dict(), separators=(",", ":"))
    files.write(RACED / f"{name}.json", small.encode())


def _contest(common: TrainConfig, recipes: dict[str, dict[str, Any]]) -> Contest:
    """Recipes that differ from a common one by what is said."""
    return Contest(tuple(recipes), tuple(dataclasses.replace(common, **changed) for changed in recipes.values()))
