"""Attention from scratch is torch's attention: python -m pytest tests/attention/test_scratch.py"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from explorer.attention import scratch

N, T, WIDTH, HEADS = 3, 7, 12, 4
LENGTHS = torch.tensor([7, 4, 1])  # words of each text


def randn(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, requires_grad=True)


def masks() -> dict[str, torch.Tensor | None]:
    causal, padding = scratch.causal_mask(T), scratch.padding_mask(LENGTHS, T)
    return {"none": None, "causal": causal, "padding": padding, "both": causal & padding}


def gradients(output: torch.Tensor, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    weight = randn(*output.shape, seed=9).detach()
    return torch.autograd.grad((output * weight).sum(), inputs)


@pytest.mark.parametrize("name", masks())
def test_one_head_is_torch_s_forward_and_backward(name):
    mask = masks()[name]
    inputs = [randn(N, HEADS, T, 5, seed=seed) for seed in range(3)]
    output, weights = scratch.scaled_dot_product(*inputs, mask)
    theirs = functional.scaled_dot_product_attention(*inputs, mask)
    torch.testing.assert_close(output, theirs)
    torch.testing.assert_close(weights.sum(-1), torch.ones(N, HEADS, T, dtype=torch.float64))
    torch.testing.assert_close(gradients(output, inputs), gradients(theirs, inputs))


def test_queries_keys_and_values_may_differ_in_number_and_width():
    query, key, value = randn(N, 2, 6), randn(N, 5, 6, seed=1), randn(N, 5, 3, seed=2)
    output, weights = scratch.scaled_dot_product(query, key, value)
    assert (output.shape, weights.shape) == ((N, 2, 3), (N, 2, 5))
    torch.testing.assert_close(output, functional.scaled_dot_product_attention(query, key, value))


def test_two_tokens_worked_out_by_hand():
    query = key = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    _, weights = scratch.scaled_dot_product(query, key, torch.eye(2))
    high = math.exp(1 / math.sqrt(2))
    torch.testing.assert_close(weights, torch.tensor([[high, 1.0], [1.0, high]]) / (high + 1))


@pytest.mark.parametrize("name", masks())
def test_several_heads_are_torch_s_forward_and_backward(name):
    torch_s, ours, x = twins()
    mask = masks()[name]
    output, weights = ours(x, mask=mask)
    forbidden = {
        "attn_mask": ~scratch.causal_mask(T) if name in ("causal", "both") else None,
        "key_padding_mask": ~scratch.padding_mask(LENGTHS, T)[:, 0, 0] if name in ("padding", "both") else None,
    }
    theirs, their_weights = torch_s(x, x, x, average_attn_weights=False, **forbidden)
    torch.testing.assert_close(output, theirs)
    torch.testing.assert_close(weights, their_weights)
    inside = [ours.query.weight, ours.key.weight, ours.value.weight]
    got, *parts, out = gradients(output, [x, *inside, ours.out.weight])
    expected, stacked, their_out = gradients(theirs, [x, torch_s.in_proj_weight, torch_s.out_proj.weight])
    torch.testing.assert_close((got, torch.cat(parts), out), (expected, stacked, their_out))


def test_cross_attention_is_torch_s():
    torch_s, ours, x = twins()
    context = randn(N, 5, WIDTH, seed=4)
    torch.testing.assert_close(ours(x, context)[0], torch_s(x, context, context)[0])


def test_under_a_causal_mask_a_later_token_changes_no_earlier_output():
    _, ours, x = twins()
    other = x.detach().clone()
    other[:, 4] += 1
    with torch.no_grad():
        before, after = ours(x, mask=scratch.causal_mask(T))[0], ours(other, mask=scratch.causal_mask(T))[0]
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.isclose(before[:, 4:], after[:, 4:]).all(-1).any()


def test_what_fills_up_a_text_changes_nothing_in_it():
    _, ours, x = twins()
    with torch.no_grad():
        padded = ours(x, mask=scratch.padding_mask(LENGTHS, T))[0]
        for text, length in enumerate(LENGTHS):
            alone = ours(x[text : text + 1, :length])[0]
            torch.testing.assert_close(padded[text, :length], alone[0])


def test_who_may_look_at_nothing_gathers_nothing_and_spoils_no_gradient():
    mask = torch.ones(T, T, dtype=torch.bool)
    mask[2] = False
    inputs = [randn(N, T, 5, seed=seed) for seed in range(3)]
    output, weights = scratch.scaled_dot_product(*inputs, mask)
    assert (output[:, 2] == 0).all()
    assert (weights[:, 2] == 0).all()
    theirs = functional.scaled_dot_product_attention(*inputs, mask)
    torch.testing.assert_close(output, theirs)
    found = gradients(output, inputs)
    assert all(torch.isfinite(gradient).all() for gradient in found)
    assert (found[0][:, 2] == 0).all()


def test_in_torch_s_module_that_row_is_nan_as_the_page_says():
    torch_s, ours, x = twins()
    mask = torch.ones(T, T, dtype=torch.bool)
    mask[2] = False
    assert torch_s(x, x, x, attn_mask=~mask)[0][:, 2].isnan().all()
    assert torch.equal(ours(x, mask=mask)[0][:, 2], ours.out.bias.expand(N, -1))


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="width of 10 can't be shared by 4 heads"):
        scratch.MultiHead(10, 4)


def test_what_is_worked_out_is_what_the_code_gives():
    query, key, value = (randn(4, 3, seed=seed).detach() for seed in range(3))
    mask = scratch.causal_mask(4)
    found = scratch.work_out(query, key, value, mask)
    output, weights = scratch.scaled_dot_product(query, key, value, mask)
    assert (found.output == output.numpy()).all()
    assert (found.weights == weights.numpy()).all()
    assert found.scores == pytest.approx((query @ key.T / math.sqrt(3)).numpy())
    assert found.difference < 1e-12


def twins() -> tuple[nn.MultiheadAttention, scratch.MultiHead, torch.Tensor]:
    """Torch's module, ours with its weights, and (N, T, WIDTH) to give to both."""
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for seed, parameter in enumerate(theirs.parameters()):
            parameter.copy_(randn(*parameter.shape, seed=seed) / 3)
    return theirs, scratch.from_torch(theirs), randn(N, T, WIDTH, seed=8)
