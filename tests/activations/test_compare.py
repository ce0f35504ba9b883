"""A and B, layer by layer and answer by answer: python -m pytest tests/activations/test_compare.py"""

import numpy as np
import pytest
import torch
from torch import nn

from explorer import training, zoo
from explorer.activations import capture
from explorer.activations.compare import Disagreement, answers, compare, compared, difference, disagreements, unit_first
from explorer.charts import activations_compare as charts
from explorer.errors import ExplorerError
from explorer.training import TrainConfig
from tests.activations.nets import Awkward, model, seeded

RESNET, SHORTCUT, VIT, LENET = "zoo:shapes-resnet", "zoo:shapes-shortcut", "zoo:shapes-vit", "zoo:digits-lenet"
DICE = np.random.default_rng(0)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, 8, 8, 3), np.uint8)


def test_what_is_equal_is_alike_in_every_layer():
    opened = model(seeded(Awkward))
    found = compare(opened, opened, picture())
    assert [layer.cosine for layer in found.layers] == pytest.approx([1.0] * len(found.layers))
    assert all(layer.distance == 0 for layer in found.layers)
    assert not found.unlike
    assert found.only_a == found.only_b == ()
    assert not found.answers.change.any()


def test_two_inputs_through_one_network_by_call_and_by_hand():
    opened = model(seeded(Awkward))
    with opened.borrow() as tree:
        pass
    found = compare(opened, opened, picture(0), picture(1))
    names = [layer.name for layer in found.layers]
    assert {"again", "again#2", "relu", "relu#2", "pair", "named"} <= set(names)  # tuples, dicts, used twice
    assert "silent" not in names
    with opened.borrow() as net, torch.inference_mode():
        a, b = (torch.relu(net.conv(opened.preprocess(picture(seed)))).flatten().double() for seed in (0, 1))
    assert found["relu"].cosine == pytest.approx(float(a @ b / (a.norm() * b.norm())), rel=1e-6)
    assert found["relu"].distance == pytest.approx(float((b - a).norm() / a.norm()), rel=1e-6)
    with opened.borrow() as again:
        assert again is tree
        assert not any(part._forward_hooks for part in again.modules())


