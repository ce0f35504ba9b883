"""Charts made quickly are the same charts: python -m pytest tests/charts/test_quick.py"""

import altair as alt
import jsonschema
import pandas as pd
import pytest
from altair.utils import schemapi

from explorer.charts import quick

TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def charts():
    """Of every way in which a channel is given."""
    base = alt.Chart(TABLE).mark_bar().encode(x="a:Q", y=alt.Y("b:N").title("B"), tooltip=["a", "b:N"])
    shaded = base.encode(
        color=alt.condition("datum.a > 1", alt.value("red"), "b:N"), opacity=alt.value(0.5), order="sum(a):Q"
    )
    return [one.to_dict() for one in (base, shaded, alt.layer(base, shaded), base.facet("b:N"))]


@pytest.fixture
def own(monkeypatch):
    """Altair as it comes."""
    from explorer.ui import draw  # noqa: F401 - which has mended it

    mended = schemapi.SchemaBase.__dict__["from_dict"]

    def from_dict(cls, dct, validate=True):
        if validate:
            cls.validate(dct)
        return schemapi._FromDict(cls._default_wrapper_classes()).from_dict(dct, cls)

    assert mended.__func__ is quick._from_dict
    monkeypatch.setattr(schemapi.SchemaBase, "from_dict", classmethod(from_dict))
    return mended


def test_a_chart_is_what_altair_makes_of_it(own, monkeypatch):
    theirs = charts()
    monkeypatch.setattr(schemapi.SchemaBase, "from_dict", own)
    assert charts() == theirs
    assert charts() == theirs  # the second time with what is kept


def test_what_does_not_fit_the_schema_is_refused_as_ever():
    quick.mend()
    with pytest.raises(jsonschema.ValidationError):
        alt.Chart.from_dict({"mark": "no such mark", "data": {"values": []}})


def test_the_classes_are_sorted_once(monkeypatch):
    quick.mend()
    charts()
    monkeypatch.setattr(schemapi._FromDict, "__init__", lambda self, classes: pytest.fail("sorted again"))
    charts()
