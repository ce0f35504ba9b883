"""The view Surgery without a browser: python -m pytest tests/ui/test_activations_surgery.py"""

import pytest
import streamlit as st

from explorer.activations.surgery import Cut
from explorer.ui.activations import surgery as view
from tests.test_pages import always_inside_app, open_app, texts

__all__ = ["always_inside_app"]  # a fixture of every test here


def page(**query: str):
    return open_app("pages/activations.py", view="Surgery", **query)


def said(app) -> str:
    return texts(app).replace("\\", "")


def fine(app) -> None:
    assert not app.exception
    assert not app.error, said(app)
    assert not app.warning, said(app)


def test_it_opens_on_the_channel_that_this_picture_needs_most():
    app = page()
    fine(app)
    assert "An example to begin with: the channel" in said(app)
    assert "`stem.relu` channel 9 set to zero" in said(app)
    assert "cross** 95.6% → **crescent" in said(app)
    assert [metric.label for metric in app.metric] == ["Loss", "Accuracy", "Answers that change"]
    assert "cut" not in app.query_params


def test_interventions_are_added_taken_back_and_reset():
    app = page(**{"cut-how": "scale", "cut-which": "1, 3-4", "cut-factor": "0.5"})
    app.button(key="cut-add").click().run()
    fine(app)
    assert app.query_params["cut"] == "stem.relu:9:zero;stem.relu:1,3-4:scale:0.5"
    assert "channels 1, 3-4 times 0.5" in said(app)
    app.button(key="cut-off-0").click().run()
    assert app.query_params["cut"] == "stem.relu:1,3-4:scale:0.5"
    app.button(key="cut-none").click().run()
    fine(app)
    assert app.query_params["cut"] == "none"
    assert "the same bits" in said(app)
    assert "No answer changes." in said(app)
    app.button(key="cut-reset").click().run()
    fine(app)
    assert "cut" not in app.query_params
    assert "channel 9 set to zero" in said(app)


def test_damage_that_takes_long_is_asked_for_once_by_anybody(monkeypatch):
    monkeypatch.setattr(view, "_seconds_each", lambda model, share: 100.0)
    about = {"cut": "stem.relu:2:zero", "cut-n": "50"}
    app = page(**about)
    fine(app)
    assert not app.metric
    app.toggle(key="cut-measure").set_value(True).run()
    fine(app)
    assert "Loss" in [metric.label for metric in app.metric]
    app.select_slider(key="cut-n").set_value(100).run()  # what was wanted once is wanted of the next as well
    assert app.toggle(key="cut-measure").value
    assert "Loss" in [metric.label for metric in app.metric]
    other = page(**about)
    assert "Loss" in [metric.label for metric in other.metric]
    assert not page(**about | {"cut": "stem.relu:3:zero"}).metric


def test_a_click_on_a_bar_takes_its_unit_away_once():
    before = (Cut("stem.relu", (9,)),)
    st.session_state["bar"] = {"selection": {"unit": [{"unit": 4}]}}
    view._clicked("bar", "stem.relu", before)
    assert st.session_state["cut"] == "stem.relu:9:zero;stem.relu:4:zero"
    st.session_state["bar"] = {"selection": {"unit": [{"unit": 9}]}}
    st.session_state["cut"] = "as it was"
    view._clicked("bar", "stem.relu", before)
    assert st.session_state["cut"] == "as it was"


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        ("rubbish", "not of the form"), ("nowhere:1:zero", "none of that name"), ("stem.relu:1:burn", "none of that"),
        ("stem.relu:1:scale:x", "no factor"),
    ],
)  # fmt: skip
def test_a_bad_link_is_told_in_a_sentence_and_the_rest_holds(cut, says):
    app = page(cut=f"{cut};stem.relu:2:zero")
    assert not app.exception
    assert not app.error
    assert any(says in one.value for one in app.warning)
    assert "channel 2 set to zero" in said(app)


def test_a_number_that_there_is_not_is_refused():
    app = page(cut="stem.relu:99:zero")
    assert not app.exception
    assert "it has 24" in said(app)
    app = page(**{"cut-which": "24"})
    assert not app.exception
    assert "there are 24" in said(app)
    assert "cut-add" not in [button.key for button in app.button]


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("zoo:shapes-vit", "Accuracy"), ("zoo:digits-lenet", "Accuracy"), ("zoo:story-gpt", "Likeliest after"),
        ("zoo:story-bert", "15 % of the words"), ("zoo:dates-seq2seq", "Likeliest after"),
        ("zoo:digits-diffusion", "the noise it sees"), ("zoo:points-diffusion", "the noise it sees"),
    ],
)  # fmt: skip
def test_every_kind_of_network_has_a_first_picture(ref, says):
    app = page(model=ref)
    fine(app)
    assert says in said(app) + " ".join(metric.label for metric in app.metric)
    assert "An example to begin with" in said(app)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"cut": "stage3:all:patch:b", "cut-b": "7"}, "the whole layer patched from B"),
        ({"cut": "stage3:0-9:patch:zoo:shapes-shortcut"}, "patched from zoo:shapes-shortcut"),
        ({"cut": "stem.relu:2:mean"}, "set to the mean over test examples"),
        ({"model": "zoo:story-gpt", "cut": "transformer.h.1.attn:h1,2:zero"}, "heads 1-2 set to zero"),
        ({"model": "zoo:story-gpt", "cut": "transformer.h.0:t3:zero"}, "token 3 set to zero"),
        ({"model": "zoo:digits-diffusion", "cut": "unet.up_blocks.0.attentions.0:hall:zero"}, "all heads set to zero"),
    ],
)  # fmt: skip
def test_every_way_of_changing_something(query, says):
    app = page(**query)
    fine(app)
    assert says in said(app)


def test_a_text_patched_from_another_shows_its_answer_and_says_why_not_over_many():
    app = page(model="zoo:story-gpt", cut="transformer.h.1:all:patch:b")
    fine(app)
    assert "Likeliest after" in said(app)
    assert "other numbers of tokens" in app.info[0].value
    app.text_input(key="cut-text").set_value("karl heller").run()
    assert "of as many tokens" in said(app)


def test_a_changed_answer_opens_as_the_example():
    app = page()
    app.button(key="cut-open-40").click().run()
    assert app.slider(key="example").value == 40


def test_a_search_is_queued_as_the_controls_say(monkeypatch):
    asked = []
    monkeypatch.setattr(view.search, "start", lambda wanted, owner: asked.append(wanted) or "0" * 32)
    app = page(**{"cut-steps": "3"})
    app.button(key="cut-search").click().run()
    assert (asked[0].ref, asked[0].layer, asked[0].steps, asked[0].count) == ("zoo:shapes-resnet", "stem.relu", 3, 64)
