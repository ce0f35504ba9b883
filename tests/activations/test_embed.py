"""One vector for each example: python -m pytest tests/activations/test_embed.py"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explorer import zoo
from explorer.activations import capture, sample
from explorer.activations.embed import (
    MOST,
    SMALL,
    Selection,
    checkpoints_shown,
    embed,
    examples,
    may_be_flat,
    raw,
    told_place,
    untrained,
)
from explorer.errors import ExplorerError
from tests.activations import nets

LENET, GPT, BERT, DATES = "zoo:digits-lenet", "zoo:story-gpt", "zoo:story-bert", "zoo:dates-seq2seq"
DIGITS, POINTS = "zoo:digits-diffusion", "zoo:points-diffusion"


def untouched(model) -> bool:
    with model.borrow() as first:
        pass
    with model.borrow() as again:
        return again is first and not any(part._forward_hooks for part in again.modules())


def close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_by_default_they_are_what_the_last_linear_layer_reads():
    model = zoo.load(LENET)
    found = embed(Selection(LENET, 300), model)
    seen = capture(model, sample(model, 300), ["fc2"], want=("input",))
    assert found.layer == "what fc2 reads"
    close(found.vectors, seen["fc2"].input)
    np.testing.assert_array_equal(found.answers, seen.answer.argmax(1))
    assert found.names == model.labels
    assert untouched(model)


def test_maps_are_averaged_or_flattened():
    model = zoo.load(LENET)
    layer = next(one for one in capture(model) if one.output is not None and one.output.ndim == 4).name
    seen = capture(model, sample(model, 20), [layer])[layer].output  # (N, C, H, W)
    asked = Selection(LENET, 20, layer)
    close(embed(asked).vectors, seen.mean((2, 3)))
    close(embed(replace(asked, flat=True)).vectors, seen.reshape(20, -1))


def test_a_second_call_of_a_layer_and_one_that_is_written_into(monkeypatch):
    model = nets.model(nets.seeded(nets.Awkward))
    monkeypatch.setattr("explorer.activations.embed.dataset", lambda *asked: zoo_data())
    for layer in ("again", "again#2", "named", "pair"):
        seen = capture(model, zoo_data().x[:5], [layer.partition("#")[0]])[layer].output
        close(embed(Selection("file:tiny", 5, layer), model).vectors, seen.mean((2, 3)))
    assert told_place(model, Selection("file:tiny")) == "what head reads"
    for layer, why in (("silent", "no numbers"), ("unused", "no numbers"), ("nowhere", "none of that name")):
        with pytest.raises(ExplorerError, match=why):
            embed(Selection("file:tiny", 5, layer), model)
    assert untouched(model)


def zoo_data():
    from explorer import data

    found = data.load("digits", "test")
    return replace(found, x=np.repeat(found.x[:40], 3, 3), y=found.y[:40].copy())


@pytest.mark.parametrize(("ref", "place"), [(GPT, "transformer"), (BERT, "bert"), (DATES, "model")])
def test_of_texts_it_is_the_mean_of_the_last_states_of_the_tokens_that_count(ref, place):
    model = zoo.load(ref)
    given = sample(model, 40)
    seen = capture(model, given, [place])[place].output  # (N, T, W)
    kept = given.keep.numpy()
    assert kept.all() == (ref == DATES)  # all dates are answered at one length
    expected = [states[row].mean(0) for states, row in zip(seen, kept, strict=True)]
    found = embed(Selection(ref, 40), model)
    close(found.vectors, expected)
    assert found.answers is None
    shown = examples(Selection(ref, 40), model)
    assert len(shown) == len(shown.texts) == 40
    assert shown.y is None
    assert (" → " in shown.texts[0]) == (ref == DATES)


def test_the_encoder_side_has_its_own_filling():
    model = zoo.load(DATES)
    given = sample(model, 60)
    layer = "model.encoder.layers.0"
    seen = capture(model, given, [layer])[layer].output
    kept = given.inputs["attention_mask"].numpy().astype(bool)
    assert not kept.all()
    expected = [states[row].mean(0) for states, row in zip(seen, kept, strict=True)]
    close(embed(Selection(DATES, 60, layer), model).vectors, expected)


def test_of_a_denoiser_it_is_the_middle_block_at_a_time():
    model = zoo.load(DIGITS)
    place = "unet.mid_block"
    for time in (0.2, 0.8):
        seen = capture(model, sample(model, 10, time=time), [place])[place].output
        close(embed(Selection(DIGITS, 10, time=time), model).vectors, seen.mean((2, 3)))
    assert embed(Selection(DIGITS, 10), model).answers is None
    assert embed(Selection(POINTS, 10)).layer == "what unet.out reads"


def test_what_can_t_be_embedded_is_refused():
    for count in (0, 2, MOST + 1):
        with pytest.raises(ExplorerError, match="there can be 3 to 2,000"):
            embed(Selection(LENET, count))
    with pytest.raises(ExplorerError, match="it is of the kind points"):
        embed(Selection(LENET, 10, dataset="points"))
    with pytest.raises(ExplorerError, match="unequal length"):
        embed(Selection(GPT, 10, "transformer.h.0", flat=True))
    net = nn.Sequential(nn.Conv2d(1, 100, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(100, 10))
    wide = nets.model(nets.seeded(lambda: net), (1, 8, 8), 10)
    with pytest.raises(ExplorerError, match="not known"):
        embed(Selection("file:tiny", 10), wide)
    assert embed(Selection("file:tiny", 10, "0", dataset="digits"), wide).vectors.shape == (10, 100)
    with pytest.raises(ExplorerError, match=f"{SMALL:,} is the most"):
        embed(Selection("file:tiny", 10, "0", flat=True, dataset="digits"), wide)
    assert not may_be_flat((100, 8, 8))
    assert may_be_flat((64, 8, 8))
    assert not may_be_flat((64,))


def test_where_less_is_there_all_of_it_is_taken():
    assert len(embed(Selection(LENET, 500)).vectors) == len(examples(Selection(LENET, 500))) == 359


def test_an_untrained_network_has_other_weights_of_the_same_shapes():
    for ref in (LENET, GPT, DIGITS):
        model = zoo.load(ref)
        other = untrained(model)
        learnt, fresh = embed(Selection(ref, 20), model).vectors, embed(Selection(ref, 20), other).vectors
        assert learnt.shape == fresh.shape
        assert not np.allclose(learnt, fresh)
        np.testing.assert_array_equal(fresh, embed(Selection(ref, 20), untrained(model)).vectors)
    assert untrained(nets.model(nets.seeded(nets.Awkward))) is None


def test_raw_numbers_are_the_pixels():
    shown = examples(Selection(LENET, 7))
    np.testing.assert_array_equal(raw(shown), shown.pixels.reshape(7, 64))
    assert raw(examples(Selection(GPT, 7))) is None


def test_progress_is_told_and_can_end_it():
    told = []
    embed(Selection(LENET, 359), on_step=told.append)
    assert told[-1] == 1.0
    assert told == sorted(told)

    def stop(share: float) -> None:
        raise InterruptedError

    model = zoo.load(LENET)
    with pytest.raises(InterruptedError):
        embed(Selection(LENET, 359), model, stop)
    with model.borrow() as net:
        assert not any(part._forward_hooks for part in net.modules())


def test_checkpoints_are_evenly_chosen_with_both_ends():
    assert checkpoints_shown([0, 4, 9], 12) == (0, 4, 9)
    assert checkpoints_shown(list(range(0, 230, 10)), 12) == tuple(range(0, 230, 20))


def test_inference_mode_outside_changes_nothing():
    plain = embed(Selection(LENET, 10)).vectors
    with torch.inference_mode():
        np.testing.assert_array_equal(embed(Selection(LENET, 10)).vectors, plain)
