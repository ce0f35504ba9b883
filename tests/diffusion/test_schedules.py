"""How a picture dissolves: python -m pytest tests/diffusion/test_schedules.py"""

import numpy as np
import pytest
from diffusers import DDPMScheduler

from explorer.diffusion.schedules import SCHEDULES, dissolve, noised, schedule
from explorer.errors import ExplorerError

RANGES = {"scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012}}


@pytest.mark.parametrize("steps", [50, 1000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_the_library_s(name, steps):
    theirs = DDPMScheduler(num_train_timesteps=steps, beta_schedule=name, **RANGES.get(name, {}))
    ours = schedule(name, steps)
    np.testing.assert_allclose(ours.betas, theirs.betas, rtol=2e-4, atol=2e-7)
    np.testing.assert_allclose(ours.alphas_bar, theirs.alphas_cumprod, rtol=1e-3, atol=1e-6)
    assert (np.diff(ours.snr) < 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_step_by_step_comes_to_the_closed_form(name):
    clean = np.random.default_rng(1).normal(size=(4, 3))
    found = schedule(name, 100)
    states, noise = dissolve(clean, found.betas, seed=2)
    np.testing.assert_array_equal(states[0], clean)
    for t in (0, 20, 99):
        np.testing.assert_allclose(states[t + 1], noised(clean, noise[t + 1], found.alphas_bar[t]), atol=1e-9)


def test_only_what_is_asked_for_is_kept():
    clean = np.random.default_rng(1).normal(size=(4, 3))
    every = dissolve(clean, schedule("linear", 30).betas)
    some = dissolve(clean, schedule("linear", 30).betas, at=[0, 7, 30])
    for whole, part in zip(every, some, strict=True):
        np.testing.assert_array_equal(part, whole[[0, 7, 30]])


def test_the_noise_of_many_steps_is_standard_normal():
    _, noise = dissolve(np.zeros(20_000), schedule("linear", 50).betas)
    assert abs(noise[-1].mean()) < 0.03
    assert abs(noise[-1].std() - 1) < 0.03


def test_noising_is_the_library_s():
    import torch

    theirs = DDPMScheduler()
    clean, noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).split(1)
    ours = noised(clean.numpy(), noise.numpy(), schedule("linear").alphas_bar[300])
    np.testing.assert_allclose(ours, theirs.add_noise(clean, noise, torch.tensor([300])), rtol=1e-4, atol=1e-5)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ExplorerError, match="none of that name"):
        schedule("nonsense")
