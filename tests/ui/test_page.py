"""How a page refuses."""

import pytest
from streamlit.testing.v1 import AppTest

from explorer.store import ANSWERS
from explorer.ui.page import plain


def test_a_refusal_is_one_sentence_and_loses_nothing():
    def page():
        import streamlit as st

        from explorer.errors import ExplorerError
        from explorer.ui.page import guard

        with guard():
            st.text("before")
            raise ExplorerError("The model 'a*b'", "there is none", "Open another")
        st.text("after")

    test = AppTest.from_function(page, default_timeout=60).run()
    assert [line.value for line in test.text] == ["before", "after"]
    assert test.error[0].value == r"**The model 'a\*b'\:** there is none. Open another.".replace(r"\:", ":")
    assert not test.exception


@pytest.mark.parametrize("words", ["", "CUDA out of memory. Tried to allocate 2.00 GiB."])
def test_too_little_memory_is_a_sentence_and_gives_back_what_was_kept(words):
    def page(words):
        import streamlit as st

        from explorer.store import ANSWERS
        from explorer.ui.page import guard

        ANSWERS.get("something large", lambda: "x" * 1000)
        with guard():
            st.text("before")
            raise RuntimeError(words) if words else MemoryError

    test = AppTest.from_function(page, default_timeout=60, kwargs={"words": words}).run()
    assert "not enough memory" in test.error[0].value
    assert [line.value for line in test.text] == ["before"]
    assert not test.exception
    assert ANSWERS.nbytes == 0


def test_a_bug_stays_a_bug():
    def page():
        from explorer.ui.page import guard

        with guard():
            raise ZeroDivisionError

    assert AppTest.from_function(page, default_timeout=60).run().exception


def test_a_fragment_refuses_for_itself():
    def page():
        import streamlit as st

        from explorer.errors import ExplorerError
        from explorer.ui.page import guard

        @st.fragment
        @guard()
        def part():
            if st.button("Try"):
                raise ExplorerError("This", "it can't be", "Do that")

        part()

    test = AppTest.from_function(page, default_timeout=60).run()
    test.button[0].click().run()
    assert test.error[0].value == "**This:** it can't be. Do that."
    assert not test.exception


@pytest.mark.parametrize("text", ["[x](http://a.b)", ":red[x]", "$x$", "**x**", "<b>x</b>", "`x`", "![x](y)"])
def test_plain_text_is_never_markdown(text):
    escaped = plain(text)
    assert escaped.replace("\\", "") == text
    assert not any(mark in escaped for mark in ("](", ":red[", "**", "<b>"))
