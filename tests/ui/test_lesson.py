"""A lesson made of a link: what is hidden, and for whom."""

from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest


def page():
    import streamlit as st

    from explorer.ui.lesson import hide, lesson
    from explorer.ui.transport import transport

    hide()
    with st.expander("Levers"):
        st.slider("Epochs", 0, 10, 5, key="epochs", bind="query-params")
        st.slider("Rate", 0, 10, 5, key="lr", bind="query-params")
    st.text_input("With dots", key="scratch.a", bind="query-params")
    transport("Step", [0, 5, 9], key="step")
    lesson()


def draw(**link: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    for name, value in link.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def style(test: AppTest) -> str:
    return " ".join(one.proto.body for one in test.get("html"))


def test_what_is_hidden_is_gone_for_everybody_and_keeps_its_value():
    test = draw(hide="epochs,step", epochs="7")
    assert ".st-key-epochs" in style(test)
    assert "display: none !important" in style(test)
    assert ".st-key-step-bar" in style(test)
    assert test.slider(key="epochs").value == 7
    assert test.query_params == {"hide": "epochs,step", "epochs": "7"}
    assert not test.warning


def test_nothing_is_hidden_without_being_asked():
    assert style(draw()) == ""


def test_the_menu_offers_what_the_page_has_and_gives_the_link():
    test = draw(epochs="7")
    assert test.multiselect(key="lesson-hide").options == ["epochs", "lr", "scratch-a", "step", "lesson"]
    test.multiselect(key="lesson-hide").set_value(["lr", "lesson"]).run()
    link = parse_qs(test.code[0].value.partition("?")[2])
    assert link == {"epochs": ["7"], "hide": ["lr,lesson"]}
    assert "hide" not in test.query_params
    test.button(key="lesson-try").click().run()
    assert test.query_params["hide"] == "lr,lesson"
    assert ".st-key-lesson" in style(test)


def test_an_unknown_name_is_told_once():
    test = draw(hide="epochs,nonsense")
    assert "no control here called 'nonsense'" in test.warning[0].value
    assert not test.run().warning


@pytest.mark.parametrize("name", ["</style><script>alert(1)</script>", "a b", "é", "x{}", "*", "a" * 81])
def test_what_is_no_name_never_reaches_the_style(name):
    test = draw(hide=f"{name},epochs")
    assert f"st-key-{name}" not in style(test)
    assert ".st-key-epochs" in style(test)
    assert "no control here called" in test.warning[0].value


def test_very_many_names_are_cut():
    test = draw(hide=",".join(f"n{at}" for at in range(5000)))
    assert ".st-key-n59" in style(test)
    assert ".st-key-n60" not in style(test)
    assert any("the first 60 of 5000" in one.value for one in test.warning)
