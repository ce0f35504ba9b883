"""A widget is moved only to where a person could move it: `pytest tests/load/test_widgets.py`"""

import random

import pytest
from streamlit.proto.ButtonGroup_pb2 import ButtonGroup
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.Slider_pb2 import Slider

from tests.load import widgets

WORDS = ["a", "b", "c", "d"]


def element(name: str, **about) -> Element:
    return Element(**{name: {"id": "$$ID-0-key", **about}})


EVERY = {
    "one number": (element("slider", min=1, max=9, step=2, default=[5]), [5.0], [[1.0], [3.0], [7.0], [9.0]]),
    "a range": (element("slider", min=0, max=3, step=1, default=[1, 2]), [1.0, 2.0], [[0, 2], [2, 2], [1, 1], [1, 3]]),
    "a word of a slider": (
        element("slider", type=Slider.SELECT_SLIDER, options=WORDS, default=[1]), ["b"], [["a"], ["c"], ["d"]],
    ),
    "a word of a menu": (element("selectbox", options=WORDS, default=2), "c", ["a", "b", "d"]),
    "a button": (
        element("button_group", default=[0], required=True, options=[{"content": word} for word in WORDS[:3]]),
        ["a"], [["b"], ["c"]],
    ),
    "buttons": (
        element("button_group", click_mode=ButtonGroup.MULTI_SELECT, default=[0], required=True,
                options=[{"content": "a", "content_icon": ":x:"}, {"content": "b"}]),
        [":x: a"], [[":x: a", "b"]],
    ),
    "words": (element("multiselect", options=WORDS[:2], default=[0], max_selections=2), ["a"], [[], ["a", "b"]]),
    "a toggle": (element("checkbox", default=True), True, [False]),
    "a number": (element("number_input", has_min=True, has_max=True, min=0, max=2, step=1, default=1), 1.0, [0.0, 2.0]),
    "a single choice": (element("selectbox", options=["a"], default=0), "a", [None]),
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_a_widget_goes_wherever_it_can_and_nowhere_else(name):
    widget, start, others = EVERY[name]
    assert widgets.movable(widget)
    assert widgets.start(widget) == start
    chance = random.Random(0)
    met = [widgets.another(widget, start, chance) for _ in range(200)]
    assert all(one in others for one in met)
    assert all(one in met for one in others)


def test_where_the_server_has_set_it_counts_more_than_its_default():
    assert widgets.start(element("slider", min=0, max=9, step=1, default=[1], value=[4], set_value=True)) == [4.0]
    assert widgets.start(element("selectbox", options=WORDS, default=0, raw_value="d", set_value=True)) == "d"


def test_the_url_says_what_is_no_default():
    slider = element("slider", min=0, max=9, step=0.5, default=[1])
    assert [widgets.in_url(slider, [value]) for value in (1.0, 4.0, 4.5)] == [[], ["4"], ["4.5"]]
    assert widgets.in_url(element("checkbox", default=True), False) == ["false"]


def test_what_reruns_nothing_is_not_moved():
    assert not widgets.movable(element("slider", max=9, step=1, default=[1], disabled=True))
    assert not widgets.movable(element("checkbox", form_id="f"))
    assert not widgets.movable(element("text_input", value="x"))


def test_a_number_is_moved_by_its_buttons_or_typed(monkeypatch):
    number = element("number_input", has_min=True, has_max=True, min=0, max=9, step=1, default=5)
    for often, reached in ((1, {4, 6}), (0, {0, 1, 2, 3, 4, 6, 7, 8, 9})):
        monkeypatch.setattr(widgets, "BUTTON", often)
        assert {widgets.another(number, 5, random.Random(seed)) for seed in range(200)} == reached
    monkeypatch.setattr(widgets, "BUTTON", 1)
    assert widgets.another(number, 9, random.Random(0)) == 8
    assert widgets.another(number, 8.5, random.Random(0)) == 7.5  # 9.5 would be too much
