"""The view of tokens: each of its looks draws, for each kind of network, and refuses in a sentence."""

import pytest
from streamlit.testing.v1 import AppTest

from explorer.ui.activations.tokens import _around, _coloured

SECONDS = 60


def page(ref: str, text: str | None = None, **query: str) -> AppTest:
    """A page of this view alone."""

    def script() -> None:
        import streamlit as st

        from explorer import zoo
        from explorer.activations import feed
        from explorer.ui.activations.question import Asked
        from explorer.ui.activations.tokens import tokens
        from explorer.ui.page import guard

        model, text = zoo.load(st.session_state["ref"]), st.session_state["text"]
        with guard():
            tokens(model, Asked(model.card.ref, repr(text), feed(model, text)))

    at = AppTest.from_function(script, default_timeout=SECONDS)
    at.session_state["ref"], at.session_state["text"] = ref, text
    for name, value in query.items():
        at.query_params[name.replace("_", "-")] = value
    at.run()
    assert not at.exception
    return at


def charts(at: AppTest) -> int:
    return len(at.get("arrow_vega_lite_chart")) or len(at.get("vega_lite_chart"))


def words(at: AppTest) -> str:
    return " ".join(one.value for one in (*at.caption, *at.markdown))


@pytest.mark.parametrize("ref", ["zoo:story-gpt", "zoo:story-bert", "zoo:dates-seq2seq", "zoo:shapes-vit"])
@pytest.mark.parametrize(("see", "count"), [("Logit lens", 1), ("Hidden states", 4), ("Similarity", 3)])
def test_every_look_draws(ref, see, count):
    at = page(ref, tokens_see=see)
    assert not at.error
    assert charts(at) >= count


@pytest.mark.parametrize("ref", ["zoo:story-gpt", "zoo:story-bert", "zoo:dates-seq2seq"])
def test_neurons_are_shown_on_the_text_and_in_others(ref):
    at = page(ref, tokens_see="Neurons")
    assert not at.error
    assert "Where it fires most" in words(at)
    assert "100 test texts" in words(at)
    assert len(at.get("html")) == 2


def test_the_lens_comes_first_and_says_that_it_is_the_networks_own_answer():
    at = page("zoo:story-gpt")
    assert "own answer (largest difference of a logit: 0)" in words(at)
    assert at.segmented_control(key="tokens-see").value == "Logit lens"
    at.selectbox(key="tokens-measure").select("rank").run()
    assert not at.exception
    assert not at.error
    assert charts(at) == 2
    assert at.query_params["tokens-measure"] in ("rank", ["rank"])


def test_a_neuron_of_the_link_is_chosen_and_another_block_begins_with_its_own():
    at = page("zoo:story-gpt", tokens_see="Neurons", tokens_neuron="77")
    assert at.selectbox(key="tokens-neuron").value == "77"
    assert "**Neuron 77 on this text**" in words(at)
    at.selectbox(key="tokens-block").select("1").run()
    assert not at.exception
    assert at.selectbox(key="tokens-neuron").value != "77"
    at.selectbox(key="tokens-order").select("verb").run()
    assert not at.exception
    assert "transformer.h.0.mlp.c_proj" in words(at)


def test_the_encoder_has_its_own_states_and_no_words_to_speak_for():
    at = page("zoo:dates-seq2seq", tokens_see="Neurons", tokens_half="Encoder")
    assert at.segmented_control(key="tokens-half").value == "Encoder"
    assert "encoder answers nothing itself" in words(at).lower()
    assert "model.encoder.layers.1.fc2" in words(at)


@pytest.mark.parametrize(
    "ref", ["zoo:shapes-resnet", "zoo:digits-lenet", "zoo:digits-diffusion", "zoo:points-diffusion"]
)
def test_networks_without_tokens_get_one_sentence(ref):
    at = page(ref)
    assert len(at.info) == 1
    assert not at.error
    assert not charts(at)


def test_a_vision_transformer_has_no_neurons_to_read_in_texts():
    at = page("zoo:shapes-vit", tokens_see="Neurons")
    assert at.segmented_control(key="tokens-see").value == "Logit lens"
    assert at.segmented_control(key="tokens-see").options == ["Logit lens", "Hidden states", "Similarity"]


def test_tokens_stay_text_whatever_they_hold():
    made = _coloured(["<script>alert(1)</script>", '"><img src=x>'], [1.0, -1.0], 1.0)
    assert "<script" not in made
    assert "<img" not in made
    assert "&lt;script&gt;" in made
    assert 'title="1.000"' in made
    assert 'title="-1.000"' in made


def test_what_stands_around_a_place_is_cut_on_both_sides():
    near, values = _around([str(number) for number in range(60)], 30, 2.5)
    assert near[0] == near[-1] == "…"
    assert len(near) == 17
    assert near[values.index(2.5)] == "30"
    near, values = _around(["a", "b"], 0, -1.0)
    assert near == ["a", "b"]
    assert values == [-1.0, 0.0]
