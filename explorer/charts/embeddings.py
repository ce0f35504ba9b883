"""Charts of vectors in the plane: what neighbours know of the class, and how much the picture keeps."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

HEIGHT = 30  # pixels of a bar and the room around it
AXIS = 40  # pixels below them


def known(shares: Mapping[str, float], own: str) -> alt.LayerChart:
    """How often the neighbours are of the right class, bar under bar; `own` names the bar that the others stand by."""
    table = pd.DataFrame({"of": shares.keys(), "share": shares.values(), "mine": [name == own for name in shares]})
    base = alt.Chart(table).encode(
        alt.Y("of:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
        alt.X("share:Q", title=None, scale=alt.Scale(domain=[0, 1.12]),
              axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])),
    )  # fmt: skip
    bars = base.mark_bar(height=HEIGHT * 0.5).encode(
        opacity=alt.condition("datum.mine", alt.value(1), alt.value(0.45)),
        tooltip=["of", alt.Tooltip("share", format=".1%")],
    )
    texts = base.mark_text(align="left", dx=5).encode(text=alt.Text("share:Q", format=".0%"))
    return (bars + texts).properties(height=HEIGHT * len(table) + AXIS)


def variance(explained: np.ndarray) -> alt.LayerChart:
    """The share of the variance that each principal component has; the first two make the picture."""
    table = pd.DataFrame(
        {"component": np.arange(1, len(explained) + 1), "share": explained, "drawn": np.arange(len(explained)) < 2,
         "so far": np.cumsum(explained)}
    )  # fmt: skip
    base = alt.Chart(table).encode(
        alt.X("component:O", title="Principal component", axis=alt.Axis(labelAngle=0)),
        alt.Y("share:Q", title=None, axis=alt.Axis(format="%")),
    )
    bars = base.mark_bar().encode(
        opacity=alt.condition("datum.drawn", alt.value(1), alt.value(0.45)),
        tooltip=["component", alt.Tooltip("share", format=".1%"), alt.Tooltip("so far", format=".1%")],
    )
    return (
        bars + base.transform_filter("datum.drawn").mark_text(dy=-8).encode(text=alt.Text("share:Q", format=".0%"))
    ).properties(height=150)


def course(steps: Sequence[int], lines: Mapping[str, np.ndarray]) -> alt.Chart:
    """Shares between 0 and 1 along a training, one line each."""
    table = pd.concat([pd.DataFrame({"step": steps, "share": values, "what": name}) for name, values in lines.items()])
    return (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            alt.X("step:Q", title="Step"),
            alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, 1])),
            alt.Color("what:N", title=None, sort=list(lines)),
            tooltip=["what", "step", alt.Tooltip("share", format=".3f")],
        )
        .properties(height=200)
    )
