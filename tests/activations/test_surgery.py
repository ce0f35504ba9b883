"""Operations change what they say and nothing else: python -m pytest tests/activations/test_surgery.py"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explorer import jobs, zoo
from explorer.activations import capture, feed, sample
from explorer.activations import greedy as searching
from explorer.activations.greedy import Search, greedy, passes, resumed, singles
from explorer.activations.surgery import (
    Cut,
    Trial,
    damage,
    dataset,
    means,
    numbers,
    operate,
    read_cut,
    scores,
    share_of,
    table,
    trial,
    written,
)  # fmt: skip
from explorer.attention.ablate import ablate
from explorer.errors import ExplorerError
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.text import TextModel
from tests.activations.nets import Awkward, model, torchvision

# A middle layer of each kind of network, one whose heads can be reached, and how many classes of answer there are.
SHIPPED = {
    "zoo:shapes-resnet": "stage2.0.relu1",
    "zoo:shapes-vit": "blocks.1.mlp.gelu",
    "zoo:digits-lenet": "relu2",
    "zoo:story-gpt": "transformer.h.0.attn",
    "zoo:story-bert": "bert.encoder.layer.1",
    "zoo:dates-seq2seq": "model.decoder.layers.0.fc1",
    "zoo:digits-diffusion": "unet.mid_block.resnets.0.nonlinearity#3",
    "zoo:points-diffusion": "unet.layers.1",
}
ATTENDING = {
    "zoo:shapes-vit": "blocks.1.attention",
    "zoo:story-gpt": "transformer.h.1.attn",
    "zoo:story-bert": "bert.encoder.layer.1.attention.self",
    "zoo:dates-seq2seq": "model.decoder.layers.0.encoder_attn",
    "zoo:digits-diffusion": "unet.up_blocks.0.attentions.0",
}


def example(ref: str):
    """What `operate` is given: a text of its own, or its first test example."""
    opened = zoo.load(ref)
    return dataset(opened).texts[3] if isinstance(opened, TextModel) else sample(opened, 1)


def lent_again(ref: str) -> bool:
    """Whether a tree comes back just as it was lent."""
    opened = zoo.load(ref) if isinstance(ref, str) else ref
    with opened.borrow() as net:
        pass
    with opened.borrow() as again:
        return again is net and not any(part._forward_hooks or part._forward_pre_hooks for part in again.modules())


@pytest.mark.parametrize("ref", SHIPPED)
def test_nothing_done_gives_the_same_bits(ref):
    x, layer = example(ref), SHIPPED[ref]
    plain = operate(ref, x)
    for cuts in (
        [], [Cut(layer, how="scale")], [Cut(layer, how="patch")], [Cut(layer, (1, 0), "patch")],
        [Cut(layer, how="patch", source=ref)],
    ):  # fmt: skip
        done = operate(ref, x, cuts)
        assert np.array_equal(done.before, plain.before)
        assert np.array_equal(done.after, plain.before)
    assert lent_again(ref)


@pytest.mark.parametrize("ref", SHIPPED)
def test_every_kind_of_network_can_be_operated_on(ref):
    x, layer = example(ref), SHIPPED[ref]
    for how in ("zero", "mean"):
        done = operate(ref, x, [Cut(layer, how=how)], over=8)
        assert np.isfinite(done.after).all()
        assert done.moved.max() > 0
    assert (done.told_before is not None) == isinstance(zoo.load(ref), TextModel)
    found = damage(ref, [Cut(layer)], 12)
    assert found.after.loss.shape == (12,)
    assert np.isnan(found.after.accuracy) == isinstance(zoo.load(ref), Denoiser)
    assert lent_again(ref)


@pytest.mark.parametrize("ref", ATTENDING)
def test_heads_of_every_kind_of_attention(ref):
    x, layer = example(ref), ATTENDING[ref]
    same = operate(ref, x, [Cut(layer, how="scale", of="head"), Cut(layer, (1,), "patch", of="head")])
    assert np.array_equal(same.before, same.after)
    one, all_of_them = (operate(ref, x, [Cut(layer, units, of="head")]) for units in ((2,), ()))
    assert one.moved.max() > 0
    assert not np.array_equal(one.after, all_of_them.after)
    assert lent_again(ref)


@pytest.mark.parametrize("layer", [0, 1])
def test_heads_are_taken_away_as_the_attention_page_does(layer):
    text, heads = example("zoo:story-gpt"), (1, 3)
    theirs = ablate("zoo:story-gpt", text, [("self", layer, head) for head in heads])
    mine = operate("zoo:story-gpt", text, [Cut(f"transformer.h.{layer}.attn", heads, of="head")])
    assert mine.told_after.top == theirs.after.top
    np.testing.assert_array_equal(mine.told_after.probabilities, theirs.after.probabilities)
    np.testing.assert_array_equal(mine.told_before.surprise, theirs.before.surprise)
    one = ablate("zoo:story-gpt", text, [("self", layer, 2)], how="mean")
    given = feed(zoo.load("zoo:story-gpt"), text)
    own = operate("zoo:story-gpt", text, [Cut(f"transformer.h.{layer}.attn", (2,), "mean", of="head")], over=given)
    np.testing.assert_allclose(own.told_after.probabilities, one.after.probabilities, atol=1e-6)


class Tiny(nn.Module):
    """Maps, then vectors, then classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.norm = nn.GroupNorm(1, 5)
        self.fc = nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)
        dice = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(generator=dice)

    def forward(self, x):
        return self.head(torch.tanh(self.fc(self.norm(self.conv(x)).mean((2, 3)))))


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(("layer", "units"), [("conv", (1, 3)), ("fc", (0,)), ("head", (2,))])
def test_zero_is_what_a_net_without_the_weights_that_make_it_computes(layer, units):
    net = Tiny()
    done = operate(model(net), pictures(4), [Cut(layer, units)])
    other = copy.deepcopy(net)
    with torch.no_grad():
        part = getattr(other, layer)
        part.weight[list(units)] = 0
        part.bias[list(units)] = 0
    x = model(net).preprocess(pictures(4))
    np.testing.assert_allclose(done.after, other(x).numpy(), atol=1e-6)
    assert not np.allclose(done.after, done.before)


