"""A tiny model of ours on disk, and settings for a test."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from explorer import zoo
from explorer.settings import read
from explorer.zoo import own, pictures, saved
from explorer.zoo.card import Card
from explorer.zoo.sources import base, file, hf, torchvision
from explorer.zoo.sources import zoo as shipped_source
from explorer.zoo.store import Store


@pytest.fixture
def configure(monkeypatch, tmp_path):
    """Call it with environment variables: the zoo then runs under those settings, with an empty store."""

    def use(**environment: str):
        made = read({"EXPLORER_MODE": "cpu", "EXPLORER_DATA": str(tmp_path / "data"), **environment})
        for module in (own, pictures, saved, base, file, hf, torchvision, zoo):
            monkeypatch.setattr(module, "settings", lambda: made)
        store = Store(made.limits.store)
        monkeypatch.setattr(zoo, "_store", lambda: store)
        return made

    use()
    return use


def tiny_card(**changes) -> Card:
    """The card of a LeNet for 8×8 grey pictures."""
    values = {
        "ref": "", "title": "tiny", "task": "image-classification", "architecture": "lenet", "settings": {"width": 4},
        "parameters": 1_000, "shape": (1, 8, 8), "labels": ("a", "b", "c"), "mean": (0.5,), "std": (0.25,),
    }  # fmt: skip
    return Card(**{**values, **changes})


def write_own(folder: Path, weights: str = "model.safetensors", seed: int = 0, half: bool = False, **changes) -> Path:
    """Write a card and the weights of a network of ours; returns the weights file."""
    from safetensors.torch import save_file

    from explorer import models

    card = tiny_card(**changes)
    module = models.build(card.architecture, card.shape, len(card.labels), seed=seed, **card.settings)
    card = replace(card, parameters=sum(p.numel() for p in module.parameters()))
    path = folder / weights
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps(card.to_json()))
    state = {name: value.half() if half and value.is_floating_point() else value
             for name, value in module.state_dict().items()}  # fmt: skip
    save_file(state, path)
    return path


@pytest.fixture
def shelf(configure, monkeypatch, tmp_path):
    """An empty folder in place of the shipped models."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(shipped_source, "SHIPPED", folder)
    return folder


def save_tiny(folder: Path, kind: str, seed: int = 0) -> None:
    """Save a tiny transformers image classifier of 32×32 pictures and its image processor."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification
    from transformers import ViTImageProcessor as Processor

    labels = dict(enumerate(("cat", "dog", "emu")))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "resnet":
            net = ResNetForImageClassification(
                ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=labels)
            )
        else:
            net = ViTForImageClassification(
                ViTConfig(
                    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32,
                    patch_size=8, id2label=labels,
                )
            )  # fmt: skip
    net.save_pretrained(folder)
    Processor(size={"height": 32, "width": 32}).save_pretrained(folder)
