"""Every measure against its definition: python -m pytest tests/attribution/test_measures.py"""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.stats import spearmanr

from explorer import attribution, data, zoo
from explorer.attribution import measures
from explorer.attribution.agreement import agreement, disagreement, ranks
from explorer.attribution.imputation import ACROSS, BESIDE, impute, removals

RNG = np.random.default_rng(0)
REF = "zoo:shapes-resnet"


@pytest.fixture(scope="module")
def scene():
    return data.load("shapes", "test")


def linear_case(weights: torch.Tensor):
    """A case whose score is a weighted sum of a grey picture's pixels, so that the true explanation is known."""
    from explorer.zoo.card import Card
    from explorer.zoo.model import Model

    height, width = weights.shape
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(height * width, 2, bias=False))
    net[1].weight.data = torch.stack([weights.flatten(), torch.zeros(height * width)])
    card = Card("zoo:linear", "linear", "image-classification", "linear", 2 * height * width, (1, height, width),
                ("yes", "no"), (0.0,), (1.0,))  # fmt: skip
    return Model(card, net)


def test_imputation_solves_the_linear_system_of_the_paper():
    x = torch.from_numpy(RNG.random((1, 2, 9, 11))).float()
    removed = RNG.random((9, 11)) < 0.6
    filled = impute(x, torch.from_numpy(removed)[None])[0].numpy()
    places = {place: number for number, place in enumerate(zip(*np.nonzero(removed), strict=True))}
    system, right = sparse.lil_matrix((len(places), len(places))), np.zeros((len(places), 2))
    for (row, column), number in places.items():
        for down in (-1, 0, 1):
            for over in (-1, 0, 1):
                beside = (row + down, column + over)
                if (down, over) == (0, 0) or not (0 <= beside[0] < 9 and 0 <= beside[1] < 11):
                    continue
                weight = BESIDE if 0 in (down, over) else ACROSS
                system[number, number] += weight
                if beside in places:
                    system[number, places[beside]] -= weight
                else:
                    right[number] += weight * x[0, :, beside[0], beside[1]].numpy()
    solved = spsolve(system.tocsc(), right)  # (removed, 2)
    for (row, column), number in places.items():
        np.testing.assert_allclose(filled[:, row, column], solved[number], atol=5e-3)
    np.testing.assert_array_equal(filled[:, ~removed], x[0].numpy()[:, ~removed])


def test_imputation_leaves_nothing_of_a_picture_that_is_gone_and_everything_of_one_that_is_not():
    x = torch.from_numpy(RNG.random((1, 1, 6, 6))).float()
    everything = torch.stack([torch.ones(6, 6, dtype=torch.bool), torch.zeros(6, 6, dtype=torch.bool)])
    gone, whole = impute(x, everything)
    assert not gone.any()
    torch.testing.assert_close(whole, x[0])


def test_imputation_takes_any_number_of_channels_and_either_precision_and_draws_nothing():
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(0)
    for channels in (1, 3, 4):
        x = torch.rand(1, channels, 9, 12, generator=generator)
        removed = torch.rand(5, 9, 12, generator=generator) > 0.4
        found = impute(x, removed)
        torch.testing.assert_close(found.double(), impute(x.double(), removed), rtol=0, atol=1e-5)
        torch.testing.assert_close(found[3:4], impute(x, removed[3:4]), rtol=0, atol=1e-5)  # each by itself
        assert torch.equal(found.movedim(1, -1)[~removed], x.expand_as(found).movedim(1, -1)[~removed])
    assert torch.equal(torch.get_rng_state(), state)


def test_the_most_important_pixels_go_first_and_equals_in_random_order():
    scores = RNG.permutation(100).reshape(10, 10).astype(np.float32)
    shares = np.array([0.0, 0.25, 0.9])
    gone = removals(scores, shares, np.random.default_rng(0))
    assert [mask.sum() for mask in gone] == [0, 25, 90]
    assert scores[gone[1]].min() > scores[~gone[1]].max()
    kept = removals(scores, shares, np.random.default_rng(0), least=True)
    assert scores[kept[1]].max() < scores[~kept[1]].min()
    flat = removals(np.zeros((10, 10), np.float32), np.array([0.5]), np.random.default_rng(0))[0]
    assert 5 < flat[:5].sum() < 45  # not simply the upper half


def test_infidelity_is_nothing_for_the_truth_of_a_linear_network_and_all_for_a_flat_map():
    weights = torch.from_numpy(RNG.normal(size=(8, 8))).float()
    model = linear_case(weights)
    picture = RNG.integers(1, 256, (8, 8, 1), dtype=np.uint8)
    with attribution.open_case(model, picture, target=0) as case:
        truth = weights.numpy() * picture[..., 0] / 255
        assert measures.infidelity(case, truth) < 1e-4
        assert measures.infidelity(case, 7 * truth) < 1e-4  # the scale does not matter
        assert measures.infidelity(case, np.zeros((8, 8), np.float32)) == pytest.approx(1, abs=1e-4)
        shuffled = RNG.permutation(truth.ravel()).reshape(8, 8)
        assert 0.1 < measures.infidelity(case, shuffled) <= 1.001


def test_sensitivity_is_nothing_where_the_map_ignores_the_picture_and_more_where_it_follows_it(scene):
    model = zoo.load(REF)
    with attribution.open_case(model, scene.x[0]) as case:
        found = {name: attribution.explain(case, name) for name in ("random", "smoothgrad", "input_x_gradient")}
        value = {name: measures.sensitivity(case, one, 2) for name, one in found.items()}
    assert value["random"] == 0
    assert 0 < value["smoothgrad"] < value["input_x_gradient"]


