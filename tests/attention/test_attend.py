"""Attention against transformers' own, and its arithmetic: python -m pytest tests/attention/test_attend.py"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from explorer import heads
from explorer.attention import attend
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.zoo.model import Logits
from tests.attention import nets
from tests.attention.nets import TEXT, WATCHED, picture

CLOSE = {"rtol": 0, "atol": 1e-6}
TARGET = "a red star . it runs"


def expected(family, target=None):
    """transformers' own weights by part, (L, H, Q, K)."""
    model = nets.text(family)
    given = dict(model.encode(TEXT).inputs)
    if model.kind != "encoder-decoder":
        return {"self": torch.cat(nets.bare(family, **given).attentions).numpy()}
    ids = model.tokenizer(target)["input_ids"]
    begin = model.config.decoder_start_token_id
    out = nets.bare(family, **given, decoder_input_ids=torch.tensor([[begin, *ids[:-1]]]))
    return {part: torch.cat(getattr(out, f"{part}_attentions")).numpy() for part in ("encoder", "decoder", "cross")}


@pytest.mark.parametrize("family", [*WATCHED, "classifier", "features", "neo", "bloom"])
def test_weights_are_those_of_transformers(family):
    target = TARGET if nets.text(family).kind == "encoder-decoder" else None
    found, truth = attend(nets.text(family), TEXT, target=target), expected(family, target)
    assert [part.name for part in found.parts] == list(truth)
    for part in found.parts:
        np.testing.assert_allclose(part.weights, truth[part.name], **CLOSE)
        np.testing.assert_allclose(part.weights.sum(-1), 1, atol=1e-5)
        assert part.weights.shape[2:] == (len(part.queries), len(part.keys))
        assert part.weights.dtype == np.float32
        assert (np.triu(part.weights, 1) == 0).all() == part.causal
        assert part.detail is None


def test_a_text_is_named_token_by_token():
    found = attend(nets.text("bert"), TEXT)
    assert found.tokens == ("<s>", *TEXT.split(), "</s>")
    assert found.words == (None, *range(12), None)
    assert found.segments == ()
    assert found.patches is None
    assert (found.parts[0].layers, found.parts[0].heads) == (3, 4)


def test_a_pair_of_texts():
    found = attend(nets.text("bert"), "the cat runs .", "it sees a star")
    assert "".join(map(str, found.segments)) == "00000011111"
    assert len(found.segments) == len(found.tokens)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_decoder_reads_its_own_answer_or_what_it_is_given(family):
    model = nets.text(family)
    begin = nets.VOCABULARY[model.config.decoder_start_token_id]
    cross = attend(model, TEXT, target=TARGET).part("cross")
    assert cross.queries == (begin, "<s>", *TARGET.split())  # and the end is said, not read
    assert cross.keys == ("<s>", *TEXT.split(), "</s>")
    np.testing.assert_array_equal(attend(model, TEXT, TARGET).part("cross").weights, cross.weights)
    with model.borrow() as net, torch.no_grad():
        own = net.generate(**model.encode(TEXT).inputs, do_sample=False, num_beams=1, max_length=40)[0].tolist()
    ours = attend(model, TEXT).part("decoder").queries
    assert ours == tuple(nets.VOCABULARY[token] for token in own[: len(ours)])
    assert len(own) - len(ours) == 1


def projection(net, family, part, layer):
    """The output projection of a layer, (H · d, width)."""
    if family == "bert":
        return net.bert.encoder.layer[layer].attention.output.dense.weight.T
    if family == "gpt2":
        return net.transformer.h[layer].attn.c_proj.weight
    if family == "llama":
        return net.model.layers[layer].self_attn.o_proj.weight.T
    if family == "t5":
        block = (net.encoder if part == "encoder" else net.decoder).block[layer].layer
        return block[1].EncDecAttention.o.weight.T if part == "cross" else block[0].SelfAttention.o.weight.T
    block = (net.model.encoder if part == "encoder" else net.model.decoder).layers[layer]
    return (block.encoder_attn if part == "cross" else block.self_attn).out_proj.weight.T


