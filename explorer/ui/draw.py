"""Put a chart on the page, legible on its ground and told in words; what was drawn before is not made again."""

import json
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa
import streamlit as st

from explorer.charts import quick, theme
from explorer.content import Known, digest
from explorer.settings import settings
from explorer.store import Store

INK = {"light": "#17212E", "dark": "#EEF3F8"}  # letters inside a chart; the page's theme knows only its axes
CHARTS = Store(lambda: settings().limits.answers // 8)  # specifications, for everybody who sees the same

_tables: ContextVar[dict[str, pa.Table] | None] = ContextVar("tables", default=None)  # of the chart being specified


@dataclass(frozen=True)
class Specified:
    """A chart in Vega-Lite's terms, and the tables that it names."""

    spec: str  # JSON
    tables: dict[str, pa.Table]


def draw(
    make: Callable[..., alt.TopLevelMixin], *args: Any, key: str, says: str, live: bool = False,
    width: str = "stretch", on_select: Any = "ignore", selection_mode: Any = None, **named: Any,
) -> Any:  # fmt: skip
    """Draw the chart make(*args, **named); gives what st.vega_lite_chart does.

    key: keeps it in place while its data change. says: what it shows, for those who can't see it. live: of data that
    are soon others: nothing is kept.

    Kept is a chart under the content of the arguments, which large ones may tell by something small, see `Known`; where
    the content can't be known it is made anew.
    """
    ink = INK.get(st.context.theme.type or "light", INK["light"])

    def begin() -> Specified:
        values = [one.value if isinstance(one, Known) else one for one in args]
        return specified(make(*values, **named).configure_text(color=ink))

    try:
        known = None if live else (make.__module__, make.__qualname__, ink, digest(args, named))
    except TypeError:
        known = None
    found = begin() if known is None else CHARTS.get(known, begin)
    spec = json.loads(found.spec) | {"datasets": dict(found.tables)}  # anew: Streamlit writes into it
    return st.vega_lite_chart(
        spec=spec, width=width, key=key, alt=says, on_select=on_select, selection_mode=selection_mode
    )


def specified(chart: alt.TopLevelMixin) -> Specified:
    """The chart as it is sent.

    It is not held against Vega-Lite's schema, which is more than half of the time: the tests of the charts do that.
    """
    tables: dict[str, pa.Table] = {}
    token = _tables.set(tables)
    try:
        spec = chart.to_dict(validate=False)
    finally:
        _tables.reset(token)
    return Specified(json.dumps(spec), tables)


def _named(data: Any, **options: Any) -> Any:
    """Altair's way to data: a frame is sent beside the chart, as a table; outside `specified` it is written into it."""
    tables = _tables.get()
    if tables is None or not isinstance(data, pd.DataFrame):
        return alt.default_data_transformer(data, **options)
    name = f"data-{digest(data)}"
    tables[name] = pa.Table.from_pandas(data)
    return {"name": name}


# Once, for all threads: it is the whole process's. Streamlit's own way, st.altair_chart, sets another one to and fro.
alt.data_transformers.register("named", _named)
alt.data_transformers.enable("named")
alt.theme.enable(theme.explorer.__name__)
quick.mend()
