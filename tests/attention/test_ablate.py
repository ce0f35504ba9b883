"""Heads taken away, against networks without their weights: python -m pytest tests/attention/test_ablate.py"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from explorer.attention import ablate, importance, predict, price, sweep
from explorer.errors import ExplorerError
from tests.attention import nets
from tests.attention.nets import TEXT, WATCHED, picture

TARGET = "a red star . it runs"
CLOSE = {"rtol": 0, "atol": 2e-6}


def target(family):
    return TARGET if nets.text(family).kind == "encoder-decoder" else None


def mixer(net, family, part, layer):
    """The module that mixes the heads of a layer, and whether its weight is (out, in)."""
    if family in ("bert", "classifier"):
        return net.bert.encoder.layer[layer].attention.output.dense
    if family == "gpt2":
        return net.transformer.h[layer].attn.c_proj
    if family == "llama":
        return net.model.layers[layer].self_attn.o_proj
    if family == "t5":
        block = (net.encoder if part == "encoder" else net.decoder).block[layer].layer
        return block[1].EncDecAttention.o if part == "cross" else block[0].SelfAttention.o
    block = (net.model.encoder if part == "encoder" else net.model.decoder).layers[layer]
    return (block.encoder_attn if part == "cross" else block.self_attn).out_proj


def without(family, heads):
    """A model whose output projections read nothing of some heads."""
    net = nets.net(family)
    with torch.no_grad():
        for part, layer, head in heads:
            module = mixer(net, family, part, layer)
            own = slice(4 * head, 4 * head + 4)
            (module.weight[:, own] if isinstance(module, nn.Linear) else module.weight[own]).zero_()
    return nets.wrap(net, nets.FAMILIES[family][1])


def some(family):
    parts = ["encoder", "decoder", "cross"] if target(family) else ["self", "self"]
    return tuple((part, number % 2, number + 1) for number, part in enumerate(parts))


@pytest.mark.parametrize("family", [*WATCHED, "classifier"])
def test_to_take_heads_away_is_to_take_their_weights_away(family):
    model, heads = nets.text(family), some(family)
    found, other = ablate(model, TEXT, heads, target=target(family)), without(family, heads)
    intact, expected = predict(model, TEXT, target=target(family)), predict(other, TEXT, target=target(family))
    np.testing.assert_allclose(found.before.probabilities[:, :10], intact.probabilities, **CLOSE)
    np.testing.assert_allclose(found.after.probabilities[:, :10], expected.probabilities, **CLOSE)
    assert tuple(row[:10] for row in found.after.top) == expected.top
    assert found.kept_before == pytest.approx(intact.probabilities[:, 0], abs=2e-6)
    if family == "classifier":
        assert found.loss_before == pytest.approx(-np.log(intact.probabilities[0, 0]), abs=1e-5)
        assert (found.output_before, found.output_after) == (intact.top[0][0], expected.top[0][0])
    else:
        assert found.loss_before == pytest.approx(np.nanmean(intact.surprise), abs=1e-5)
        assert found.loss_after == pytest.approx(np.nanmean(expected.surprise), abs=1e-5)
    if family in ("gpt2", "llama", "t5", "bart"):
        for text, module in ((found.output_before, model), (found.output_after, other)):
            assert text == written(module)
    with model.borrow() as net:
        assert nets.hooks(net) == 0


def written(model):
    """What transformers' own greedy search writes."""
    inputs = model.encode(TEXT).inputs
    longest = {"max_length": 40} if model.kind == "encoder-decoder" else {"max_new_tokens": 12}
    with model.borrow() as net, torch.no_grad():
        ids = net.generate(**inputs, do_sample=False, num_beams=1, **longest)[0].tolist()
    return model.decode(ids if model.kind == "encoder-decoder" else ids[inputs["input_ids"].shape[1] :])


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_mean_is_the_same_vector_everywhere(family):
    model, seen = nets.text(family), {}

    def keep(part, inputs):
        seen["mean"] = inputs[0][..., 8:12].mean((0, 1))  # of head 2

    def put(part, inputs):
        changed = inputs[0].clone()
        changed[..., 8:12] = seen["mean"]
        return (changed,)

    other = nets.net(family)
    module = mixer(other, family, "self", 1)
    with torch.no_grad():
        handle = module.register_forward_pre_hook(keep)
        other(**model.encode(TEXT).inputs)
        handle.remove()
        module.register_forward_pre_hook(put)
    found = ablate(model, TEXT, [("self", 1, 2)], "mean")
    expected = predict(nets.wrap(other, nets.FAMILIES[family][1]), TEXT)
    np.testing.assert_allclose(found.after.probabilities[:, :10], expected.probabilities, **CLOSE)
    assert found.change != pytest.approx(ablate(model, TEXT, [("self", 1, 2)]).change, abs=1e-6)


