"""What is pinned as A: in the link, on every page."""

import pytest
from streamlit.testing.v1 import AppTest

from explorer.errors import ExplorerError
from explorer.ui.pins import Pin, of_picture, of_text, read


@pytest.mark.parametrize(
    ("pin", "text"),
    [
        (Pin("zoo:shapes-resnet"), "zoo:shapes-resnet"),
        (Pin("zoo:shapes-resnet", 12), "zoo:shapes-resnet|12"),
        (Pin("zoo:story-gpt", text="a | b |"), "zoo:story-gpt|text:a | b |"),
        (Pin("zoo:story-gpt", text=""), "zoo:story-gpt|text:"),
        (Pin("zoo:shapes-resnet", 3, more=("1", "", "stem")), "zoo:shapes-resnet|3|1||stem"),
        (Pin("zoo:shapes-resnet", brought="abc"), "zoo:shapes-resnet|brought:abc"),
        (Pin(f"run:{'0' * 32}@7", 0), f"run:{'0' * 32}@7|0"),
    ],
)
def test_a_pin_is_read_as_it_was_written(pin, text):
    assert str(pin) == text
    assert read(text) == pin


@pytest.mark.parametrize("text", ["", "banana", "zoo:", "|||", "../../etc|1"])
def test_what_names_no_network_is_refused(text):
    with pytest.raises(ExplorerError):
        read(text)


def test_numbers_and_texts_are_bounded():
    assert read(f"zoo:shapes-resnet|{'9' * 50}").index is None
    assert len(read(f"zoo:story-gpt|text:{'a' * 9999}").text) == 2000
    assert of_text("zoo:story-gpt", "a" * 2001) == Pin("zoo:story-gpt")
    assert len(read(f"zoo:shapes-resnet|1{'|x' * 500}").more) == 12


def test_a_test_picture_goes_by_its_number_and_another_by_a_mark():
    assert of_picture("zoo:shapes-resnet", "shapes/[]/test/7", (1, None, "")) == Pin(
        "zoo:shapes-resnet", 7, more=("1", "", "")
    )
    assert of_picture("zoo:shapes-resnet", "0123456789abcdef") == Pin("zoo:shapes-resnet", brought="0123456789ab")


def page():
    import streamlit as st

    from explorer.ui.pins import Pin, chip, held

    number = st.slider("Example", 0, 9, 3, key="example", bind="query-params")
    brought = st.toggle("Bring one", key="bring", bind="query-params")
    now = Pin("zoo:shapes-resnet", brought="mark") if brought else Pin("zoo:shapes-resnet", number)
    found = chip(now, "the picture" if brought else None)
    st.session_state["found"], st.session_state["held"] = found, found and held(found)


def draw(**link: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    for name, value in link.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def test_it_is_pinned_stays_is_told_and_is_let_go():
    test = draw()
    assert test.session_state["found"] is None
    test.button(key="a-pin").click().run()
    assert test.button(key="a-pin").disabled
    assert test.query_params["a"] == "zoo:shapes-resnet|3"
    test.slider(key="example").set_value(4).run()
    assert test.session_state["found"] == Pin("zoo:shapes-resnet", 3)
    assert "test example 3" in test.caption[0].value
    assert draw(**{"a": test.query_params["a"]}).session_state["found"] == Pin("zoo:shapes-resnet", 3)
    test.button(key="a-unpin").click().run()
    assert test.session_state["found"] is None
    assert "a" not in test.query_params


def test_a_picture_that_was_brought_is_held_for_the_session_and_is_in_no_link():
    test = draw(bring="true")
    test.button(key="a-pin").click().run()
    assert test.session_state["held"] == "the picture"
    again = draw(a=test.query_params["a"])
    assert again.session_state["held"] is None
    assert "which no link carries" in again.caption[0].value


def test_a_bad_pin_is_told_and_dropped():
    test = draw(a="banana")
    assert "A in the link: 'banana' can't be chosen here" in test.warning[0].value
    assert "a" not in test.query_params
