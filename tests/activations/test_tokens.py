"""The residual stream, the logit lens and the neurons of transformers, each against numbers from elsewhere."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from explorer import data, zoo
from explorer.activations import Feed, capture, feed
from explorer.activations.lens import lens
from explorer.activations.neurons import effect, firing, survey
from explorer.activations.tokens import PAIRS, baseline, corpus, streams
from explorer.errors import ExplorerError
from explorer.zoo.text import TextModel
from tests.attention import nets

READ = ("bert", "gpt2", "llama", "t5", "bart", "neo", "bloom")  # with a head over a vocabulary
SHIPPED = ("zoo:story-gpt", "zoo:story-bert", "zoo:dates-seq2seq")


def opened(name: str):
    return zoo.load(name) if name.startswith("zoo:") else nets.text(name)


def given(model) -> Feed:
    return feed(model) if model.card.ref.startswith("zoo:") else feed(model, nets.TEXT)


def library(model, asked: Feed):
    """What transformers itself gives when it is asked for its hidden states."""
    with model.borrow() as net, torch.no_grad():
        caching = {} if model.kind == "encoder" else {"use_cache": False}
        return net(**asked.inputs, **caching, output_hidden_states=True)


def hidden(model, asked: Feed, part: str) -> list[np.ndarray]:
    out = library(model, asked)
    found = getattr(out, f"{part}_hidden_states") if part else out.hidden_states
    return [one[0].numpy() for one in found]


@pytest.mark.parametrize("name", [*READ, *SHIPPED])
def test_the_states_are_those_of_the_library_and_of_capture(name):
    model = opened(name)
    asked = given(model)
    for stream in streams(model, asked).parts:
        theirs = hidden(model, asked, stream.part)
        assert len(theirs) == len(stream.states)
        for mine, other in zip(stream.states[:-1], theirs[:-1], strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-5)
        seen = capture(model, asked, stream.blocks, want=("output", "input"))
        np.testing.assert_array_equal(stream.states[0], seen[stream.blocks[0]].input[0])
        for block, mine in zip(stream.blocks, stream.states[1:], strict=True):
            np.testing.assert_array_equal(mine, seen[block].output[0])


@pytest.mark.parametrize(("name", "norm"), [("gpt2", "transformer.ln_f"), ("llama", "model.norm"), ("bert", "")])
def test_the_last_state_stands_before_the_last_norm(name, norm):
    model = opened(name)
    asked = given(model)
    last, theirs = streams(model, asked)[""].states[-1], hidden(model, asked, "")[-1]
    with model.borrow() as net, torch.no_grad():
        ended = net.get_submodule(norm)(torch.from_numpy(last)).numpy() if norm else last
    np.testing.assert_allclose(ended, theirs, atol=1e-5)
    assert bool(norm) == (not np.allclose(last, theirs, atol=1e-2))


def test_lengths_cosines_and_turns_are_those_of_numpy():
    stream = streams(nets.text("gpt2"), nets.TEXT)[""]
    at, one, other = 2, 3, 7
    a, b = (stream.states[at, token].astype(np.float64) for token in (one, other))
    assert stream.norms[at, one] == pytest.approx(np.sqrt((a**2).sum()), rel=1e-5)
    assert stream.cosines[at, one, other] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-5)
    np.testing.assert_allclose(np.einsum("ltt->lt", stream.cosines), 1, atol=1e-5)
    before = stream.states[at - 1, one].astype(np.float64)
    assert stream.kept[at - 1, one] == pytest.approx(before @ a / np.sqrt((before @ before) * (a @ a)), abs=1e-5)
    assert stream.tokens == ("<s>", *nets.TEXT.split(), "</s>")
    assert stream.places == ("start", "1", "2", "3")


def test_the_largest_dimensions_are_those_with_the_largest_share():
    stream = streams(nets.text("gpt2"), nets.TEXT)[""]
    squares = stream.states[:, 4].astype(float) ** 2
    shares = squares / squares.sum(1, keepdims=True)
    np.testing.assert_allclose(stream.shares(4), shares)
    chosen = stream.largest(4, 3)
    assert chosen[0] == shares.max(0).argmax()
    assert len(chosen) == 3
    assert shares.max(0)[chosen].min() >= np.delete(shares.max(0), chosen).max()


@pytest.mark.parametrize("name", [*READ, *SHIPPED])
def test_the_last_layer_of_the_lens_is_the_networks_own_answer(name):
    model = opened(name)
    asked = given(model)
    found = lens(model, asked)
    logits = library(model, asked).logits[0]
    probabilities = logits.double().softmax(-1)
    assert found.off <= 1e-5 * float(logits.abs().max())
    best = probabilities.topk(5)
    np.testing.assert_array_equal(found.ids[-1], best.indices)
    np.testing.assert_allclose(found.probabilities[-1], best.values, atol=1e-5)
    np.testing.assert_allclose(found.divergence[-1], 0, atol=1e-5)
    assert found.words[-1][0][0] == model.token(int(best.indices[0, 0]))
    assert len(found.words) == len(found.places) == len(found.blocks) + 1


@pytest.mark.parametrize(("name", "base", "end"), [
    ("gpt2", "transformer", ("transformer.ln_f", "lm_head")), ("llama", "model", ("model.norm", "lm_head")),
])  # fmt: skip
def test_an_earlier_layer_is_its_state_through_norm_and_head(name, base, end):
    model = opened(name)
    asked = given(model)
    found, stream = lens(model, asked), streams(model, asked)[""]
    assert found.end == end
    with model.borrow() as net, torch.no_grad():
        for at in range(len(stream.states)):
            logits = net.lm_head(net.get_submodule(end[0])(torch.from_numpy(stream.states[at])))
            check(found, at, logits, library(model, asked).logits[0], asked.inputs["input_ids"][0, 1:].tolist())


def check(found, at: int, logits: torch.Tensor, last: torch.Tensor, following: list[int]) -> None:
    """Everything that is told of one layer, worked out from its logits (T, words) in double precision."""
    share = logits.double().softmax(-1)
    np.testing.assert_allclose(found.probabilities[at, :, 0], share.max(-1).values, atol=1e-5)
    np.testing.assert_array_equal(found.ids[at, :, 0], share.argmax(-1))
    np.testing.assert_allclose(found.entropy[at], -(share * share.log()).sum(-1), atol=1e-4)
    final = last.double().softmax(-1)
    np.testing.assert_allclose(found.divergence[at], (final * (final / share).log()).sum(-1), atol=1e-3)
    for place, word in enumerate(following):
        assert found.truth[at, place] == pytest.approx(float(share[place, word]), abs=1e-5)
        assert found.rank[at, place] == 1 + int((logits[place] > logits[place, word]).sum())
    assert np.isnan(found.truth[at, -1])
    assert np.isnan(found.rank[at, -1])


def test_the_lens_of_bert_goes_through_its_prediction_head():
    model = opened("bert")
    stream, found = streams(model, nets.TEXT)[""], lens(model, nets.TEXT)
    with model.borrow() as net, torch.no_grad():
        share = net.cls(torch.from_numpy(stream.states[1])).softmax(-1)
    np.testing.assert_allclose(found.probabilities[1, :, 0], share.max(-1).values, atol=1e-5)
    assert found.actual == found.tokens
    assert found.kind == "same"
    masked = lens(model, nets.TEXT.replace("red", "<mask>"))
    assert masked.actual[masked.tokens.index("<mask>")] is None


def test_the_lens_of_an_encoder_decoder_reads_its_decoder():
    model = opened("t5")
    asked = given(model)
    found, stream = lens(model, asked), streams(model, asked)["decoder"]
    with model.borrow() as net, torch.no_grad():
        state = net.decoder.final_layer_norm(torch.from_numpy(stream.states[1]))
        scale = net.config.d_model**-0.5 if net.config.scale_decoder_outputs else 1.0
        share = net.lm_head(state * scale).softmax(-1)
    np.testing.assert_allclose(found.probabilities[1, :, 0], share.max(-1).values, atol=1e-5)
    assert found.kind == "answer"
    assert found.tokens == asked.tokens == stream.tokens


def test_an_answer_has_settled_where_it_stays_to_the_end():
    found = lens("zoo:story-gpt")
    for place, at in enumerate(found.settled):
        top = found.ids[:, place, 0]
        assert (top[at:] == top[-1]).all()
        assert at == 0 or top[at - 1] != top[-1]


@pytest.mark.parametrize("make", [nets.ours, nets.hub, nets.torchvision_vit, lambda: nets.text("classifier")])
def test_the_lens_of_a_classifier_ends_in_its_own_probabilities(make):
    model = make()
    x = nets.TEXT if isinstance(model, TextModel) else nets.picture()
    found = lens(model, x, 3)
    assert found.kind == "class"
    assert found.ids.shape[1:] == (1, 3)
    own = np.sort(model.predict(x).reshape(-1))[::-1]
    np.testing.assert_allclose(found.probabilities[-1, 0], own, atol=1e-5)
    assert set(found.words[0][0]) == set(model.labels)


@pytest.mark.parametrize("make", [nets.ours, nets.hub, nets.torchvision_vit])
def test_patches_are_tokens(make):
    stream = streams(make(), nets.picture())[""]
    assert stream.tokens[:2] == ("[class]", "row 1, column 1")
    assert len(stream.tokens) == 17
    assert stream.states.shape[1] == 17


def test_what_carries_no_tokens_or_answers_nothing_is_refused():
    for ref in ("zoo:shapes-resnet", "zoo:digits-lenet"):
        with pytest.raises(ExplorerError, match="no row of transformer blocks"):
            streams(ref)
    with pytest.raises(ExplorerError, match="answers nothing"):
        lens(nets.text("features"), nets.TEXT)
    with pytest.raises(ExplorerError, match="none of that name"):
        streams(nets.text("gpt2"), nets.TEXT)["decoder"]


def test_a_network_whose_end_alone_does_not_answer_is_refused(monkeypatch):
    """A way round the blocks, from the first state to the answer, can't be seen by a lens on the last one."""
    model = nets.wrap(nets.net("gpt2"), "text-generation")
    with model.borrow() as net:
        plain = type(net).forward

    def around(self, *args, **named):
        out = plain(self, *args, **named)
        held = getattr(self, "seen", None)
        out.logits = out.logits + (0 if held is None else held)
        self.seen = out.logits.mean()
        return out

    monkeypatch.setattr(type(net), "forward", around)
    with pytest.raises(ExplorerError, match="misses its own answer"):
        lens(model, nets.TEXT)


