"""What a unit wants, against plain NumPy and by hand: python -m pytest tests/activations/test_wants.py"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explorer import zoo
from explorer.activations import capture, sample, wants
from explorer.activations.feed import Feed
from explorer.activations.wants import Examples, Profile
from explorer.errors import ExplorerError
from tests.activations import nets


def given(model, count: int = 30, classes: int = 3) -> Examples:
    """Seeded pictures with classes, ready to pass."""
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(count, *model.card.shape, generator=dice)
    y = np.arange(count) % classes
    return Examples(model, count, None, Feed(model, {"x": x}, y=y))


def made(values: np.ndarray, classes: np.ndarray) -> Profile:
    """A profile of one place, by hand."""
    rectified = values if values.min() >= 0 else values.clip(min=0)
    labels = tuple(f"class {number}" for number in range(classes.max() + 1))
    return Profile("file:tiny", "relu", "image", values, values, rectified, None, (), 0, np.arange(len(values)), None,
                   classes, labels, values.var(0), values.min(0), values.max(0), len(values), True)  # fmt: skip


def convolutions(*layers: tuple[int, int, int]) -> nn.Module:
    """Convolutions (kernel, stride, padding) whose ReLUs are all open where inputs are positive."""
    parts: list[nn.Module] = []
    for kernel, stride, padding in layers:
        conv = nn.Conv2d(1, 1, kernel, stride, padding)
        nn.init.constant_(conv.weight, 0.1)
        nn.init.constant_(conv.bias, 0.1)
        parts += [conv, nn.ReLU()]
    return nn.Sequential(*parts)


@pytest.mark.parametrize(("ref", "layer"), [("zoo:digits-lenet", "relu1"), ("zoo:digits-lenet", "conv2"),
                                            ("zoo:digits-lenet", "relu3")])  # fmt: skip
def test_the_order_is_that_of_numpy_over_captured_values(ref, layer):
    model = zoo.load(ref)
    found = wants.profile(wants.examples(model, 120), layer)
    values = capture(model, sample(model, 120), [layer])[layer].output
    flat = values.reshape(*values.shape[:2], -1)  # (N, K, places)
    np.testing.assert_allclose(found.highest, flat.max(2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.average, flat.mean(2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.rectified, np.maximum(flat, 0).mean(2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.variance, flat.var((0, 2)), rtol=1e-4, atol=1e-7)
    if found.place is not None:
        at = np.take_along_axis(flat, found.place[..., None].astype(int), 2)[..., 0]
        np.testing.assert_allclose(at, flat.max(2), rtol=1e-5, atol=1e-6)
    for unit in (0, 5):
        for by, plain in (("max", found.highest), ("mean", found.average)):
            strongest = np.argsort(-plain[:, unit], kind="stable")[:12]
            np.testing.assert_array_equal(wants.order(found, unit, by), strongest)
            weakest = np.argsort(plain[:, unit], kind="stable")[:12]
            np.testing.assert_array_equal(wants.order(found, unit, by, least=True), weakest)
    np.testing.assert_array_equal(found.classes, sample(model, 120).y)


def test_dead_units_are_those_that_never_change():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    with torch.no_grad():
        net[0].bias[1] = -1e4
    model = nets.model(net)
    found = wants.profile(given(model), "1")
    assert found.dead.tolist() == [False, True, False, False]


def test_tokens_are_samples_and_each_text_gives_one():
    model = zoo.load("zoo:story-gpt")
    found = wants.profile(wants.examples(model, 40), "transformer.h.0.mlp.act")
    fed = sample(model, 40)
    values = capture(model, fed, ["transformer.h.0.mlp.act"])["transformer.h.0.mlp.act"].output  # (N, T, K)
    keep = fed.keep.numpy()
    np.testing.assert_allclose(found.highest, values[keep], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(np.array(found.labels)[found.classes],
                                  [model.token(int(one)) for one in fed.inputs["input_ids"].numpy()[keep]])  # fmt: skip
    best = wants.order(found, 7)
    texts = np.where(keep, values[..., 7], -np.inf).max(1)
    np.testing.assert_array_equal(found.example[best], np.argsort(-texts, kind="stable")[:12])
    np.testing.assert_allclose(found.highest[best, 7], np.sort(texts)[::-1][:12], rtol=1e-4, atol=1e-5)


def test_layers_of_a_translator_are_read_on_their_own_side():
    given = wants.examples(zoo.load("zoo:dates-seq2seq"), 20)
    encoder = wants.profile(given, "model.encoder.layers.0.activation_fn")
    decoder = wants.profile(given, "model.decoder.layers.0.activation_fn")
    assert len(encoder.highest) == int(given.whole.inputs["attention_mask"].sum())
    assert len(decoder.highest) == int(given.whole.keep.sum())


def test_the_class_token_is_left_out():
    model = zoo.load("zoo:shapes-vit")
    found = wants.profile(wants.examples(model, 6), "blocks.0")
    values = capture(model, sample(model, 6), ["blocks.0"])["blocks.0"].output  # (N, 65, K)
    assert (found.grid, found.skipped) == ((8, 8), 1)
    np.testing.assert_allclose(found.average, values[:, 1:].mean(1), rtol=1e-3, atol=1e-5)
    region = wants.region(wants.examples(model, 6), found, 3, [0, 1], share=0.5)
    assert 0 < region.shares.max() < 1


def test_a_unit_of_one_class_alone_has_the_index_one():
    classes = np.repeat([0, 1, 2], 10)
    values = np.zeros((30, 3), np.float32)
    values[:, 0] = classes == 1  # one class alone
    values[:, 1] = 2.0  # all alike
    values[:, 2] = np.where(classes == 2, 3.0, 1.0)
    found = wants.selectivity(made(values, classes))
    np.testing.assert_allclose(found.index, [1.0, 0.0, (3 - 1) / (3 + 1)])
    assert (found.best[0], found.best[2]) == (1, 2)
    assert (found.shuffled[:, [0, 2]] < found.index[[0, 2]]).all()
    told = wants.by_class(made(values, classes), found, 2)
    assert (told.names[0], told.means.tolist(), told.auc) == ("class 2", [3.0, 1.0, 1.0], 1.0)


def test_the_others_are_the_mean_over_their_samples():
    means, counts = np.array([[4.0], [2.0], [0.0]]), np.array([5, 1, 3])
    rest = (1 * 2.0 + 3 * 0.0) / 4
    np.testing.assert_allclose(wants.index_of(means, counts), [(4 - rest) / (4 + rest)])


def test_auc_and_intervals_hold_for_values_below_zero():
    dice = np.random.default_rng(0)
    classes = np.repeat([0, 1], 50)
    values = (dice.normal(size=(100, 1)) - 5 + 1.5 * (classes == 1)[:, None]).astype(np.float32)
    profile = made(values, classes)
    chances = wants.selectivity(profile)
    assert np.isnan(chances.index[0])  # never above zero
    told = wants.by_class(profile, chances, 0)
    one, other = values[classes == 1, 0], values[classes == 0, 0]
    assert told.names[0] == "class 1"
    assert told.auc == pytest.approx((one[:, None] > other[None]).mean())
    assert told.margins[0] == pytest.approx(1.96 * one.std(ddof=1) / np.sqrt(50), rel=1e-5)


def test_without_classes_there_is_no_selectivity():
    model = nets.model(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)))
    none = Examples(model, 4, None, Feed(model, {"x": torch.zeros(4, 3, 8, 8)}))
    assert wants.selectivity(wants.profile(none, "1")) is None


@pytest.mark.parametrize(
    ("layers", "reach"),
    [
        (((3, 1, 1),), lambda at: (at - 1, at + 2)),
        (((3, 1, 1), (3, 1, 1)), lambda at: (at - 2, at + 3)),  # 1 + 2 · 2
        (((3, 2, 1), (3, 1, 1)), lambda at: (2 * at - 3, 2 * at + 4)),  # 3 + 2 · 2
        (((2, 2, 0), (2, 2, 0)), lambda at: (4 * at, 4 * at + 4)),
    ],
)
def test_the_region_is_the_receptive_field(layers, reach):
    net = convolutions(*layers)
    model = nets.model(net, (1, 12, 12), 1)
    layer = str(len(net) - 1)
    x = torch.rand(144, 1, 12, 12, generator=torch.Generator().manual_seed(1)) + 0.1
    examples = Examples(model, 144, None, Feed(model, {"x": x}))
    found = wants.profile(examples, layer)
    places = np.arange(144, dtype=np.int32) % np.prod(found.grid)  # every place, whatever is strongest
    region = wants.region(examples, replace(found, place=places[:, None]), 0, range(144))
    for number, place in enumerate(places):
        row, column = divmod(int(place), found.grid[1])
        (top, bottom), (left, right) = reach(row), reach(column)
        expected = np.zeros((12, 12), bool)
        expected[max(top, 0) : bottom, max(left, 0) : right] = True  # cut off at the border
        np.testing.assert_array_equal(region.masks[number], expected)
    np.testing.assert_allclose(region.shares, region.masks.mean((1, 2)))


def test_a_share_of_the_gradient_takes_the_fewest_pixels():
    sizes = np.array([[4.0, 3.0], [2.0, 1.0]])
    assert wants.largest(sizes, 0.4).tolist() == [[True, False], [False, False]]
    assert wants.largest(sizes, 0.7).tolist() == [[True, True], [False, False]]
    assert wants.largest(sizes, 0.71).tolist() == [[True, True], [True, False]]
    assert wants.largest(sizes * [[1, 0], [1, 1]], 1.0).tolist() == [[True, False], [True, True]]
    assert not wants.largest(np.zeros((2, 2)), 0.5).any()


def test_the_share_on_the_object_is_that_of_the_masks():
    model = zoo.load("zoo:shapes-resnet")
    examples = wants.examples(model, 5)
    found = wants.profile(examples, "stem.relu")
    region = wants.region(examples, found, 21, range(5))
    truth = examples.data.masks[:5]
    np.testing.assert_allclose(region.object_share, truth.mean((1, 2)))
    for number in range(5):
        assert region.on_object[number] == pytest.approx(truth[number][region.masks[number]].mean())


def test_what_the_plane_shows_is_what_the_layer_gives():
    net = nets.seeded(lambda: nn.Sequential(nn.Linear(2, 5), nn.Tanh()))
    model = nets.model(net, (2,))
    fed = sample(model, 3)
    found = wants.profile(Examples(model, 3, None, fed), "1")
    plane = wants.over_plane(fed, found, 4, extent=2.0, side=4)
    places = np.array([[x, y] for y in (-1.5, -0.5, 0.5, 1.5) for x in (-1.5, -0.5, 0.5, 1.5)], np.float32)
    values = capture(model, places, ["1"])["1"].output[:, 4]
    np.testing.assert_allclose(plane, values.reshape(4, 4), atol=1e-6)


def test_a_later_call_of_a_layer_is_told_from_the_first():
    model = nets.model(nets.seeded(nets.Awkward))
    some = given(model, 6)
    second = wants.profile(some, "again#2")
    values = capture(model, some.whole, ["again"])["again#2"].output
    np.testing.assert_allclose(second.highest, values.max((2, 3)), rtol=1e-5, atol=1e-6)


def test_a_borrowed_tree_comes_back_untouched():
    model = nets.model(nets.seeded(nets.Awkward))
    with model.borrow() as module:
        pass
    examples = given(model)
    found = wants.profile(examples, "relu")
    wants.region(examples, found, 1, [0, 3])
    with model.borrow() as again:
        assert again is module
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.parametrize(("ref", "layer"), [("zoo:points-diffusion", "unet.time.1"), ("zoo:story-bert",
                                             "bert.embeddings.position_embeddings")])  # fmt: skip
def test_what_does_not_answer_to_each_example_is_refused(ref, layer):
    with pytest.raises(ExplorerError, match="rows for"):
        wants.profile(wants.examples(zoo.load(ref), 60), layer)


def test_no_such_unit_order_or_layer():
    model = nets.model(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()))
    found = wants.profile(given(model), "1")
    for refused in (
        lambda: wants.order(found, 4),
        lambda: wants.order(found, 0, "loudness"),
        lambda: wants.profile(given(nets.model(nets.seeded(nets.Awkward))), "unused"),
    ):
        with pytest.raises(ExplorerError):
            refused()


def test_fewer_examples_are_kept_where_there_is_no_room():
    model = nets.model(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()))
    found = wants.profile(given(model, 200), "1", limit=12 * 4 * 60)
    assert found.examples == len(found.highest) == 100


def test_without_data_of_its_own_a_network_is_shown_noise():
    model = nets.torchvision("resnet18")
    examples = wants.examples(model)
    found = wants.profile(examples, "layer1.0.bn2")  # what follows adds to it in place
    assert (found.given, found.examples, found.classes) == (False, wants.NOISE, None)
    values = capture(model, examples.whole, ["layer1.0.bn2"])["layer1.0.bn2"].output
    np.testing.assert_allclose(found.average, values.mean((2, 3)), rtol=1e-3, atol=1e-5)
