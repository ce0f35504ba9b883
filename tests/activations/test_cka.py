"""Linear CKA against its formula, and over real layers: python -m pytest tests/activations/test_cka.py"""

import importlib

import numpy as np
import pytest
import torch
from torch import nn

from explorer import data, models, zoo
from explorer.activations import shared
from explorer.activations.cka import cka, linear_cka, probed
from explorer.activations.pair import matches, pair, turned
from explorer.activations.shared import examples, opened_net, probe, spread
from explorer.data.base import Dataset
from explorer.errors import ExplorerError
from tests.activations.nets import Awkward, model, seeded

MODULE = importlib.import_module("explorer.activations.cka")  # the package gives its function that name
DICE = np.random.default_rng(0)
RESNET, SHORTCUT, LENET = "zoo:shapes-resnet", "zoo:shapes-shortcut", "zoo:digits-lenet"


def plain_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, section 3, as it is written there."""
    x, y = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm
    return norm(y.T @ x, "fro") ** 2 / (norm(x.T @ x, "fro") * norm(y.T @ y, "fro"))


def plain_unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """The same with HSIC₁ of Song et al. 2012, equation 5, as it is written there."""
    return hsic1(x, y) / np.sqrt(hsic1(x, x) * hsic1(y, y))


def hsic1(x: np.ndarray, y: np.ndarray) -> float:
    n, one = len(x), np.ones(len(x))
    k, l = x @ x.T, y @ y.T  # noqa: E741
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    middle = one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ l) + middle - 2 / (n - 2) * one @ k @ l @ one) / (n * (n - 3))


def u_statistic(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased HSIC as the mean over all ordered quadruples of different examples (Song et al. 2012, theorem 3)."""
    from itertools import permutations

    k, l = x @ x.T, y @ y.T  # noqa: E741
    found = [k[s, t] * (l[s, t] + l[u, v] - 2 * l[s, u]) for s, t, u, v in permutations(range(len(x)), 4)]
    return float(np.mean(found))


@pytest.mark.parametrize(("p", "q"), [(5, 7), (5, 90), (80, 90), (1, 1)])
def test_it_is_the_formula_with_few_features_and_with_many(p, q):
    x = DICE.normal(2, 1, (40, p))
    y = DICE.normal(-3, 2, (40, q)) + x[:, :1]
    assert linear_cka(x, y) == pytest.approx(plain_cka(x, y), rel=1e-9)
    assert linear_cka(x, y, unbiased=True) == pytest.approx(plain_unbiased(x, y), rel=1e-7)


def test_the_unbiased_form_is_the_mean_over_quadruples():
    x, y = DICE.normal(size=(7, 3)), DICE.normal(size=(7, 2))
    expected = u_statistic(x, y) / np.sqrt(u_statistic(x, x) * u_statistic(y, y))
    assert linear_cka(x, y, unbiased=True) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
def test_rotation_scale_and_shift_change_nothing_and_stretching_does(unbiased):
    x = DICE.normal(size=(50, 12))
    turn, _ = np.linalg.qr(DICE.normal(size=(12, 12)))
    assert linear_cka(x, x, unbiased) == pytest.approx(1)
    assert linear_cka(x, 3.5 * x @ turn + 7, unbiased) == pytest.approx(1)
    assert linear_cka(x, x * np.geomspace(1, 50, 12), unbiased) < 0.9
    y = DICE.normal(size=(50, 30)) + x[:, :1]
    assert linear_cka(x, y, unbiased) == pytest.approx(linear_cka(y, x, unbiased))


def test_of_independent_features_the_unbiased_form_is_near_zero_and_the_other_far_above():
    draws = [(DICE.normal(size=(60, 300)), DICE.normal(size=(60, 300))) for _ in range(20)]
    assert abs(np.mean([linear_cka(x, y, unbiased=True) for x, y in draws])) < 0.02
    assert np.mean([linear_cka(x, y) for x, y in draws]) > 0.7


# Networks


def features(ref: str, layer: str, x: np.ndarray) -> np.ndarray:
    """What one layer gives for pictures, by a plain hook."""
    opened, found = zoo.load(ref), []
    with opened.borrow() as net, torch.inference_mode():
        handle = net.get_submodule(layer).register_forward_hook(lambda part, given, out: found.append(out.clone()))
        net(opened.preprocess(x))
        handle.remove()
    return found[0].flatten(1).double().numpy()


