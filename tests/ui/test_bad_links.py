"""What a link asks for and can't have falls back, with a sentence."""

import ast
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]


def page():
    import streamlit as st

    from explorer.ui.heatmaps import Tile, heatmaps
    from explorer.ui.links import checked
    from explorer.ui.number import number_input
    from explorer.ui.pickers import choose, remembered, segments
    from explorer.ui.plane import Cloud, plane
    from explorer.ui.row import one_of
    from explorer.ui.transport import transport

    with checked("Page"):
        st.slider("Count", 0, 10, 5, key="count", bind="query-params")
        st.toggle("On", key="on", bind="query-params")
        number_input("Typed", 0, 9, 3, key="typed")
        st.session_state["viewed"] = one_of("View", ["A", "B"], default="A", key="view")
        st.pills("Words", ["a", "b"], selection_mode="multi", default=["a"], key="words", bind="query-params")
        st.text_input("Prompt", "none", key="prompt", bind="query-params")
        choose("Layer", ["one", "two"], "one", "layer", str.title)
        segments("Sort", ["mean", "number"], "sort", str.title)
        transport("Step", [0, 5, 9], key="step")
        st.session_state["id"] = remembered("job")
        import numpy as np

        picture = np.zeros((4, 4, 1), np.uint8)
        st.session_state["seen"] = heatmaps([Tile("t", "", np.ones((4, 4)), picture)], "maps")
        points = np.zeros((3, 2, 2), np.float32)
        st.session_state["frame"] = plane([Cloud(points, ("0", "1", "2"))], "cloud")
        if st.button("Job", key="start"):
            st.session_state["job"] = "abc"
            st.rerun()


def draw(**link) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    for name, value in link.items():
        test.query_params[name.replace("_", "-")] = value
    test.run()
    assert not test.exception
    return test


def warned(test: AppTest) -> str:
    return " ".join(one.value.replace("\\", "") for one in test.warning)


GOOD = {
    "count": "7", "on": "true", "view": "B", "words": ["a", "b"], "prompt": "a ring", "layer": "two", "sort": "number",
    "step": "5", "job": "xyz", "maps-show": "size", "maps-opacity": "0.5", "maps-outline": "false", "cloud-at": "1",
}  # fmt: skip


@pytest.mark.parametrize("text", ["9" * 400, "1e999", "-inf"])
def test_a_number_without_an_end_is_the_usual_one(text):
    test = draw(typed=text)
    assert test.session_state["typed"] == 3
    assert "`typed` in the link" in warned(test)


def test_a_row_that_a_link_empties_has_its_usual_choice():
    test = draw(view="")
    assert test.session_state["viewed"] == "A"
    assert "`view` in the link: '' can't be had here. It is A now." in warned(test)


def test_a_good_link_is_kept_as_it_is_and_nothing_is_said():
    test = draw(**GOOD)
    assert warned(test) == ""
    assert test.query_params == GOOD
    assert (test.session_state["frame"], test.session_state["seen"].opacity) == (1, 0.5)


def test_what_is_as_usual_is_no_mistake():
    test = draw(count="5", on="false", view="A", words="a", prompt="none", layer="one", step="9", cloud_at="2")
    assert warned(test) == ""
    assert test.query_params == {}


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"count": "banana"}, "`count` in the link: 'banana' can't be had here. It is 5 now."),
        ({"count": ""}, "`count` in the link: '' can't be had here. It is 5 now."),
        ({"count": "11"}, "`count` in the link: '11' can't be had here."),
        ({"count": ["3", "4"]}, "`count` in the link: 2 values can't be had here. It is 5 now."),
        ({"count": "9" * 5000}, f"`count` in the link: '{'9' * 40}…' can't be had here."),
        ({"on": "perhaps"}, "`on` in the link: 'perhaps' can't be had here. It is False now."),
        ({"view": "<script>"}, "`view` in the link: '<script>' can't be had here. It is A now."),
        ({"words": ["zzz", "yyy"]}, "`words` in the link: 2 values can't be had here. It is a now."),
        ({"layer": "three"}, "Layer in the link: 'three' can't be chosen here. It is One now."),
        ({"layer": ["two", "three"]}, "Layer in the link: 'three' can't be chosen here."),
        ({"sort": "zzz"}, "Sort in the link: 'zzz' can't be chosen here. It is Mean now."),
        ({"step": "7"}, "`step` in the link: '7' can't be had here. It is 9 now."),
        ({"maps_show": "zzz"}, "`maps-show` in the link: 'zzz' can't be chosen here. It is signed now."),
        ({"maps_opacity": "nan"}, "`maps-opacity` in the link: 'nan' can't be chosen here. It is 0.75 now."),
        ({"cloud_at": "70"}, "Frame in the link: '70' can't be chosen here. It is 2 now."),
    ],
)
def test_a_bad_value_falls_back_with_a_sentence(link, sentence):
    assert sentence in warned(draw(**link))


def test_each_is_told_once_and_names_that_nobody_reads_are_left_alone():
    test = draw(layer="three", nobody="1", **{"$$ID-x": "1"})
    assert len(test.warning) == 1


def test_a_sentence_stays_until_something_is_changed():
    test = draw(count="banana")
    assert "banana" in warned(test.run())
    test.selectbox(key="layer").set_value("two").run()
    assert warned(test) == ""


def test_what_a_button_found_is_in_the_link():
    test = draw()
    test.button(key="start").click().run()
    assert test.query_params == {"job": "abc"}
    assert test.run().query_params == {"job": "abc"}


def test_numbers_are_typed_at_one_place():
    """Streamlit's own breaks the page at ?seed=inf."""
    files = [*ROOT.glob("explorer/ui/**/*.py"), *ROOT.glob("pages/*.py")]
    found = [path.name for path in files
             if any(isinstance(node, ast.Attribute) and node.attr == "number_input"
                    for node in ast.walk(ast.parse(path.read_text())))]  # fmt: skip
    assert found == ["number.py"]


def test_a_page_that_stops_to_ask_has_not_read_its_link_yet():
    def asks():
        import streamlit as st

        from explorer.ui.links import checked

        with checked("Page"):
            if not st.checkbox("Download it", key="agreed"):
                st.stop()
            st.slider("Count", 0, 10, 5, key="count", bind="query-params")

    test = AppTest.from_function(asks, default_timeout=60)
    test.query_params["count"] = "banana"
    assert warned(test.run()) == ""
    test.checkbox(key="agreed").check().run()
    assert "`count` in the link: 'banana' can't be had here. It is 5 now." in warned(test)
