"""Scores of heads whose job is known, because the test wrote their attention by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from explorer import data, zoo
from explorer.attention import roles
from explorer.attention.base import AttentionPatterns, Part, Patches
from explorer.attention.roles import ROLES, RoleScores, course, score
from explorer.data import dates, story
from explorer.errors import ExplorerError
from explorer.store import Store

PREVIOUS, FIRST, INDUCTION, AGREEMENT, EVEN = range(5)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    for module in (story, dates):
        monkeypatch.setattr(module, "SIZES", {"train": 60, "validation": 60, "test": 60})
    monkeypatch.setattr("explorer.data.base._store", Store(lambda: 10**8))


def model_of(task: str, dataset: str) -> SimpleNamespace:
    return SimpleNamespace(card=SimpleNamespace(ref="file:made", task=task, dataset=dataset, dataset_settings={}))


def causal_heads(found, index: int) -> np.ndarray:
    """(1, 5, T, T): five heads that do one thing each, wherever they can, and else rest on the first token."""
    words = ["[START]", *found.texts[index].split()]
    count = len(words)
    weights = np.zeros((1, 5, count, count), np.float32)
    verbs = dict(found.roles[index].links["agreement"])
    for place, word in enumerate(words):
        earlier = [one for one in range(1, place) if words[one] == word]
        keys = {
            PREVIOUS: [place - 1] if place else [0],
            FIRST: [0],
            INDUCTION: [one + 1 for one in earlier] or [0],
            AGREEMENT: [head + 1 for head in verbs[place]] if place in verbs else [0],
            EVEN: list(range(place + 1)),
        }
        for head, looked in keys.items():
            weights[0, head, place, looked] = 1 / len(looked)
    return weights


def scored(monkeypatch) -> roles.PartScores:
    found = data.load("story", "test")

    def attend(model, text, second=None):
        index = found.texts.index(text)
        tokens = ("[START]", *text.split())
        part = Part("self", tokens, tokens, causal_heads(found, index), causal=True)
        return AttentionPatterns("file:made", (part,), words=(None, *range(len(tokens) - 1)))

    monkeypatch.setattr(roles, "attend", attend)
    return score(model_of("text-generation", "story"), examples=60).parts["self"]


def test_a_head_that_does_one_thing_gets_all_of_that_score(monkeypatch):
    part = scored(monkeypatch)
    for role, head in (("previous token", PREVIOUS), ("first token", FIRST), ("induction", INDUCTION),
                       ("agreement", AGREEMENT)):  # fmt: skip
        mass = part.mass[part.roles.index(role), 0, head]
        assert mass == pytest.approx(1.0, abs=1e-5), role
        assert part.head(role) == (0, head)
    assert [part.roles[role] for role in part.best[0, :4]] == [
        "previous token", "first token", "induction", "agreement",
    ]  # fmt: skip
    assert part.best[0, EVEN] == -1, "a head that looks everywhere alike has no role"


def test_an_even_head_scores_like_its_shuffled_self(monkeypatch):
    part = scored(monkeypatch)
    gain = (part.mass - part.shuffled)[:, 0, EVEN]
    assert np.abs(gain).max() < 0.06


def test_entropy_sparsity_and_distance_are_those_of_the_rows(monkeypatch):
    part = scored(monkeypatch)
    assert part.entropy[0, PREVIOUS] == pytest.approx(0)
    lengths = [len(text.split()) + 1 for text in data.load("story", "test").texts]
    even = sum(np.log(np.arange(1, length + 1)).sum() for length in lengths) / sum(lengths)
    assert part.entropy[0, EVEN] == pytest.approx(even, rel=1e-4)
    assert part.sparsity[0, EVEN] == pytest.approx(0, abs=1e-5)
    one = sum((1 - 1 / np.arange(1, length + 1)).sum() for length in lengths) / sum(lengths)
    assert part.sparsity[0, PREVIOUS] == pytest.approx(one, rel=1e-5)  # the Gini index of one among n is 1 - 1/n
    assert part.distance[0, PREVIOUS] == pytest.approx(sum(n - 1 for n in lengths) / sum(lengths), rel=1e-5)


def test_cross_attention_is_scored_on_where_each_digit_comes_from(monkeypatch):
    found = data.load("dates", "test")

    def attend(model, text, answer=None):
        index = found.texts.index(text)
        queries, keys = ("[START]", *answer.split()), (*text.split(), "[END]")
        weights = np.full((1, 2, len(queries), len(keys)), 1 / len(keys), np.float32)
        for links in found.roles[index].links.values():
            for place, depends in links:
                weights[0, 0, place] = 0
                weights[0, 0, place, list(depends)] = 1 / len(depends)
        part = Part("cross", queries, keys, weights, causal=False)
        own = Part("encoder", keys, keys, np.tile(np.eye(len(keys), dtype=np.float32), (1, 2, 1, 1)), causal=False)
        return AttentionPatterns("file:made", (own, part), words=(*range(len(keys) - 1), None))

    monkeypatch.setattr(roles, "attend", attend)
    part = score(model_of("text2text-generation", "dates"), examples=40).parts["cross"]
    assert set(part.roles) == {"year", "month", "day"}
    assert np.allclose(part.mass[:, 0, 0], 1)
    assert (part.mass[:, 0, 1] < 0.4).all()
    assert np.isnan(part.distance).all()
    assert (part.best[0] == [part.best[0, 0], -1]).all()


def test_the_heads_of_a_vision_transformer_are_scored_on_the_object(monkeypatch):
    found = data.load("shapes", "test")
    side = 8

    def attend(model, picture, second=None):
        index = next(i for i in range(len(found)) if found.x[i] is picture or np.array_equal(found.x[i], picture))
        inside = found.masks[index].reshape(side, 8, side, 8).mean((1, 3)).ravel() >= 0.5
        weights = np.full((1, 2, 65, 65), 1 / 65, np.float32)
        if inside.any():
            weights[0, 0, 0] = 0
            weights[0, 0, 0, 1 + np.flatnonzero(inside)] = 1 / inside.sum()
        tokens = ("class token", *("patch",) * 64)
        part = Part("self", tokens, tokens, weights, causal=False)
        return AttentionPatterns("file:made", (part,), patches=Patches(picture, 1, side, side))

    monkeypatch.setattr(roles, "attend", attend)
    part = score(model_of("image-classification", "shapes"), examples=12).parts["self"]
    place = part.roles.index("the object")
    assert part.mass[place, 0, 0] == pytest.approx(1)
    assert part.shuffled[place, 0, 0] < 0.6
    assert part.roles[part.best[0, 0]] == "the object"


def test_scores_survive_a_file_and_say_the_best_of_each_role(monkeypatch):
    part = scored(monkeypatch)
    scores = RoleScores("zoo:made", "story", 60, {"self": part})
    again = RoleScores.from_json(scores.to_json())
    assert np.allclose(again.parts["self"].mass, part.mass, atol=6e-4)
    assert again.parts["self"].roles == part.roles
    assert course(scores)["induction"] == pytest.approx(1 - part.shuffled[part.roles.index("induction"), 0, INDUCTION])
    assert set(course(scores)) <= set(ROLES)


def test_data_without_truth_are_refused():
    with pytest.raises(ExplorerError, match="no truth"):
        score(model_of("text-generation", "sort"), dataset="digits")
    with pytest.raises(ExplorerError, match="no truth"):
        score(model_of("text2text-generation", "story"), dataset="story")


LANGUAGE = [card for card in zoo.cards() if card.task in zoo.card.TEXT_TASKS]


@pytest.mark.parametrize("card", LANGUAGE, ids=lambda card: card.ref)
def test_what_ships_is_what_is_measured(card, monkeypatch):
    monkeypatch.undo()
    shipped = roles.recorded(card.ref)
    found = score(card.ref, examples=shipped.examples)
    for name, part in shipped.parts.items():
        assert np.allclose(part.mass, found.parts[name].mass, atol=0.003)
        assert np.allclose(part.shuffled, found.parts[name].shuffled, atol=0.003)
    for role, gain in course(found).items():
        assert card.metrics[f"head: {role}"] == pytest.approx(gain, abs=0.003)
