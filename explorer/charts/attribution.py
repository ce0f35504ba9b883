"""Measures of explanations: how they rank, where they agree, what they forget; a result in, a chart out."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.attribution.leaderboard import CONFIDENCE, Standing
from explorer.attribution.measures import SHARES, Measure, Measured
from explorer.attribution.sanity import Cascade
from explorer.charts.theme import letters, signed


def curves(measured: Sequence[Measured], titles: Sequence[str], which: str) -> alt.Chart:
    """The `deletion` or `insertion` curves of several maps, one line each; hover isolates one."""
    gone = which == "deletion"
    share = SHARES if gone else 1 - SHARES
    frame = pd.DataFrame(
        {"method": title, "share": at, "probability": value}
        for one, title in zip(measured, titles, strict=True)
        for at, value in zip(share, getattr(one, which), strict=True)
    )
    near = alt.selection_point(fields=["method"], on="pointerover", nearest=True, empty=True)
    words = "most important pixels taken out" if gone else "most important pixels shown"
    return (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=25))
        .encode(
            x=alt.X("share:Q", title=words, axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("probability:Q", title="probability", axis=alt.Axis(format="%", tickCount=5),
                    scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("method:N", scale=alt.Scale(domain=list(titles)), legend=alt.Legend(columns=3, title=None)),
            opacity=alt.condition(near, alt.value(1), alt.value(0.15)),
            tooltip=["method:N", alt.Tooltip("share:Q", format=".0%"), alt.Tooltip("probability:Q", format=".1%")],
        )
        .add_params(near)
        .properties(height=280)
    )  # fmt: skip


def agreement(matrix: np.ndarray, titles: Sequence[str]) -> alt.LayerChart:
    """The rank correlation of every two maps, (maps, maps), as a grid of numbers."""
    rows = [
        {"one": one, "other": other, "agreement": None if np.isnan(value) else float(value)}
        for one, line in zip(titles, matrix, strict=True)
        for other, value in zip(titles, line, strict=True)
    ]
    bare = alt.Axis(domain=False, ticks=False, labelLimit=200, labelOverlap=False)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("other:N", sort=list(titles), title=None, axis=bare),
        y=alt.Y("one:N", sort=list(titles), title=None, axis=bare),
        tooltip=["one:N", "other:N", alt.Tooltip("agreement:Q", format=".3f")],
    )
    cells = base.mark_rect(cornerRadius=3).encode(color=alt.Color("agreement:Q", scale=signed(1.0), legend=None))
    numbers = base.mark_text(fontSize=12).encode(
        text=alt.Text("agreement:Q", format=".2f"), color=letters("abs(datum.agreement) > 0.55")
    )
    return alt.layer(cells, numbers).properties(height=34 * len(titles) + 90)


def cascade(found: Cascade, titles: Sequence[str], at: int) -> alt.LayerChart:
    """How like its first map each method's map still is, as ever more layers are random; `at` marks a step."""
    frame = pd.DataFrame(
        {
            "method": title,
            "step": step,
            "random": f"{step} of {len(found.forgotten) - 1} parts",
            "layers": found.forgotten[step] or "none yet",
            "similarity": None if np.isnan(value) else float(value),
        }
        for step, line in enumerate(found.similarity)
        for title, value in zip(titles, line, strict=True)
    )
    near = alt.selection_point(fields=["method"], on="pointerover", nearest=True, empty=True)
    lines = (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=30))
        .encode(
            x=alt.X("step:Q", title="parts of the network that are random, from the last layer on",
                    axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("similarity:Q", title="rank correlation with the first map", scale=alt.Scale(domain=[-0.2, 1])),
            color=alt.Color("method:N", scale=alt.Scale(domain=list(titles)), legend=alt.Legend(columns=4, title=None)),
            opacity=alt.condition(near, alt.value(1), alt.value(0.15)),
            tooltip=["method:N", "random:N", "layers:N", alt.Tooltip("similarity:Q", format=".3f")],
        )
        .add_params(near)
    )  # fmt: skip
    mark = alt.Chart(pd.DataFrame({"step": [at]})).mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="step:Q")
    return alt.layer(lines, mark).properties(height=300)


def standing(found: Standing, measure: Measure, titles: Sequence[str]) -> alt.LayerChart:
    """The methods by the mean of one measure, the best first, each with its confidence interval."""
    column = found.measures.index(measure.name)
    order = found.mean[:, column] * (1 if measure.better == "lower" else -1)
    rows = [
        {
            "method": titles[i],
            "mean": float(found.mean[i, column]),
            "low": float(found.mean[i, column] - np.nan_to_num(found.margin[i, column])),
            "high": float(found.mean[i, column] + np.nan_to_num(found.margin[i, column])),
            "kind": "baseline" if found.methods[i] in ("random", "sobel") else "method",
        }
        for i in np.argsort(order, kind="stable")
        if np.isfinite(found.mean[i, column])
    ]
    frame = pd.DataFrame(rows, columns=["method", "mean", "low", "high", "kind"])
    bare = alt.Axis(domain=False, ticks=False, labelLimit=220, labelOverlap=False)
    base = alt.Chart(frame).encode(
        y=alt.Y("method:N", sort=list(frame["method"]), title=None, axis=bare),
        color=alt.Color("kind:N", scale=alt.Scale(domain=["method", "baseline"])),
        tooltip=["method:N", alt.Tooltip("mean:Q", format=".3g"), alt.Tooltip("low:Q", format=".3g"),
                 alt.Tooltip("high:Q", format=".3g")],
    )  # fmt: skip
    words = f"{measure.name}, mean and {CONFIDENCE:.0%} interval ({measure.better} is better)"
    spans = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=alt.X("low:Q", title=words, scale=alt.Scale(zero=False, nice=True)), x2="high:Q"
    )
    points = base.mark_point(size=90, opacity=1).encode(x="mean:Q")
    return alt.layer(spans, points).properties(height=30 * max(1, len(frame)) + 60)
