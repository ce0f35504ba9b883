"""Noise schedules, distances and measures of samples: a result in, a chart out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd

from explorer.diffusion.schedules import SCHEDULES, Schedule

if TYPE_CHECKING:
    from explorer.diffusion.measure import Report

POINTS = 200  # of a curve


def schedules(found: Sequence[Schedule], quantity: str, at: int | None = None) -> alt.LayerChart:
    """The share of signal ᾱ, or the logarithm of the signal-to-noise ratio, over the time, a line for each schedule.

    quantity: "signal" or "snr". at: a time to mark.
    """
    rows = []
    for one in found:
        times = np.unique(np.linspace(0, len(one.betas) - 1, POINTS).round().astype(int))
        values = one.alphas_bar if quantity == "signal" else np.log10(one.snr)
        rows += [{"t": int(t), "value": float(values[t]), "schedule": _title(one.name)} for t in times]
    title = {"signal": "ᾱ, the share of signal", "snr": "log₁₀ of signal to noise"}[quantity]
    names = [_title(one.name) for one in found]
    line = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line()
        .encode(
            x=alt.X("t:Q", title="time t"),
            y=alt.Y("value:Q", title=title),
            color=alt.Color("schedule:N", scale=alt.Scale(domain=names), legend=alt.Legend(columns=4)),
            tooltip=[alt.Tooltip("schedule:N"), alt.Tooltip("t:Q"), alt.Tooltip("value:Q", format=".4f", title=title)],
        )
    )
    layers = [line]
    if at is not None:
        rule = alt.Chart(pd.DataFrame({"t": [at]})).mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="t:Q")
        layers.append(rule)
    return alt.layer(*layers).properties(height=260)


def distances(rows: pd.DataFrame) -> alt.LayerChart:
    """How far each sampler ends from the reference, over how often it asked the network.

    rows: columns sampler, evaluations, distance.
    """
    base = alt.Chart(rows).encode(
        x=alt.X("evaluations:Q", title="evaluations of the network", scale=alt.Scale(type="log", nice=True)),
        y=alt.Y("distance:Q", title="distance to the reference", scale=alt.Scale(zero=True)),
        tooltip=[
            alt.Tooltip("sampler:N"),
            alt.Tooltip("evaluations:Q"),
            alt.Tooltip("distance:Q", format=".4f"),
        ],
    )
    points = base.mark_point(size=120).encode(color=alt.Color("sampler:N", legend=None))
    return (points + base.mark_text(dy=-12).encode(text="sampler:N")).properties(height=260)


def asked(report: "Report") -> alt.LayerChart:
    """The share of samples that are as asked, by attribute, beside that of real ones, which the judge misreads too."""
    rows = [
        {"what": name, "whose": whose, "share": float(np.nanmean(values))}
        for whose, table in (("samples", report.right), ("real ones", report.right_real))
        for name, values in zip(report.attributes, table, strict=True)
        if np.isfinite(values).any()
    ]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("what:N", title=None, sort=list(report.attributes)),
        yOffset=alt.YOffset("whose:N", sort=["samples", "real ones"]),
        x=alt.X("share:Q", title="as asked", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1.12])),
        tooltip=[alt.Tooltip("what:N"), alt.Tooltip("whose:N"), alt.Tooltip("share:Q", format=".1%")],
    )
    bars = base.mark_bar().encode(color=alt.Color("whose:N", scale=alt.Scale(domain=["samples", "real ones"])))
    text = base.mark_text(align="left", dx=4).encode(text=alt.Text("share:Q", format=".1%"))
    return (bars + text).properties(height=60 * len(report.attributes) + 110)


def by_condition(report: "Report") -> alt.LayerChart:
    """The share of samples that are as asked, for each condition of the first attribute."""
    table = pd.DataFrame({"asked": report.asked, "right": report.right[0]})
    found = table.groupby("asked", sort=False)["right"].agg(["mean", "size"]).reset_index()
    base = alt.Chart(found).encode(
        x=alt.X("asked:N", title=None, sort=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mean:Q", title="as asked", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        tooltip=[alt.Tooltip("asked:N"), alt.Tooltip("mean:Q", format=".1%"), alt.Tooltip("size:Q", title="samples")],
    )
    return alt.layer(base.mark_bar()).properties(height=200)


def copying(report: "Report") -> alt.LayerChart:
    """How near samples, and real examples, are to one training example, against their fifty nearest."""
    rows = [
        {"whose": whose, "ratio": float(value)}
        for whose, values in (("samples", report.copied), ("real ones", report.copied_real))
        for value in values
    ]
    base = alt.Chart(pd.DataFrame(rows))
    counts = base.transform_joinaggregate(total="count()", groupby=["whose"]).transform_calculate(
        share="1 / datum.total"
    )
    bars = counts.mark_bar(opacity=0.55, binSpacing=0).encode(
        x=alt.X(
            "ratio:Q", bin=alt.Bin(step=0.05, extent=[0, 1]), title="distance to the nearest ÷ mean of the 50 nearest"
        ),
        y=alt.Y("sum(share):Q", title="share", axis=alt.Axis(format="%"), stack=None),
        color=alt.Color("whose:N", scale=alt.Scale(domain=["samples", "real ones"])),
    )
    rule = alt.Chart(pd.DataFrame({"x": [0.5]})).mark_rule(strokeDash=[4, 3]).encode(x="x:Q")
    return (bars + rule).properties(height=220)


def _title(name: str) -> str:
    return SCHEDULES[name].facts["title"]
