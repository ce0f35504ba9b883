"""What a unit wants: a result in, a chart out."""

from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts.theme import magnitude, signed

if TYPE_CHECKING:
    from explorer.activations.visualise import Drawn
    from explorer.activations.wants import ByClass, Selectivity

LINE = "#7C8796"  # seen on light and dark pages
BARS = 16  # classes that are drawn, the strongest ones
BINS = 20  # of the index, from 0 to its largest
UNITS, CHANCE = "the units of this layer", "with the labels exchanged at random"


def by_class(found: "ByClass") -> alt.LayerChart:
    """The mean of one unit over each class, the largest first, with 95% intervals."""
    frame = pd.DataFrame(
        {
            "class": list(found.names),
            "mean": found.means,
            "low": found.means - np.nan_to_num(found.margins),
            "high": found.means + np.nan_to_num(found.margins),
            "samples": found.counts,
        }
    )[:BARS]
    bare = alt.Axis(domain=False, ticks=False, labelLimit=140, labelOverlap=False)
    base = alt.Chart(frame).encode(
        y=alt.Y("class:N", sort=list(frame["class"]), title=None, axis=bare),
        tooltip=["class:N", alt.Tooltip("mean:Q", format=".3g"), alt.Tooltip("low:Q", format=".3g"),
                 alt.Tooltip("high:Q", format=".3g"), "samples:Q"],
    )  # fmt: skip
    bars = base.mark_bar(opacity=0.75).encode(x=alt.X("mean:Q", title="mean activation, and its 95% interval"))
    spans = base.mark_rule(strokeWidth=2, color=LINE).encode(x="low:Q", x2="high:Q")
    return alt.layer(bars, spans).properties(height=22 * max(3, len(frame)) + 40)


def indices(found: "Selectivity", unit: int) -> alt.LayerChart:
    """How selective the units of a layer are, beside the same with exchanged labels; a rule marks one unit."""
    highest = np.nan_to_num([*found.index, *found.shuffled.ravel()]).max()
    edges = np.linspace(0, max(0.2, np.ceil(highest * 10) / 10), BINS + 1)
    rows = []
    for name, values in ((UNITS, found.index), (CHANCE, found.shuffled.ravel())):
        known = values[np.isfinite(values)]
        counts, _ = np.histogram(known.clip(0, edges[-1]), edges)
        for start, end, count in zip(edges, edges[1:], counts, strict=False):
            rows.append({"of": name, "from": start, "to": end, "share": count / max(len(known), 1)})
    bars = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(opacity=0.55, cornerRadiusEnd=0)
        .encode(
            x=alt.X("from:Q", title="class selectivity index", scale=alt.Scale(domain=[0, edges[-1]])),
            x2="to:Q",
            y=alt.Y("share:Q", title="share of units", stack=None, axis=alt.Axis(format="%", tickCount=4)),
            y2=alt.Y2Datum(0),
            color=alt.Color("of:N", scale=alt.Scale(domain=[UNITS, CHANCE]),
                            legend=alt.Legend(columns=1, labelLimit=0)),
            tooltip=["of:N", alt.Tooltip("from:Q", format=".2f"), alt.Tooltip("to:Q", format=".2f"),
                     alt.Tooltip("share:Q", format=".1%")],
        )
    )  # fmt: skip
    layers: list[alt.Chart] = [bars]
    if np.isfinite(found.index[unit]):
        here = pd.DataFrame({"index": [float(found.index[unit])], "unit": [f"unit {unit}"]})
        layers.append(alt.Chart(here).mark_rule(strokeWidth=2.5, color=LINE).encode(x="index:Q"))
        right = found.index[unit] > 0.8 * edges[-1]
        layers.append(
            alt.Chart(here)
            .mark_text(align="right" if right else "left", dx=-5 if right else 5, baseline="top")
            .encode(x="index:Q", y=alt.value(4), text="unit:N")
        )
    return alt.layer(*layers).properties(height=250)


def course(found: "Drawn") -> alt.LayerChart:
    """The activation of each picture, step by step, beside the network's own best example and the best noise."""
    steps, pictures = found.course.shape
    kept = np.unique(np.linspace(0, steps - 1, min(steps, 200)).round().astype(int))
    rows = [
        {"step": int(step), "activation": float(found.course[step, number]), "picture": f"picture {number + 1}"}
        for step in kept
        for number in range(pictures)
    ]
    climbs = bool(found.course[-1].mean() >= found.course[0].mean())
    marks = [{"activation": float(found.noise.max() if climbs else found.noise.min()), "is": "noise"}]
    if len(found.data):
        marks.append({"activation": float(found.data.max() if climbs else found.data.min()), "is": "its own data"})
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("step:Q", scale=alt.Scale(nice=False)),
            y=alt.Y("activation:Q", title="activation", scale=alt.Scale(zero=False)),
            color=alt.Color("picture:N"),
            tooltip=["picture:N", "step:Q", alt.Tooltip("activation:Q", format=".3g")],
        )
    )
    base = alt.Chart(pd.DataFrame(marks)).encode(y="activation:Q")
    rules = base.mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color=LINE)
    told = base.transform_calculate(told=f"'{'best' if climbs else 'lowest'} of ' + datum.is")
    names = [
        told.transform_filter(f"datum.is == '{what}'")
        .mark_text(align=side, baseline="bottom", dy=-3)
        .encode(x=alt.value(0 if side == "left" else "width"), text="told:N")
        for what, side in (("noise", "right"), ("its own data", "left"))  # where the curves are not
    ]
    return alt.layer(lines, rules, *names).properties(height=260)


def plane(
    values: np.ndarray, extent: float, points: np.ndarray, drives: np.ndarray, strongest: np.ndarray
) -> alt.LayerChart:
    """What a unit answers on the plane; points are filled by the same scale, the strongest ringed.

    values: (side, side), y upwards. points: (N, 2); drives: (N,); strongest: (N,) bool.
    """
    side = len(values)
    step = 2 * extent / side
    rows, columns = np.indices(values.shape)
    frame = pd.DataFrame(
        {"x": columns.ravel() * step - extent, "y": rows.ravel() * step - extent, "activation": values.ravel()}
    )
    frame["x2"], frame["y2"] = frame["x"] + step, frame["y"] + step
    limit = float(max(np.abs(values).max(), np.abs(drives).max())) or 1.0
    below = bool(values.min() < 0 or drives.min() < 0)
    scale = signed(limit) if below else magnitude(limit)
    color = alt.Color("activation:Q", scale=scale, legend=alt.Legend(title="activation", gradientLength=160))
    axis = alt.Scale(domain=[-extent, extent], nice=False)
    told = [alt.Tooltip(f"{name}:Q", format=".3g") for name in ("x", "y", "activation")]
    ground = (
        alt.Chart(frame)
        .mark_rect(strokeWidth=0)
        .encode(x=alt.X("x:Q", scale=axis, title=None), x2="x2:Q", y=alt.Y("y:Q", scale=axis, title=None), y2="y2:Q",
                color=color, tooltip=told)
    )  # fmt: skip
    shown = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "activation": drives, "strongest": strongest})
    dots = (
        alt.Chart(shown)
        .mark_circle(opacity=1, stroke="#6B7280", clip=True)
        .encode(
            x="x:Q", y="y:Q", color=color, tooltip=told,
            size=alt.condition("datum.strongest", alt.value(110), alt.value(22)),
            strokeWidth=alt.condition("datum.strongest", alt.value(3), alt.value(0.5)),
        )
    )  # fmt: skip
    return alt.layer(ground, dots).properties(height=440)
