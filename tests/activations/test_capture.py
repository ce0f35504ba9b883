"""Every layer's values, of any network: python -m pytest tests/activations/test_capture.py"""

import numpy as np
import pytest
import torch
from torch import nn

from explorer import zoo
from explorer.activations import capture, feed, sample
from explorer.activations.feed import kind_of
from explorer.errors import ExplorerError
from tests.activations import nets

CARDS = zoo.cards()
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def awkward():
    return nets.model(nets.seeded(nets.Awkward))


def recorded(model, given) -> dict[str, torch.Tensor]:
    """The reference: copies made by plain hooks on a tree of one's own; the last call of each layer."""
    found = {}
    with model.borrow() as net, torch.no_grad():
        handles = [
            part.register_forward_hook(
                lambda part, inputs, output, name=name: found.__setitem__(
                    name, output.clone() if isinstance(output, torch.Tensor) else output
                )
            )
            for name, part in net.named_modules()
            if name
        ]
        answer = given.run(net).clone()
        for handle in handles:
            handle.remove()
    return found | {"": answer}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.ref)
def test_every_layer_of_every_shipped_model_equals_plain_hooks(card):
    model = zoo.load(card.ref)
    given = sample(model, 2)
    found = capture(model, given)
    reference = recorded(model, given)
    np.testing.assert_array_equal(found.answer, reference[""].float().numpy())
    compared = 0
    for layer in found:
        output = reference.get(layer.name)
        if isinstance(output, torch.Tensor) and f"{layer.name}#2" not in found:
            np.testing.assert_array_equal(layer.output, output.numpy(), layer.name)
            compared += 1
    assert compared > 4
    with model.borrow() as first:
        pass
    with model.borrow() as again:
        assert again is first
        assert not any(part._forward_hooks for part in again.modules())


@pytest.mark.parametrize("name", nets.LARGE)
def test_torchvision(name):
    model = nets.torchvision(name)
    found = capture(model, want=("output", "input"))
    assert len(found.layers) > 60
    for layer in found:
        part = dict(_modules(model))[layer.module]
        if isinstance(part, nn.Conv2d | nn.Linear) and layer.input is not None and "out_proj" not in layer.name:
            with torch.no_grad():
                again = part(torch.from_numpy(layer.input)).numpy()
            np.testing.assert_allclose(layer.output, again, rtol=1e-4, atol=1e-5, err_msg=layer.name)
    np.testing.assert_array_equal(found.answer, recorded(model, feed(model))[""].numpy())


def _modules(model):
    with model.borrow() as net:
        return list(net.named_modules())


def test_tuples_dicts_nothing_and_a_layer_that_never_runs(awkward):
    found = capture(awkward, PICTURES)
    assert found["pair"].note == "it gives out a tuple, the first of 2 tensors"
    np.testing.assert_array_equal(found["pair"].output, found["relu"].output + 1)
    assert (found["silent"].output, found["silent"].note) == (None, "it gives out nothing")
    assert found["named"].note == "it gives out a dict"
    assert found.left_out == {"unused": "it did not run in this pass"}
    with pytest.raises(ExplorerError, match="did not run"):
        found["unused"]
    with pytest.raises(ExplorerError, match="none of that name"):
        found["nonsense"]


def test_what_is_written_over_later_is_seen_as_it_was(awkward):
    found = capture(awkward, PICTURES)
    assert found["conv"].output.min() < 0  # though an in-place ReLU follows
    assert found["named"].output.min() < 0  # though functional.relu writes into it
    with awkward.borrow() as net:
        assert net.relu.inplace  # as it was lent
    graph = capture(awkward, PICTURES, want=("output", "gradient"))
    for layer in found:
        if layer.output is not None:
            np.testing.assert_allclose(graph[layer.name].output, layer.output, rtol=1e-6, err_msg=layer.name)


def test_a_layer_used_twice_has_two_entries(awkward):
    found = capture(awkward, PICTURES, ["again", "relu"])
    assert found.names == ("relu", "again", "again#2", "relu#2")
    assert found["again#2"].module == "again"
    np.testing.assert_array_equal(found["relu#2"].output, found["again#2"].output.clip(0))


def test_inputs_weights_and_gradients_are_those_of_autograd(awkward):
    found = capture(awkward, PICTURES, want=("output", "input", "weight", "gradient"), target=1)
    x = awkward.preprocess(PICTURES)
    with awkward.borrow() as net:
        np.testing.assert_array_equal(found["conv"].input, x.numpy())
        np.testing.assert_array_equal(found["head"].weights["weight"], net.head.weight.numpy())
        kept = []
        hook = net.head.register_forward_pre_hook(lambda part, inputs: kept.append(inputs[0]))
        net.requires_grad_(True)
        logits = net(x)
        (gradient,) = torch.autograd.grad(logits[:, 1].sum(), kept)
        net.requires_grad_(False)
        hook.remove()
    np.testing.assert_allclose(found["head"].gradient, np.eye(3)[[1, 1]], atol=1e-7)
    expected = gradient.numpy()[:, :, None, None] / 64  # of a mean over 8 × 8
    np.testing.assert_allclose(found["relu#2"].gradient, np.broadcast_to(expected, (2, 4, 8, 8)), rtol=1e-5)
    assert found["silent"].gradient is None


