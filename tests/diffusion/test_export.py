"""What is taken away: python -m pytest tests/diffusion/test_export.py"""

import io

import numpy as np
from PIL import Image

from explorer import zoo
from explorer.diffusion import export, frames, sample


def test_strips_and_animations_show_every_row_and_frame(saved):
    ref = saved("guided")
    found = sample(ref, "ddim", 5, 2.0, 1, count=2)
    model = zoo.load(ref)
    rows = [frames.states(model, found), frames.believed(model, found)]
    strip = Image.open(io.BytesIO(export.strip(rows)))
    assert strip.size == (6 * 17 * 16, 2 * 8 * 16)
    pixels = np.asarray(strip)[::16, ::16]
    np.testing.assert_array_equal(pixels[:8, -17:, 0], rows[0].pictures[-1][..., 0])
    for kind in ("GIF", "WEBP"):
        film = Image.open(io.BytesIO(export.animation(rows, kind)))
        assert film.n_frames == 6
        assert film.size == (2 * 17 * 16, 8 * 16)


def test_the_archive_holds_every_number(saved):
    found = sample(saved("guided"), "euler", 4, 3.0, 1)
    with np.load(io.BytesIO(export.npz(found))) as file:
        for name in ("x", "clean", "noise", "answers", "knowing", "without", "timesteps", "alphas_bar"):
            np.testing.assert_array_equal(file[name], getattr(found, name))
        assert file["conditions"].tolist() == ["class 1"]
