"""Points of the plane against the libraries' own: python -m pytest tests/activations/test_project.py"""

import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, _t_sne, trustworthiness
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from explorer import jobs, training
from explorer.activations import projecting
from explorer.activations.embed import Selection, embed
from explorer.activations.project import aligned, chance, checked, neighbours, pca, trust, tsne, umap, vote
from explorer.activations.projecting import Asked, Projected, project
from explorer.errors import ExplorerError
from explorer.training import TrainConfig

LENET = "zoo:digits-lenet"
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return found.data[:150].astype(np.float32), found.target[:150]


def test_pca_is_scikit_learns(digits):
    x, _ = digits
    reference = PCA(10, random_state=0)
    points = reference.fit_transform(x)[:, :2]
    found = pca(x)
    np.testing.assert_array_equal(found.points, points.astype(np.float32))
    np.testing.assert_array_equal(found.explained, reference.explained_variance_ratio_)


def test_tsne_is_scikit_learns_and_tells_every_step(digits):
    x, _ = digits
    told = []
    found = tsne(x, on_step=told.append, perplexity=12.0, seed=3)
    np.testing.assert_array_equal(
        found, TSNE(perplexity=12.0, init="pca", random_state=3, max_iter=1000).fit_transform(x)
    )
    assert told == sorted(told)
    assert 0.9 < told[-1] <= 1
    start = RANDOM.normal(size=(150, 2)).astype(np.float32)
    small = (start / start[:, 0].std() * 1e-4).astype(np.float32)
    reference = TSNE(perplexity=12.0, init=small, random_state=3, max_iter=1000).fit_transform(x)
    np.testing.assert_allclose(tsne(x, start, perplexity=12.0, seed=3), reference, rtol=1e-4, atol=1e-4)


def test_a_stopped_tsne_leaves_scikit_learn_as_it_was(digits):
    before = _t_sne._kl_divergence_bh

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        tsne(digits[0], on_step=stop)
    assert _t_sne._kl_divergence_bh is before


def test_umap_is_umap_learns_and_tells_its_epochs(digits):  # half a minute: it compiles itself
    from umap import UMAP

    x, _ = digits
    told = []
    found = umap(x, on_step=told.append, neighbours=10, min_distance=0.2, seed=5)
    reference = UMAP(n_neighbors=10, min_dist=0.2, random_state=5, n_epochs=500, n_jobs=1).fit_transform(x)
    np.testing.assert_array_equal(found, reference)
    assert told == sorted(told)
    assert told[-1] == 1
    again = umap(x, found, neighbours=10, min_distance=0.2, seed=5)  # begins where it ended
    assert np.isfinite(again).all()
    few = umap(x[:3], neighbours=2)
    assert few.shape == (3, 2)


def test_neighbours_know_what_scikit_learn_knows(digits):
    x, y = digits[0][:60], digits[1][:60]
    near, distances = neighbours(x)
    whole = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(whole, np.inf)
    np.testing.assert_allclose(distances, np.sort(whole, 1)[:, :30], rtol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(whole, near, 1), distances, rtol=1e-4)
    for k in (1, 4, 9):
        scores = cross_val_score(KNeighborsClassifier(k, algorithm="brute"), x, y, cv=LeaveOneOut())
        assert vote(near, y, k) == pytest.approx(scores.mean(), abs=1e-12)
    with pytest.raises(ExplorerError, match="30 were looked up"):
        vote(near, y, 31)
    assert chance(np.array([4, 4, 2, 9])) == 0.5
    assert vote(near, np.zeros(60, int), 3) == chance(np.zeros(60, int)) == 1


def test_trust_is_scikit_learns_and_high_where_nothing_is_lost(digits):
    x, _ = digits
    points = pca(x).points
    assert trust(x, points) == trustworthiness(x, points, n_neighbors=10)
    flat = RANDOM.normal(size=(60, 2)).astype(np.float32)
    assert trust(flat, pca(flat).points) == pytest.approx(1)
    assert trust(x, RANDOM.normal(size=(150, 2))) < 0.6


def test_aligning_undoes_a_turn_a_mirror_and_a_move_but_no_stretch():
    points = RANDOM.normal(size=(40, 2)) * [3, 1]
    angle = 2.1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for mirror in (np.eye(2), np.diag([1, -1])):
        moved = points @ turn @ mirror + [5, -7]
        np.testing.assert_allclose(aligned(moved, points), points, atol=1e-5)
        centred = points - points.mean(0)
        np.testing.assert_allclose(aligned(moved * 2, points) - points.mean(0), 2 * centred, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.zeros((0, 4)), "three at least"),
        (np.ones((2, 4)), "three at least"),
        (np.ones((9, 0)), "three at least"),
        (np.ones((9, 4)), "the same for all"),
        (np.where(np.eye(5) > 0, np.nan, 1), "5 of 5 hold infinite numbers"),
        (np.where(np.eye(5, 3) > 0, np.inf, 1), "3 of 5"),
    ],
)
def test_vectors_that_can_t_be_drawn_are_refused(x, why):
    for method in (checked, pca, tsne, neighbours):
        with pytest.raises(ExplorerError, match=why):
            method(x)


