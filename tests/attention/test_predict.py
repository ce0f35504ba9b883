"""Predictions against transformers' own answers and losses: python -m pytest tests/attention/test_predict.py"""

import sys

import numpy as np
import pytest
import torch

from explorer.attention import continue_, predict
from explorer.attention.predict import NUMBERS
from explorer.errors import ExplorerError
from tests.attention import nets
from tests.attention.nets import TEXT, VOCABULARY, picture


def logits(family, **extra):
    return nets.bare(family, **nets.text(family).encode(TEXT).inputs, **extra).logits[0]


def same(found, expected):
    """The likeliest words of logits (P, vocabulary), and their probabilities."""
    best, ids = expected.softmax(-1).topk(found.probabilities.shape[1])
    np.testing.assert_allclose(found.probabilities, best, atol=1e-6)
    assert found.top == tuple(tuple(VOCABULARY[token] for token in row) for row in ids)


@pytest.mark.parametrize("family", ["gpt2", "llama", "neo"])
def test_the_next_token(family):
    model = nets.text(family)
    found, ids = predict(model, TEXT, top=5), model.encode(TEXT).inputs["input_ids"]
    assert found.kind == "next"
    same(found, logits(family))
    assert found.positions == tuple(range(14))
    assert found.actual == (*found.tokens[1:], None)
    assert np.isnan(found.surprise[-1])
    loss = nets.bare(family, **model.encode(TEXT).inputs, labels=ids).loss
    assert found.surprise[:-1].mean() == pytest.approx(float(loss), abs=1e-5)


def test_each_token_masked_in_turn(monkeypatch):
    model = nets.text("bert")
    ids = model.encode(TEXT).inputs["input_ids"]
    expected = []
    for place in range(1, 13):
        masked = ids.clone()
        masked[0, place] = VOCABULARY.index("<mask>")
        expected.append(nets.bare("bert", input_ids=masked).logits[0, place])
    for most in (NUMBERS, 3 * 14 * len(VOCABULARY), 1):  # inputs that pass at once: all, three, one
        monkeypatch.setattr(sys.modules["explorer.attention.predict"], "NUMBERS", most)
        found = predict(model, TEXT, top=3)
        same(found, torch.stack(expected))
        assert found.kind == "masked"
        assert found.actual == tuple(TEXT.split())
        assert found.positions == tuple(range(1, 13))
        truth = torch.stack(expected).log_softmax(-1)[range(12), ids[0, 1:13]]
        np.testing.assert_allclose(found.surprise, -truth, atol=1e-5)


def test_the_masks_of_the_text():
    model, text = nets.text("bert"), "the <mask> sees a <mask> ring"
    found = predict(model, text, top=99)
    assert found.positions == (2, 5)
    assert found.actual == (None, None)
    assert found.probabilities.shape == (2, len(VOCABULARY))
    same(found, nets.bare("bert", **model.encode(text).inputs).logits[0, [2, 5]])
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_an_answer_step_by_step(family):
    model = nets.text(family)
    found = predict(model, TEXT, top=4, target="a red star")
    ids = [*model.encode("a red star").ids]
    begin = model.config.decoder_start_token_id
    same(found, logits(family, decoder_input_ids=torch.tensor([[begin, *ids[:-1]]])))
    assert found.kind == "answer"
    assert found.actual == ("<s>", "a", "red", "star", "</s>")
    assert found.tokens == (VOCABULARY[begin], "<s>", "a", "red", "star")
    loss = nets.bare(family, **model.encode(TEXT).inputs, labels=torch.tensor([ids])).loss
    assert found.surprise.mean() == pytest.approx(float(loss), abs=1e-5)
    own = predict(model, TEXT, top=1)
    assert own.actual == tuple(best for (best,) in own.top)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_model_that_bars_and_forces_tokens(family):
    module = nets.net(family)
    module.generation_config.bad_words_ids = [[VOCABULARY.index(word)] for word in ("03", "it", ",")]
    module.generation_config.forced_bos_token_id = VOCABULARY.index("dog")
    model = nets.wrap(module, "text2text-generation")
    own = predict(model, TEXT).actual
    with model.borrow() as net, torch.no_grad():
        ids = net.generate(**model.encode(TEXT).inputs, do_sample=False, num_beams=1, max_length=40)[0, 1:].tolist()
    assert own == tuple(VOCABULARY[token] for token in ids[: len(own)])
    assert own[0] == "dog"


def test_classes():
    model = nets.text("classifier")
    found = predict(model, TEXT)
    best = logits("classifier").softmax(-1)
    assert dict(zip(found.top[0], found.probabilities[0], strict=True)) == pytest.approx(
        dict(zip("abc", best.tolist(), strict=True)), abs=1e-6
    )
    assert found.kind == "class"
    vision = nets.ours()
    seen = predict(vision, picture())
    assert seen.tokens == ()
    truth = vision.predict(picture())[0]
    assert seen.top[0][0] == vision.labels[truth.argmax()]
    np.testing.assert_allclose(seen.probabilities[0], np.sort(truth)[::-1], atol=1e-6)


def test_what_cant_answer_says_so():
    with pytest.raises(ExplorerError, match="answers nothing"):
        predict(nets.text("features"), TEXT)
    with pytest.raises(ExplorerError, match="only special tokens"):
        predict(nets.text("bert"), "</s>")


@pytest.mark.parametrize("family", ["gpt2", "llama", "neo", "bloom"])
def test_a_text_goes_on_as_transformers_would(family):
    model = nets.text(family)
    found = continue_(model, TEXT, 9)
    with model.borrow() as net, torch.no_grad():
        out = net.generate(
            **model.encode(TEXT).inputs, do_sample=False, max_new_tokens=9, output_scores=True,
            return_dict_in_generate=True,
        )  # fmt: skip
    ids = out.sequences[0, 14:].tolist()
    assert found.tokens == tuple(VOCABULARY[token] for token in ids)
    assert found.text == model.decode(ids)
    expected = [float(step[0].softmax(-1)[token]) for step, token in zip(out.scores, ids, strict=True)]
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


def test_chance_is_an_argument():
    model = nets.text("gpt2")

    def drawn(seed, temperature=1.0):
        return continue_(model, TEXT, 12, temperature, torch.Generator().manual_seed(seed)).tokens

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1, 1e-4) == continue_(model, TEXT, 12).tokens
    with pytest.raises(ExplorerError, match="temperature"):
        continue_(model, TEXT, 3, 1.0)
    with pytest.raises(ExplorerError, match="continues none"):
        continue_(nets.text("bert"), TEXT)


def test_the_draws_follow_the_probabilities():
    model, random = nets.text("gpt2"), torch.Generator().manual_seed(0)
    first = [continue_(model, "the cat", 1, 1.0, random).tokens[0] for _ in range(600)]
    top = predict(model, "the cat", top=1)
    assert first.count(top.top[-1][0]) / 600 == pytest.approx(top.probabilities[-1][0], abs=0.04)


def test_a_text_that_fills_the_model_goes_no_further():
    model = nets.text("gpt2")
    assert len(continue_(model, " ".join(["cat"] * 36), 9).tokens) <= 2  # 36, and two that frame them, of 40
