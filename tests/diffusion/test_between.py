"""On the way from one noise and condition to another: python -m pytest tests/diffusion/test_between.py"""

import numpy as np
import pytest

from explorer.diffusion import between, sample
from explorer.errors import ExplorerError


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize(("kind", "ends"), [("guided", (0, "class 2")), ("prompts", ("a red ring", "blue star"))])
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_both_ends_are_the_samples_themselves(saved, kind, ends, guidance, sampler):
    ref = saved(kind)
    found = between(ref, (3, 8), ends, 3, sampler, 4, guidance)
    alone = sample(ref, sampler, 4, guidance, ends[0], 3)
    np.testing.assert_allclose(found.x[-1, 0], alone.x[-1, 0], atol=2e-4)
    if sampler == "ddim":
        alone = sample(ref, sampler, 4, guidance, ends[1], 8)
        np.testing.assert_allclose(found.x[-1, 2], alone.x[-1, 0], atol=2e-4)
    assert found.conditions[0] == ("class 0" if kind == "guided" else "a red ring")
    assert "50%" in found.conditions[1]
    assert not np.allclose(found.x[-1, 1], found.x[-1, 0])


def test_one_condition_is_asked_once(saved):
    found = between(saved("guided"), (3, 8), (1, 1), 5, steps=3)
    assert found.conditions == ("class 1",) * 5
    free = between(saved("free"), (3, 8), count=2, steps=3)
    np.testing.assert_allclose(free.x[-1, 1], sample(saved("free"), steps=3, seed=8).x[-1, 0], atol=1e-4)


def test_each_sample_can_have_a_guidance_of_its_own(saved):
    found = sample(saved("guided"), "ddim", 4, [0.0, 1.0, 5.0], 1, [7, 7, 7], 3)
    for row, scale in enumerate((0.0, 1.0, 5.0)):
        alone = sample(saved("guided"), "ddim", 4, [scale], 1, 7)
        np.testing.assert_allclose(found.x[:, row], alone.x[:, 0], atol=1e-4)
    assert found.guidance == (0.0, 1.0, 5.0)
    with pytest.raises(ExplorerError, match="2 guidances"):
        sample(saved("guided"), "ddim", 4, [0.0, 1.0], 1, count=3)