def test_scale_and_several_at_once_act_in_their_order():
    opened = model(Tiny())
    x = opened.preprocess(pictures(2))
    done = operate(opened, pictures(2), [Cut("fc", (1,), "scale", 3.0), Cut("fc", (0,)), Cut("fc", (0, 1), "scale", 2)])
    with opened.borrow() as net, torch.inference_mode():
        hidden = net.fc(net.norm(net.conv(x)).mean((2, 3))) * torch.tensor([0.0, 6, 1, 1])
        np.testing.assert_allclose(done.after, net.head(torch.tanh(hidden)).numpy(), atol=1e-6)


def test_a_mean_is_that_of_all_examples_and_places():
    opened = model(Tiny())
    given, over = feed(opened, pictures(1)), feed(opened, pictures(7))
    maps = capture(opened, over, ["conv"])["conv"].output
    with table(opened) as on:
        found = means(on, [("conv", False)], given, over)[("conv", False)].numpy()
    np.testing.assert_allclose(found, maps.mean((0, 2, 3)), atol=1e-5)
    done = operate(opened, given, [Cut("conv", (2,), "mean")], over)
    with opened.borrow() as net, torch.inference_mode():
        hidden = net.conv(given.inputs["x"])
        hidden[:, 2] = float(maps[:, 2].mean())
        want = net.head(torch.tanh(net.fc(net.norm(hidden).mean((2, 3)))))
    np.testing.assert_allclose(done.after, want.numpy(), atol=1e-5)


def test_the_mean_of_texts_leaves_out_what_only_fills():
    opened = zoo.load("zoo:story-gpt")
    over, layer = sample(opened, 6), "transformer.h.0.mlp.act"
    states, keep = capture(opened, over, [layer])[layer].output, over.keep.numpy()
    assert not keep.all()
    with table(opened) as on:
        found = means(on, [(layer, False)], over, over)[(layer, False)].numpy()
    np.testing.assert_allclose(found, states[keep].mean(0), atol=1e-5)


def test_a_whole_last_block_patched_from_another_example_gives_that_ones_answer():
    """All that the head reads comes from B, so its answer is B's."""
    for ref, layer in (("zoo:digits-lenet", "relu3"), ("zoo:shapes-resnet", "stage3")):
        opened = zoo.load(ref)
        its = operate(opened, sample(opened, 8).rows(7, 8)).before
        done = operate(opened, sample(opened, 1), [Cut(layer, how="patch", source="test:7")])
        np.testing.assert_allclose(done.after, its, atol=1e-5)
        assert not np.allclose(done.before, its)


