"""Every page without a browser: python -m pytest tests/test_pages.py"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from explorer import runs
from explorer.attribution.arena import DEFAULT
from explorer.store import ANSWERS
from explorer.ui.page import PAGES
from explorer.ui.price import ASKS
from explorer.zoo.model import Model
from tests.sealed import sealed

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def always_inside_app(monkeypatch):
    """AppTest forgets at every run that app.py calls st.navigation, and would run a page alone."""
    make = PagesManager.__init__

    def init(self, *args, **kwargs):
        make(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", init)


def open_app(path: str = "", **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    return app.switch_page(path).run() if path else app


def texts(app: AppTest) -> str:
    return " ".join(
        element.value for element in (*app.markdown, *app.caption, *app.subheader, *app.error, *app.warning)
    )


@pytest.mark.parametrize("page", [page.path for page in PAGES])
def test_a_page_draws_something_meaningful_without_a_click_or_a_network_or_a_disk(page, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    with sealed() as tried:
        app = open_app(page)
    assert not [one for one in tried if one.startswith("socket")]  # what writes elsewhere does without
    assert not app.exception
    assert not app.error
    assert app.title or "Train a small network" in texts(app)


def test_training_shows_a_recorded_run_at_its_last_checkpoint():
    app = open_app("pages/training.py")
    assert [metric.label for metric in app.metric][:2] == ["Training accuracy", "Validation accuracy"]
    assert "lenet on digits" in texts(app)
    assert "Test split:" in texts(app)
    app.select_slider(key="checkpoint").set_value(0).run()
    assert "step 0 (untrained)" in app.select_slider(key="checkpoint").label
    assert not app.exception


def test_start_queues_exactly_what_the_controls_say(monkeypatch):
    from explorer import training

    asked = []
    monkeypatch.setattr(training, "start", lambda config, owner: asked.append((config, owner)) or "0" * 32)
    app = open_app("pages/training.py")
    app.slider(key="epochs").set_value(7)
    app.select_slider(key="lr").set_value(0.01)
    app.selectbox(key="network").set_value("mlp").run()
    app.button(key="start").click().run()
    config, owner = asked[0]
    assert (config.epochs, config.lr, config.model, owner) == (7, 0.01, "mlp", "local")


@pytest.mark.parametrize("dataset", ["digits", "shapes", "points"])
def test_every_data_set_offers_only_networks_that_can_take_it(dataset):
    from explorer import data, models

    app = open_app("pages/training.py")
    app.selectbox(key="data").set_value(dataset).run()
    assert not app.exception
    assert app.selectbox(key="network").options == models.fitting(data.about(dataset).shape, data.about(dataset).task)
    assert app.selectbox(key="network").value == {"points": "mlp"}.get(dataset, "lenet")  # what names, not what draws


def test_what_does_not_fit_is_said_before_anything_starts():
    app = open_app("pages/training.py")
    app.selectbox(key="network").set_value("vit").run()
    app.selectbox(key="vit_patch").set_value(16).run()
    app.button(key="start").click().run()
    assert "don't tile" in texts(app).replace("\\", "")
    assert not app.exception
    assert runs.listing("local") == []


def test_a_run_that_nobody_knows_is_refused_and_the_controls_stay():
    app = open_app("pages/training.py", run="run:" + "0" * 32)
    assert "none of that id" in texts(app).replace("\\", "")
    assert app.button(key="start")
    assert not app.exception


def test_models_opens_each_shipped_model_on_an_example():
    from explorer import zoo

    app = open_app("pages/models.py")
    for card in zoo.cards():
        app.selectbox(key="model").set_value(card.ref).run()
        assert not app.exception
        assert not app.error
        assert "Parameters" in [metric.label for metric in app.metric]


def test_a_damaged_weights_file_is_refused_with_a_sentence():
    from explorer import training
    from explorer.runs import files
    from explorer.training import TrainConfig

    run = training.fit(TrainConfig(epochs=1, model="mlp", batch_size=256))
    path = files.checkpoint(run.folder, run.checkpoints[-1])
    path.write_bytes(path.read_bytes()[:100])
    app = open_app("pages/models.py", model=f"{run.ref}@{run.checkpoints[-1]}")
    assert "damaged" in texts(app).replace("\\", "")
    assert not app.exception


def saliency(**query: str) -> AppTest:
    return open_app("pages/attribution.py", **query)


def test_saliency_shows_the_arena_with_its_measures_at_once():
    app = saliency()
    assert not app.exception
    assert not app.error
    frame = app.dataframe[0].value
    assert list(frame["method"])[:2] == ["Grad-CAM", "Integrated gradients"]
    assert {"Random", "Sobel edges"} <= set(frame["method"])
    assert frame["mass"].between(0, 1).all()


@pytest.mark.parametrize("view", ["By layer", "Sanity check", "Over training", "A and B", "Leaderboard"])
def test_every_view_of_saliency_draws(view):
    app = saliency(view=view, methods="grad_cam,sobel")
    assert not app.exception
    assert not app.error


def test_what_takes_long_is_asked_for_once_by_anybody(monkeypatch):
    monkeypatch.setattr("explorer.ui.attribution.methods.estimate", lambda model, methods: (1000, 3000.0))
    about = {"view": "Sanity check", "methods": "sobel", "example": "7"}
    app = saliency(**about)
    assert "forgotten" not in app.session_state
    asks(app)[0].click().run()
    assert not app.exception
    assert not asks(app)
    assert "forgotten" in app.session_state
    other = saliency(**about)
    assert "forgotten" in other.session_state
    assert not asks(other)


def test_measures_that_take_long_wait_for_a_word_and_the_maps_do_not(monkeypatch):
    monkeypatch.setattr("explorer.ui.attribution.arena.PASSES", 10**9)
    monkeypatch.setattr("explorer.ui.price._paces", {})  # what other tests have measured
    app = saliency(example="8", methods="sobel,saliency")
    assert not app.dataframe
    asks(app)[0].click().run()
    assert app.dataframe
    assert not asks(app)
    assert not app.exception


def test_a_test_picture_is_taken_from_the_browser_of_them():
    app = saliency()
    assert not [one for one in app.button if one.key == "browse-3"]  # nothing is drawn before it is opened
    app.session_state["browse"] = True
    app.run()
    next(one for one in app.button if one.key == "browse-3").click().run()
    assert app.slider(key="example").value == 3
    assert not [one for one in app.button if one.key == "browse-3"]
    assert not app.exception


def asks(app):
    """The buttons that begin what takes long."""
    return [one for one in app.button if one.key and one.key.startswith(ASKS)]


def test_saliency_opens_every_shipped_network_with_the_methods_that_go_with_it():
    from explorer import zoo
    from explorer.attribution.arena import fitting

    for card in zoo.cards("image-classification"):
        app = saliency(model=card.ref, view="A and B")
        assert not app.exception
        assert not app.error
        offered = next(one for one in app.get("button_group") if one.key == "methods-chosen").options
        assert len(offered) == len(fitting(zoo.load(card.ref)))


def test_the_planted_shortcut_is_a_lesson_that_one_can_change():
    app = saliency(view="A planted shortcut")
    assert "no tag" not in texts(app)
    app.selectbox(key="tag").set_value("lie").run()
    assert "It believes the tag" in texts(app)
    app.selectbox(key="tag").set_value("none").run()
    assert "no tag" in texts(app)
    assert not app.exception


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"model": "zoo:nonsense"}, "no model of that name"),
        ({"methods": "nonsense,grad_cam"}, "none called nonsense"),
        ({"target": "99"}, "can't be chosen here"),
        ({"layer": "nonsense"}, "can't be chosen here"),
        ({"view": "Leaderboard", "board": "0" * 32}, "none of that name"),
        ({"grad_cam_relu": "perhaps"}, "neither true nor false"),
    ],
)
def test_a_link_with_what_there_is_not_is_told_and_the_page_stands(query, told):
    app = saliency(**query)
    assert told in texts(app).replace("\\", "")
    assert not app.exception


def test_a_link_whose_methods_are_all_unknown_shows_the_usual_ones():
    app = saliency(methods="foo,bar")
    (warning,) = app.warning
    assert "none called foo, bar" in warning.value
    assert app.session_state["methods"].split(",") == list(DEFAULT)
    assert not app.exception


def test_a_network_of_points_has_no_saliency_and_says_so():
    from explorer import training
    from explorer.training import TrainConfig

    run = training.fit(TrainConfig(dataset="points", model="mlp", epochs=1))
    app = saliency(model=run.ref)
    assert "this page shows networks of other kinds" in texts(app)
    assert app.selectbox(key="model").value == "zoo:shapes-resnet"
    assert not app.exception


def test_over_training_replays_a_run():
    from explorer import training
    from explorer.training import TrainConfig

    run = training.fit(TrainConfig(epochs=2, batch_size=256))
    app = saliency(model=run.ref, view="Over training", methods="saliency")
    assert f"At step {run.checkpoints[-1]} it says" in texts(app)
    app.select_slider(key="checkpoint").set_value(0).run()
    assert "At step 0 it says" in texts(app)
    assert not app.exception


def test_methods_are_added_and_taken_away_by_a_click():
    app = saliency(methods="saliency,sobel")
    assert [list(frame.value["method"]) for frame in app.dataframe] == [["Saliency", "Sobel edges"]]
    pills = next(one for one in app.get("button_group") if one.key == "methods-chosen")
    pills.set_value(["saliency", "hirescam"]).run()
    assert list(app.dataframe[0].value["method"]) == ["Saliency", "HiResCAM"]
    assert not app.exception


def attention(**query: str) -> AppTest:
    return open_app("pages/attention.py", **query)


def attending() -> list[str]:
    from explorer import zoo
    from explorer.ui.pickers import reads_with_attention

    return [card.ref for card in zoo.cards() if reads_with_attention(card)]


@pytest.mark.parametrize("ref", attending())
def test_attention_opens_every_shipped_network_with_heads(ref):
    app = attention(model=ref)
    assert not app.exception
    assert not app.error
    assert app.metric[0].label == "Loss"
    assert "What does it predict?" in texts(app)


@pytest.mark.parametrize("ref", attending())
@pytest.mark.parametrize("view", ["What does each do?", "Does it matter?", "Change it", "Flow"])
def test_every_view_of_attention_draws(ref, view):
    app = attention(model=ref, see=view)
    assert not app.exception
    assert not app.error


def test_attention_from_scratch_draws():
    app = attention(see="From scratch")
    assert "What a longer text costs" in texts(app)
    assert not app.exception


def test_another_word_changes_the_heads_that_depend_on_it():
    app = attention(see="Change it")
    assert "How differently each head works" in texts(app)
    app.text_area(key="other").set_value(app.text_area(key="text").value).run()
    assert "B is the same as A" in " ".join(info.value for info in app.info)
    assert not app.exception


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"model": "zoo:nonsense"}, "no model of that name"),
        ({"model": "zoo:digits-lenet"}, "this page shows networks of other kinds"),
        ({"text": "  "}, "Write a word at least"),
        ({"text": "😀 שלום"}, "does not know"),
        ({"layer": "99", "head": "x", "token": "-3"}, "Does it matter?"),
        ({"see": "Does it matter?", "census": "0" * 32}, "none of that name"),
    ],
)
def test_an_attention_link_with_what_there_is_not_is_told_and_the_page_stands(query, told):
    app = attention(**query)
    assert told in texts(app).replace("\\", "")
    assert not app.exception


def test_the_head_of_a_link_is_the_one_that_is_taken_away():
    app = attention(see="Does it matter?", layer="2", head="3")
    assert "Without layer 2, head 3" in texts(app)
    assert not app.exception


def test_a_network_that_another_page_can_not_open_gives_way_there():
    app = attention(model="zoo:story-bert")
    app = app.switch_page("pages/attribution.py").run()
    assert not app.error
    assert app.selectbox(key="model").value == "zoo:shapes-resnet"


def held(value, seen=None):
    """Everything that a kept answer, or the question it is kept under, is made of."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    if dataclasses.is_dataclass(value):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, Mapping):
        parts = [*value, *value.values()]
    else:
        parts = value if isinstance(value, tuple | list | set | frozenset) else ()
    for part in parts:
        yield from held(part, seen)


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("pages/attribution.py", {}),
        ("pages/attribution.py", {"view": "Sanity check", "method": "saliency"}),
        ("pages/attention.py", {}),
        ("pages/diffusion.py", {}),
        ("pages/models.py", {}),
        *(("pages/activations.py", {"model": f"zoo:{name}"}) for name in
          ("shapes-resnet", "story-bert", "points-mlp", "digits-diffusion")),
    ],
)  # fmt: skip
def test_what_is_kept_for_others_holds_no_model_and_no_picture(page, query):
    """They are bounded elsewhere, and would be weighed here as nothing."""
    ANSWERS.clear()
    app = open_app(page, **query)
    assert not app.exception
    kept = [part for key, (value, _) in ANSWERS._held.items() for part in (*held(key), *held(value))]
    assert len(ANSWERS._held) > 0
    assert not [type(part) for part in kept if isinstance(part, Model | Image.Image | torch.nn.Module)]
