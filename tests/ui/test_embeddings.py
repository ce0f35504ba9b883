"""The view of embeddings, for every kind of network: python -m pytest tests/ui/test_embeddings.py"""

import pytest
from streamlit.testing.v1 import AppTest


def page():
    import streamlit as st

    from explorer import zoo
    from explorer.activations import sample
    from explorer.ui.activations.embeddings import embeddings
    from explorer.ui.activations.question import Asked
    from explorer.ui.page import guard

    model = zoo.load(st.session_state["ref"])
    with guard():
        embeddings(model, Asked(model.card.ref, "first", sample(model, 1)))


def opened(ref: str, **query: str) -> AppTest:
    app = AppTest.from_function(page, default_timeout=90)
    app.session_state["ref"] = ref
    for name, value in query.items():
        app.query_params[name.replace("_", "-")] = value
    return app.run()


def said(app: AppTest) -> str:
    told = " ".join(one.value for one in (*app.markdown, *app.caption, *app.warning, *app.info, *app.error))
    return told.replace("\\", "")


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("zoo:digits-lenet", "359 examples**, each the 64 numbers of what fc2 reads"),
        ("zoo:story-gpt", "have no classes, so colour tells their length"),
        ("zoo:dates-seq2seq", "the last hidden state, model"),
        ("zoo:digits-diffusion", "is told what each example is to become"),
        ("zoo:points-diffusion", "what unet.out reads"),
    ],
)
def test_every_kind_of_network_is_drawn_at_once(ref, words):
    app = opened(ref)
    assert not app.exception
    assert not app.error, said(app)
    assert words in said(app)
    assert app.metric[0].label == "Trustworthiness"
    assert 0.5 < float(app.metric[0].value) <= 1


def test_the_link_brings_layer_count_and_neighbours_back():
    app = opened("zoo:digits-lenet", embed_layer="conv1", embed_n="100", embed_k="5")
    assert not app.exception
    assert "100 examples**" in said(app)
    assert "numbers of conv1" in said(app)
    assert app.slider(key="embed-k").value == 5
    wide = opened("zoo:digits-lenet", embed_layer="conv1", embed_flat="Each")
    assert "359 examples**, each the" in said(wide)
    assert said(wide) != said(app)


def test_until_a_job_has_it_pca_stands_there_and_an_unknown_job_is_told():
    app = opened("zoo:digits-lenet", embed_method="t-SNE", embed_job="0" * 32, embed_perplexity="12.0")
    assert not app.exception
    assert "Until there is a t-SNE, this is PCA" in said(app)
    assert "there is none of that name here" in said(app)
    assert app.slider(key="embed-perplexity").value == 12
    assert app.slider(key="embed-perplexity").max <= 100


def test_start_queues_what_the_controls_say_and_its_points_are_shown(monkeypatch):
    from explorer.activations import projecting

    asked = []
    monkeypatch.setattr(projecting, "start", lambda wanted, owner: asked.append(wanted) or "1" * 32)
    app = opened("zoo:digits-lenet", embed_method="t-SNE", embed_n="50", embed_perplexity="5.0")
    app.button(key="embed-start").click().run()
    assert app.query_params["embed-job"] in ("1" * 32, ["1" * 32])
    assert dict(asked[0].settings) == {"perplexity": 5.0, "seed": 0}
    assert (asked[0].method, asked[0].selection.count) == ("t-SNE", 50)
    made = projecting.project(asked[0])
    monkeypatch.setattr(projecting, "asked_of", lambda id: asked[0])
    monkeypatch.setattr(projecting, "found_of", lambda id: made)
    app.run()
    assert not app.exception
    assert "this is PCA" not in said(app)
    assert float(app.metric[0].value) == pytest.approx(made.trust[0], abs=6e-4)
    app.slider(key="embed-perplexity").set_value(9.0).run()
    assert "Below it is drawn with perplexity 5, seed 0" in said(app)
