"""Cards: to JSON and back, and damaged ones."""

import json

import pytest

from explorer.errors import ExplorerError
from explorer.zoo.card import RANKS, TEXT_TASKS, Card
from tests.zoo.conftest import tiny_card

FULL = tiny_card(
    dataset="digits", dataset_settings={"size": 3}, made="5 epochs", seed=7, metrics={"test accuracy": 0.995}
)


def test_a_card_survives_json():
    assert Card.from_json(json.loads(json.dumps(FULL.to_json())), "x") == FULL
    assert Card.from_json(json.loads(json.dumps(tiny_card().to_json())), "x") == tiny_card()


def test_a_card_says_its_bytes():
    assert tiny_card(parameters=25).bytes == 100


def test_metrics_of_a_diverged_run_may_be_no_numbers():
    values = json.loads(json.dumps(tiny_card(metrics={"validation loss": float("nan")}).to_json()))
    assert Card.from_json(values, "x").metrics["validation loss"] != 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "chess"}, "task can't be 'chess'"),
        ({"task": ["image-classification"]}, "task can't be"),
        ({"shape": [1, 8]}, "shape"),
        ({"shape": [1, 8, -8]}, "shape"),
        ({"shape": "188"}, "shape"),
        ({"labels": []}, "labels"),
        ({"labels": [1, 2]}, "labels"),
        ({"mean": [0.5, 0.5]}, "2 values for 1 channels"),
        ({"std": [0.0]}, "std"),
        ({"mean": [float("nan")]}, "mean"),
        ({"parameters": -1}, "parameters"),
        ({"parameters": True}, "parameters"),
        ({"settings": []}, "settings"),
        ({"metrics": {"accuracy": "high"}}, "metrics"),
        ({"seed": 0.5}, "seed"),
        ({"title": None}, "title"),
        ({"colour": "red"}, "colour"),
        ({"task": "fill-mask"}, "does not go with fill-mask"),
        ({"task": "fill-mask", "shape": [64]}, "1 values for 0 channels"),
    ],
)
def test_a_damaged_card_is_refused_by_field(change, words):
    with pytest.raises(ExplorerError, match=words):
        Card.from_json(FULL.to_json() | change, "tiny/card.json")


TEXT = {"shape": [64], "mean": [], "std": [], "settings": {"vocabulary": 300}}


@pytest.mark.parametrize("task", TEXT_TASKS)
def test_a_card_of_a_language_model_survives_json(task):
    values = FULL.to_json() | TEXT | {"task": task}
    card = Card.from_json(json.loads(json.dumps(values)), "x")
    assert (card.shape, card.mean, card.std, card.settings) == ((64,), (), (), {"vocabulary": 300})
    assert RANKS[task] == 1
    if task == "text-classification":
        with pytest.raises(ExplorerError, match="labels"):
            Card.from_json(values | {"labels": []}, "x")
    else:
        assert Card.from_json(values | {"labels": []}, "x").labels == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": []}, "shape"),
        ({"shape": [0]}, "shape"),
        ({"shape": [64, 64]}, "does not go with"),
        ({"mean": [0.5]}, "its mean has 1 values for 0 channels"),
        ({"labels": "abc"}, "labels"),
        ({"settings": None}, "settings"),
    ],
)
def test_a_damaged_card_of_a_language_model_is_refused(change, words):
    with pytest.raises(ExplorerError, match=words):
        Card.from_json(FULL.to_json() | TEXT | {"task": "fill-mask"} | change, "x")


def test_every_field_without_a_default_must_be_there():
    for name in ("ref", "title", "task", "architecture", "parameters", "shape", "labels", "mean", "std"):
        values = FULL.to_json()
        del values[name]
        with pytest.raises(ExplorerError, match=f"tiny/card.json: its {name} is missing"):
            Card.from_json(values, "tiny/card.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_file_that_is_no_card_is_refused_by_name(tmp_path, content):
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(ExplorerError, match=r"card\.json"):
        Card.read(path)


def test_a_missing_card_is_refused(tmp_path):
    with pytest.raises(ExplorerError, match="can't be read"):
        Card.read(tmp_path / "card.json")
