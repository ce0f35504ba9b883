"""What levers do: a schedule before it runs, the range test, layers while they learn; a result in, a chart out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts.theme import TRAINING, VALIDATION
from explorer.training.range_test import RangeTest

History = Sequence[Mapping[str, Any]]
CELLS = 60  # columns of a heat map over the steps
SLOW, FAST = 1e-5, 1e-1  # of the update-to-weight ratio, the ends of its colours; a thousandth is the middle


def schedule(steps: np.ndarray, rates: np.ndarray, peak: float) -> alt.LayerChart:
    """The learning rate over the steps of a run. steps, rates: parallel; peak: the rate that was chosen."""
    frame = pd.DataFrame({"step": steps, "rate": rates})
    line = (
        alt.Chart(frame)
        .mark_area(line={"color": TRAINING, "strokeWidth": 2.5}, color=TRAINING, fillOpacity=0.15)
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=10)),
            y=alt.Y("rate:Q", title="learning rate", axis=alt.Axis(format="~g", tickCount=4)),
            tooltip=[alt.Tooltip("step:Q"), alt.Tooltip("rate:Q", title="learning rate", format=".3g")],
        )
    )
    top = alt.Chart(pd.DataFrame({"rate": [peak]})).mark_rule(strokeDash=[4, 3], opacity=0.5).encode(y="rate:Q")
    return alt.layer(line, top).properties(height=180)


def range_curve(found: RangeTest) -> alt.LayerChart:
    """The loss over the learning rate, on a logarithmic axis, with the suggested rate and the one where it broke."""
    ceiling = float(np.nanmin(found.smooth) + 2.5 * max(found.smooth[0] - np.nanmin(found.smooth), 0.2))
    frame = pd.DataFrame({"rate": found.rates, "loss": found.losses, "smooth": found.smooth})
    x = alt.X("rate:Q", title="learning rate", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g", tickCount=7))
    y = alt.Scale(domain=[max(0.0, float(np.nanmin(found.smooth)) * 0.8), ceiling], clamp=True, nice=False)
    tips = [alt.Tooltip("rate:Q", title="learning rate", format=".2g"), alt.Tooltip("loss:Q", format=".4f"),
            alt.Tooltip("smooth:Q", title="smoothed", format=".4f")]  # fmt: skip
    base = alt.Chart(frame).encode(x=x, tooltip=tips)
    noisy = base.mark_line(color=TRAINING, opacity=0.3, strokeWidth=1).encode(y=alt.Y("loss:Q", scale=y, title="loss"))
    smooth = base.mark_line(color=TRAINING, strokeWidth=2.5).encode(y=alt.Y("smooth:Q", scale=y, title="loss"))
    layers = [noisy, smooth]
    for rate, words in ((found.suggested, "suggested"), (found.broke, "breaks")):
        if math.isfinite(rate):
            at = alt.Chart(pd.DataFrame({"rate": [rate], "words": [f"{words} {rate:.2g}"]})).encode(x=x)
            layers.append(at.mark_rule(color=VALIDATION, strokeWidth=2, strokeDash=[5, 3]))
            layers.append(at.mark_text(align="left", dx=5, dy=8, baseline="top").encode(text="words:N", y=alt.value(0)))
    return alt.layer(*layers).properties(height=280)


def updates(history: History, total: int) -> alt.Chart:
    """How far each layer's weights move at a step, as a share of their own length: a row a layer, a column a step."""
    return _layers(history, 1, total, "step ÷ weights", [SLOW, FAST])


def gradients(history: History, total: int) -> alt.Chart:
    """The length of each layer's gradient: one row a layer, one column a step."""
    return _layers(history, 0, total, "gradient's length", None)