@pytest.mark.parametrize("family", WATCHED)
def test_the_arithmetic_adds_up(family):
    model = nets.text(family)
    found = attend(model, TEXT, detail=True, target=TARGET if model.kind == "encoder-decoder" else None)
    for part in found.parts:
        detail = part.detail
        scaling = np.array(detail.scaling)[:, None, None, None]
        scores = detail.query @ detail.key.swapaxes(-2, -1) * scaling
        if detail.bias is not None:
            scores = scores + detail.bias
        if part.causal:
            scores = np.where(np.tri(scores.shape[-1], dtype=bool), scores, -np.inf)
        np.testing.assert_allclose(detail.scores, scores, rtol=1e-5, atol=1e-5)
        powers = np.exp(detail.scores - detail.scores.max(-1, keepdims=True))
        np.testing.assert_allclose(part.weights, powers / powers.sum(-1, keepdims=True), **CLOSE)
        np.testing.assert_allclose(detail.output, part.weights @ detail.value, atol=1e-5)
        with model.borrow() as net:
            for layer in range(part.layers):
                mixer = projection(net, family, part.name, layer).view(4, 4, -1).numpy()  # (H, d, width)
                norms = np.linalg.norm(detail.value[layer] @ mixer, axis=-1)
                np.testing.assert_allclose(detail.norms[layer], norms, rtol=1e-5)
    assert (found.parts[0].detail.bias is not None) == (family == "t5")
    assert found.parts[0].detail.scaling == (1.0 if family == "t5" else 0.5,) * found.parts[0].layers


def test_grouped_queries_are_told_head_by_head():
    detail = attend(nets.text("llama"), TEXT, detail=True).parts[0].detail
    assert detail.query.shape == detail.key.shape == detail.value.shape == (3, 4, 14, 4)
    np.testing.assert_array_equal(detail.key[:, 0], detail.key[:, 1])  # two heads share one key


def test_where_heads_cant_be_watched_there_is_no_detail():
    for model, given in ((nets.text("neo"), TEXT), (nets.hub(), picture()), (nets.torchvision_vit(), picture())):
        part = attend(model, given, detail=True).parts[0]
        assert part.detail is None
        np.testing.assert_allclose(part.weights.sum(-1), 1, atol=1e-5)


VISION = {
    "ours": (nets.ours, 1),
    "hub": (lambda: nets.hub("ViT"), 1),
    "watched": (lambda: nets.hub("ViT", heads.implementation()), 1),
    "distilled": (lambda: nets.hub("DeiT"), 2),
    "registers": (lambda: nets.hub("Dinov2WithRegisters", heads.implementation(), mlp_ratio=2), 5),
    "torchvision": (nets.torchvision_vit, 1),
}


@pytest.mark.parametrize("name", VISION)
def test_a_picture(name):
    make, before = VISION[name]
    model = make()
    found = attend(model, picture(), detail=True)
    assert (found.patches.before, found.patches.rows, found.patches.columns) == (before, 4, 4)
    assert found.tokens[before] == "row 1, column 1"
    assert found.tokens[-1] == "row 4, column 4"
    assert len(found.tokens) == before + 16 == len(set(found.tokens)) == found.weights.shape[-1]
    np.testing.assert_allclose(found.patches.picture.astype(int), picture(), atol=1)
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    assert not found.parts[0].causal
    assert (found.parts[0].detail is not None) == (name in ("ours", "watched", "registers"))


def test_pictures_are_seen_as_transformers_says():
    model = nets.hub("ViT")
    with model.borrow() as net, torch.no_grad():
        truth = net.net(pixel_values=model.preprocess(picture()), output_attentions=True).attentions
    for found in (model, nets.hub("ViT", heads.implementation())):
        np.testing.assert_allclose(attend(found, picture()).weights, torch.cat(truth), **CLOSE)