def order(name: str, count: int, **settings) -> np.ndarray:
    found = data.load(name, "test", **settings)
    return found.x[np.random.default_rng(0).permutation(len(found))[:count]]


def test_the_full_form_over_two_networks_is_the_formula():
    x = order("shapes", 30)
    names = ["pool", "head"]
    found = cka(SHORTCUT, RESNET, layers_a=names, layers_b=names, form="full", count=30)
    plain = [[plain_cka(features(SHORTCUT, a, x), features(RESNET, b, x)) for b in names] for a in names]
    np.testing.assert_allclose(found.matrix, plain, rtol=2e-5)
    assert (found.layers_a, found.layers_b, found.count, found.dataset) == (tuple(names), tuple(names), 30, "shapes")


def test_one_minibatch_is_the_whole_and_several_are_the_quotient_of_means():
    x = order("digits", 40)
    one, other = (features(LENET, name, x) for name in ("relu1", "fc1"))
    asked = {"layers_a": ["relu1"], "layers_b": ["fc1"], "count": 40}
    whole = cka(LENET, LENET, batch=40, **asked)
    assert whole.matrix[0, 0] == pytest.approx(plain_unbiased(one, other), rel=1e-5)
    parts = cka(LENET, LENET, batch=10, **asked)
    cut = [slice(start, start + 10) for start in range(0, 40, 10)]
    means = [np.mean([hsic1(a[part], b[part]) for part in cut]) for a, b in ((one, other), (one, one), (other, other))]
    assert parts.matrix[0, 0] == pytest.approx(means[0] / np.sqrt(means[1] * means[2]), rel=1e-5)


@pytest.mark.parametrize("form", ["full", "minibatch"])
def test_a_network_with_itself_is_symmetric_with_ones_on_the_diagonal(form):
    found = cka(LENET, LENET, form=form, count=100, batch=50)
    np.testing.assert_allclose(found.matrix, found.matrix.T, atol=1e-9)
    np.testing.assert_allclose(np.diag(found.matrix), 1, atol=1e-9)
    assert found.layers_a == ("conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1", "relu3", "fc2")


def test_shuffled_examples_have_nothing_in_common_where_the_estimate_is_unbiased():
    fair = cka(LENET, LENET, count=400)
    biased = cka(LENET, LENET, form="full", count=100)
    assert np.abs(fair.chance).max() < 0.15
    assert np.abs(fair.chance).mean() < 0.03
    assert biased.chance.min() > fair.chance.mean()
    assert biased.chance.max() > 0.05


def test_memory_that_holds_one_piece_at_a_time_gives_the_same(monkeypatch):
    asked = {"layers_a": ["conv1", "fc1"], "layers_b": ["relu1"], "form": "full", "count": 20}
    whole = cka(LENET, LENET, **asked)
    seen = []
    monkeypatch.setattr(MODULE, "room", lambda: 4 * 20 * 600)  # 600 of the 1,024 numbers of the first layer
    parts = cka(LENET, LENET, **asked, on_step=seen.append)
    np.testing.assert_allclose(parts.matrix, whole.matrix, rtol=1e-5)
    assert seen[-1] == 1
    assert len(seen) == 4  # two pieces of A's layers, two of B's


def test_averaging_takes_the_mean_over_positions():
    x = order("digits", 30)
    means = features(LENET, "relu1", x).reshape(30, 16, -1).mean(2)
    found = cka(LENET, LENET, layers_a=["relu1"], layers_b=["fc1"], features="averaged", form="full", count=30)
    assert found.matrix[0, 0] == pytest.approx(plain_cka(means, features(LENET, "fc1", x)), rel=1e-5)


def test_fresh_weights_are_those_that_a_new_network_has():
    opened = zoo.load(RESNET)
    card = opened.card
    expected = models.build(card.architecture, card.shape, len(card.labels), 3, **card.settings).state_dict()
    before = {name: value.clone() for name, value in _state(opened).items()}
    with opened_net(opened, fresh=3) as net:
        assert not net.training
        for name, value in net.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    for name, value in _state(opened).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    asked = {"count": 60, "batch": 60, "layers_a": ["relu1"], "layers_b": ["relu1"]}
    first, second = cka(LENET, LENET, fresh=0, **asked), cka(LENET, LENET, fresh=0, **asked)
    assert first.matrix[0, 0] == second.matrix[0, 0] < 0.9999  # B has other weights than A