def test_a_patch_of_a_token_from_another_text_and_of_a_block_from_another_network():
    opened = zoo.load("zoo:story-gpt")
    text = dataset(opened).texts[3]
    words = text.split()
    other = " ".join(["karl" if words[0] != "karl" else "iris", *words[1:]])
    layer, last = "transformer.h.1", feed(opened, text).inputs["input_ids"].shape[1] - 1
    done = operate(opened, text, [Cut(layer, (last,), "patch", source=f"text:{other}", of="token")])
    np.testing.assert_array_equal(done.before[:last], done.after[:last])
    np.testing.assert_allclose(done.after[last], operate(opened, other).before[last], atol=1e-5)
    with pytest.raises(ExplorerError, match="tokens"):
        operate(opened, text, [Cut(layer, how="patch", source=f"text:{text} {text.split()[0]}")])
    resnet = zoo.load("zoo:shapes-resnet")
    given = sample(resnet, 1)
    theirs = operate("zoo:shapes-shortcut", given.pixels).before
    done = operate(resnet, given, [Cut("head", how="patch", source="zoo:shapes-shortcut")])
    np.testing.assert_allclose(done.after, theirs, atol=1e-5)
    with pytest.raises(ExplorerError, match="not built like"):
        operate(resnet, given, [Cut("head", how="patch", source="zoo:shapes-vit")])


def test_a_layer_used_twice_is_cut_at_the_call_that_is_named():
    opened = model(Awkward())
    names = capture(opened, pictures(1)).names
    twice = next(name for name in names if name.endswith("#2"))
    first, second = (operate(opened, pictures(1), [Cut(name)]).after for name in (twice[:-2], twice))
    assert not np.array_equal(first, second)


def test_tuples_and_transformers_outputs_keep_all_but_their_first_tensor():
    for layer in ("bert.encoder", "bert", "bert.encoder.layer.0.attention"):
        done = operate("zoo:story-bert", example("zoo:story-bert"), [Cut(layer)])
        assert done.moved.max() > 0
        assert np.isfinite(done.after).all()


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (Cut("nowhere"), "none of that name"), (Cut("conv", (5,)), "it has 5"), (Cut("conv#2"), "did not run"),
        (Cut("conv", of="token"), "gives out none"), (Cut("fc", of="head"), "none can be reached"),
        (Cut("fc", how="patch", source="test:1"), "not here"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused_and_leaves_no_hook(cut, says):
    opened = model(Tiny())
    with pytest.raises(ExplorerError, match=says):
        operate(opened, pictures(1), [cut])
    assert lent_again(opened)


def test_hooks_go_after_an_error_in_the_middle_of_a_pass():
    opened = model(Tiny())
    with table(opened) as on:
        with pytest.raises(ZeroDivisionError):
            on.run(feed(opened, pictures(1)), {("conv", False): lambda x: x, ("fc", False): lambda x: 1 / 0})
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in on.net.modules())
    assert lent_again(opened)


def test_no_such_way_part_or_number():
    for bad in ({"how": "burn"}, {"of": "wheel"}, {"units": (-1,)}, {"how": "scale", "value": float("nan")}):
        with pytest.raises(ExplorerError):
            Cut("conv", **bad)
    with pytest.raises(ExplorerError, match="at once"):
        operate(model(Tiny()), pictures(1), [Cut("conv", (0,))] * 41)


@pytest.mark.parametrize(
    "cut",
    [
        Cut("stem.relu", (9,)), Cut("a.b#2", (1, 2, 3, 7), "mean"), Cut("x", (), "scale", -0.5), Cut("x", of="head"),
        Cut("x", (0, 2), "patch", source="run:abc@12", of="token"), Cut("x", how="patch", source="text:a: b"),
    ],
)  # fmt: skip
def test_a_link_brings_an_intervention_back(cut):
    assert read_cut(written(cut)) == cut


def test_a_link_is_short_and_checked():
    assert written(Cut("stem.relu", (3, 5, 6, 7))) == "stem.relu:3,5-7:zero"
    assert numbers(" 3, 5-7 ") == (3, 5, 6, 7)
    bad = ("", "x", "x:1", "x:one:zero", "x:7-5:zero", "x:1:burn", "x:1:scale", "x:1:scale:inf", "x:0-999999:zero")
    for text in bad:
        with pytest.raises(ExplorerError):
            read_cut(text)


