"""A chart is drawn as Streamlit draws it, and made once for all who see the same."""

import ast
import json
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from explorer.charts import theme
from explorer.ui import draw as drawing

ROOT = Path(__file__).parents[2]
MADE: list[str] = []


def chart(name: str, values: np.ndarray) -> alt.LayerChart:
    MADE.append(name)
    frame = pd.DataFrame({"at": np.arange(len(values)), "value": values, "kind": pd.Categorical([name] * len(values))})
    names = alt.LookupData(pd.DataFrame({"at": range(len(values)), "word": [f"w{n}" for n in range(len(values))]}),
                           "at", ["word"])  # fmt: skip
    base = alt.Chart(frame).transform_lookup("at", names)
    picked = alt.selection_point(name="cell", fields=["at"])
    cells = base.mark_rect().encode(x="word:O", color=alt.Color("value:Q", scale=theme.signed(1))).add_params(picked)
    rule = alt.Chart(pd.DataFrame({"y": [0.5]})).mark_rule().encode(y="y:Q")
    return cells + base.mark_text().encode(text="value:Q") + rule


def page():
    import numpy as np
    import streamlit as st
    from test_draw import chart

    from explorer.content import Known
    from explorer.ui.draw import INK, draw

    values = np.array([0.5, float("nan"), -1.0]) * st.session_state.get("times", 1)
    live = st.session_state.get("live", False)
    told = Known(values, st.session_state["by"]) if "by" in st.session_state else values
    draw(chart, "mine", told, key="mine", says="Mine", live=live, on_select="rerun", selection_mode=["cell"])
    if st.session_state.get("beside"):
        theirs = chart("mine", values).configure_text(color=INK["light"])
        st.altair_chart(theirs, key="theirs", alt="Mine", on_select="rerun", selection_mode=["cell"])


@pytest.fixture
def app():
    drawing.CHARTS.clear()
    MADE.clear()
    return AppTest.from_function(page, default_timeout=60)


def sent(app: AppTest) -> list:
    assert not app.exception
    return [one.proto for one in app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")]


def tables(proto) -> list[pd.DataFrame]:
    return [pa.ipc.open_stream(one.data.data).read_pandas() for one in proto.datasets]


def nameless(proto) -> dict:
    """The specification with its tables by number."""
    text = proto.spec
    for number, one in enumerate(proto.datasets):
        text = text.replace(one.name, f"table {number}")
    return json.loads(text)


def test_it_sends_what_streamlit_would(app):
    app.session_state["beside"] = True
    mine, theirs = sent(app.run())
    assert nameless(mine) == nameless(theirs)
    assert nameless(mine)["config"]["view"] == {"stroke": None}  # the look of all our charts
    assert len(mine.datasets) == 3
    for one, other in zip(tables(mine), tables(theirs), strict=True):
        pd.testing.assert_frame_equal(one, other)
    same = ("theme", "alt", "selection_mode", "form_id")
    assert [getattr(mine, name) for name in same] == [getattr(theirs, name) for name in same]


def test_the_same_chart_is_made_once(app):
    first = sent(app.run())[0].SerializeToString(deterministic=True)
    assert sent(app.run())[0].SerializeToString(deterministic=True) == first
    another = AppTest.from_function(page, default_timeout=60)
    assert sent(another.run())[0].SerializeToString(deterministic=True) == first  # another person's
    assert MADE == ["mine"]


def test_other_data_make_another_chart(app):
    before = tables(sent(app.run())[0])
    app.session_state["times"] = 2
    after = tables(sent(app.run())[0])
    assert MADE == ["mine", "mine"]
    assert list(after[0]["value"].dropna()) == [2 * value for value in before[0]["value"].dropna()]


def test_what_is_told_by_something_small_is_as_good_as_its_content(app):
    whole = tables(sent(app.run())[0])
    for by, times in ((("run:1", 5), 1), (("run:1", 5), 2), (("run:1", 6), 2)):
        app.session_state["by"], app.session_state["times"] = by, times
        drawn = tables(sent(app.run())[0])
    assert MADE == ["mine", "mine", "mine"]  # the second has the first's name
    assert list(drawn[0]["value"].dropna()) == [2 * value for value in whole[0]["value"].dropna()]


def test_of_a_live_chart_nothing_is_kept(app):
    app.session_state["live"] = True
    app.run()
    app.run()
    assert (MADE, drawing.CHARTS.nbytes) == (["mine", "mine"], 0)


def test_outside_a_page_a_chart_holds_its_data():
    whole = chart("mine", np.zeros(2)).to_dict()
    assert sum(map(len, whole["datasets"].values())) == 5


def test_every_page_draws_in_this_way():
    for path in [*(ROOT / "explorer").rglob("*.py"), *(ROOT / "pages").glob("*.py")]:
        called = {ast.unparse(node) for node in ast.walk(ast.parse(path.read_text("utf-8")))
                  if isinstance(node, ast.Attribute)}  # fmt: skip
        assert not {"st.altair_chart", "st.vega_lite_chart"} & called or path == Path(drawing.__file__), path