def silent(history: History, total: int) -> alt.Chart:
    """The share of units that say nothing, of each activation, over the steps."""
    rows = [
        {"step": record["step"], "layer": name, "share": share}
        for record in history
        for name, share in (record.get("dead") or {}).items()
    ]
    names = list(dict.fromkeys(row["layer"] for row in rows))
    return (
        alt.Chart(pd.DataFrame(_thin(rows, names), columns=["step", "layer", "share"]))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=16, filled=True))
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, max(total, 1)], nice=False)),
            y=alt.Y("share:Q", title="silent units", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
            color=alt.Color("layer:N", sort=names, legend=alt.Legend(columns=4) if len(names) <= 8 else None),
            tooltip=["layer:N", "step:Q", alt.Tooltip("share:Q", title="silent units", format=".0%")],
        )
        .properties(height=200)
    )


def gap(history: History, total: int) -> alt.LayerChart:
    """How much worse the network does on what it has not learned from: validation loss minus training loss."""
    losses = pd.DataFrame(
        [{"step": one["step"], "loss": one["loss"]} for one in history if one.get("loss") is not None],
        columns=["step", "loss"], dtype=float,
    )  # fmt: skip
    smooth = losses.assign(loss=losses["loss"].ewm(span=max(2, len(losses) / 25)).mean()).set_index("step")["loss"]
    rows = [
        {"step": one["step"], "gap": one["validation_loss"] - smooth.get(one["step"], math.nan)}
        for one in history
        if one.get("validation_loss") is not None
    ]
    frame = pd.DataFrame(rows, columns=["step", "gap"], dtype=float).dropna()
    line = (
        alt.Chart(frame.iloc[:: max(1, len(frame) // 200)])
        .mark_line(color=VALIDATION, strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title=None, scale=alt.Scale(domain=[0, max(total, 1)], nice=False)),
            y=alt.Y("gap:Q", title="validation − training", axis=alt.Axis(tickCount=3, format="~g")),
            tooltip=[alt.Tooltip("step:Q"), alt.Tooltip("gap:Q", title="validation − training loss", format=".4f")],
        )
    )
    zero = alt.Chart(pd.DataFrame({"gap": [0.0]})).mark_rule(opacity=0.4).encode(y="gap:Q")
    return alt.layer(zero, line).properties(height=110)


def _layers(history: History, which: int, total: int, title: str, ends: list[float] | None) -> alt.Chart:
    measured = [record for record in history if record.get("layers")]
    names = list(measured[-1]["layers"]) if measured else []
    kept = measured[:: max(1, -(-len(measured) // CELLS))]
    width = (kept[1]["step"] - kept[0]["step"] if len(kept) > 1 else 1) or 1
    rows = []
    for at, record in enumerate(kept):
        after = kept[at + 1]["step"] if at + 1 < len(kept) else record["step"] + width
        rows += [
            {"step": record["step"], "until": min(after, total), "layer": name, "value": max(values[which], 1e-12)}
            for name, values in record["layers"].items()
        ]
    frame = pd.DataFrame(rows, columns=["step", "until", "layer", "value"])
    values = frame["value"] if len(frame) else pd.Series([1.0])
    domain = ends or [max(float(values.quantile(0.02)), 1e-9), max(float(values.quantile(0.98)), 2e-9)]
    scale = alt.Scale(type="log", domain=domain, clamp=True)
    if ends:  # too slow is one colour, too fast the other
        scale = alt.Scale(type="log", domain=domain, domainMid=math.sqrt(domain[0] * domain[1]), clamp=True)
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, max(total, 1)], nice=False)),
            x2="until:Q",
            y=alt.Y("layer:N", sort=names, title=None, axis=alt.Axis(domain=False, labelLimit=130)),
            color=alt.Color("value:Q", title=title, scale=scale, legend=alt.Legend(format="~g", gradientLength=140)),
            tooltip=["layer:N", "step:Q", alt.Tooltip("value:Q", title=title, format=".3g")],
        )
        .properties(height=max(80, min(22 * len(names), 420)))
    )


def _thin(rows: list[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """At most about CELLS points of each layer."""
    stride = max(1, len(rows) // max(1, len(names)) // CELLS)
    steps = sorted({row["step"] for row in rows})
    kept = {*steps[::stride], *steps[-1:]}
    return [row for row in rows if row["step"] in kept]
