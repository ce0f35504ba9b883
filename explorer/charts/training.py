"""Learning curves, and the answers to points of the plane: a run or an evaluation in, a chart out."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts.theme import TRAINING, VALIDATION
from explorer.data.base import Dataset
from explorer.training.run import Evaluation, Regions

BAND = ("little noise", "", "", "", "much noise")
NOT_AVERAGED, RAW = "validation, not averaged", "#8A94A6"
POINTS = 400  # of a curve that are drawn: more than a screen shows apart

History = Sequence[Mapping[str, Any]]


def learning_curve(history: History, quantity: str, total: int, at: int | None = None) -> alt.LayerChart:
    """Training and validation `loss` or `accuracy` over the steps, with the mean beside each noisy point.

    Where weights are averaged, a third curve is the validation of those that are not.
    total: steps of the whole run, so that the axis stays still while it goes on.
    at: a step to mark.
    """
    x = alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, max(total, 1)], nice=False))
    more = [NOT_AVERAGED] if any("raw_loss" in record for record in history) else []
    names = {"accuracy", "validation_accuracy"}  # what names nothing has a squared error
    nats = not history or any(names & record.keys() for record in history)
    title = {"loss": "loss (nats)" if nats else "squared error", "accuracy": "accuracy"}[quantity]
    y = alt.Y(
        "value:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1]) if quantity == "accuracy" else alt.Scale(zero=True, nice=True),
        axis=alt.Axis(format="%") if quantity == "accuracy" else alt.Axis(),
    )
    colour = alt.Color(
        "curve:N",
        scale=alt.Scale(domain=["training", "validation", *more], range=[TRAINING, VALIDATION, *[RAW] * len(more)]),
        legend=alt.Legend(orient="top", title=None, symbolOpacity=1),
    )
    tips = [
        alt.Tooltip("curve:N"),
        alt.Tooltip("step:Q"),
        alt.Tooltip("epoch:Q", format=".2f"),
        alt.Tooltip("value:Q", title=quantity, format=".1%" if quantity == "accuracy" else ".4f"),
    ]
    base = alt.Chart(_curves(history, quantity)).encode(x=x, y=y, color=colour)
    noisy = base.transform_filter("datum.curve == 'training'").mark_line(opacity=0.3, strokeWidth=1, clip=True)
    smooth = (
        base.transform_filter("datum.curve == 'training'")
        .encode(y=alt.Y("smooth:Q", title=title), tooltip=tips)
        .mark_line(strokeWidth=2, clip=True)
    )
    points = (
        base.transform_filter("datum.curve != 'training'")
        .encode(tooltip=tips)
        .mark_line(point=alt.OverlayMarkDef(size=28, filled=True), strokeWidth=2, clip=True)
    )
    layers = [noisy, smooth, points]
    if at is not None:
        layers.append(
            alt.Chart(pd.DataFrame({"step": [at]})).mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="step:Q")
        )
    return alt.layer(*layers).properties(height=230)


def small_curve(history: History, quantity: str, title: str, total: int) -> alt.Chart:
    """One more number over the steps, small: the learning rate, the gradient norm."""
    rows = [record for record in history if record.get(quantity) is not None]
    frame = pd.DataFrame({"step": [r["step"] for r in rows], "value": [r[quantity] for r in rows]}, dtype=float)
    return (
        alt.Chart(_thin(frame))
        .mark_line(strokeWidth=1.5, color=TRAINING)
        .encode(
            x=alt.X("step:Q", title=None, scale=alt.Scale(domain=[0, max(total, 1)], nice=False)),
            y=alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=3, format="~g", titleFontSize=11)),
            tooltip=[alt.Tooltip("step:Q"), alt.Tooltip("value:Q", title=title, format=".4g")],
        )
        .properties(height=110)
    )


def bands(history: History, total: int, at: int | None = None) -> alt.LayerChart:
    """The validation loss in each fifth of the time, over the steps of a training run."""
    rows = [
        {"step": record["step"], "loss": value, "time": f"{place + 1} {BAND[place]}".strip()}
        for record in history
        if record.get("validation_bands")
        for place, value in enumerate(record["validation_bands"])
    ]
    names = [f"{place + 1} {word}".strip() for place, word in enumerate(BAND)]
    line = (
        alt.Chart(pd.DataFrame(rows, columns=["step", "loss", "time"]))
        .mark_line(point=alt.OverlayMarkDef(size=18, filled=True), strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, max(total, 1)], nice=False)),
            y=alt.Y("loss:Q", title="squared error", scale=alt.Scale(zero=True)),
            color=alt.Color("time:N", sort=names, scale=alt.Scale(domain=names), legend=alt.Legend(columns=5)),
            tooltip=[alt.Tooltip("time:N"), alt.Tooltip("step:Q"), alt.Tooltip("loss:Q", format=".4f")],
        )
    )
    layers = [line]
    if at is not None:
        mark = alt.Chart(pd.DataFrame({"step": [at]})).mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="step:Q")
        layers.append(mark)
    return alt.layer(*layers).properties(height=230)


def cloud(points: np.ndarray, y: np.ndarray, labels: Sequence[str], name: str) -> alt.Chart:
    """Points of the plane in the colours of their classes. points: (N, 2); y: (N,)."""
    frame = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "class": np.array(labels)[y]})
    axis = alt.Scale(domain=[-1.6, 1.6], clamp=True)
    return (
        alt.Chart(frame, title=name)
        .mark_circle(size=12, opacity=0.7)
        .encode(
            x=alt.X("x:Q", scale=axis, title=None),
            y=alt.Y("y:Q", scale=axis, title=None),
            color=alt.Color("class:N", scale=alt.Scale(domain=list(labels))),
        )
        .properties(height=320)
    )


def _curves(history: History, quantity: str) -> pd.DataFrame:
    """Long table of both curves: step, epoch, curve, value, smooth (running mean of the noisy one)."""
    tables = []
    curves = (("training", quantity), ("validation", f"validation_{quantity}"), (NOT_AVERAGED, f"raw_{quantity}"))
    for curve, key in curves:
        rows = [record for record in history if record.get(key) is not None]
        frame = pd.DataFrame(
            {"step": [r["step"] for r in rows], "epoch": [r["epoch"] for r in rows], "value": [r[key] for r in rows]},
            dtype=float,
        )
        frame["smooth"] = frame["value"].ewm(span=max(2, len(frame) / 25)).mean()
        tables.append(_thin(frame).assign(curve=curve))
    return pd.concat(tables, ignore_index=True)


def _thin(frame: pd.DataFrame) -> pd.DataFrame:
    """At most about POINTS rows, evenly spaced, the last among them."""
    stride = max(1, -(-len(frame) // POINTS))
    return frame.iloc[(len(frame) - 1) % stride :: stride] if len(frame) else frame


def points(test: Dataset, evaluation: Evaluation, regions: Regions | None = None) -> alt.LayerChart:
    """The test points of a 2-D problem, coloured by their true class, over what the network answers everywhere."""
    names = np.array(evaluation.labels)
    order = list(evaluation.labels)
    colour = alt.Color("class:N", sort=order, title="class", scale=alt.Scale(domain=order))
    place = {"x": alt.X("x:Q", title=None), "y": alt.Y("y:Q", title=None)}
    frame = pd.DataFrame(
        {
            "x": test.x[:, 0],
            "y": test.x[:, 1],
            "class": names[evaluation.y],
            "predicted": names[evaluation.predicted],
            "answer": np.where(evaluation.predicted == evaluation.y, "right", "wrong"),
            "confidence": evaluation.confidence,
        }
    )
    dots = (
        alt.Chart(_thin(frame))
        .mark_point(filled=True, opacity=1, stroke="white")
        .encode(
            **place,
            color=colour,
            shape=alt.Shape("answer:N", scale=alt.Scale(domain=["right", "wrong"], range=["circle", "cross"])),
            size=alt.condition("datum.answer == 'wrong'", alt.value(110), alt.value(28)),
            strokeWidth=alt.condition("datum.answer == 'wrong'", alt.value(1), alt.value(0)),
            tooltip=["class:N", "predicted:N", alt.Tooltip("confidence:Q", format=".0%")],
        )
    )
    if regions is None:
        return alt.layer(dots).properties(height=360)
    half = regions.side / 2
    ground = pd.DataFrame(
        {
            "x": regions.x[:, 0] - half,
            "x2": regions.x[:, 0] + half,
            "y": regions.x[:, 1] - half,
            "y2": regions.x[:, 1] + half,
            "class": names[regions.probabilities.argmax(1)],
            "confidence": regions.probabilities.max(1),
        }
    ).round(4)
    sure = alt.Opacity("confidence:Q", legend=None, scale=alt.Scale(domain=[1 / len(order), 1], range=[0, 0.45]))
    cells = alt.Chart(ground).mark_rect().encode(**place, x2="x2", y2="y2", color=colour, opacity=sure)
    return alt.layer(cells, dots).properties(height=360)