def test_silence_has_no_direction():
    class Silenced(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.head = nn.ReLU(), nn.Linear(2, 2)

        def forward(self, x):
            return self.head(self.act(x))

    opened = model(seeded(Silenced), (2,), 2)
    found = compare(opened, opened, np.array([[-1.0, -1.0]]), np.array([[1.0, 1.0]]))
    assert np.isnan(found["act"].cosine)
    assert np.isnan(found["act"].distance)
    assert np.isfinite(found["head"].cosine)


def test_two_checkpoints_of_a_run():
    run = training.fit(TrainConfig(dataset="points", model="mlp", epochs=2, seed=0))
    first, last = (f"{run.ref}@{step}" for step in (run.checkpoints[0], run.checkpoints[-1]))
    x = np.array([[0.3, -0.4]], np.float32)
    found = compare(first, last, x)
    assert found.layers[0].distance == 0  # the input itself, flattened
    assert found.layers[-1].cosine < 1
    assert found.layers[-1].distance > 0
    assert not found.unlike
    for ref, values in ((first, found.answers.a), (last, found.answers.b)):
        np.testing.assert_allclose(values, zoo.load(ref).predict(x)[0], atol=1e-6)
    table = disagreements(first, last)
    assert table.table.sum() == len(table.index)
    assert charts.where(table, x.repeat(len(table.index), 0)).to_dict()


def test_different_depths_share_what_has_the_same_name_and_shape():
    found = compare(SHORTCUT, RESNET)
    assert found["stage1.0"].shape == (24, 32, 32)
    assert "stage1.1" in found.only_b
    assert found.only_a == ()
    assert len(found.layers) + len(found.only_b) == len(capture(RESNET).names)


def test_equal_names_with_other_shapes_are_told_and_other_architectures_compare_answers_alone():
    found = compare(LENET, RESNET)
    assert found.unlike == {"flatten": "128 in A, 96 in B"}
    assert found.layers == ()
    assert found.answers.labels == ()
    assert "None of A's 10 and B's 10" in found.answers.note
    other = compare(VIT, RESNET)
    assert [layer.name for layer in other.layers] == ["head"]
    np.testing.assert_allclose(other.answers.b, zoo.load(RESNET).predict(capture_input())[0], atol=1e-5)
    assert other.answers.note == ""


def capture_input() -> np.ndarray:
    from explorer import data

    return data.load("shapes", "test").x[:1]


def test_answers_are_matched_by_name():
    one, other = model(seeded(Awkward), classes=3), model(seeded(Awkward, 1), classes=3)
    object.__setattr__(other.card, "labels", ("class 2", "other", "class 0"))
    x = picture()
    found = answers(one, capture(one, x), other, capture(other, x))
    assert found.labels == ("class 2", "class 0")
    np.testing.assert_allclose(found.a, one.predict(x)[0][[2, 0]], atol=1e-6)
    np.testing.assert_allclose(found.b, other.predict(x)[0][[0, 2]], atol=1e-6)
    np.testing.assert_allclose(found.change, found.b - found.a)
    assert found.note == "2 of A's 3 and B's 3 answers are in both by name; the rest can't be compared."


def test_a_decoder_answers_with_its_next_token():
    opened = zoo.load("zoo:story-gpt")
    found = compare(opened, opened, "the cat", "the dog")
    encoded = opened.encode("the dog")
    with opened.borrow() as net, torch.inference_mode():
        expected = net(**encoded.inputs).logits[0, -1].softmax(-1).numpy()
    np.testing.assert_allclose(found.answers.b, expected, atol=1e-6)
    assert found.answers.said_b == opened.token(int(expected.argmax()))
    assert compare("zoo:story-bert", "zoo:story-bert", "the cat").answers is None
    longer = compare(opened, opened, "the cat", "the old dog slept")
    assert "transformer.h.0" in longer.unlike


def test_inputs_of_another_kind_are_refused():
    with pytest.raises(ExplorerError, match="the one takes texts, the other pictures"):
        compare("zoo:story-gpt", RESNET)
    with pytest.raises(ExplorerError, match="only classifiers"):
        disagreements("zoo:story-gpt", "zoo:story-gpt")
    with pytest.raises(ExplorerError, match="share no class"):
        disagreements(RESNET, LENET)
    stranger = model(seeded(Awkward))
    with pytest.raises(ExplorerError, match="are not here"):
        disagreements(LENET, stranger)


def test_the_units_that_differ_most():
    a = DICE.normal(size=(1, 5, 4, 4)).astype(np.float32)
    b = a.copy()
    b[0, 3] += 2
    b[0, 1, 0, 0] += 1
    found = difference(a, b, 2)
    assert found.units.tolist() == [3, 1]
    assert found.change.shape == (2, 4, 4)
    np.testing.assert_allclose(found.change[0], 2, rtol=1e-6)
    np.testing.assert_allclose(found.share, [64 / 65, 1 / 65], rtol=1e-5)
    assert not difference(a, a, 2).share.any()


@pytest.mark.parametrize(("shape", "grid", "expected"), [
    ((1, 6, 4, 5), True, (6, 4, 5)), ((1, 17, 6), True, (6, 4, 4)), ((1, 16, 6), True, (6, 4, 4)),
    ((1, 16, 6), False, (6, 16)), ((1, 18, 6), True, (6, 18)), ((1, 6), True, (6,)),
    ((1, 2, 3, 4, 5), True, (2, 3, 20)), ((1, 7, 1, 1), True, (7,)),
])  # fmt: skip
def test_units_come_first_and_patches_are_laid_out(shape, grid, expected):
    assert unit_first(np.zeros(shape, np.float32), grid).shape == expected


def test_patches_leave_the_class_token_out_and_keep_their_order():
    states = np.arange(17, dtype=np.float32)[None, :, None]
    np.testing.assert_array_equal(unit_first(states)[0], np.arange(1, 17).reshape(4, 4))


# Right and wrong


def table(only_a: int, only_b: int, both: int = 5, neither: int = 2) -> Disagreement:
    right_a = np.array([True] * only_a + [False] * only_b + [True] * both + [False] * neither)
    right_b = np.array([False] * only_a + [True] * only_b + [True] * both + [False] * neither)
    count = len(right_a)
    said = ("x",) * count
    sure = np.linspace(0.5, 1, count)
    return Disagreement("zoo:a", "zoo:b", "d", np.arange(count), np.zeros(count, int), ("x",), said, said, sure, sure,
                        right_a, right_b, 0)  # fmt: skip


def test_the_four_counts_and_mcnemar():
    found = table(9, 1)
    assert found.table.tolist() == [[5, 9], [1, 2]]
    assert found.p == pytest.approx(2 * (1 + 10) / 2**10)  # P(at most 1 of 10), twice
    assert table(0, 0).p == 1
    assert table(4, 4).p == 1
    assert found.only("a").tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0]  # those first that B was surest of
    assert found.only("b").tolist() == [9]


