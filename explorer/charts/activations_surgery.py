"""What an operation changes: answers, the worth of single units, and how a network fails as they go."""

from collections.abc import Collection, Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.activations.greedy import Greedy
from explorer.charts.theme import signed

BARE = {"domain": False, "ticks": False, "labelOverlap": False}
SIDES = ("intact", "operated")
FINE = 64  # cells a side of a map at the most
HEIGHT = 260  # of the bars
BARS = 128  # units that are drawn at the most


def answers(words: Sequence[str], before: np.ndarray, after: np.ndarray, title: str = "logit") -> alt.LayerChart:
    """The score of each class, (classes,), intact and operated, two bars each."""
    frame = pd.DataFrame(
        {"class": word, "side": side, "score": float(value), "change": float(after[row] - before[row])}
        for side, values in zip(SIDES, (before, after), strict=True)
        for row, (word, value) in enumerate(zip(words, values, strict=True))
    )
    base = alt.Chart(frame).encode(
        y=alt.Y("class:N", sort=list(words), title=None, axis=alt.Axis(labelLimit=140, **BARE)),
        yOffset=alt.YOffset("side:N", sort=list(SIDES)),
        x=alt.X("score:Q", title=title, axis=alt.Axis(tickCount=6)),
        tooltip=["class:N", "side:N", alt.Tooltip("score:Q", format=".3f"), alt.Tooltip("change:Q", format="+.3f")],
    )
    bars = base.mark_bar().encode(color=alt.Color("side:N", scale=alt.Scale(domain=list(SIDES))))
    zero = alt.Chart(pd.DataFrame({"score": [0]})).mark_rule(opacity=0.5).encode(x="score:Q")
    return alt.layer(bars, zero).properties(height=34 * len(words) + 50)


def singles(rise: np.ndarray, gone: Collection[int], by_damage: bool, title: str, word: str = "unit") -> alt.LayerChart:
    """By how much the loss rises without each of (U,) units alone; a click picks one as the parameter `unit`."""
    order = np.argsort(-rise, kind="stable") if by_damage else np.arange(len(rise))
    frame = pd.DataFrame(
        {"unit": int(unit), "rise": float(rise[unit]), "is": "taken away" if unit in gone else "there"}
        for unit in order[:BARS]
    )
    pick = alt.selection_point(name="unit", fields=["unit"], empty=False, on="click")
    base = alt.Chart(frame).encode(
        x=alt.X("unit:N", sort=[int(unit) for unit in order[:BARS]], title=word,
                axis=alt.Axis(labelAngle=0, labelOverlap=True, domain=False, ticks=False)),
        tooltip=[alt.Tooltip("unit:N", title=word), alt.Tooltip("rise:Q", format="+.4f", title=title), "is:N"],
    )  # fmt: skip
    bars = base.mark_bar().encode(
        y=alt.Y("rise:Q", title=title, axis=alt.Axis(tickCount=5)),
        color=alt.Color("is:N", scale=alt.Scale(domain=["there", "taken away"])),
    )
    over = base.mark_bar(cursor="pointer").encode(  # so that the smallest can be clicked, too
        y=alt.value(0), y2=alt.value(alt.ExprRef("height")), opacity=alt.value(0)
    )
    zero = alt.Chart(pd.DataFrame({"rise": [0]})).mark_rule(opacity=0.5).encode(y="rise:Q")
    return alt.layer(bars, zero, over.add_params(pick)).properties(height=HEIGHT)


def falling(found: Greedy, word: str = "units") -> alt.LayerChart:
    """Accuracy, or the loss where there is none, as units go: the most damaging first, and in random orders."""
    graded = np.isfinite(found.accuracy).all()
    course, random = (
        (found.accuracy, found.random_accuracy) if graded else (found.loss, found.random_loss)
    )  # (S + 1,), (R, S + 1)
    names = ("most damaging first", f"{len(random)} random orders")
    gone = ["none", *(str(unit) for unit in found.units)]
    frame = pd.DataFrame(
        {"gone": step, "value": float(values[step]), "order": name, "last": last[step]}
        for name, values, last in ((names[0], course, gone), (names[1], random.mean(0), ["at random"] * len(course)))
        for step in range(len(course))
    )
    spread = pd.DataFrame(
        {"gone": step, "low": float(random[:, step].min()), "high": float(random[:, step].max()), "order": names[1]}
        for step in range(len(course))
    )
    x = alt.X("gone:Q", title=f"{word} taken away", axis=alt.Axis(tickMinStep=1, format="d"))
    axis = alt.Axis(format="%", tickCount=5) if graded else alt.Axis(tickCount=5)
    scale = alt.Scale(domain=[0, 1]) if graded else alt.Scale(zero=True)
    title = "accuracy" if graded else "loss"
    colour = alt.Color("order:N", scale=alt.Scale(domain=list(names)))
    band = (
        alt.Chart(spread)
        .mark_area(opacity=0.2)
        .encode(x=x, y=alt.Y("low:Q", title=title, scale=scale, axis=axis), y2="high:Q", color=colour)
    )
    lines = (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=50))
        .encode(
            x=x, y=alt.Y("value:Q", title=title, scale=scale, axis=axis), color=colour,
            tooltip=["order:N", alt.Tooltip("gone:Q", title="taken away"), alt.Tooltip("last:N", title="last of them"),
                     alt.Tooltip("value:Q", format=".1%" if graded else ".4g", title=title)],
        )
    )  # fmt: skip
    return alt.layer(band, lines).properties(height=280)


def difference(values: np.ndarray) -> alt.Chart:
    """A signed map (H, W), at most 64 cells a side."""
    step = max(1, -(-max(values.shape) // FINE))
    values = values[::step, ::step]
    limit = float(np.abs(values).max()) or 1.0
    frame = pd.DataFrame(
        {"row": row, "column": column, "change": float(value)} for (row, column), value in np.ndenumerate(values)
    )
    side = 220
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("column:O", axis=None),
            y=alt.Y("row:O", axis=None),
            color=alt.Color("change:Q", scale=signed(limit), legend=alt.Legend(title=None, orient="bottom")),
            tooltip=["row:O", "column:O", alt.Tooltip("change:Q", format="+.3f")],
        )
        .properties(height=side, width=side * values.shape[1] // values.shape[0])
    )


def plane(places: dict[str, np.ndarray]) -> alt.LayerChart:
    """Points (2,) in the plane by what they are."""
    frame = pd.DataFrame({"is": name, "x": float(at[0]), "y": float(at[1])} for name, at in places.items())
    limit = float(max(1.2, np.abs(frame[["x", "y"]].to_numpy()).max() * 1.1))
    scale = alt.Scale(domain=[-limit, limit])
    base = alt.Chart(frame).encode(
        x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale),
        tooltip=["is:N", alt.Tooltip("x:Q", format=".3f"), alt.Tooltip("y:Q", format=".3f")],
    )  # fmt: skip
    points = base.mark_point(size=140, opacity=1).encode(color=alt.Color("is:N", scale=alt.Scale(domain=list(places))))
    return alt.layer(points).properties(height=320)