def _state(opened) -> dict:
    with opened.borrow() as net:
        return net.state_dict()


def test_text_and_denoisers_are_compared_too_and_what_only_fills_counts_for_nothing():
    gpt = "zoo:story-gpt"
    found = cka(gpt, "zoo:story-bert", count=24, batch=24)
    assert np.isfinite(found.matrix).all()
    assert "transformer.wpe" not in found.layers_a  # the same for all texts
    opened = zoo.load(gpt)
    both = examples(opened, opened, None, 12)
    given = both.a(0, 12)
    assert not given.keep.all()
    whole = cka(gpt, gpt, layers_a=["transformer.h.0"], layers_b=["transformer.h.1"], form="full", count=12)
    states = []
    with opened.borrow() as net, torch.inference_mode():
        for name in ("transformer.h.0", "transformer.h.1"):
            handle = net.get_submodule(name).register_forward_hook(lambda part, x, out: states.append(out.clone()))
            given.run(net)
            handle.remove()
    rows = [(one * given.keep[..., None]).flatten(1).double().numpy() for one in states]
    assert whole.matrix[0, 0] == pytest.approx(plain_cka(*rows), rel=1e-5)
    drawn = cka("zoo:points-diffusion", "zoo:points-flow", count=30, batch=30)
    assert "unet.time.0" not in drawn.layers_a  # the time is the same for all
    assert np.isfinite(drawn.matrix).all()


def test_networks_of_other_kinds_are_refused_and_so_is_what_there_is_not():
    with pytest.raises(ExplorerError, match="the one takes texts, the other pictures"):
        cka("zoo:story-gpt", RESNET)
    with pytest.raises(ExplorerError, match="other numbers for other examples"):
        cka(LENET, LENET, layers_a=["conv9"], count=8)
    with pytest.raises(ExplorerError, match="no pictures"):
        cka(LENET, RESNET, "points")
    with pytest.raises(ExplorerError, match="Choose of: minibatch, full"):
        cka(LENET, LENET, form="whole")
    with pytest.raises(ExplorerError, match="takes 4 examples"):
        cka(LENET, LENET, batch=3)
    with pytest.raises(ExplorerError, match="one draws digits, the other points"):
        cka("zoo:digits-diffusion", "zoo:points-diffusion")
    stranger = model(seeded(Awkward))
    with pytest.raises(ExplorerError, match="the data of neither"):
        cka(stranger, stranger)
    with pytest.raises(ExplorerError, match="only architectures of this project"):
        cka(stranger, LENET, count=8, fresh=0)


def test_a_full_matrix_that_would_not_fit_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(MODULE, "room", lambda: 2 * 8 * 50**2)
    with pytest.raises(ExplorerError, match="Take 23 examples"):
        cka(LENET, LENET, form="full", count=60)


def test_pictures_of_another_size_and_colour_pass_through_both():
    found = cka(LENET, RESNET, "digits", count=40, batch=40)
    assert (len(found.layers_a), len(found.layers_b)) == (9, 11)
    assert np.isfinite(found.matrix).all()
    assert found.matrix[-1, 0] > found.chance[-1, 0]


# Which layers


def pictures(count: int = 12) -> Dataset:
    x = np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Dataset("own", "test", "image", x, np.zeros(count, np.int64), ("a",))


def test_awkward_layers_are_named_once_by_call_and_leave_no_hook():
    opened = model(seeded(Awkward))
    with opened.borrow() as tree:
        pass
    found = cka(opened, opened, pictures(), count=12, batch=12)
    assert found.layers_a == found.layers_b
    assert set(found.layers_a) <= {place.name for place in probed(opened, opened, pictures())[0].places}
    assert {"again", "again#2", "relu#2", "pair", "named"} <= set(found.layers_a)
    assert "silent" not in found.layers_a  # it gives nothing
    np.testing.assert_allclose(np.diag(found.matrix), 1, atol=1e-9)
    with opened.borrow() as again:
        assert again is tree
        assert not any(part._forward_hooks for part in again.modules())
    # what `named` gave is read before the next layer writes into it
    both = examples(opened, opened, pictures(), 12)
    x = both.a(0, 12).inputs["x"]
    with opened.borrow() as net, torch.inference_mode():
        after = net.relu(net.conv(x))
        expected = (net.again(after + 1) - 0.1).flatten(1).double().numpy()
    whole = cka(opened, opened, pictures(), layers_a=["named"], layers_b=["conv"], form="full", count=12)
    with opened.borrow() as net, torch.inference_mode():
        first = net.conv(x).flatten(1).double().numpy()
    chosen = whole.matrix[0, 0]
    index = np.argsort(np.random.default_rng(0).permutation(12))  # the order does not matter, for both have the same
    assert chosen == pytest.approx(plain_cka(expected[index], first[index]), rel=1e-4)


