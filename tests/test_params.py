"""Settings on the argument: python -m pytest tests/test_params.py"""

import math
from typing import Annotated

import pytest

from explorer.errors import ExplorerError
from explorer.params import Choice, LogSlider, Number, Slider, Toggle, check, params


def method(
    image: object,
    steps: Annotated[int, Slider(5, 100, step=5, help="How many steps.")] = 20,
    rate: Annotated[float, LogSlider(1e-4, 1.0, zero=True)] = 0.01,
    kind: Annotated[str, Choice(("a", "b"))] = "a",
    seed: Annotated[int, Number(0, 99)] = 0,
    absolute: Annotated[bool, Toggle()] = False,
) -> None:
    """A method."""


def test_only_annotated_arguments_are_settings():
    found = params(method)
    assert list(found) == ["steps", "rate", "kind", "seed", "absolute"]
    assert found["steps"].default == 20
    assert found["steps"].control.help == "How many steps."
    assert found["rate"].type is float


def test_defaults_fill_what_is_not_given():
    assert check(method, {"kind": "b"}, "It") == {"steps": 20, "rate": 0.01, "kind": "b", "seed": 0, "absolute": False}
    assert check(method, {"rate": 0}, "It")["rate"] == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 101}, "101 is not between 5 and 100"),
        ({"steps": 20.5}, "not a whole number"),
        ({"steps": True}, "not a whole number"),
        ({"rate": math.nan}, "not a number"),
        ({"rate": "fast"}, "not a number"),
        ({"rate": -1}, "not between"),
        ({"kind": "c"}, "not one of a, b"),
        ({"absolute": 1}, "neither True nor False"),
        ({"sed": 1}, "no setting 'sed'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values, words):
    with pytest.raises(ExplorerError, match=words):
        check(method, values, "The method")


def test_a_log_slider_offers_1_2_3_5_and_its_bounds():
    assert LogSlider(0.01, 1.0, zero=True).options == (0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
    assert LogSlider(4e-3, 7e-2).options == (4e-3, 5e-3, 0.01, 0.02, 0.03, 0.05, 7e-2)
