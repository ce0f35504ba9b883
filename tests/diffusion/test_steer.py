"""Other futures, and what stays of the old one: python -m pytest tests/diffusion/test_steer.py"""

import numpy as np
import pytest
import torch

from explorer import zoo
from explorer.diffusion import SAMPLERS, fork, from_picture, sample, slerp
from explorer.errors import ExplorerError

USED = [name for name in SAMPLERS if name not in ("lcm", "flow")]


@pytest.mark.parametrize("sampler", USED)
def test_a_fork_that_changes_nothing_is_the_same_future_bit_for_bit(saved, sampler):
    past = sample(saved("guided"), sampler, steps=6, guidance=2.5, condition=[1, 0], avoid="class 2", seed=4, count=2)
    for at in (0, 1, 4, len(past.answers) - 1):
        again = fork(past, at)
        for name in ("x", "answers", "knowing", "without", "timesteps", "alphas_bar"):
            np.testing.assert_array_equal(getattr(again, name), getattr(past, name), err_msg=f"{name} {at}")


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm_solver", "heun"])
def test_what_is_changed_changes_the_future_alone(saved, sampler):
    past = sample(saved("guided"), sampler, steps=6, condition=1, seed=4)
    changes = [{"condition": 2}, {"guidance": 6.0}, {"avoid": "class 0"}]
    for change in changes + [{"seed": 99}] * (sampler == "ddpm"):
        other = fork(past, 3, **change)
        np.testing.assert_array_equal(other.x[:4], past.x[:4])
        assert not np.allclose(other.x[-1], past.x[-1], atol=1e-5), change
    assert fork(past, 3, condition=2).conditions == ("class 2",)


def test_without_chance_another_seed_changes_nothing(saved):
    past = sample(saved("guided"), "ddim", steps=5, condition=1)
    np.testing.assert_array_equal(fork(past, 2, seed=7).x, past.x)


@pytest.mark.parametrize("before", USED)
@pytest.mark.parametrize("after", ["ddpm", "heun", "unipc"])
def test_a_sampler_takes_over_from_another(saved, before, after):
    past = sample(saved("free"), before, steps=8, seed=3)
    at = 4
    other = fork(past, at, sampler=after)
    share = past.alphas_bar[: at + 1].reshape(-1, 1, 1, 1, 1)
    np.testing.assert_allclose(other.shown[:at], past.shown[:at], rtol=1e-3, atol=1e-4)
    assert other.alphas_bar[at] >= share[at].item() - 1e-5
    np.testing.assert_allclose(other.clean[:at], past.clean[:at], rtol=2e-2, atol=2e-2)
    assert np.isfinite(other.x).all()
    assert (np.diff(other.alphas_bar) >= -1e-6).all()


def test_flow_matching_is_forked_and_begins_from_a_picture(saved):
    ref = saved("free", prediction_type="flow")
    past = sample(ref, "flow", steps=6, seed=4)
    np.testing.assert_array_equal(fork(past, 3).x, past.x)
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    begun = from_picture(ref, picture, 0.5, sampler="flow", steps=10, seed=2)
    model = zoo.load(ref)
    with model.borrow() as parts, torch.inference_mode():
        clean = model.encode(parts, picture).numpy()
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(2)).numpy()
    sigma = begun.timesteps[0] / 1000
    np.testing.assert_allclose(begun.x[0], (1 - sigma) * clean + sigma * noise, atol=1e-5)


def test_two_exact_solvers_agree_on_the_future(saved):
    """DDIM and Euler with many steps follow the same equation, so that it matters little who goes on."""
    past = sample(saved("free"), "ddim", steps=100, seed=3)
    other = fork(past, 50, sampler="euler")
    spread = np.abs(past.x[-1]).mean()
    assert np.abs(other.shown[-1] - past.shown[-1]).mean() < 0.1 * spread


@pytest.mark.parametrize("sampler", USED)
def test_a_picture_is_left_as_it_is_or_drawn_anew(saved, sampler):
    ref = saved("free")
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    model = zoo.load(ref)
    whole = from_picture(ref, picture, 1.0, sampler=sampler, steps=10, seed=2)
    little = from_picture(ref, picture, 0.1, sampler=sampler, steps=10, seed=2)
    with model.borrow() as parts, torch.inference_mode():
        clean = model.encode(parts, picture).numpy()
    assert np.abs(little.shown[-1] - clean).mean() < np.abs(whole.shown[-1] - clean).mean()
    assert len(little.answers) < len(whole.answers)


@pytest.mark.parametrize("kind", ["free", "prompts"])
def test_what_the_mask_leaves_is_the_picture(saved, kind):
    ref = saved(kind)
    side = 8
    channels = 1 if kind == "free" else 3
    picture = np.random.default_rng(1).integers(0, 256, (side, side, channels)).astype(np.uint8)
    mask = np.zeros((side, side), bool)
    mask[:, :4] = True
    found = from_picture(
        ref, picture, 1.0, mask, sampler="euler", steps=5, condition=None if kind == "free" else "a star"
    )
    model = zoo.load(ref)
    with model.borrow() as parts, torch.inference_mode():
        clean = model.encode(parts, picture).numpy()
    half = clean.shape[-1] // 2
    np.testing.assert_allclose(found.shown[-1][..., half:], clean[..., half:], atol=1e-5)
    assert not np.allclose(found.shown[-1][..., :half], clean[..., :half], atol=1e-2)


def test_between_two_noises_lies_noise():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 1, 16, 16))
    np.testing.assert_allclose(slerp(a, b, 0), a, atol=1e-5)
    np.testing.assert_allclose(slerp(a, b, 1), b, atol=1e-5)
    assert abs(slerp(a, b, 0.5).std() - 1) < 0.1 < abs((0.5 * a + 0.5 * b).std() - 1)
    np.testing.assert_allclose(slerp(a, a, 0.3), a, atol=1e-5)


def test_a_noise_of_ones_own_is_where_the_samples_begin(saved):
    first = sample(saved("free"), steps=3, seed=1).x[0]
    np.testing.assert_array_equal(
        sample(saved("free"), steps=3, seed=8, noise=first).x, sample(saved("free"), steps=3, seed=1).x
    )


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda ref: fork(sample(ref, steps=3), 3), "there are 3"),
        (lambda ref: fork(sample(ref, steps=3), 1, guidance=99), "0 to 50"),
        (lambda ref: from_picture(ref, np.zeros((8, 8), np.uint8), 1.5), "0 to 1"),
        (lambda ref: from_picture(ref, np.zeros((8, 8), np.uint8), 1, np.zeros((8, 8), bool)), "nothing of it"),
        (lambda ref: from_picture(ref, np.zeros((8, 8), np.uint8), 1, np.zeros(8, bool)), "the shape"),
    ],
)
def test_what_can_not_be_steered_is_refused(saved, ask, words):
    with pytest.raises(ExplorerError, match=words):
        ask(saved("free"))