def test_sensitivity_equals_the_largest_relative_change_worked_out_by_hand(scene):
    model = zoo.load("zoo:digits-lenet")
    digits = data.load("digits", "test")
    with attribution.open_case(model, digits.x[0]) as case:
        found = attribution.explain(case, "input_x_gradient")
        value = measures.sensitivity(case, found, 3, seed=5, radius=0.02)
        generator = torch.Generator().manual_seed(5)
        reach = 0.02 * float(case.x.amax() - case.x.amin())
        nearby = case.x.detach() + reach * (2 * torch.rand(3, *case.x.shape[1:], generator=generator) - 1)
        changes = []
        for one in nearby:
            x = one[None].clone().requires_grad_()
            (slope,) = torch.autograd.grad(case.score(x).sum(), x)
            moved = (slope * x).detach().sum(1)[0].numpy()
            changes.append(np.linalg.norm(moved - found.scores) / np.linalg.norm(found.scores))
    assert value == pytest.approx(max(changes), rel=1e-4)


def test_the_gini_index_knows_its_two_ends():
    assert measures.gini(np.ones((5, 5))) == pytest.approx(0)
    single = np.zeros(100)
    single[3] = -2
    assert measures.gini(single) == pytest.approx(0.99)
    assert np.isnan(measures.gini(np.zeros((3, 3))))
    size = np.abs(RNG.normal(size=50))
    pairs = np.abs(size[:, None] - size).sum() / (2 * len(size) ** 2 * size.mean())  # Gini's own definition
    assert measures.gini(size) == pytest.approx(pairs)


def test_pointing_mass_and_overlap_by_hand():
    mask = np.zeros((64, 64), bool)
    mask[20:30, 20:30] = True
    scores = np.zeros((64, 64), np.float32)
    scores[25, 25], scores[40, 40], scores[50, 50] = 3, 1, -5
    assert measures.pointing(scores, mask) == 1
    assert measures.mass(scores, mask) == pytest.approx(3 / 4)
    assert measures.overlap(scores, mask) == pytest.approx(1 / 100)
    beside = np.zeros((64, 64), np.float32)
    beside[31, 25] = 1  # two pixels below the object: near enough
    assert measures.pointing(beside, mask) == 1
    assert measures.pointing(np.roll(beside, 1, 0), mask) == 0
    assert measures.overlap(mask.astype(np.float32), mask) == 1
    tied = np.zeros((64, 64), np.float32)
    tied[25, 25] = tied[60, 60] = 1
    assert measures.pointing(tied, mask) == 0.5
    assert np.isnan(measures.mass(np.zeros((64, 64), np.float32), mask))


def test_the_best_threshold_is_the_best_of_all_tried_one_by_one():
    scores, mask = RNG.normal(size=(12, 12)).round(1).astype(np.float32), RNG.random((12, 12)) < 0.3
    levels = [level for level in np.unique(scores) if level > 0]
    tried = [((scores >= level) & mask).sum() / ((scores >= level) | mask).sum() for level in levels]
    assert measures.overlap(scores, mask) == pytest.approx(max(tried))


def test_curves_begin_at_the_whole_picture_and_a_good_map_beats_chance(scene):
    model = zoo.load(REF)
    gains = []
    for index in range(4):
        with attribution.open_case(model, scene.x[index]) as case:
            whole = float(measures.probability(case, case.x))
            areas = {}
            for name in ("occlusion", "random"):
                found = attribution.explain(case, name)
                measured = measures.measure(case, found, scene.masks[index], repeats=0)
                assert measured.deletion[0] == pytest.approx(whole, abs=1e-4)
                assert measured.insertion[0] == pytest.approx(whole, abs=1e-4)
                areas[name] = measured.values
        gains.append(areas["random"]["deletion"] - areas["occlusion"]["deletion"])
        gains.append(areas["occlusion"]["insertion"] - areas["random"]["insertion"])
    assert np.mean(gains) > 0.1


def test_every_measure_is_taken_and_described(scene):
    with attribution.open_case(zoo.load(REF), scene.x[0]) as case:
        found = attribution.explain(case, "saliency")
        values = measures.measure(case, found, scene.masks[0], repeats=1).values
        bare = measures.measure(case, found, None, repeats=0).values
    assert set(values) == {kind.name for kind in measures.MEASURES}
    assert not set(bare) & set(measures.KNOWN_TRUTH)
    for kind in measures.MEASURES:
        assert kind.about.endswith(".")
        assert kind.better in ("higher", "lower")
        assert kind.unit.format(values[kind.name])


def test_agreement_is_spearmans_and_disagreement_its_spread(scene):
    maps = [attribution.attribute(REF, scene.x[0], name) for name in ("saliency", "grad_cam", "random")]
    matrix = agreement(maps)
    for i, one in enumerate(maps):
        for j, other in enumerate(maps):
            expected = spearmanr(np.abs(one.scores).ravel(), np.abs(other.scores).ravel()).statistic
            assert matrix[i, j] == pytest.approx(expected, abs=1e-6)
    assert not disagreement([maps[0], maps[0]]).any()
    assert disagreement(maps).max() <= 0.5
    assert ranks(maps[0].scores).min() == 0
    assert ranks(maps[0].scores).max() == 1
