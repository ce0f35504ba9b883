"""Rollout, flow and norms against NumPy and networkx: python -m pytest tests/attention/test_flow.py"""

import networkx
import numpy as np
import pytest

from explorer.attention import Part, attend, attention_flow, norm_weighted, rollout
from explorer.errors import ExplorerError
from tests.attention import nets
from tests.attention.nets import TEXT


def part(layers=3, heads=4, tokens=6, causal=False, seed=0, name="self"):
    """Random attention, sharp enough that no two links are alike."""
    scores = np.random.default_rng(seed).normal(scale=2, size=(layers, heads, tokens, tokens))
    scores = np.where(np.tri(tokens, dtype=bool), scores, -np.inf) if causal else scores
    weights = np.exp(scores)
    weights /= weights.sum(-1, keepdims=True)
    names = tuple(f"t{number}" for number in range(tokens))
    return Part(name, names, names, weights.astype(np.float32), causal)


@pytest.mark.parametrize("heads", [None, [1], [0, 3]])
@pytest.mark.parametrize("causal", [False, True])
def test_rollout_is_a_product(heads, causal):
    given = part(causal=causal)
    found = rollout(given, heads)
    mixed = [0.5 * layer[heads or [0, 1, 2, 3]].mean(0) + 0.5 * np.eye(6) for layer in given.weights]
    for depth in range(3):
        expected = np.linalg.multi_dot(mixed[depth::-1]) if depth else mixed[0]
        np.testing.assert_allclose(found[depth], expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    assert (not np.triu(found, 1).any()) == causal


@pytest.mark.parametrize(("heads", "layers"), [(None, None), ([2], None), (None, 2)])
@pytest.mark.parametrize("causal", [False, True])
def test_flow_is_that_of_networkx(heads, layers, causal):
    given = part(causal=causal)
    graph = networkx.DiGraph()
    for number, layer in enumerate(given.weights[:layers]):
        mixed = 0.5 * layer[heads or [0, 1, 2, 3]].mean(0) + 0.5 * np.eye(6)
        for query, key in zip(*mixed.nonzero(), strict=True):
            graph.add_edge((number + 1, query), (number, key), capacity=float(mixed[query, key]))
    top = layers or 3
    for token in (0, 3, 5):
        expected = [
            networkx.maximum_flow_value(graph, (top, token), (0, key)) if (0, key) in graph else 0 for key in range(6)
        ]
        found = attention_flow(given, token, heads, layers)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert (found <= 1 + 1e-6).all()
        assert not causal or not found[token + 1 :].any()


def test_without_attention_everything_stays_where_it_is():
    still = part()
    still.weights[:] = np.eye(6)
    np.testing.assert_array_equal(rollout(still)[-1], np.eye(6))
    np.testing.assert_allclose(attention_flow(still, 4), np.eye(6)[4], atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_norms_are_of_the_vectors_themselves(family):
    """‖α (x W_V + b_V) W_O‖ of each head, query and key, from the modules (Kobayashi et al. 2020, equations 3 to 5)."""
    model = nets.text(family)
    given = attend(model, TEXT, detail=True).parts[0]
    found = norm_weighted(given)
    inputs = {}
    with model.borrow() as net:
        layer = {
            "bert": lambda: net.bert.encoder.layer[1].attention.self,
            "gpt2": lambda: net.transformer.h[1].attn,
            "t5": lambda: net.encoder.block[1].layer[0].SelfAttention,
        }[family]()
        handle = layer.register_forward_pre_hook(
            lambda part, args, kwargs: inputs.update(x=args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
        net.get_encoder()(**model.encode(TEXT).inputs) if family == "t5" else net(**model.encode(TEXT).inputs)
        handle.remove()
        x = inputs["x"][0]  # (T, width)
        if family == "bert":
            value, mixer = layer.value(x), net.bert.encoder.layer[1].attention.output.dense.weight.T
        elif family == "gpt2":
            value, mixer = layer.c_attn(x)[:, 32:], layer.c_proj.weight
        else:
            value, mixer = layer.v(x), layer.o.weight.T
        for head in range(4):
            own = slice(4 * head, 4 * head + 4)
            moved = value[:, own] @ mixer[own]  # (K, width)
            for query in (0, 5, 13):
                vectors = given.weights[1, head, query][:, None] * moved.numpy()
                np.testing.assert_allclose(found[1, head, query], np.linalg.norm(vectors, axis=-1), rtol=1e-4)


def test_what_cant_be_followed_is_said():
    with pytest.raises(ExplorerError, match="cross-attention"):
        rollout(part(name="cross"))
    with pytest.raises(ExplorerError, match="Token 6"):
        attention_flow(part(), 6)
    with pytest.raises(ExplorerError, match="layers"):
        attention_flow(part(), 0, layers=0)
    with pytest.raises(ExplorerError, match="each layer has 4"):
        rollout(part(), [4])
    with pytest.raises(ExplorerError, match="each layer has 4"):
        rollout(part(), [])
    with pytest.raises(ExplorerError, match="details"):
        norm_weighted(part())
