"""What the views of the Diffusion page must bear: python -m pytest tests/ui/test_diffusion_views.py"""

import pytest

from explorer import zoo
from explorer.diffusion import sample
from explorer.errors import ExplorerError
from explorer.ui.diffusion.drawn import BENT, equations
from explorer.ui.diffusion.question import fitting_samplers
from tests.diffusion import nets
from tests.test_pages import always_inside_app, open_app, texts

__all__ = ["always_inside_app"]  # fixtures of every test here

DIGITS = "zoo:digits-diffusion"


@pytest.mark.parametrize("way", ["Fork a step", "Between two"])
def test_after_the_largest_seed_comes_the_first(way):
    app = open_app(
        "pages/diffusion.py",
        model=DIGITS,
        view="Another future",
        way=way,
        seed=str(2**31 - 1),
        sampler="ddpm",
        steps="2",
    )
    assert not app.exception
    assert not app.error
    assert app.number_input(key="fork-seed" if way == "Fork a step" else "other-seed").value == 0


def test_a_picture_chosen_from_a_larger_test_split_gives_way():
    app = open_app("pages/diffusion.py", model=DIGITS, view="Into noise")
    app.session_state["example"] = 900
    app.run()
    assert not app.exception
    assert app.slider(key="example").value == 3


def test_the_reference_of_samplers_is_kept_by_its_end_alone(monkeypatch):
    from explorer.ui.diffusion import samplers

    drawn = []
    fulfil = samplers.fulfil
    monkeypatch.setattr(samplers, "MOST_STEPS", 30)
    monkeypatch.setattr(samplers, "fulfil", lambda wish, on_step: drawn.append(wish) or fulfil(wish, on_step))
    for _ in range(2):
        app = open_app("pages/diffusion.py", model=DIGITS, view="Samplers", seed="77")
        assert not app.exception
        assert not app.error
    assert [(wish.sampler, wish.steps) for wish in drawn] == [("ddim", 30)]


def test_a_reference_that_is_dear_is_not_drawn_on_a_shared_server(monkeypatch):
    from explorer.settings import settings
    from explorer.ui.diffusion import samplers

    monkeypatch.setenv("EXPLORER_SHARED", "1")
    settings.cache_clear()
    monkeypatch.setattr(samplers, "DEAR", 1e9)
    about = {"model": DIGITS, "view": "Samplers", "seed": "78"}
    app = open_app("pages/diffusion.py", **about)
    assert [one.key for one in app.toggle if one.key == "finest"], texts(app)  # it may be asked for
    monkeypatch.setattr(samplers, "DEAR", 0.0)
    app = open_app("pages/diffusion.py", **about, finest="true")
    assert not [one for one in app.toggle if one.key == "finest"]
    assert any("too long on a server" in one.value for one in app.caption)
    assert not app.exception


def test_a_network_that_no_sampler_suits_is_refused(tmp_path):
    with pytest.raises(ExplorerError, match="DDPM: diffusers gives it no laplace noise schedule"):
        fitting_samplers(zoo.load(nets.save(tmp_path / "net", "free", beta_schedule="laplace")))


@pytest.mark.parametrize("bent", [{"clip_sample": True}, {"variance_type": "fixed_large"}])
def test_no_sum_is_told_of_a_step_that_is_none(tmp_path, bent):
    ref = nets.save(tmp_path / "net", "free", **bent)
    told = equations(zoo.load(ref), sample(ref, "ddpm", 2))
    assert [(one.terms, one.note) for one in told[:-1]] == [((), BENT)] * 2
    plain = nets.save(tmp_path / "plain", "free")
    for sampler in ("ddpm", "ddim", "euler", "dpm_solver"):
        assert all(one.terms for one in equations(zoo.load(plain), sample(plain, sampler, 2))[:-1]), sampler
