"""What is sent of attention arrives within half a step, is small, and refuses what does not fit together."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer.attention.base import AttentionPatterns, Detail, Part, Patches
from explorer.ui.attention_views import FINE, LAYER, WINDOW, Selection, _read, encode, fit, valid

STORY = "the cat that the dogs near the old house saw was very small and it ran away from the noisy street"


def attended(layers: int, heads: int, queries: int, keys: int, causal: bool = False, size: int = 8, seed: int = 0,
             bias: bool = False) -> tuple[np.ndarray, Detail]:  # fmt: skip
    """Real attention over random queries, keys and values: (weights, what they come from)."""
    random = np.random.default_rng(seed)
    shape = (layers, heads)
    query, key, value = (random.normal(size=(*shape, n, size)).astype(np.float32) for n in (queries, keys, keys))
    query *= 2
    added = random.normal(size=(*shape, queries, keys)).astype(np.float32) if bias else None
    scores = query @ key.swapaxes(-1, -2) * size**-0.5 + (0 if added is None else added)
    if causal:
        scores = np.where(np.tri(queries, keys, dtype=bool), scores, -np.inf)
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    weights = (raised / raised.sum(-1, keepdims=True)).astype(np.float32)
    norms = np.linalg.norm(value, axis=-1)
    return weights, Detail(query, key, value, scores, added, weights @ value, norms, (size**-0.5,) * layers)


def named(count: int) -> tuple[str, ...]:
    words = STORY.split()
    return tuple(words[i % len(words)] for i in range(count))


def text(layers: int = 2, heads: int = 4, count: int = 20, causal: bool = True, told: bool = True, seed: int = 0,
         size: int = 8) -> AttentionPatterns:  # fmt: skip
    """A decoder's, or an encoder's between [CLS] and [SEP]."""
    weights, detail = attended(layers, heads, count, count, causal, size, seed)
    tokens = named(count) if causal else ("[CLS]", *named(count - 2), "[SEP]")
    words = tuple(range(count)) if causal else (None, *range(count - 2), None)
    return AttentionPatterns("zoo:test", (Part("self", tokens, tokens, weights, causal, detail if told else None),),
                             words=words)  # fmt: skip


def pair(count: int = 16) -> AttentionPatterns:
    """Two sentences."""
    half = count // 2
    tokens = ("[CLS]", *named(half - 2), "[SEP]", *named(count - half - 1), "[SEP]")
    weights, _ = attended(2, 3, count, count)
    words = (None, *range(half - 2), None, *range(count - half - 1), None)
    part = Part("encoder", tokens, tokens, weights, False)
    return AttentionPatterns("zoo:test", (part,), (0,) * half + (1,) * (count - half), words)


def translation() -> AttentionPatterns:
    """Encoder, decoder and cross, with a bias in the encoder."""
    source, target = (*named(9), "</s>"), ("<s>", *"2021-03-03")
    parts = []
    for name, queries, keys in (("encoder", source, source), ("decoder", target, target), ("cross", target, source)):
        causal = name == "decoder"
        weights, detail = attended(2, 4, len(queries), len(keys), causal, bias=name == "encoder")
        parts.append(Part(name, queries, keys, weights, causal, detail))
    return AttentionPatterns("zoo:test", tuple(parts))


def seen(rows: int = 6, columns: int = 6) -> AttentionPatterns:
    """A picture of coloured fields in patches, with a class token."""
    count = rows * columns + 1
    tokens = ("[CLS]", *(f"{row},{column}" for row in range(rows) for column in range(columns)))
    weights, _ = attended(3, 6, count, count)
    y, x = np.mgrid[: 16 * rows, : 16 * columns]
    picture = np.stack([x * 255 // x.max(), y * 255 // y.max(), 255 * ((x // 24 + y // 24) % 2)], -1).astype(np.uint8)
    part = Part("self", tokens, tokens, weights, False)
    return AttentionPatterns("zoo:test", (part,), patches=Patches(picture, 1, rows, columns))


def decoded(sent: dict) -> np.ndarray:
    """(layers, heads, queries, keys) of a part that was sent."""
    codes = np.frombuffer(base64.b64decode(sent["codes"]), "<u2" if sent["most"] > 255 else "u1")
    first, last, q0, q1, k0, k1 = sent["block"]
    weights = (codes / sent["most"]) ** 2
    if not sent["triangle"]:
        return weights.reshape(last - first, sent["heads"], q1 - q0, k1 - k0)
    whole = np.zeros((last - first, sent["heads"], q1, k1))
    rows = np.tril_indices(q1)
    whole[:, :, rows[0], rows[1]] = weights.reshape(last - first, sent["heads"], -1)
    return whole


def within_half_a_step(sent: dict, weights: np.ndarray) -> None:
    roots = np.abs(np.sqrt(decoded(sent)) - np.sqrt(weights))
    assert roots.max() <= 0.5 / sent["most"] + 1e-6


def floats(sent: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(sent), "<f4").reshape(shape)


@pytest.mark.parametrize("patterns", [text(), text(causal=False), pair(), translation(), seen(),
                                      text(6, 12, 66, False, False)], ids=str)  # fmt: skip
def test_weights_arrive_within_half_a_step(patterns):
    sent = encode(patterns)
    for part, arrived in zip(patterns.parts, sent["sides"][0], strict=True):
        within_half_a_step(arrived, part.weights)
        assert (arrived["queries"], arrived["keys"]) == (list(part.queries), list(part.keys))


def test_few_weights_are_sent_finely_and_many_coarsely():
    assert encode(text())["sides"][0][0]["most"] == 65535
    assert encode(text(6, 12, 66, False, False))["sides"][0][0]["most"] == 255
    fine = text(4, 4, 120, False, told=False)
    assert fine.weights.size > FINE
    limit = text(3, 6, 64, False, told=False)
    assert encode(limit)["sides"][0][0]["most"] == 65535
    assert len(json.dumps(encode(limit))) < 210_000


def test_a_causal_part_sends_its_lower_triangle():
    assert encode(text())["sides"][0][0]["triangle"]
    assert not encode(text(causal=False))["sides"][0][0]["triangle"]


@pytest.mark.parametrize(("count", "most"), [(66, 500_000), (122, 1_500_000)])
@pytest.mark.parametrize("told", [True, False])
def test_six_layers_of_twelve_heads_are_light(count, most, told):
    patterns = text(6, 12, count, False, told, size=64 if told else 8)
    roles = {"self": [["previous token 0.93"] * 12] * 6}
    assert len(json.dumps(encode(patterns, roles=roles))) <= most


def test_a_large_model_sends_one_layer_and_small_pictures_of_all():
    patterns = text(6, 8, 300, False, False)
    sent = encode(patterns, Selection(layer=4))["sides"][0][0]
    assert sent["block"] == (4, 5, 0, 300, 0, 300)
    within_half_a_step(sent, patterns.weights[4:5])
    assert len(base64.b64decode(sent["thumbs"])) == 6 * 8 * 40 * 40


def test_of_a_very_long_text_a_window_is_sent():
    patterns = text(1, 3, 1200, False, False)
    assert patterns.weights.size > LAYER
    sent = encode(patterns, window=(500, 2000))["sides"][0][0]
    assert sent["block"] == (0, 1, 500, 500 + WINDOW, 1200 - WINDOW, 1200)
    within_half_a_step(sent, patterns.weights[:, :, 500 : 500 + WINDOW, -WINDOW:])


def test_the_arithmetic_of_few_heads_is_sent_whole():
    patterns = text()
    sent, detail = encode(patterns)["sides"][0][0]["detail"], patterns.parts[0].detail
    assert sent["only"] is None
    for name in ("query", "key", "value", "norms"):
        np.testing.assert_array_equal(floats(sent[name], getattr(detail, name).shape), getattr(detail, name))
    masked = np.unpackbits(np.frombuffer(base64.b64decode(sent["masked"]), np.uint8), count=400).reshape(20, 20)
    assert sent["alike"]
    np.testing.assert_array_equal(masked, ~np.tri(20, dtype=bool))


def test_the_arithmetic_of_many_heads_is_sent_head_by_head_when_it_is_seen():
    patterns = text(6, 12, 66, False, size=64)
    assert encode(patterns)["sides"][0][0]["detail"]["query"] is None
    sent = encode(patterns, Selection("arithmetic", layer=2, heads=(5, 1)))["sides"][0][0]["detail"]
    assert sent["only"] == [2, 5]
    np.testing.assert_array_equal(floats(sent["key"], (66, 64)), patterns.parts[0].detail.key[2, 5])
    query, key = floats(sent["query"], (66, 64)), floats(sent["key"], (66, 64))
    raised = np.exp(query @ key.T * sent["scaling"][2])
    np.testing.assert_allclose(raised / raised.sum(-1, keepdims=True), patterns.weights[2, 5], atol=1e-3)


def test_special_tokens_and_segments_are_told():
    sent = encode(pair())["sides"][0][0]
    assert sent["special"] == [[0, 7, 15], [0, 7, 15]]
    assert sent["segments"] == [[0] * 8 + [1] * 8] * 2
    cross = encode(translation())["sides"][0][2]
    assert cross["special"] == [[0], [9]]
    assert cross["segments"] == [None, None]


def test_two_inputs_of_one_network_are_sent_side_by_side():
    a, b = text(), text(seed=1)
    sent = encode(a, compare=b)["sides"]
    within_half_a_step(sent[0][0], a.weights)
    within_half_a_step(sent[1][0], b.weights)
    with pytest.raises(ValueError, match="not of the same network"):
        encode(a, compare=text(heads=3))


def test_the_same_data_has_the_same_print():
    assert encode(text())["print"] == encode(text())["print"] != encode(text(seed=1))["print"]


def broken(**changes) -> AttentionPatterns:
    whole = text()
    part = replace(whole.parts[0], **{name: value for name, value in changes.items() if hasattr(whole.parts[0], name)})
    rest = {name: value for name, value in changes.items() if not hasattr(part, name)}
    return replace(whole, parts=(part,), **rest)


@pytest.mark.parametrize("wrong", [
    lambda: broken(weights=np.zeros((2, 4, 20, 19))),
    lambda: broken(weights=np.zeros((4, 20, 20))),
    lambda: broken(weights=np.full((2, 4, 20, 20), np.nan)),
    lambda: broken(weights=np.full((2, 4, 20, 20), -0.1)),
    lambda: broken(weights=np.full((2, 4, 20, 20), 1.1)),
    lambda: broken(queries=()),
    lambda: broken(words=(0,)),
    lambda: broken(segments=(0, 1)),
    lambda: broken(patches=Patches(np.zeros((8, 8, 3), np.uint8), 1, 2, 2)),
    lambda: broken(detail=attended(2, 4, 19, 20)[1]),
    lambda: replace(text(), parts=()),
    lambda: replace(seen(), patches=Patches(np.zeros((8, 8, 4), np.uint8), 1, 6, 6)),
])  # fmt: skip
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r".+"):
        encode(wrong())


def test_roles_of_another_network_are_refused():
    with pytest.raises(ValueError, match="roles of self"):
        encode(text(), roles={"self": [["a"] * 4]})


@pytest.mark.parametrize("wrong", [{"view": "flow"}, {"layer": -1}, {"heads": ()}, {"heads": (-1,)}])
def test_a_selection_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match="no such"):
        Selection(**wrong)


def test_a_selection_is_fitted_to_what_there_is():
    asked = Selection("image", "cross", 7, (9, 2, 2), 50, 3)
    assert fit(asked, text()) == Selection("grid", "self", 1, (2,), None, 3)
    assert fit(asked, translation()) == Selection("grid", "cross", 1, (2,), None, 3)
    assert valid(text()) == ("grid", "heads", "matrix", "arithmetic")
    assert valid(seen())[-1] == "image"


REPORTED = {"seed": "s", "view": "heads", "part": "self", "layer": 1, "heads": [2], "token": 3, "key": None}


@pytest.mark.parametrize("wrong", [None, 3, {}, REPORTED | {"seed": "older"}, REPORTED | {"heads": []},
                                   REPORTED | {"view": "x"}, REPORTED | {"layer": "many"}])  # fmt: skip
def test_nonsense_from_the_browser_is_not_believed(wrong):
    seed = {"id": "s", "selection": Selection("matrix")}
    assert _read(REPORTED, seed, text()) == Selection("heads", "self", 1, (2,), 3)
    assert _read(wrong, seed, text()) == Selection("matrix", "self")


def test_it_starts_where_it_is_told_and_moves_when_it_is_told():
    def page():
        import streamlit as st

        from explorer.ui.attention_views import Selection, attention_views, choose
        from tests.ui.test_attention_views import text

        if st.button("Elsewhere"):
            choose("views", Selection("heads", "self", 1, (3, 0)))
        st.session_state.chosen = attention_views(text(), "views", Selection("matrix", token=2))

    test = AppTest.from_function(page, default_timeout=30).run()
    assert not test.exception
    assert test.session_state["chosen"] == Selection("matrix", "self", 0, (0,), 2)
    test.button[0].click().run()
    assert test.session_state["chosen"] == Selection("heads", "self", 1, (3, 0))
    assert test.run().session_state["chosen"] == Selection("heads", "self", 1, (3, 0))
