"""Train a shipped model from scratch and put it in its folder, with everything its run recorded."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer import data
from explorer.runs import files
from explorer.settings import settings
from explorer.training.record import record
from explorer.zoo import load
from explorer.zoo.card import Card
from explorer.zoo.recipes import RECIPES, TITLES
from explorer.zoo.sources.zoo import SHIPPED

KEPT = ("config.json", "history.jsonl", "predictions.safetensors", "outcome.json")


def build(name: str, on_step: Callable[[Any], None] = lambda step: None, into: Path = SHIPPED) -> Card:
    """Train by the recipe, keep the best checkpoint in half precision, and measure it as it will be opened."""
    config = RECIPES[name]
    folder = into / name
    with tempfile.TemporaryDirectory() as draft:
        outcome = record(config, Path(draft), settings().device, on_step)
        folder.mkdir(parents=True, exist_ok=True)
        for kept in KEPT:
            shutil.copyfile(Path(draft) / kept, folder / kept)
        files.write(folder / "model.safetensors", halved(files.checkpoint(Path(draft), outcome.best)))
        card = Card.read(Path(draft) / "card.json")
    card = replace(
        card, ref=f"zoo:{name}", title=TITLES[name], made=f"python -m explorer.zoo build {name}: {card.made}"
    )
    files.write_json(folder / "card.json", card.to_json())
    if into == SHIPPED:
        card = replace(card, metrics=card.metrics | {"test accuracy": test_accuracy(card)})
        files.write_json(folder / "card.json", card.to_json())
    return card


def halved(weights: Path) -> bytes:
    """A weights file in half precision; running statistics and other vectors stay as they are."""
    import torch
    from safetensors.torch import load_file, save

    state = load_file(weights)
    return save({name: tensor.to(torch.float16) if tensor.ndim > 1 else tensor for name, tensor in state.items()})


def test_accuracy(card: Card) -> float:
    """The share of the test split that the model, as the zoo opens it, names rightly."""
    test = data.load(card.dataset, "test", **card.dataset_settings)
    return float((load(card.ref).predict(test.x).argmax(1) == test.y).mean())
