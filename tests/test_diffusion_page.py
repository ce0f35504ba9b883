"""The Diffusion page without a browser: python -m pytest tests/test_diffusion_page.py"""

import pytest

from explorer import zoo
from explorer.zoo.card import GENERATION_TASKS
from tests.test_pages import always_inside_app, open_app, texts

__all__ = ["always_inside_app"]  # a fixture of every test here

DIGITS, POINTS, SHAPES = "zoo:digits-diffusion", "zoo:points-diffusion", "zoo:shapes-diffusion"


@pytest.fixture(autouse=True)
def coarser_reference(monkeypatch):
    """The very fine sampler that others are held against takes fewer steps."""
    monkeypatch.setattr("explorer.ui.diffusion.samplers.MOST_STEPS", 60)


def diffusion(**query: str):
    return open_app("pages/diffusion.py", **query)


def said(app) -> str:
    return texts(app).replace("\\", "")


def fine(app) -> None:
    assert not app.exception
    assert not app.error, said(app)


def test_it_opens_on_a_prompt_that_is_drawn_at_once():
    app = diffusion()
    fine(app)
    assert app.text_input(key="prompt").value == "a red ring left of a blue star"
    assert "“a red ring left of a blue star”" in said(app)


@pytest.mark.parametrize("view", ["Into noise", "Samplers", "Guidance", "Words", "How good?"])
def test_every_view_of_a_network_that_reads_words(view):
    app = diffusion(view=view, steps="3")
    fine(app)
    assert app.segmented_control(key="view").value == view


@pytest.mark.parametrize("way", ["Fork a step", "From a picture", "Paint into one", "Between two"])
def test_every_way_to_another_future(way):
    app = diffusion(model=DIGITS, view="Another future", way=way, steps="5")
    fine(app)
    assert app.segmented_control(key="way").value == way


def test_painting_begins_with_the_first_object_in_another_colour():
    app = diffusion(view="Another future", way="Paint into one", steps="3")
    fine(app)
    assert "a green cross above a yellow crescent" in said(app)
    assert app.text_input(key="paint-prompt").value == "a red cross above a yellow crescent"
    assert "the object that its caption names first" in said(app)


def test_before_anything_is_trained_shipped_networks_show_what_will_come():
    app = diffusion(model=POINTS, view="Your points")
    fine(app)
    assert "as the shipped networks draw them" in said(app)


@pytest.mark.parametrize(
    "view", ["From noise", "Into noise", "Samplers", "Another future", "Score field", "Your points"]
)
def test_every_view_of_points(view):
    app = diffusion(model=POINTS, view=view, steps="5")
    fine(app)
    assert app.segmented_control(key="view").value == view
    assert "Guidance" not in app.segmented_control(key="view").options
    assert "Words" not in app.segmented_control(key="view").options


def test_the_link_brings_every_setting_back():
    app = diffusion(model=DIGITS, **{"class": "7"}, sampler="heun", steps="10", guidance="4.0", seed="9", count="3")
    fine(app)
    assert "“7”" in said(app)
    assert "Heun, 10 steps, guidance 4, seed 9" in said(app)


def test_bad_values_in_a_link_are_told_and_lose_nothing():
    app = diffusion(model=DIGITS, steps="10000", sampler="lcm", **{"class": "owl"})
    assert not app.exception
    for word in ("Steps in the link", "Sampler in the link", "Class in the link"):
        assert word in said(app), word
    assert "DDIM, 20 steps" in said(app)
    app = diffusion(model=DIGITS, steps="0")
    assert "Steps in the link" in said(app)


def test_samplers_that_do_not_fit_are_not_offered_and_the_reason_is_said():
    app = diffusion(model=DIGITS, view="Samplers", steps="3")
    assert "LCM: it needs a network that was distilled" in said(app)
    assert "LCM" not in app.selectbox(key="sampler").options


def test_unknown_words_are_named_and_an_empty_prompt_is_allowed():
    app = diffusion(model=SHAPES, prompt="a golden ring left of a dog", steps="3")
    assert "“golden”, “dog”" in said(app)
    fine(app)
    app.text_input(key="prompt").set_value("").run()
    fine(app)
    assert "draws whatever it likes" in said(app)