def test_damage_is_the_cross_entropy_over_the_test_data():
    opened = zoo.load("zoo:digits-lenet")
    given, cut = sample(opened, 150), Cut("relu2", (6, 7))
    found = damage(opened, [cut], 150)
    after = torch.from_numpy(operate(opened, given, [cut]).after)
    y = torch.from_numpy(given.y.copy())
    loss = nn.functional.cross_entropy(after, y, reduction="none").numpy()
    np.testing.assert_allclose(found.after.loss, loss, atol=1e-5)
    assert found.after.accuracy == pytest.approx(float((after.argmax(1) == y).float().mean()))
    change = loss - found.before.loss
    assert found.rise == pytest.approx(change.mean(), abs=1e-6)
    assert found.margin == pytest.approx(1.96 * change.std(ddof=1) / 150**0.5, abs=1e-6)
    moved = np.flatnonzero(after.argmax(1).numpy() != found.before.said)
    assert len(moved)
    np.testing.assert_array_equal(found.changed[:, 0], moved)
    assert not len(damage(opened, [Cut("relu2", how="scale")], 150).changed)


def test_a_denoiser_is_asked_for_the_noise_that_was_drawn():
    """The state is made of the clean example and this noise again."""
    opened = zoo.load("zoo:digits-diffusion")
    asked = trial(opened, 5)
    from explorer.models.noise import alphas_bar

    shares = alphas_bar(opened.config)
    share = float(shares[round(0.5 * (len(shares) - 1))])
    with opened.borrow() as parts, torch.inference_mode():
        clean = opened.encode(parts, dataset(opened).x[:5])
    state = share**0.5 * clean + (1 - share) ** 0.5 * asked.target
    np.testing.assert_allclose(asked.given.inputs["x"].numpy(), state.numpy(), atol=1e-5)
    assert share_of(opened, asked.given) == pytest.approx(0.5, abs=1e-3)


def test_masked_words_alone_are_asked_and_always_the_same():
    opened = zoo.load("zoo:story-bert")
    one, two = trial(opened, 20), trial(opened, 40)
    hidden = one.given.inputs["input_ids"] == opened.tokenizer.mask_token_id
    assert torch.equal(hidden, one.target != -100)
    assert hidden.any(1).all()
    width = one.target.shape[1]
    assert torch.equal(one.target, two.target[:20, :width])
    assert 0.6 < scores(opened, (), 200).accuracy < 0.85  # its card says 0.75


@pytest.mark.parametrize("ref", SHIPPED)
def test_a_pass_that_begins_at_a_layer_gives_the_same_bits(ref):
    opened, layer = zoo.load(ref), SHIPPED[ref]
    given = sample(opened, 3)
    change = {(layer, False): lambda x: x * 0.5}
    with table(opened) as on:
        plain, cut = on.run(given, {}), on.run(given, change)
        with resumed(on, given, layer) as width:
            assert width > 1
            for _ in range(2):
                assert torch.equal(on.run(given, {}), plain)
                assert torch.equal(on.run(given, change), cut)
        assert torch.equal(on.run(given, {}), plain)
    assert lent_again(ref)


def test_what_came_before_a_layer_is_not_computed_again():
    opened = zoo.load("zoo:shapes-resnet")
    given, ran = sample(opened, 1), []
    with table(opened) as on, resumed(on, given, "stage3.0.relu1"):
        handles = [part.register_forward_hook(lambda part, x, y, name=name: ran.append(name))
                   for name, part in on.parts.items() if not list(part.children())]  # fmt: skip
        on.run(given, {})
        for handle in handles:
            handle.remove()
    assert "stage2.0.conv1" not in ran
    assert "stage3.0.conv2" in ran