def test_three_examples_and_vectors_of_one_number_can_be_drawn():
    three = np.array([[0.0, 0], [1, 0], [0, 5]])
    assert pca(three).points.shape == tsne(three, perplexity=2.0).shape == (3, 2)
    assert neighbours(three)[0].shape == (3, 2)
    assert 0 <= trust(three, three) <= 1
    with pytest.raises(ExplorerError, match="below the number of examples, 3"):
        tsne(three)
    with pytest.raises(ExplorerError, match="fewer than examples, 3"):
        umap(three)
    line = np.arange(12.0)[:, None]
    assert not pca(line).points[:, 1].any()
    assert np.isfinite(tsne(line, perplexity=3.0)).all()


def test_a_projection_holds_what_its_parts_give():
    asked = Asked(Selection(LENET, 120), "t-SNE", (("perplexity", 9.0), ("seed", 1)))
    found, vectors = project(asked), embed(asked.selection)
    np.testing.assert_array_equal(found.points[0], tsne(vectors.vectors, perplexity=9.0, seed=1))
    near, distances = neighbours(vectors.vectors)
    np.testing.assert_array_equal(found.near[0], near)
    np.testing.assert_array_equal(found.distances[0], distances)
    np.testing.assert_array_equal(found.answers[0], vectors.answers)
    assert found.trust[0] == trust(vectors.vectors, found.points[0])
    assert (found.numbers, found.place, found.names) == (64, "what fc2 reads", vectors.names)


def test_a_job_leaves_its_points_under_its_id():
    asked = Asked(Selection(LENET, 60), "t-SNE", (("perplexity", 5.0), ("seed", 2)))
    id = projecting.start(asked, "somebody")
    assert projecting.asked_of(id) == asked
    for _ in range(900):
        if jobs.engine().status(id).over:
            break
        time.sleep(0.1)
    assert jobs.engine().status(id).state == "finished", jobs.engine().status(id).error
    found, here = projecting.found_of(id), project(asked)
    assert isinstance(found, Projected)
    np.testing.assert_array_equal(found.near[:, :, 0], here.near[:, :, 0])
    np.testing.assert_allclose(found.distances, here.distances, rtol=1e-4)
    assert (found.place, found.names, found.numbers) == (here.place, here.names, here.numbers)
    assert found.points.shape == (1, 60, 2)
    assert projecting.found_of("0" * 32) is None


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Asked(Selection(LENET, 20), "t-SNE"), "below the number of examples, 20"),
        (Asked(Selection(LENET, 10), "UMAP"), "below the number of examples, 10"),
        (Asked(Selection(LENET, 2)), "there can be 3"),
        (Asked(Selection(LENET), "LDA"), "none of that name"),
        (Asked(Selection(LENET), "t-SNE", (("perplexity", 1e6),)), "perplexity"),
        (Asked(Selection(LENET), "PCA", (("seed", 1),)), "no setting"),
    ],
)
def test_what_can_t_be_projected_is_refused_before_it_is_queued(asked, why):
    with pytest.raises(ExplorerError, match=why):
        projecting.start(asked, "somebody")


@pytest.mark.parametrize("id", ["", "0" * 32, "../../etc/passwd", "a" * 31 + "/"])
def test_an_unknown_projection_is_refused(id):
    with pytest.raises(ExplorerError, match="none of that name"):
        projecting.asked_of(id)


def test_along_a_training_pictures_follow_each_other():
    run = training.fit(TrainConfig(dataset="digits", model="mlp", epochs=1))
    steps = projecting.steps_of(run.ref)
    assert len(steps) > 2
    assert steps[0] == 0
    assert projecting.steps_of(LENET) == ()
    asked = Asked(Selection(run.ref, 80), steps=steps)
    found = project(asked)
    assert found.points.shape == (len(steps), 80, 2)
    assert found.steps.tolist() == list(steps)
    for at, step in enumerate(steps):
        vectors = embed(Selection(f"{run.ref}@{step}", 80)).vectors
        own = pca(vectors).points
        expected = own if at == len(steps) - 1 else aligned(own, found.points[at + 1])
        np.testing.assert_allclose(found.points[at], expected, atol=1e-5)
        np.testing.assert_array_equal(found.near[at], neighbours(vectors)[0])
    two = replace(asked, method="t-SNE", settings=(("perplexity", 10.0),), steps=steps[-2:])
    film = project(two)
    first = tsne(embed(Selection(f"{run.ref}@{steps[-2]}", 80)).vectors, perplexity=10.0)
    second = tsne(embed(Selection(f"{run.ref}@{steps[-1]}", 80)).vectors, first, perplexity=10.0)
    np.testing.assert_array_equal(film.points[0], first)
    np.testing.assert_allclose(film.points[1], aligned(second, first), atol=1e-4)