def test_an_endless_prompt_is_cut_and_it_is_said():
    app = diffusion(model=SHAPES, prompt="a red ring " * 20, steps="3")
    assert "tokens too long" in said(app)
    assert not app.exception


def test_a_fork_is_another_sample_with_the_same_beginning():
    app = diffusion(model=DIGITS, view="Another future", steps="5", fork="2", **{"fork-class": "8"})
    fine(app)
    assert app.slider(key="fork").value == 2
    app.slider(key="fork").set_value(4).run()
    fine(app)


def test_a_classifier_gives_way_and_the_menu_offers_what_draws():
    app = diffusion(model="zoo:digits-lenet")
    assert not app.exception
    assert "this page shows networks of other kinds" in said(app)
    assert app.selectbox(key="model").value == "zoo:shapes-diffusion"
    assert {card.title for card in zoo.cards() if card.task in GENERATION_TASKS} <= {
        option.split(" · ")[0] for option in app.selectbox(key="model").options
    }


def test_a_run_of_ones_own_is_opened_at_any_checkpoint():
    from explorer import training
    from explorer.training import TrainConfig

    config = TrainConfig(model="unet", model_settings={"width": 8}, epochs=1, batch_size=512, ema=0.9)
    run = training.fit(config)
    first = f"{run.ref}@{run.checkpoints[0]}"
    app = diffusion(model=first, steps="3")
    fine(app)
    assert app.select_slider(key="at").value == 0
    assert "After step 0 (untrained)" in said(app)
    app.select_slider(key="at").set_value(run.checkpoints[-1]).run()
    fine(app)
    assert f"After step {run.checkpoints[-1]}" in said(app)
    app = open_app("pages/training.py", run=run.ref)
    fine(app)
    assert "What it drew at this checkpoint" in said(app)
    assert [metric.label for metric in app.metric][:2] == ["Validation loss", "Lowest"]


def test_the_measurement_of_a_card_is_shown_and_another_can_be_started(monkeypatch):
    from explorer.diffusion import quality

    asked = []
    monkeypatch.setattr(quality, "start", lambda measurement, owner: asked.append(measurement) or "0" * 32)
    app = diffusion(model=DIGITS, view="How good?", guidance="3.0", steps="10")
    assert "class as asked" in app.dataframe[0].value["measure"].tolist()
    app.button(key="measure").click().run()
    assert (asked[0].ref, asked[0].guidance, asked[0].steps, asked[0].count) == (DIGITS, 3.0, 10, 200)
    assert "none of that name" in said(app)


def test_a_drawing_is_learned_as_points(monkeypatch):
    from explorer import data, training
    from explorer.ui import sketch
    from explorer.ui.diffusion import own_points

    asked = []
    monkeypatch.setattr(training, "start", lambda config, owner: asked.append(config) or "0" * 32)
    monkeypatch.setattr(own_points, "draw_points", lambda key: sketch.ready_made("Ring"))
    app = diffusion(model=POINTS, view="Your points")
    fine(app)
    app.button(key="train-drawing").click().run()
    config = asked[0]
    assert (config.model, dict(config.model_settings)) == ("points-denoiser", {"predicts": "epsilon"})
    drawn = data.load(config.dataset, "train")
    assert drawn.task == "points"
    assert len(drawn) > 300


def test_an_empty_prompt_survives_its_link():
    app = diffusion(model=SHAPES, prompt="", steps="3")
    fine(app)
    assert app.text_input(key="prompt").value == ""


def test_another_network_is_chosen_without_a_complaint_about_the_link():
    app = diffusion(model=DIGITS, **{"class": "7"}, steps="3")
    app.selectbox(key="model").set_value(POINTS).run()
    fine(app)
    assert "in the link" not in said(app)


def test_what_a_download_takes_is_said_before_it_begins(monkeypatch):
    from explorer.ui import pickers

    opened = []
    monkeypatch.setattr(pickers, "_price", lambda ref: zoo.Price(120 * 2**20, 240 * 2**20))
    monkeypatch.setattr(zoo, "load", lambda ref: opened.append(ref) or 1 / 0)
    app = diffusion(model="hf:tiny/draws")
    told = " ".join(info.value for info in app.info).replace("\\", "")
    assert "downloads 120 MB and takes 240 MB of memory" in told
    assert app.button(key="agree")
    assert not opened
    assert not app.exception
