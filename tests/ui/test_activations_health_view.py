"""The view of the layers' health: python -m pytest tests/ui/test_activations_health_view.py"""

import pytest
from streamlit.testing.v1 import AppTest

from explorer import training
from explorer.training import TrainConfig


def page(ref: str, layer: str, kind: str = "") -> None:
    """A page with the view alone."""
    import streamlit as st

    from explorer import zoo
    from explorer.activations import feed
    from explorer.ui.activations.health import health
    from explorer.ui.activations.question import Asked
    from explorer.ui.page import guard

    with guard():
        model = zoo.load(ref)
        health(model, Asked(ref, "example", feed(model, "The keys were lost." if kind == "text" else None), layer))
    st.write("done")


def shown(ref, layer, kind="", **query):
    app = AppTest.from_function(page, kwargs={"ref": ref, "layer": layer, "kind": kind}, default_timeout=60)
    for name, value in query.items():
        app.query_params[name.replace("_", "-")] = value
    app.run()
    assert not app.exception, app.exception
    assert not app.error, [error.value for error in app.error]
    assert app.markdown[-1].value == "done"
    return app


def told(app):
    return " ".join(part.value for part in (*app.markdown, *app.caption, *app.success, *app.info))


def test_a_classifier_with_dead_units_says_which(monkeypatch):
    monkeypatch.setattr("streamlit.page_link", lambda *args, **about: None)  # there is but one page here
    app = shown("zoo:digits-lenet", "relu3")
    words = told(app)
    assert "128 test examples of its own data" in words.replace("\\", "")
    assert "**relu3**: 15 of its 64 units are dead" in words.replace("\\", "")
    assert "Only the runs that were trained here" in words
    assert app.select_slider(key="health-n").value == 128


def test_the_number_of_examples_is_in_the_link_and_layers_can_be_chosen(monkeypatch):
    monkeypatch.setattr("streamlit.page_link", lambda *args, **about: None)
    app = shown("zoo:digits-lenet", "relu3", health_n="16")
    assert "16 test examples" in told(app)
    app.segmented_control(key="health-layers").set_value("With weights").run()
    assert not app.exception
    assert {"conv1", "fc2"} <= set(app.dataframe[0].value["layer"])
    assert "relu1" not in set(app.dataframe[0].value["layer"])


@pytest.mark.parametrize(
    ("ref", "layer", "kind", "words"),
    [
        ("zoo:story-gpt", "transformer.h.0.mlp.act", "text", "next tokens"),
        ("zoo:points-diffusion", "unet.layers.0", "", "squared error"),
    ],
)
def test_texts_and_denoisers(monkeypatch, ref, layer, kind, words):
    monkeypatch.setattr("streamlit.page_link", lambda *args, **about: None)
    assert words in told(shown(ref, layer, kind, health_n="8"))


def test_a_run_shows_how_its_layers_came_to_be():
    run = training.fit(TrainConfig(dataset="digits", model="lenet", epochs=1))
    app = shown(run.ref, "relu3", health_n="16")
    words = told(app).replace("\\", "")
    assert f"All {len(run.checkpoints)} checkpoints" in words
    assert "How far the weights moved" in words
