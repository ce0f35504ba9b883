"""Positions are those of the papers and of transformers: python -m pytest tests/attention/test_positions.py"""

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention

from explorer.attention import positions
from explorer.params import check, params


def randn(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("tokens", "width", "base"), [(50, 16, 10_000.0), (7, 2, 100.0), (128, 64, 1e6)])
def test_sinusoidal_is_the_formula(tokens, width, base):
    expected = np.empty((tokens, width))
    for position in range(tokens):
        for i in range(width // 2):
            angle = position / base ** (2 * i / width)
            expected[position, 2 * i], expected[position, 2 * i + 1] = math.sin(angle), math.cos(angle)
    np.testing.assert_allclose(positions.sinusoidal(tokens, width, base).numpy(), expected, atol=1e-6)


def test_sinusoidal_rows_have_one_length_and_know_only_the_distance():
    found = positions.encoding("sinusoidal", 40, 32)
    np.testing.assert_allclose(np.square(found.picture).sum(1), 16, rtol=1e-5)
    np.testing.assert_allclose(found.low, found.high, atol=1e-5)
    assert found.mean[0, 0] == pytest.approx(1)


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_rotary_is_llama_s(base):
    heads, width, tokens = 4, 16, 90
    config = LlamaConfig(
        hidden_size=heads * width, num_attention_heads=heads, max_position_embeddings=tokens,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )  # fmt: skip
    place = torch.arange(tokens)
    query, key = randn(2, heads, tokens, width).float(), randn(2, heads, tokens, width, seed=1).float()
    cos, sin = LlamaRotaryEmbedding(config)(query, place[None])
    theirs = apply_rotary_pos_emb(query, key, cos, sin)
    torch.testing.assert_close(positions.rotary(query, place, base), theirs[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(positions.rotary(key, place, base), theirs[1], atol=1e-5, rtol=1e-5)


def test_rotary_keeps_lengths_and_scores_know_only_the_distance():
    query, key = randn(1, 24), randn(1, 24, seed=1)

    def score(at: int, other: int) -> float:
        turned = positions.rotary(query, torch.tensor([at])), positions.rotary(key, torch.tensor([other]))
        return (turned[0] @ turned[1].T).item()

    assert positions.rotary(query, torch.tensor([77])).norm().item() == pytest.approx(query.norm().item())
    for shift in (1, 40, 1000, 100_000):
        assert score(9 + shift, 3 + shift) == pytest.approx(score(9, 3), abs=1e-8)
    assert abs(score(9, 4) - score(9, 3)) > 1e-3


def test_rotary_of_a_pair_turns_it_by_hand():
    turned = positions.rotary(torch.tensor([[1.0, 0.0]]), torch.tensor([2]))
    torch.testing.assert_close(turned, torch.tensor([[math.cos(2), math.sin(2)]]))


def test_a_pair_comes_round_after_its_turn():
    found = positions.encoding("rotary", 64, 16, 100.0)
    assert found.turns[0] == pytest.approx(2 * math.pi)
    np.testing.assert_allclose(found.turns, 2 * math.pi * 100 ** (np.arange(8) / 8))


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="width of 7"):
        positions.sinusoidal(3, 7)


def test_learned_adds_its_rows():
    module = positions.Learned(9, 4)
    x = randn(2, 5, 4).float()
    torch.testing.assert_close(module(x) - x, module.table.weight[:5].expand(2, -1, -1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (16, 40)])
def test_relative_buckets_are_t5_s(buckets, furthest):
    distance = torch.arange(-300, 301)
    theirs = T5Attention._relative_position_bucket(distance, True, buckets, furthest)
    assert torch.equal(positions.relative_bucket(distance, buckets, furthest), theirs)


def test_alibi_takes_off_what_the_paper_says():
    bias = positions.alibi(8, 6)
    rates = [2.0 ** -(head + 1) for head in range(8)]  # section 3: 1/2, 1/4 … 1/256 for eight heads
    for head, rate in enumerate(rates):
        for query in range(6):
            assert bias[head, query, : query + 1].tolist() == [-rate * (query - key) for key in range(query + 1)]
    with pytest.raises(ValueError, match="not for 6"):
        positions.alibi(6, 4)


@pytest.mark.parametrize("kind", positions.KINDS)
def test_every_kind_is_drawn_up_within_the_range_of_its_controls(kind):
    known = params(positions.encoding)
    for end in ("low", "high"):
        asked = {name: type(known[name].default)(getattr(known[name].control, end)) for name in ("tokens", "width")}
        found = positions.encoding(**check(positions.encoding, {"kind": kind, **asked}, "test"))
        assert len(found.picture) == asked["tokens"]
        assert found.mean.shape == found.low.shape == found.high.shape == (len(found.lines), asked["tokens"])
        assert (found.low <= found.mean + 1e-6).all()
        assert (found.mean <= found.high + 1e-6).all()
        assert np.isfinite(found.picture).all()


def test_what_a_shipped_network_has_learned_knows_of_the_grid():
    table = positions.trained_table()
    found = positions.encoding("learned", table=table)
    assert found.picture.shape == table.shape
    row = int(math.sqrt(len(table) - 1))  # patches a row, after the class token
    apart = found.mean[0]
    assert apart[row] > apart[row - 3]  # a row further down is more alike than a few columns less
    assert apart[row] > apart[row + 3]
