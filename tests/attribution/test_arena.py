"""One question, many methods, nothing computed twice: python -m pytest tests/attribution/test_arena.py"""

from dataclasses import replace

import numpy as np
import pytest

from explorer import attribution, data, zoo
from explorer.attribution import arena
from explorer.attribution.arena import DEFAULT, Example, Question, ask, estimate, fitting, marks, settled
from explorer.attribution.traits import traits
from explorer.errors import ExplorerError
from explorer.store import Store

REF = "zoo:digits-lenet"


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(arena, "ANSWERS", Store(lambda: 2**24))


@pytest.fixture
def question():
    digits = data.load("digits", "test")
    return Question(REF, Example("digits/test/0", digits.x[:1], int(digits.y[0])))


@pytest.fixture
def calls(monkeypatch):
    """The methods that really ran, in order."""
    ran = []
    run = arena.explain

    def count(case, method, *arguments, **settings):
        ran.append(method)
        return run(case, method, *arguments, **settings)

    monkeypatch.setattr(arena, "explain", count)
    return ran


def test_what_was_answered_once_is_not_computed_again(question, calls):
    first = ask(question, {"saliency": (), "grad_cam": ()})
    again = ask(replace(question), {"grad_cam": (), "saliency": (), "hirescam": ()})
    assert calls == ["saliency", "grad_cam", "hirescam"]
    assert again[0] is first[1]
    ask(question, {"grad_cam": (("relu", False),)})
    ask(replace(question, target=3), {"grad_cam": ()})
    ask(replace(question, example=Example("another", question.example.pixels)), {"grad_cam": ()})
    assert calls.count("grad_cam") == 4


def test_another_layer_is_a_new_question_only_to_methods_that_read_one(question, calls, monkeypatch):
    first = marks(question, {"saliency": (), "grad_cam": ()})
    names = [layer.name for layer in traits(zoo.load(REF)).maps.layers]
    other = replace(question, layer=names[0])
    again = marks(other, {"saliency": (), "grad_cam": ()})
    assert calls == ["saliency", "grad_cam", "grad_cam"]
    assert again[0] is first[0]
    assert ask(other, {"grad_cam": ()})[0].found.layer == names[0]


def test_another_seed_is_a_new_question_only_to_methods_that_draw(question, calls):
    methods = {"grad_cam": (), "smoothgrad": (("samples", 4),)}
    first, again = marks(question, methods), marks(replace(question, seed=9), methods)
    assert calls == ["grad_cam", "smoothgrad", "smoothgrad"]
    assert again[0] is first[0]
    assert not np.array_equal(again[1].deletion, first[1].deletion)
    assert [answer.found.seed for answer in ask(replace(question, seed=9), methods)] == [0, 9]


def test_all_maps_are_measured_on_the_same_chance_and_one_case_is_opened(question, monkeypatch):
    told, opened, measure, open_case = [], [], arena.measure, arena.open_case
    monkeypatch.setattr(arena, "measure", lambda *about: told.append(about[3:]) or measure(*about))
    monkeypatch.setattr(arena, "open_case", lambda *about: opened.append(about) or open_case(*about))
    asked = replace(question, seed=9)
    ask(asked, {"grad_cam": (), "smoothgrad": (("samples", 4),), "random": ()})
    assert len(opened) == 1
    marks(asked, {"grad_cam": (), "smoothgrad": (("samples", 4),), "random": ()})
    (seed, _, answers), *others = told
    assert len(others) == 2
    assert all(one[0] == seed and one[2] is answers for one in others)


def test_answers_are_those_of_the_public_function(question):
    (answer,) = ask(replace(question, target=3, versus=5, seed=7), {"smoothgrad": (("samples", 4),)})
    direct = attribution.attribute(
        REF, question.example.pixels, "smoothgrad", target=3, versus=5, seed=7, samples=4
    )  # fmt: skip
    np.testing.assert_array_equal(answer.found.scores, direct.scores)


def test_a_refusal_stops_no_other_and_is_tried_again(question, calls, monkeypatch):
    def cut_off(case, method, *arguments, **settings):
        raise ExplorerError("LIME", "it was cut off after 1 seconds", "Choose settings with a lower price")

    with monkeypatch.context() as patch:
        patch.setattr(arena, "explain", cut_off)
        (refused,) = ask(question, {"lime": ()})
    assert refused.found is None
    assert "cut off" in refusal_of(refused)
    assert marks(question, {"attention_rollout": ()}) == [None]  # this network has no attention
    several = ask(question, {"attention_rollout": (), "saliency": (), "lime": ()})
    assert [answer.found is None for answer in several] == [True, False, False]


def refusal_of(answer: arena.Answer) -> str:
    return answer.refusal.wrong


def test_marks_are_kept_with_their_question(question, calls, monkeypatch):
    (first,) = marks(question, {"saliency": ()})
    monkeypatch.setattr(arena, "measure", lambda *a, **k: pytest.fail("measured again"))
    assert marks(question, {"saliency": (), "attention_rollout": ()}) == [first, None]
    assert not np.isnan(first.values["deletion"])


def test_the_kept_answers_stay_within_their_bytes(question, monkeypatch):
    store = Store(lambda: 5_000)
    monkeypatch.setattr(arena, "ANSWERS", store)
    for target in range(10):
        ask(replace(question, target=target), {"saliency": ()})
    assert 0 < store.nbytes <= 5_000


def test_methods_are_offered_by_family_and_only_where_they_fit():
    lenet, vit = zoo.load(REF), zoo.load("zoo:shapes-vit")
    assert "attention_rollout" in fitting(vit)
    assert "attention_rollout" not in fitting(lenet)
    assert "deeplift" not in fitting(vit)
    assert fitting(lenet)[-2:] == ("random", "sobel")
    assert set(DEFAULT) <= set(fitting(lenet))


def test_the_price_is_the_sum_of_the_prices(question):
    model = zoo.load(REF)
    passes, seconds = estimate(model, {"saliency": (), "smoothgrad": (("samples", 10),), "random": ()})
    assert passes == 11
    assert 0 < seconds < 5


def test_only_settings_that_differ_are_part_of_a_question():
    assert settled("smoothgrad", {"samples": 16, "noise": 0.15}) == ()
    assert settled("smoothgrad", {"samples": 8, "noise": 0.15}) == (("samples", 8),)