def test_a_hook_goes_even_where_the_network_fails():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 2, 3), nn.Flatten()

        def forward(self, x):
            self.first(x)
            raise ZeroDivisionError

    opened = model(Broken())
    with opened.borrow() as net, pytest.raises(ZeroDivisionError), shared.handed(net, ["first"], lambda *_: None):
        net(torch.zeros(1, 3, 8, 8))
    assert not net.first._forward_hooks


def test_blocks_stand_for_their_last_layer_and_many_layers_are_thinned_out():
    opened = zoo.load(RESNET)
    found = probe(opened, examples(opened, opened, None, 3).a(0, 3))
    names = [place.name for place in found.places]
    assert "stage1.0" in names
    assert not {"stage1.0.relu2", "stage1", "flatten"} & set(names)
    assert found.main[0] == "stem.conv"
    assert found.main[-1] == "head"
    assert set(found.main) >= {f"stage{stage}.{block}" for stage in (1, 2, 3) for block in (0, 1)}
    deep = zoo.load("zoo:digits-diffusion")
    many = probe(deep, examples(deep, deep, None, 3).a(0, 3))
    assert len(many.places) > shared.ALL
    assert len(many.main) <= shared.MAIN
    assert spread("abcdefg", 3) == ["a", "d", "g"]
    assert spread("abc", 5) == ["a", "b", "c"]


# Two layers


def test_a_pair_shows_the_principal_components_and_the_units_that_agree():
    from sklearn.decomposition import PCA

    found = pair(LENET, LENET, "relu1", "fc1", count=60)
    x = order("digits", 60)
    expected = PCA(2, svd_solver="full").fit(features(LENET, "relu1", x))
    plain = expected.transform(features(LENET, "relu1", x))
    plain /= np.sqrt(np.square(plain).sum(1).mean())
    for column in range(2):
        assert abs(np.corrcoef(found.points_a[:, column], plain[:, column])[0, 1]) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(np.abs(found.points_a), np.abs(plain), atol=1e-3)
    np.testing.assert_allclose(found.explained_a, expected.explained_variance_ratio_, rtol=1e-4)
    assert found.value == pytest.approx(
        plain_unbiased(features(LENET, "relu1", x), features(LENET, "fc1", x)), rel=1e-4
    )
    np.testing.assert_array_equal(found.y, data.load("digits", "test").y[np.random.default_rng(0).permutation(
        len(data.load("digits", "test")))[:60]])  # fmt: skip
    same = pair(LENET, LENET, "relu1", "relu1", count=60)
    np.testing.assert_allclose(same.points_a, same.points_b, atol=1e-4)
    assert all(one.a == one.b for one in same.matches)
    assert same.matches[0].correlation == pytest.approx(1)


def test_units_are_matched_by_correlation_and_each_only_once():
    a = DICE.normal(size=(200, 3))
    b = np.stack([a[:, 2], -a[:, 0], np.zeros(200), DICE.normal(size=200)], 1)
    found = matches(a, b, 3)
    assert {(one.a, one.b) for one in found[:2]} == {(2, 0), (0, 1)}
    assert {(one.a, one.b): round(one.correlation, 6) for one in found[:2]} == {(2, 0): 1.0, (0, 1): -1.0}
    assert len({one.a for one in found}) == len({one.b for one in found}) == len(found)


def test_turning_undoes_a_rotation_and_a_mirror():
    points = DICE.normal(size=(30, 2)).astype(np.float32)
    mirrored = points @ np.array([[0.6, 0.8], [0.8, -0.6]], np.float32)
    np.testing.assert_allclose(turned(mirrored, points), points, atol=1e-5)


@pytest.mark.parametrize("count", [6, 7, 11, 13])
def test_no_minibatch_is_too_small_for_the_unbiased_estimate(count):
    found = cka(LENET, LENET, layers_a=["relu1"], layers_b=["relu1"], count=count, batch=4)
    assert np.isfinite(found.matrix).all()
