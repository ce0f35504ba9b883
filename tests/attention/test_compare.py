"""Hidden tokens and changed words, against transformers' own mask: python -m pytest tests/attention/test_compare.py"""

import numpy as np
import pytest
import torch

from explorer.attention import attend, change, mask_token, predict
from explorer.attention.compare import align
from explorer.errors import ExplorerError
from tests.attention import nets
from tests.attention.nets import TEXT, VOCABULARY, WATCHED, picture


@pytest.mark.parametrize("family", ["gpt2", "llama", "classifier", "t5", "bart"])
@pytest.mark.parametrize("positions", [[2], [0, 5]])
def test_to_hide_a_token_is_to_mask_it(family, positions):
    """Where transformers masks it too, every other token predicts the same; what it sees itself, nobody reads."""
    model = nets.text(family)
    target = "a red star" if model.kind == "encoder-decoder" else None
    found = mask_token(model, TEXT, positions, target=target, top=len(VOCABULARY))
    inputs = dict(model.encode(TEXT).inputs)
    inputs["attention_mask"] = torch.ones(1, 14, dtype=torch.long)
    inputs["attention_mask"][0, positions] = 0
    if model.kind == "decoder":
        inputs["position_ids"] = torch.arange(14)[None]
    if target:
        inputs["decoder_input_ids"] = torch.tensor([[model.start_id, *model.encode(target).ids[:-1]]])
    truth = nets.bare(family, **inputs).logits[0].softmax(-1).sort(-1, descending=True).values.reshape(-1, 1).squeeze()
    truth = truth.view(-1, 3 if family == "classifier" else len(VOCABULARY)).numpy()
    seen = [place for place in range(len(truth)) if place not in positions or model.kind != "decoder"]
    if family == "classifier" and 0 in positions:
        return  # its answer is read off the first token, which is hidden here
    np.testing.assert_allclose(found.after.probabilities[seen], truth[seen], atol=1e-6)
    np.testing.assert_allclose(found.before.probabilities, predict(model, TEXT, 99, target=target).probabilities)


@pytest.mark.parametrize("family", WATCHED)
def test_nobody_looks_at_what_is_hidden_but_itself(family):
    found = mask_token(nets.text(family), TEXT, [0, 3])
    for part in found.b.parts:
        weights = part.weights
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
        if part.name == "decoder":
            assert found.a.part("decoder").queries == part.queries
            continue
        others = [query for query in range(len(part.queries)) if part.name == "cross" or query not in (0, 3)]
        assert not weights[:, :, others][..., [0, 3]].any()
        if part.name != "cross":
            assert weights[:, :, 3, 3].all()
        assert np.isneginf(part.detail.scores[:, :, others][..., [0, 3]]).all()
    np.testing.assert_array_equal(found.a.weights, attend(nets.text(family), TEXT, detail=True).weights)
    with nets.text(family).borrow() as net:
        assert nets.hooks(net) == 0


def test_patches_of_a_picture():
    found = mask_token(nets.ours(), picture(), [4, 5])
    assert not found.b.weights[:, :, 0, [4, 5]].any()
    assert found.before.kind == "class"
    assert found.before.probabilities[0, 0] != found.after.probabilities[0, 0]


def test_differences_are_of_the_heads_outputs():
    model = nets.text("gpt2")
    other = TEXT.replace("cat", "dog")
    found = change(model, TEXT, other)
    a, b = (attend(model, text, detail=True).parts[0].detail.output for text in (TEXT, other))
    for layer, head in np.ndindex(3, 4):
        expected = np.linalg.norm(b[layer, head] - a[layer, head]) / np.linalg.norm(a[layer, head])
        assert found.changes["self"][layer, head] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(found.b.weights, attend(model, other).weights)
    np.testing.assert_allclose(found.after.surprise, predict(model, other).surprise, rtol=1e-5)
    assert found.before.tokens[2] == "cat"
    assert found.after.tokens[2] == "dog"


def test_a_causal_head_does_not_know_of_what_comes_later():
    found = change(nets.text("gpt2"), "the cat sees a star", "the cat sees a ring")
    a, b = (part.parts[0].detail.output for part in (found.a, found.b))
    np.testing.assert_allclose(a[:, :, :5], b[:, :, :5], atol=1e-6)  # <s> the cat sees a


def test_texts_of_unequal_length_are_aligned():
    found = change(nets.text("bert"), "the cat sees a ring", "the red cat sees a ring .")
    pairs = found.aligned["self"]
    assert pairs == ((0, 0), (1, 1), (2, 3), (3, 4), (4, 5), (5, 6), (6, 8))
    assert [found.a.tokens[i] for i, _ in pairs] == [found.b.tokens[j] for _, j in pairs]
    a, b = (part.parts[0].detail.output[1, 2] for part in (found.a, found.b))
    places = np.array(pairs)
    expected = np.linalg.norm(b[places[:, 1]] - a[places[:, 0]]) / np.linalg.norm(a[places[:, 0]])
    assert found.changes["self"][1, 2] == pytest.approx(expected, rel=1e-5)


def test_align():
    assert align("abc", "axc") == ((0, 0), (1, 1), (2, 2))
    assert align("abc", "abbc") == ((0, 0), (1, 1), (2, 3))
    assert align("ab", "xyz") == ()


def test_the_same_text_twice_is_no_change():
    for family in WATCHED:
        found = change(nets.text(family), TEXT, TEXT)
        assert not any(array.any() for array in found.changes.values())


def test_an_encoder_without_a_head_is_compared_too():
    found = change(nets.text("features"), "the cat runs", "the dog runs")
    assert found.before is None is found.after
    assert found.changes["self"].all()


def test_what_cant_be_compared_is_said():
    model = nets.text("gpt2")
    for positions in ([], [14], [-1], list(range(14))):
        with pytest.raises(ExplorerError, match="there are 14"):
            mask_token(model, TEXT, positions)
    with pytest.raises(ExplorerError, match="can't be read"):
        mask_token(nets.text("neo"), TEXT, [1])
    with pytest.raises(ExplorerError, match="can't be read"):
        change(nets.hub(), picture(), picture(seed=1))
