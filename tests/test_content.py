"""Equal values have equal digests, others have others."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.content import Known, digest


@dataclass(frozen=True)
class Pair:
    name: str
    values: np.ndarray


def frame(**changes):
    return pd.DataFrame({"x": [1.0, 2.0], "word": ["a", "b"]} | changes)


DIFFERENT = [
    None, True, 1, 1.5, "1", b"1", "", [], [1], [1, 2], [[1], 2], {"a": 1}, {"a": 2}, {"b": 1}, {("a", 1): 1}, (1, "2"),
    np.zeros(2), np.zeros(3), np.zeros((2, 1)), np.zeros(2, np.float32), np.arange(2), [np.zeros(2)],
    [np.zeros(2), np.zeros(2)], {"a": np.zeros(2)}, {"a": np.ones(2)}, Pair("a", np.zeros(2)), Pair("b", np.zeros(2)),
    Pair("a", np.ones(2)), frame(), frame(x=[1.0, 3.0]), frame(word=["a", "c"]), frame().rename(columns={"x": "y"}),
    frame().iloc[::-1], Known(1, ("a",)), Known(1, ("b",)), Known(1, ("a", 1)),
]  # fmt: skip


def test_different_values_have_different_digests():
    assert len({digest(value) for value in DIFFERENT}) == len(DIFFERENT)


def test_equal_values_have_the_same_digest():
    assert digest(Pair("a", np.zeros(2)), frame()) == digest(Pair("a", np.zeros(2)), frame())
    assert digest({3, 1, 2}) == digest({2, 3, 1})
    assert digest(np.float64(0.5)) == digest(0.5)
    whole = np.arange(12).reshape(3, 4)
    assert digest(whole[:, ::2]) == digest(whole[:, ::2].copy())


def test_where_one_value_ends_and_the_next_begins_matters():
    assert digest("a", "b") != digest("ab") != digest("a b")
    assert digest([1], [2]) != digest([1, 2])
    assert digest(b"a", b"b") != digest(b"ab")


@pytest.mark.parametrize("value", [object(), lambda: 0, [object()], {"a": object()}, np.array([object()]), Pair])
def test_what_has_no_content_is_refused(value):
    with pytest.raises(TypeError):
        digest(value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, derandomize=True, database=None)
@given(PLAIN, PLAIN)
def test_plain_values_differ_where_their_texts_do(a, b):
    assert (digest(a) == digest(b)) == (repr(a) == repr(b))


def test_what_is_known_by_its_name_is_not_looked_at():
    assert digest(Known(object(), ("run:1", 2))) == digest(Known([0.0], ("run:1", 2)))
