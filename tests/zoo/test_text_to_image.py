"""Making a text-to-image model from nothing, in small: python -m pytest tests/zoo/test_text_to_image.py"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from explorer import data, zoo
from explorer.data import base, shapes_prompts
from explorer.diffusion import sample
from explorer.diffusion.word_scores import word_scores
from explorer.settings import MB
from explorer.store import Store
from explorer.zoo import shapes_judge, text_to_image
from explorer.zoo.build import build
from explorer.zoo.recipes import RECIPES, Painting
from explorer.zoo.sources import zoo as shelf

TINY = Painting(4, 8, 1e-3, 3, 8, 1e-3, 2, 1e-3, judge_steps=2)


@pytest.fixture
def few(monkeypatch):
    """A data set of a few pictures."""
    monkeypatch.setattr(shapes_prompts, "SIZES", {"train": 48, "validation": 24, "test": 24})
    data.base._store._held.clear()
    yield
    data.base._store._held.clear()


def test_what_is_built_opens_as_a_pipeline_with_its_judge(few, configure, monkeypatch, tmp_path):
    monkeypatch.setitem(RECIPES, "shapes-diffusion", TINY)
    told = []
    card = build("shapes-diffusion", told.append, tmp_path)
    assert {record["part"] for record in told} == {"autoencoder", "painter", "judge"}
    monkeypatch.setattr(shelf, "SHIPPED", tmp_path)
    model = zoo.load("zoo:shapes-diffusion")
    assert model.card == replace(card, metrics={})
    assert model.kind == "text"
    assert model.card.parameters == sum(weight.numel() for weight in model._pool._module.parameters())
    found = sample(model, "ddim", 2, 3.0, "a red ring")
    with model.borrow() as parts, torch.inference_mode():
        assert model.decode(parts, torch.tensor(found.x[-1])).shape == (1, 32, 32, 3)
    assert model.unknown(["a red dragon"]) == ("dragon",)
    assert len(shapes_judge.load(tmp_path / "shapes-diffusion").see(data.load("shapes-prompts", "test").x[:3])) == 3
    scores = word_scores(model, 3)
    assert scores.noun.shape == scores.uniform.shape == (3,)
    assert (scores.uniform > 0).all()


def test_much_noise_counts_more_only_where_that_is_asked_for(few):
    """With the same chance the first loss of the second part is the first one's, weighed."""
    train = data.load("shapes-prompts", "train")
    net = text_to_image.autoencoder(TINY, lambda told: None)
    losses = []
    for heaviest in (1.0, 20.0):
        made = text_to_image.untrained(TINY, train.captions, 8)
        text_to_image.study(made, net, TINY, 1, 0.0, heaviest, lambda told: losses.append(told["loss"]))
    assert losses[1] > 1.5 * losses[0]


def test_captions_become_tokens_and_nothing_else_does():
    words = text_to_image.tokenizer(("a red ring", "a blue star left of a red ring"))
    assert words.tokenize("A red dog") == ["a", "red", "<unknown>"]
    assert words("a red ring").input_ids[0] == words.bos_token_id
    assert len(words("red " * 30, truncation=True, max_length=words.model_max_length).input_ids) == 16


def test_some_pairs_are_in_no_training_picture(monkeypatch):
    monkeypatch.setattr(base, "_store", Store(lambda: 100 * MB))  # the smaller split is for this test alone
    monkeypatch.setitem(shapes_prompts.SIZES, "train", 4000)
    train, test = (data.load("shapes-prompts", split) for split in ("train", "test"))
    never = [f"{colour} {shape}" for colour, shape in shapes_prompts.NEVER]
    assert not any(pair in caption for caption in train.captions for pair in never)
    assert any(pair in caption for caption in test.captions for pair in never)
    seen = {tuple(caption.split()[1:3]) for caption in train.captions}
    assert len(seen) == 64 - len(never)
    assert np.bincount(train.y).min() > 0.9 * len(train) / 8