def test_each_unit_alone_is_what_operate_says():
    opened = zoo.load("zoo:digits-lenet")
    found = singles(opened, "relu1", count=40)
    before, after = scores(opened, (), 40), scores(opened, [Cut("relu1", (5,))], 40)
    assert found.loss == pytest.approx(before.loss.mean(), abs=1e-5)
    assert found.rise[5] == pytest.approx((after.loss - before.loss).mean(), abs=1e-5)
    own = singles(opened, "relu1", sample(opened, 1))
    done = operate(opened, sample(opened, 1), [Cut("relu1", (5,))])
    chances = [torch.from_numpy(one[0]).log_softmax(0) for one in (done.before, done.after)]
    best = int(chances[0].argmax())
    assert own.rise[5] == pytest.approx(float(chances[0][best] - chances[1][best]), abs=1e-5)


def test_the_search_takes_what_brute_force_would():
    opened = zoo.load("zoo:digits-lenet")
    found = greedy(opened, "relu1", steps=3, count=30, seeds=2)
    asked = trial(opened, 30)

    def loss(units: tuple[int, ...]) -> float:
        answer = torch.from_numpy(operate(opened, asked.given, [Cut("relu1", units)] if units else []).after)
        return float(asked.losses(answer).mean())

    alone = [loss((unit,)) for unit in range(16)]
    assert found.units[0] == int(np.argmax(alone))
    np.testing.assert_allclose(found.singles, np.array(alone) - loss(()), atol=1e-5)
    first = int(found.units[0])
    pairs = {unit: loss((first, unit)) for unit in range(16) if unit != first}
    assert found.units[1] == max(pairs, key=pairs.get)
    assert found.rise[1] == pytest.approx(max(pairs.values()) - loss(()), abs=1e-5)
    others = trial(opened, 30, 30)
    whole = torch.from_numpy(operate(opened, others.given, [Cut("relu1", tuple(map(int, found.units)))]).after)
    assert found.loss[-1] == pytest.approx(float(others.losses(whole).mean()), abs=1e-5)
    assert found.accuracy.shape == (4,)
    assert found.random_accuracy.shape == (2, 4)
    np.testing.assert_allclose(found.random_loss[:, 0], found.loss[0])
    assert lent_again(opened)


def test_of_many_units_those_that_hurt_most_alone_are_tried():
    steps = []
    found = greedy("zoo:points-diffusion", "unet.layers.0", steps=2, count=8, seeds=1, on_step=steps.append)
    assert (found.tried, len(found.singles)) == (24, 128)
    assert found.units[0] == found.singles.argmax()
    assert np.isnan(found.accuracy).all()
    assert len(steps) == passes(128, 2, 1)
    assert steps[-1] == 1.0


def test_a_search_runs_as_a_job(monkeypatch):
    queued = {}

    class Engine:
        def submit(self, name, request, **about):
            queued.update(name=name, request=request)

    monkeypatch.setattr(jobs, "engine", Engine)
    asked = Search("zoo:digits-lenet", "relu1", 2, 10, 1)
    id = searching.start(asked, "me")
    assert queued["name"] == "explorer.activations.greedy:run"
    assert searching.asked_of(id) == asked
    assert searching.found_of(id) is None
    events = []
    assert searching.run(queued["request"], events.append, lambda: True) == {}
    assert searching.run(queued["request"], events.append, lambda: False) == {"done": True}
    found, again = searching.found_of(id), greedy(**vars(asked))
    np.testing.assert_array_equal(found.units, again.units)
    np.testing.assert_allclose(found.random_loss, again.random_loss)
    assert events[-1]["progress"] == 1.0
    for bad in ("x", "0" * 32):
        with pytest.raises(ExplorerError):
            searching.asked_of(bad)
    with pytest.raises(ExplorerError, match="takes 1 to"):
        searching.start(replace(asked, steps=99), "me")


def test_without_data_of_its_own_there_is_no_damage_and_yet_an_operation():
    opened = torchvision("resnet18")
    done = operate(opened, None, [Cut("layer1.0", (0,))])
    assert done.moved.max() > 0
    with pytest.raises(ExplorerError, match="not here"):
        damage(opened, [Cut("layer1.0", (0,))], 10)


def test_a_trial_counts_only_what_is_asked():
    target = torch.tensor([[1, -100, 0]])
    logits = torch.log_softmax(torch.tensor([[[0.0, 1], [5, 0], [0, 2]]]), -1)
    asked = Trial(sample(zoo.load("zoo:digits-lenet"), 1), target)
    assert float(asked.losses(logits)) == pytest.approx(float(-(logits[0, 0, 1] + logits[0, 2, 0]) / 2))
    assert float(asked.right(logits)) == 0.5