def test_our_norms_go_through_the_heads_share():
    model = nets.ours()
    detail = attend(model, picture(), detail=True).parts[0].detail
    with model.borrow() as net:
        mixer = net.blocks[1].attention.out.weight.T.view(4, 8, 32).numpy()
    np.testing.assert_allclose(detail.norms[1], np.linalg.norm(detail.value[1] @ mixer, axis=-1), rtol=1e-5)


def test_a_shipped_model():
    found = attend("zoo:shapes-vit", np.full((64, 64, 3), 90, np.uint8))
    assert found.ref == "zoo:shapes-vit"
    assert found.weights.shape[-1] == found.patches.before + found.patches.rows * found.patches.columns


def windowed():
    """A Swin transformer, whose tokens see only their neighbours."""
    config = transformers.SwinConfig(
        image_size=32, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=4, num_labels=3
    )
    config._attn_implementation = heads.implementation()
    return nets.vision(Logits(nets.seeded(lambda: transformers.SwinForImageClassification(config)).eval()))


@pytest.mark.parametrize(
    ("make", "given", "wrong"),
    [
        (lambda: nets.text("mamba"), TEXT, "no attention weights"),
        (windowed, picture(), "one window"),
        (lambda: nets.text("bert"), picture(), "reads texts"),
        (nets.ours, TEXT, "reads pictures"),
        (lambda: "zoo:digits-lenet", np.zeros((8, 8), np.uint8), "no attention weights"),
        (nets.ours, np.zeros((2, 32, 32, 3), np.uint8), "2 of them"),
    ],
    ids=["mamba", "swin", "picture", "text", "lenet", "two"],
)
def test_what_cant_be_read_is_said(make, given, wrong):
    with pytest.raises(ExplorerError, match=wrong):
        attend(make(), given)


def test_layers_with_other_numbers_of_heads():
    model = nets.ours()
    with model.borrow() as net:
        module = net
        module.blocks[1].attention.heads = 2
        uneven = nets.vision(module)
    with pytest.raises(ExplorerError, match="different numbers of heads"):
        attend(uneven, picture())


def test_too_many_tokens(monkeypatch):
    limits = replace(settings().limits, tokens=13)
    monkeypatch.setattr(
        sys.modules["explorer.attention.reading"], "settings", lambda: replace(settings(), limits=limits)
    )
    with pytest.raises(ExplorerError, match="14 tokens, and this server takes up to 13"):
        attend(nets.text("bert"), TEXT)
    few = replace(settings().limits, cache=3 * 4 * 17 * 17 * 4 - 1)
    monkeypatch.setattr(sys.modules["explorer.attention.attend"], "settings", lambda: replace(settings(), limits=few))
    with pytest.raises(ExplorerError, match="more weights than this server holds"):
        attend(nets.ours(), picture())


THREADS = 16


@pytest.mark.parametrize("make", [lambda: nets.wrap(nets.net("gpt2"), "text-generation"), nets.ours])
def test_sixteen_threads_get_the_serial_results(make):
    model, begin = make(), threading.Barrier(THREADS)
    words = TEXT.split()
    inputs = [picture(seed=n) if make is nets.ours else " ".join(words[n % 5 :]) for n in range(2 * THREADS)]
    serial = [attend(model, given, detail=True) for given in inputs]

    def work(number):
        if number < THREADS:
            begin.wait(20)
        if number % 5 == 4:  # some fail in the middle of a pass
            given = model.encode(TEXT).inputs if make is not nets.ours else {"x": model.preprocess(inputs[number])}
            with pytest.raises(ZeroDivisionError), model.borrow() as net, heads.watch(net, {1: lambda output: 1 / 0}):
                net(**given)
            return None
        return attend(model, inputs[number], detail=True)

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(work, range(2 * THREADS)))
    for mine, theirs in zip(serial, found, strict=True):
        if theirs is not None:
            np.testing.assert_allclose(theirs.weights, mine.weights, **CLOSE)
            np.testing.assert_allclose(theirs.parts[0].detail.norms, mine.parts[0].detail.norms, rtol=1e-5)
    assert nets.hooks(model._pool._module) == 0
    assert model._pool._idle
    assert all(nets.hooks(tree.module) == 0 for tree in model._pool._idle)
