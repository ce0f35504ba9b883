"""The view A and B, without a browser: python -m pytest tests/ui/test_activations_compare.py"""

import pytest
from streamlit.testing.v1 import AppTest

from explorer import training
from explorer.training import TrainConfig


def view():
    from explorer import zoo
    from explorer.ui.activations.beside import brought, pin_of
    from explorer.ui.activations.compare import compare
    from explorer.ui.activations.question import question
    from explorer.ui.checkpoint import at_checkpoint
    from explorer.ui.page import guard
    from explorer.ui.pickers import model_picker
    from explorer.ui.pins import chip

    with guard():
        model = zoo.load(at_checkpoint(model_picker()))
        asked = question(model, False)
        chip(pin_of(asked), brought(asked))
        compare(model, asked)


def opened(**query: str) -> AppTest:
    app = AppTest.from_function(view, default_timeout=120)
    for name, value in query.items():
        app.query_params[name.replace("_", "-")] = value
    return app.run()


def said(app: AppTest) -> str:
    parts = (*app.markdown, *app.caption, *app.error, *app.warning, *app.info)
    return " ".join(part.value for part in parts).replace("\\", "")


def link(app: AppTest) -> dict[str, str]:
    """The URL: what widgets bind is a list there."""
    return {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}


def fine(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error, said(app)
    return app


def test_at_first_the_shapes_network_stands_beside_the_one_that_learned_a_shortcut():
    app = fine(opened())
    assert app.selectbox(key="a-model").value == "zoo:shapes-shortcut"
    assert app.selectbox(key="a-input").value == "same"
    assert "A says hexagon" in said(app).replace("**", "")
    assert "38 layers have the same name and shape" in said(app)
    assert "a-model" not in app.query_params


@pytest.mark.parametrize(("ref", "beside"), [
    ("zoo:shapes-vit", "zoo:shapes-resnet"), ("zoo:digits-lenet", "zoo:digits-lenet"),
    ("zoo:story-gpt", "zoo:story-gpt"), ("zoo:story-bert", "zoo:story-bert"),
    ("zoo:dates-seq2seq", "zoo:dates-seq2seq"),
    ("zoo:points-diffusion", "zoo:points-flow"), ("zoo:digits-diffusion", "zoo:digits-diffusion"),
])  # fmt: skip
def test_every_kind_of_network_has_something_beside_it_without_a_click(ref, beside):
    app = fine(opened(model=ref))
    assert app.selectbox(key="a-model").value == beside
    assert "A and B are the same now" not in said(app)
    assert app.selectbox(key="compare-layer").value


def test_a_that_nobody_chose_follows_b_and_a_that_was_chosen_stays():
    app = fine(opened())
    app.selectbox(key="model").set_value("zoo:shapes-vit").run()
    assert fine(app).selectbox(key="a-model").value == "zoo:shapes-resnet"
    app.selectbox(key="a-model").set_value("zoo:shapes-shortcut").run()
    assert link(app)["a-model"] == "zoo:shapes-shortcut"
    app.selectbox(key="model").set_value("zoo:shapes-resnet").run()
    assert fine(app).selectbox(key="a-model").value == "zoo:shapes-shortcut"


def test_what_is_pinned_stays_as_b_changes_and_is_in_the_link():
    app = fine(opened(example="7"))
    app.button(key="a-pin").click().run()
    assert "A and B are the same now" in said(fine(app))
    assert app.selectbox(key="a-model").value == "zoo:shapes-resnet"
    assert app.slider(key="a-example").value == 7
    app.slider(key="example").set_value(9).run()
    assert "A and B are the same now" not in said(fine(app))
    assert app.slider(key="a-example").value == 7
    app.selectbox(key="model").set_value("zoo:shapes-vit").run()
    assert fine(app).selectbox(key="a-model").value == "zoo:shapes-resnet"
    assert app.slider(key="a-example").value == 7
    again = fine(opened(**link(app)))
    assert again.slider(key="a-example").value == 7
    assert again.selectbox(key="model").value == "zoo:shapes-vit"
    app.selectbox(key="model").set_value("zoo:shapes-resnet").run()
    assert fine(app).selectbox(key="a-model").value == "zoo:shapes-resnet"
    app.button(key="a-unpin").click().run()
    assert fine(app).selectbox(key="a-model").value == "zoo:shapes-shortcut"


def test_a_text_is_compared_with_one_of_as_many_tokens_and_another_length_is_told():
    app = fine(opened(model="zoo:story-gpt"))
    assert "only in" not in said(app)
    app.text_area(key="a-text").set_value("the cat sleeps .").run()
    assert "have the same name but another shape" in said(fine(app))


def test_a_network_of_another_kind_is_refused_in_a_sentence():
    app = opened(a_model="zoo:story-gpt")
    assert not app.exception
    assert "networks of other kinds" in said(app)
    app = opened(model="zoo:points-diffusion", a_model="zoo:digits-diffusion", a_input="same")
    assert "the two denoisers draw different things" in said(app)
    assert not app.exception


def test_all_layers_beside_what_untrained_networks_and_shuffled_examples_give():
    app = fine(opened(model="zoo:digits-lenet", compare="All layers", cka_count="100"))
    assert "Untrained networks see alike, too" in said(app)
    assert "The same 100 examples in both layers" in said(app)
    app.selectbox(key="cka-beside").set_value("shuffled").run()
    assert "examples shuffled" in said(fine(app))
    app.selectbox(key="cka-form").set_value("full").run()
    assert "biased upwards" in said(fine(app))
    app.selectbox(key="a-layer").set_value("relu1").run()
    app.selectbox(key="b-layer").set_value("relu1").run()
    assert "relu1 and relu1: 1.00" in said(fine(app)).replace("`", "").replace("**", "")
    assert link(app)["a-layer"] == "relu1"


@pytest.mark.parametrize("ref", ["zoo:story-gpt", "zoo:points-diffusion"])
def test_all_layers_of_texts_and_of_denoisers(ref):
    app = fine(opened(model=ref, compare="All layers", cka_count="100", cka_beside="shuffled"))
    assert "The same 100 examples in both layers" in said(app)


def test_who_is_right_and_a_click_opens_the_picture():
    app = fine(opened(model="zoo:shapes-vit", compare="Who is right"))
    assert "Only A is right: 8" in said(app)
    button = next(one for one in app.button if (one.key or "").startswith("compare-open-a-"))
    index = int(button.key.rpartition("-")[2])
    button.click().run()
    assert fine(app).slider(key="example").value == index
    assert app.segmented_control(key="compare").value == "This input"


def test_who_is_right_needs_shared_classes_and_says_so():
    app = opened(model="zoo:shapes-resnet", a_model="zoo:digits-lenet", compare="Who is right")
    assert not app.exception
    assert "they share no class by name" in said(app)
    texts = fine(opened(model="zoo:story-bert"))
    assert "Who is right" not in texts.segmented_control(key="compare").options


def test_a_run_stands_beside_its_own_first_checkpoint():
    run = training.fit(TrainConfig(dataset="points", model="mlp", epochs=2, seed=0))
    app = fine(opened(model=run.ref))
    assert app.select_slider(key="a-at").value == run.checkpoints[0]
    assert "A and B are the same now" not in said(app)
    app.segmented_control(key="compare").set_value("Who is right").run()
    assert "A gets" in said(fine(app)).replace("**", "")
    app.segmented_control(key="compare").set_value("All layers").run()
    fine(app)
