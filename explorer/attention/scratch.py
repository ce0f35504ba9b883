"""Attention from scratch, written to be read: one head, several heads, masks; tests prove it equal to torch's own."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


def scaled_dot_product(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Every query gathers the values of those keys that answer it.

    query: (…, Q, d). key: (…, K, d). value: (…, K, e). mask: bool, True where a query may look, fits (…, Q, K).
    Gives what was gathered, (…, Q, e), and the weights, (…, Q, K).
    A query that may look at nothing gathers nothing: weights and output are 0, never NaN, as in torch's own function.
    Source: Vaswani et al. 2017, section 3.2.1, equation 1.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (…, Q, K)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)  # e^-∞ is 0: no weight
    weights = scores.softmax(dim=-1)  # (…, Q, K), each row sums to 1
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)  # a row of nothing but -∞ is 0/0: make it 0
    return weights @ value, weights  # (…, Q, e), (…, Q, K)


def causal_mask(tokens: int) -> Tensor:
    """No token sees a later one: True where a query may look, (tokens, tokens).

    Source: Vaswani et al. 2017, section 3.2.3.
    """
    return torch.ones(tokens, tokens, dtype=torch.bool).tril()  # (T, T): key ≤ query


def padding_mask(lengths: Tensor, tokens: int) -> Tensor:
    """No token sees what only fills up a shorter text: True where there is a word, (N, 1, 1, tokens).

    lengths: (N,) the words of each text. The ones stand for every head and every query.
    """
    real = torch.arange(tokens, device=lengths.device) < lengths[:, None]  # (N, T)
    return real[:, None, None, :]  # (N, 1, 1, T)


class MultiHead(nn.Module):
    """Several heads look at once, each at its own share of the width; a linear layer mixes what they bring.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} can't be shared by {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x: (N, Q, width) looks at context: (N, K, width), or at itself. Gives (N, Q, width), (N, heads, Q, K)."""
        context = x if context is None else context
        query = self.split(self.query(x))  # (N, heads, Q, d), d = width / heads
        key = self.split(self.key(context))  # (N, heads, K, d)
        value = self.split(self.value(context))  # (N, heads, K, d)
        gathered, weights = scaled_dot_product(query, key, value, mask)  # (N, heads, Q, d), (N, heads, Q, K)
        return self.out(gathered.transpose(1, 2).flatten(2)), weights  # heads side by side: (N, Q, width)

    def split(self, x: Tensor) -> Tensor:
        """(N, T, width) → (N, heads, T, d): each head gets its own share of every token."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def from_torch(theirs: nn.MultiheadAttention) -> MultiHead:
    """Our module with the weights of torch's, which keeps query, key and value in one matrix."""
    ours = MultiHead(theirs.embed_dim, theirs.num_heads).to(theirs.in_proj_weight)
    stacked = zip(theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True)  # (width, width), (width,)
    with torch.no_grad():
        for ours_part, (weight, bias) in zip((ours.query, ours.key, ours.value), stacked, strict=True):
            ours_part.weight.copy_(weight)
            ours_part.bias.copy_(bias)
    ours.out.load_state_dict(theirs.out_proj.state_dict())
    return ours


@dataclass(frozen=True, eq=False)
class Worked:
    """One head, worked out step by step: Q queries, K keys, d numbers each."""

    query: np.ndarray  # (Q, d)
    key: np.ndarray  # (K, d)
    value: np.ndarray  # (K, d)
    mask: np.ndarray  # (Q, K) bool, True where a query may look
    scores: np.ndarray  # (Q, K) q · k / √d
    weights: np.ndarray  # (Q, K) after mask and softmax; rows sum to 1, or to 0 where nothing may be looked at
    output: np.ndarray  # (Q, d)
    difference: float  # the largest from what torch.nn.functional.scaled_dot_product_attention gives


def work_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Worked:
    """Every step of `scaled_dot_product` on a few tokens, and how far its result is from torch's own.

    query: (Q, d). key, value: (K, d). mask: (Q, K) bool.
    """
    output, weights = scaled_dot_product(query, key, value, mask)
    theirs = nn.functional.scaled_dot_product_attention(query[None], key[None], value[None], mask[None])[0]
    scores = query @ key.T / math.sqrt(query.shape[-1])  # (Q, K)
    arrays = (part.numpy() for part in (query, key, value, mask, scores, weights, output))
    return Worked(*arrays, difference=float((output - theirs).abs().max()))