def test_a_head_of_our_vision_transformer():
    model = nets.ours()
    net = nets.seeded(lambda: nets.own.build("vit", shape=(3, 32, 32), classes=3, patch=8, width=32, depth=3, heads=4))
    with torch.no_grad():
        net.blocks[1].attention.out.weight[:, 16:24] = 0  # of head 2
    other = nets.vision(net)
    found = ablate(model, picture(), [("self", 1, 2)])
    np.testing.assert_allclose(found.after.probabilities, predict(other, picture()).probabilities, **CLOSE)
    changes = sweep(model, picture()).changes["self"]
    assert changes.shape == (3, 4)
    assert changes[1, 2] == pytest.approx(found.change, abs=1e-6)


@pytest.mark.parametrize("how", ["zero", "mean"])
@pytest.mark.parametrize("family", [*WATCHED, "classifier"])
def test_a_sweep_is_every_head_alone(family, how, monkeypatch):
    model = nets.text(family)
    found = sweep(model, TEXT, how, target=target(family))
    for part, changes in found.changes.items():
        assert changes.shape == (3 if part == "self" else 2, 4)
        for layer, head in ((0, 3), (1, 2)):
            alone = ablate(model, TEXT, [(part, layer, head)], how, target=target(family))
            assert changes[layer, head] == pytest.approx(alone.change, abs=2e-6)
            assert found.loss == pytest.approx(alone.loss_before, abs=2e-6)
    assert found.passed == price(model, TEXT, target=target(family))
    few = 5 * 14 * len(nets.VOCABULARY)  # logits of five inputs
    monkeypatch.setattr(sys.modules["explorer.attention.predict"], "NUMBERS", few)
    for part, changes in sweep(model, TEXT, how, target=target(family)).changes.items():
        np.testing.assert_allclose(changes, found.changes[part], **CLOSE)


def test_masks_of_the_text_are_scored_by_the_networks_own_answer():
    found = ablate(nets.text("bert"), "the <mask> sees a <mask> ring", [("self", 0, 0)])
    assert found.loss_before == pytest.approx(-np.log(found.kept_before).mean(), abs=1e-6)
    assert found.loss_after == pytest.approx(-np.log(found.kept_after).mean(), abs=1e-6)
    filled = [words[0] for words in found.before.top]
    assert found.output_before.split() == ["the", filled[0], "sees", "a", filled[1], "ring"]


def test_importance_comes_text_by_text():
    model, texts = nets.text("gpt2"), [TEXT, "the cat runs .", "a dog"]
    steps = importance(model, iter(texts), "mean")
    first = next(steps)
    np.testing.assert_array_equal(first.changes["self"], sweep(model, TEXT, "mean").changes["self"])
    assert len(list(steps)) == 2
    pair = next(importance(nets.text("bert"), [("the cat runs", "it sees")]))
    np.testing.assert_array_equal(
        pair.changes["self"], sweep(nets.text("bert"), "the cat runs", text_b="it sees").changes["self"]
    )


@pytest.mark.parametrize("head", [("self", 3, 0), ("self", 0, 4), ("self", -1, 0), ("cross", 0, 0)])
def test_a_head_that_there_is_not(head):
    with pytest.raises(ExplorerError, match="It has self: 3 layers of 4 heads"):
        ablate(nets.text("gpt2"), TEXT, [head])


def test_what_cant_be_taken_away_is_said():
    for model, given in ((nets.text("neo"), TEXT), (nets.torchvision_vit(), picture())):
        with pytest.raises(ExplorerError, match="not be reached"):
            sweep(model, given)
    with pytest.raises(ExplorerError, match="zero, mean"):
        sweep(nets.text("gpt2"), TEXT, "half")
    with pytest.raises(ExplorerError, match="answers nothing"):
        sweep(nets.text("features"), TEXT)


def test_sixteen_threads_get_the_serial_results():
    model, begin = nets.wrap(nets.net("gpt2"), "text-generation"), threading.Barrier(16)
    jobs = [("self", number % 3, number % 4) for number in range(16)]
    serial = [ablate(model, TEXT, [head]) for head in jobs]

    def work(head):
        begin.wait(20)
        return ablate(model, TEXT, [head])

    with ThreadPoolExecutor(16) as threads:
        for mine, theirs in zip(serial, threads.map(work, jobs), strict=True):
            np.testing.assert_allclose(theirs.after.probabilities, mine.after.probabilities, **CLOSE)
            assert theirs.output_after == mine.output_after
    assert nets.hooks(model._pool._module) == 0


def test_what_either_side_would_show_both_know():
    """No answer that is among the likeliest with the head is missing without it, and the other way round."""
    model = nets.text("gpt2")
    found = ablate(model, TEXT, [("self", 0, 0), ("self", 1, 2)], top=3)
    truth = predict(model, TEXT, top=nets.SIZE)
    for place, (before, after) in enumerate(zip(found.before.top, found.after.top, strict=True)):
        assert set(after[:3]) <= set(before)
        assert set(before[:3]) <= set(after)
        whole = dict(zip(truth.top[place], truth.probabilities[place], strict=True))
        np.testing.assert_allclose(found.before.probabilities[place], [whole[word] for word in before], **CLOSE)
        assert (np.diff(found.before.probabilities[place]) <= 0).all()
