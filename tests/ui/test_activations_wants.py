"""The view "What it wants": python -m pytest tests/ui/test_activations_wants.py"""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer.activations import visualise as drawing
from explorer.activations import wants as wanting
from explorer.activations.visualise import Drawing
from explorer.jobs import study
from explorer.runs import files
from explorer.ui.activations.wants import LINE, box, outlined


def script(ref: str, layer: str) -> None:
    from explorer import zoo
    from explorer.activations import sample
    from explorer.ui.activations.question import Asked
    from explorer.ui.activations.wants import wants
    from explorer.ui.page import guard

    model = zoo.load(ref)
    with guard():
        wants(model, Asked(ref, "0/0.5", sample(model, 1), layer))


@pytest.fixture
def fewer(monkeypatch):
    """A look at a few examples, as it is the view that is tested."""
    monkeypatch.setattr(wanting, "MOST", 60)


def opened(ref: str, layer: str, **query: str) -> AppTest:
    app = AppTest.from_function(script, default_timeout=60, args=(ref, layer))
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    assert not app.error
    return app


def texts(app: AppTest) -> str:
    return " ".join(one.value for one in (*app.markdown, *app.caption, *app.info, *app.warning))


def charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


@pytest.mark.usefixtures("fewer")
def test_pictures_and_selectivity_are_there_without_a_click():
    app = opened("zoo:shapes-resnet", "stem.relu")
    assert len(app.get("image")) >= 12 + 8 + 8
    assert [metric.label for metric in app.metric][:3] == ["Selectivity index", "Strongest class", "AUC of that class"]
    assert "Strongest" in texts(app)
    assert "lies on the object" in texts(app)
    assert charts(app) == 2
    assert app.button(key="want-draw").label == "Draw it"


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("ref", "layer", "seen"),
    [
        ("zoo:shapes-vit", "blocks.0.mlp.gelu", "The class token is left out"),
        ("zoo:digits-lenet", "relu3", "Strongest"),
        ("zoo:story-gpt", "transformer.h.0.mlp.act", "Strongest token of each text"),
        ("zoo:story-bert", "bert.encoder.layer.0.intermediate.intermediate_act_fn", "its words? have no gradient"),
        ("zoo:dates-seq2seq", "model.decoder.layers.0.activation_fn", "Strongest token of each text"),
        ("zoo:digits-diffusion", "unet.down_blocks.0.resnets.0.nonlinearity", "noised 50%"),
        ("zoo:points-diffusion", "unet.layers.0", "Ringed: the 12 strongest"),
        ("zoo:points-diffusion", "unet.time.1", "Choose a layer that reads the examples"),
        ("zoo:story-gpt", "transformer.wpe", "Choose a layer that reads the examples"),
    ],
)
def test_every_kind_of_network_has_its_view_or_a_sentence(ref, layer, seen):
    app = opened(ref, layer)
    said = texts(app).replace("\\", "")
    assert seen.replace("its words? have", "its inputs are words, which have") in said


@pytest.mark.usefixtures("fewer")
def test_a_unit_of_the_link_is_shown_and_another_can_be_chosen():
    app = opened("zoo:digits-lenet", "relu2", **{"want-unit": "7", "want-by": "mean"})
    assert app.selectbox(key="want-unit").value == "7"
    assert "Strongest by the mean" in texts(app).replace("*", "")
    app.selectbox(key="want-sort").set_value("variance").run()
    assert app.selectbox(key="want-unit").value == "7"
    shown = [option.split(" ")[-1] for option in app.selectbox(key="want-unit").options]
    values = [float(one) for one in shown if one != "dead"]
    assert values == sorted(values, reverse=True)
    app.selectbox(key="want-unit").set_value("3").run()
    assert app.query_params["want-unit"] in ("3", ["3"])
    assert not app.exception


@pytest.mark.usefixtures("fewer")
def test_a_dead_unit_is_told():
    app = opened("zoo:digits-lenet", "flatten")
    dead = [option for option in app.selectbox(key="want-unit").options if option.endswith("dead")]
    assert dead
    app.selectbox(key="want-unit").set_value(dead[0].split(" ")[0]).run()
    assert "is dead here" in texts(app).replace("\\", "")
    assert not app.exception


@pytest.mark.usefixtures("fewer")
def test_draw_it_queues_what_the_controls_say(monkeypatch):
    asked = []
    monkeypatch.setattr(drawing, "start", lambda wanted, owner: asked.append((wanted, owner)) or "0" * 32)
    app = opened("zoo:digits-lenet", "relu2", **{"want-unit": "7"})
    app.select_slider(key="want-steps").set_value(64)
    app.slider(key="want-variation").set_value(2.0)
    app.toggle(key="want-moved").set_value(False).run()
    app.button(key="want-draw").click().run()
    assert asked == [(Drawing("zoo:digits-lenet", "relu2", 7, steps=64, moved=False, variation=2.0), "local")]


@pytest.mark.usefixtures("fewer")
def test_a_drawing_is_found_again_by_its_link():
    id = "a" * 32
    wanted = Drawing("zoo:digits-lenet", "relu2", 7, steps=8, pictures=1)
    files.write_json(drawing.STUDY.folder(id) / study.ASKED, vars(wanted))
    files.write(drawing.STUDY.folder(id) / study.FOUND, study.packed(drawing.visualise(wanted)))
    app = opened("zoo:digits-lenet", "relu2", **{"want-unit": "7", "wanted": id})
    assert "Reached:" in texts(app).replace("\\", "")
    assert charts(app) == 3
    other = opened("zoo:digits-lenet", "relu2", **{"want-unit": "8", "wanted": id})
    assert "was drawn for unit 7 of relu2" in texts(other).replace("\\", "")


@pytest.mark.usefixtures("fewer")
def test_an_unknown_drawing_is_told_and_nothing_else_is_lost():
    app = AppTest.from_function(script, default_timeout=60, args=("zoo:digits-lenet", "relu2"))
    app.query_params["wanted"] = "../../etc"
    app.run()
    assert not app.exception
    assert "there is none of that name here" in app.error[0].value.replace("\\", "")
    assert charts(app) == 2


def test_a_picture_is_dim_outside_what_is_read_and_outlined_around_it():
    picture = np.full((8, 8, 1), 250, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2:6, 1:5] = True
    drawn = np.asarray(outlined(picture, mask, 64))
    assert drawn.shape == (64, 64, 3)
    assert (drawn[32, 24] == 250).all()
    assert (drawn[4, 60] < 200).all()
    assert tuple(drawn[16, 24]) == LINE
    assert box(mask) == (slice(2, 6), slice(1, 5))
    assert (np.asarray(outlined(picture, np.ones((1, 1), bool), 64)) == 250).all()


def test_words_of_a_text_reach_the_page_as_words(monkeypatch):
    from explorer.ui.activations.wants import _sentence

    found = wanting.Profile(
        "file:tiny", "act", "text", *[np.array([[1.0], [2.0]])] * 3, None, (), 0, np.zeros(2, int), np.arange(2),
        np.arange(2), ("<b>", "&"), np.ones(1), np.ones(1), np.ones(1), 1, True,
    )  # fmt: skip
    drawn = _sentence(None, None, found, 0, 1, 2.0)
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn
