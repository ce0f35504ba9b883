"""Heads watched and changed, against transformers and torch: python -m pytest tests/attention/test_heads.py"""

import pytest
import torch
from torch.nn import functional

from explorer import heads
from explorer.errors import ExplorerError
from explorer.heads import watch
from tests.attention import nets
from tests.attention.nets import TEXT, WATCHED


def inputs(family):
    model = nets.text(family)
    given = dict(model.encode(TEXT).inputs)
    if model.kind == "encoder-decoder":
        given["decoder_input_ids"] = torch.tensor([[2, 5, 6, 7, 8, 9]])
    return given


def weights(out):
    """The attention weights that transformers gives, in the order in which its layers run."""
    if "encoder_attentions" not in out:
        return list(out.attentions)
    pairs = zip(out.decoder_attentions, out.cross_attentions, strict=True)
    return [*out.encoder_attentions, *(layer for pair in pairs for layer in pair)]


@pytest.mark.parametrize("family", WATCHED)
def test_weights_and_answers_are_those_of_transformers(family):
    given, out = inputs(family), nets.bare(family, **inputs(family))
    with nets.text(family).borrow() as net, torch.no_grad(), watch(net) as calls:
        logits = net(**given).logits
    assert torch.equal(logits, out.logits)
    assert len(calls) == len(weights(out)) > 1
    for call, expected in zip(calls, weights(out), strict=True):
        assert torch.equal(call.weights, expected)
        torch.testing.assert_close(call.scores.softmax(-1), expected)
        torch.testing.assert_close(call.weights @ call.value, call.output)


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_attention_is_that_of_torch(softcap):
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, number, 5, 4, generator=random) for number in (6, 2, 2))
    mask = torch.zeros(2, 1, 5, 5).masked_fill(torch.ones(5, 5).triu(1).bool(), torch.finfo(torch.float32).min)
    module = torch.nn.Identity().eval()
    output, found = heads.attention(module, query, key, value, mask, softcap=softcap)
    if softcap is None:
        expected = functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
        torch.testing.assert_close(output.transpose(1, 2), expected)
    scores = query @ key.repeat_interleave(3, 1).transpose(-2, -1) / 2
    scores = scores if softcap is None else 2 * (scores / 2).tanh()
    torch.testing.assert_close(found, (scores + mask).softmax(-1))


def test_a_head_that_may_look_at_nothing_is_refused():
    module, one = torch.nn.Identity(), torch.zeros(1, 1, 2, 4)
    with pytest.raises(ExplorerError, match="sinks"):
        heads.attention(module, one, one, one, None, s_aux=torch.zeros(1))


def test_our_vision_transformer_by_hand():
    model = nets.ours()
    x = model.preprocess(nets.picture())
    with model.borrow() as net, torch.no_grad():
        expected = net(x)
        with watch(net) as calls:
            assert torch.equal(net(x), expected)
        seen = net.embedding(x)
        for call, block in zip(calls, net.blocks, strict=True):
            inner = block.norm1(seen)
            query, key, value = (
                part(inner).view(1, 17, 4, 8).transpose(1, 2)
                for part in (block.attention.query, block.attention.key, block.attention.value)
            )
            torch.testing.assert_close(call.query, query)
            torch.testing.assert_close(call.weights, (query @ key.mT / 8**0.5).softmax(-1))
            torch.testing.assert_close(call.output, functional.scaled_dot_product_attention(query, key, value))
            seen = block(seen)


@pytest.mark.parametrize("make", [nets.ours, lambda: nets.hub("ViT", heads.implementation())])
def test_changes_and_hidden_keys_reach_the_answer(make):
    model = make()
    x = model.preprocess(nets.picture())
    hidden = torch.zeros(17, 17, dtype=torch.bool)
    hidden[:, 3] = True
    with model.borrow() as net, torch.no_grad():
        expected = net(x)
        with watch(net, {1: torch.zeros_like}) as calls:
            changed = net(x)
        assert not calls[1].output.any()
        assert calls[0].output.any()
        assert not torch.equal(changed, expected)
        with watch(net, hidden={0: hidden}) as calls:
            net(x)
        assert not calls[0].weights[..., 3].any()
        assert calls[1].weights[..., 3].all()
        assert torch.isneginf(calls[0].scores[..., 3]).all()
        torch.testing.assert_close(calls[0].weights.sum(-1), torch.ones(1, 4, 17))
        with watch(net, keep=False) as calls:
            assert torch.equal(net(x), expected)
        assert not calls


@pytest.mark.parametrize("make", [nets.ours, lambda: nets.text("gpt2")])
def test_nothing_is_left_after_an_error(make):
    model = make()
    with model.borrow() as net:
        with pytest.raises(ZeroDivisionError), watch(net, {0: lambda output: 1 / 0}):
            net(**inputs("gpt2")) if make is not nets.ours else net(model.preprocess(nets.picture()))
        assert nets.hooks(net) == 0
        assert heads._watching.get() is None


def test_one_watch_inside_another():
    with nets.text("gpt2").borrow() as net, torch.no_grad(), watch(net) as outer:
        net(**inputs("gpt2"))
        with watch(net) as inner:
            net(**inputs("gpt2"))
        net(**inputs("gpt2"))
    assert (len(inner), len(outer)) == (3, 6)