def test_two_shipped_networks_disagree_as_their_predictions_say():
    from explorer import data

    found = disagreements(VIT, RESNET, most=200)
    test = data.load("shapes", "test")
    one, other = (zoo.load(ref).predict(test.x[:200]).argmax(1) == test.y[:200] for ref in (VIT, RESNET))
    np.testing.assert_array_equal(found.right_a, one)
    np.testing.assert_array_equal(found.right_b, other)
    assert found.table.tolist() == [
        [(one & other).sum(), (one & ~other).sum()],
        [(~one & other).sum(), (~one & ~other).sum()],
    ]
    assert (found.left_out, found.dataset) == (0, "shapes")


# Charts


def test_every_chart_can_be_drawn_and_holds_what_it_was_given():
    opened = model(seeded(Awkward))
    found = compare(opened, opened, picture(0), picture(1))
    drawn = charts.depth(found, compare(opened, opened, picture(0), picture(2)), "relu").to_dict()
    rows = [row for part in drawn["datasets"].values() for row in part if "cosine" in row]
    assert {row["layer"] for row in rows} == {layer.name for layer in found.layers}
    assert charts.answers(found.answers.labels, found.answers.a, found.answers.b).to_dict()
    assert charts.table(table(3, 1)).to_dict()
    flat = difference(DICE.normal(size=(1, 9)), DICE.normal(size=(1, 9)), 5)
    assert charts.units(flat).to_dict()
    states = difference(DICE.normal(size=(1, 4, 9)), DICE.normal(size=(1, 4, 9)), 5, grid=False)
    assert charts.states(states, list("abcd"), list("abcd")).to_dict()
    matrix = charts.matrix(np.array([[1.0, np.nan], [0.2, 0.5]]), ["a", "b"], ["c", "d"], ("a", "c")).to_dict()
    (cells,) = (part for part in matrix["datasets"].values())
    assert [row["value"] for row in cells] == [1.0, None, 0.2, 0.5]
    assert [row["chosen"] for row in cells] == [True, False, False, False]
    cloud = charts.cloud(DICE.normal(size=(6, 2)), np.array([0, 1] * 3), ("x", "y"), "A", (0.5, 0.2)).to_dict()
    assert {row["class"] for row in next(iter(cloud["datasets"].values()))} == {"x", "y"}


def test_what_was_left_out_of_a_pass_is_in_neither():
    opened = model(seeded(Awkward))
    small = capture(opened, picture(), limit=3000)
    assert small.left_out
    found = compared(opened, small, opened, capture(opened, picture()))
    assert set(found.only_b) == set(capture(opened, picture()).names) - set(small.names) - {"silent"}


@pytest.mark.parametrize("ref", ["zoo:digits-diffusion", "zoo:shapes-diffusion", "zoo:story-gpt", "zoo:digits-lenet"])
def test_a_network_beside_itself_differs_nowhere(ref):
    found = compare(ref, ref)
    assert found.layers
    assert max(layer.distance for layer in found.layers) == 0