def test_memory_is_bounded_and_what_is_missing_is_named(awkward):
    whole = capture(awkward, PICTURES)
    found = capture(awkward, PICTURES, limit=3 * 2 * 4 * 64 * 4)
    assert found.nbytes - found.answer.nbytes <= 3 * 2 * 4 * 64 * 4
    assert set(found.names) < set(whole.names)
    assert "no more room" in found.left_out["again#2"]


def test_a_wish_a_layer_or_a_class_that_there_is_not(awkward):
    for values, wrong in (
        ({"want": ("colour",)}, "can't be captured"),
        ({"layers": ["conv9"]}, "none of that name"),
        ({"layers": []}, "none was chosen"),
        ({"want": ("gradient",), "target": 3}, "none of that number"),
    ):
        with pytest.raises(ExplorerError, match=wrong):
            capture(awkward, PICTURES, **values)
    with pytest.raises(ExplorerError):
        capture("zoo:digits-lenet", "a text")
    with pytest.raises(ExplorerError, match="reads texts"):
        capture("zoo:story-gpt", PICTURES)
    with pytest.raises(ExplorerError):
        capture("zoo:nothing")
    with awkward.borrow() as net:
        assert not any(part._forward_hooks for part in net.modules())


def test_a_network_without_layers():
    class Bare(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3]

    found = capture(nets.model(Bare()), PICTURES)
    assert found.layers == ()
    assert found.answer.shape == (2, 3)


def test_texts_of_unequal_length_are_read_as_if_each_were_alone():
    model = zoo.load("zoo:story-bert")
    texts = ["the bear finds boris .", "the cats that the bear follows find anna with their mother ."]
    both = capture(model, texts)
    for row, text in enumerate(texts):
        alone = capture(model, text)
        count = alone.answer.shape[1]
        assert both.keep[row].sum() == count
        np.testing.assert_allclose(both.answer[row, :count], alone.answer[0], rtol=1e-4, atol=1e-4)


def test_a_denoiser_sees_its_examples_noised_as_in_training():
    from explorer.models.noise import alphas_bar

    model = zoo.load("zoo:digits-diffusion")
    early, late = sample(model, 64, time=0.0), sample(model, 64, time=0.9)
    with model.borrow() as parts, torch.no_grad():
        clean = model.encode(parts, early.pixels)
    shares = alphas_bar(model.config)
    assert late.time == round(0.9 * (len(shares) - 1))
    np.testing.assert_allclose(early.inputs["x"], clean, atol=0.1)
    noise = (late.inputs["x"] - shares[int(late.time)] ** 0.5 * clean) / (1 - shares[int(late.time)]) ** 0.5
    assert abs(float(noise.std()) - 1) < 0.02
    flow = sample(zoo.load("zoo:points-flow"), 4, time=1.0)
    assert float(flow.time) == 1000


@pytest.mark.parametrize("ref", ["zoo:shapes-diffusion", "zoo:points-diffusion", "zoo:story-gpt", "zoo:digits-lenet"])
def test_an_example_is_the_same_whether_those_before_it_are_prepared_or_not(ref):
    model = zoo.load(ref)
    alone, among = sample(model, 6, first=5), sample(model, 6).rows(5, 6)
    assert alone.inputs.keys() == among.inputs.keys()
    for name, value in alone.inputs.items():
        torch.testing.assert_close(value, among.inputs[name], rtol=1e-4, atol=1e-4)
    assert alone.conditions == among.conditions
    np.testing.assert_array_equal(alone.y, among.y)
    if alone.pixels is not None:
        np.testing.assert_array_equal(alone.pixels, among.pixels)


def test_the_first_examples_come_with_their_truth():
    for card in CARDS:
        model = zoo.load(card.ref)
        given = sample(model, 3)
        assert len(given) == 3
        if kind_of(model) == "image":
            assert given.y.shape == (3,)
            assert given.pixels.shape[0] == 3
        if kind_of(model) == "text":
            assert given.y.shape == given.keep.shape
            with model.borrow() as net, torch.no_grad():
                logits = given.run(net)
            asked = given.y >= 0
            assert logits.shape[:2] == given.y.shape
            if card.task != "fill-mask":  # which words it is to guess is drawn in training
                right = (logits.argmax(-1).numpy() == given.y)[asked].mean()
                assert right > 0.4, card.ref


def test_a_second_text_is_read_too():
    model = zoo.load("zoo:dates-seq2seq")
    given = feed(model, "the 3rd of march 2021", text_b="1999-01-01")
    assert "9" in given.tokens
    assert "9" not in feed(model, "the 3rd of march 2021").tokens
    pair = feed(zoo.load("zoo:story-bert"), "the bear finds boris .", text_b="anna follows the cat .")
    assert len(pair.tokens) > len(feed(zoo.load("zoo:story-bert"), "the bear finds boris .").tokens) + 5
    assert capture(pair.model, pair).answer.shape[1] == len(pair.tokens)


def test_weights_are_copies_and_layers_without_numbers_have_no_gradients(awkward):
    found = capture(awkward, PICTURES, ["conv"], want=("weight",))
    with awkward.borrow() as net:
        assert not np.shares_memory(found["conv"].weights["weight"], net.conv.weight.numpy())
    assert capture(awkward, PICTURES, ["unused"], want=("gradient",)).layers == ()