@pytest.mark.parametrize(("name", "act", "out"), [
    ("gpt2", "transformer.h.1.mlp.act", "transformer.h.1.mlp.c_proj"),
    ("bert", "bert.encoder.layer.1.intermediate.intermediate_act_fn", "bert.encoder.layer.1.output.dense"),
    ("zoo:story-gpt", "transformer.h.1.mlp.act", "transformer.h.1.mlp.c_proj"),
    ("zoo:story-bert", "bert.encoder.layer.1.intermediate.intermediate_act_fn", "bert.encoder.layer.1.output.dense"),
    ("neo", "transformer.h.1.mlp.act", "transformer.h.1.mlp.c_proj"),
])  # fmt: skip
def test_neurons_are_what_the_activation_function_gives(name, act, out):
    model = opened(name)
    asked = given(model)
    found = firing(model, asked, 1)
    assert found.layer == out
    np.testing.assert_array_equal(found.values, capture(model, asked, [act])[act].output[0])
    peaks = np.abs(found.values).max(0)
    assert found.strongest[0] == peaks.argmax()
    assert (np.diff(peaks[found.strongest]) <= 0).all()


def test_neurons_behind_a_gate_are_what_passes_it():
    model = opened("llama")
    found = firing(model, nets.TEXT, 0)
    seen = capture(model, nets.TEXT, ["model.layers.0.mlp.act_fn", "model.layers.0.mlp.up_proj"])
    product = seen["model.layers.0.mlp.act_fn"].output * seen["model.layers.0.mlp.up_proj"].output
    np.testing.assert_allclose(found.values, product[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["t5", "bart", "zoo:dates-seq2seq"])
def test_both_halves_have_neurons(name):
    model = opened(name)
    asked = given(model)
    for part, inputs in (("encoder", "input_ids"), ("decoder", "decoder_input_ids")):
        found = firing(model, asked, 0, part)
        assert part in found.layer
        assert len(found.values) == asked.inputs[inputs].shape[1] == len(found.tokens)
    with pytest.raises(ExplorerError, match="answers nothing itself"):
        effect(model, firing(model, asked, 0, "encoder").layer, 0)


def test_a_block_or_neuron_that_there_is_not_is_refused():
    model = nets.text("gpt2")
    with pytest.raises(ExplorerError, match="Choose 1 to 3"):
        firing(model, nets.TEXT, 3)
    with pytest.raises(ExplorerError, match="Choose 0 to 63"):
        effect(model, "transformer.h.0.mlp.c_proj", 64)
    with pytest.raises(ExplorerError, match="no vocabulary"):
        effect(nets.text("classifier"), "bert.encoder.layer.0.output.dense", 0)


@pytest.mark.parametrize(("name", "layer"), [
    ("gpt2", "transformer.h.1.mlp.c_proj"), ("bert", "bert.encoder.layer.1.output.dense"),
    ("t5", "decoder.block.1.layer.2.DenseReluDense.wo"), ("zoo:story-gpt", "transformer.h.1.mlp.c_proj"),
])  # fmt: skip
def test_the_direct_effect_is_a_product_by_hand(name, layer):
    model, neuron = opened(name), 5
    found = effect(model, layer, neuron, 3)
    with model.borrow() as net:
        part, head = net.get_submodule(layer), net.get_output_embeddings().weight.numpy()
        weight = part.weight.numpy()
    row = weight[:, neuron] if isinstance(part, torch.nn.Linear) else weight[neuron]
    by_hand = [float(sum(a * b for a, b in zip(row, word, strict=True))) for word in head]
    np.testing.assert_allclose(found.scores, by_hand, atol=1e-5)
    order = np.argsort(by_hand)
    assert found.promoted == tuple(model.token(int(word)) for word in order[::-1][:3])
    assert found.suppressed == tuple(model.token(int(word)) for word in order[:3])


def test_the_effect_is_what_a_neuron_changes_in_the_logits_where_no_norm_follows():
    """BART's decoder ends without a norm but for the block's own: without that the effect is exact."""
    model = nets.text("bart")
    asked = given(model)
    layer = "model.decoder.layers.1.fc2"
    found = effect(model, layer, 4)
    with model.borrow() as net, torch.no_grad():
        last = net.model.decoder.layers[1]
        norm, last.final_layer_norm = last.final_layer_norm, torch.nn.Identity()
        plain = asked.run(net)
        handle = net.get_submodule(layer).register_forward_pre_hook(
            lambda part, given: (given[0] + F.one_hot(torch.tensor(4), given[0].shape[-1]).float(),)
        )
        more = asked.run(net)
        handle.remove()
        last.final_layer_norm = norm
    np.testing.assert_allclose((more - plain)[0, 0].numpy(), found.scores, atol=1e-4)


@pytest.fixture(scope="module")
def surveyed():
    return survey("zoo:story-gpt", 1)


def test_the_survey_finds_the_largest_activations_of_the_test_texts(surveyed):
    texts = data.load("story", "test").texts[:100]
    alone = [firing("zoo:story-gpt", text, 1) for text in texts]  # one by one, without any filling
    assert surveyed.count == sum(len(one.tokens) for one in alone)
    assert surveyed.own
    for neuron in (0, 11, 200):
        peaks = np.array([np.abs(one.values[:, neuron]).max() for one in alone])
        best = np.sort(peaks)[::-1][: surveyed.values.shape[1]]
        np.testing.assert_allclose(np.abs(surveyed.values[neuron]), best, atol=1e-4)
        text, place, value = surveyed.text[neuron, 0], surveyed.place[neuron, 0], surveyed.values[neuron, 0]
        assert alone[text].values[place, neuron] == pytest.approx(value, abs=1e-4)
        assert surveyed.tokens[text] == alone[text].tokens
    every = np.concatenate([one.values for one in alone])
    np.testing.assert_allclose(surveyed.spread, [every.min(0), every.mean(0), every.max(0)], atol=1e-4)


def test_selectivity_is_the_area_under_the_roc_curve(surveyed):
    from sklearn.metrics import roc_auc_score

    beside = corpus(zoo.load("zoo:story-gpt"))
    speech = np.array([one for row in beside.parts for one in row])
    every = np.concatenate([firing("zoo:story-gpt", text, 1).values for text in data.load("story", "test").texts[:100]])
    for part in ("verb", "noun", "determiner"):
        row = surveyed.parts.index(part)
        for neuron in (0, 77):
            area = roc_auc_score(speech == part, every[:, neuron])
            assert surveyed.areas[row, neuron] == pytest.approx(area, abs=1e-3)
        assert surveyed.selective(part)[0] == surveyed.areas[row].argmax()
        assert 0.5 < surveyed.chance[row] < surveyed.areas[row].max()


def test_every_token_of_the_corpus_has_the_part_of_speech_of_its_word():
    beside = corpus(zoo.load("zoo:story-bert"))
    found = data.load("story", "test")
    for tokens, parts, text, roles in zip(beside.tokens, beside.parts, found.texts, found.roles, strict=False):
        assert tokens == ("[START]", *text.split(), "[END]")
        assert parts == ("", *roles.parts, "")


def test_the_baseline_is_the_mean_cosine_of_tokens_of_different_texts():
    found = baseline("zoo:story-bert")
    states = [streams("zoo:story-bert", text)[""].states[2] for text in data.load("story", "test").texts[:100]]
    units = [one / np.linalg.norm(one, axis=-1, keepdims=True) for one in states]
    total, within = sum(one.sum(0) for one in units), sum(one.sum(0) @ one.sum(0) for one in units)
    pairs = sum(map(len, units)) ** 2 - sum(len(one) ** 2 for one in units)
    assert found.pairs == PAIRS
    assert found.own
    assert found.cosines[2] == pytest.approx((total @ total - within) / pairs, abs=0.03)  # a sample of a thousand
    again = baseline("zoo:story-bert")
    np.testing.assert_array_equal(found.cosines, again.cosines)


def test_networks_without_data_of_their_own_read_stories_or_nothing():
    assert not baseline(nets.text("gpt2")).own
    assert not survey(nets.text("gpt2")).own
    for model in (nets.text("t5"), nets.ours()):
        assert baseline(model, "decoder") is None
        assert survey(model) is None
    assert baseline("zoo:shapes-vit").cosines.shape == (5,)


@pytest.mark.parametrize("name", [*READ, "zoo:story-gpt"])
def test_a_borrowed_tree_comes_back_as_it_went(name):
    model = opened(name)
    asked = given(model)
    with model.borrow() as before:
        pass
    part = "decoder" if model.kind == "encoder-decoder" else ""
    streams(model, asked)
    lens(model, asked)
    layer = firing(model, asked, 0, part).layer
    effect(model, layer, 0)
    with model.borrow() as after:
        assert after is before
        assert not nets.hooks(after)
        assert not any("forward" in vars(one) for one in after.modules())


def test_after_an_error_the_blocks_are_themselves_again(monkeypatch):
    model = nets.text("gpt2", 3)
    from explorer.activations import lens as made

    held = []

    def fails(given, count):
        raise RuntimeError("half way")

    monkeypatch.setattr(made, "repeated", fails)
    with model.borrow() as tree:
        held.append(tree)
    with pytest.raises(RuntimeError, match="half way"):
        lens(model, nets.TEXT)
    assert not nets.hooks(held[0])
    assert not any("forward" in vars(one) for one in held[0].modules())
