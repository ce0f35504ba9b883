"""A race of training recipes drawn: how each learned, and how far each lies from the first at every seed."""

import altair as alt
import numpy as np
import pandas as pd

from explorer.training.race import Race

ZERO = "#8793A3"  # legible on both pages
ROW, AXIS = 70, 60  # pixels that one comparison is high, and what stands below them


def learning(race: Race, quantity: str = "accuracy") -> alt.LayerChart:
    """The validation `accuracy` or `loss` by epoch: the mean over the seeds, and a band from lowest to highest."""
    frame = by_epoch(race, quantity)
    share = quantity == "accuracy"
    axis = alt.Axis(format="%") if share else alt.Axis()
    scale = alt.Scale(domain=[_floor(frame["low"]), 1]) if share else alt.Scale(type="symlog", constant=0.5)
    title = "validation accuracy" if share else "validation loss (nats)"
    names = list(race.contest.names)
    base = alt.Chart(frame).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(nice=False)),
        color=alt.Color(
            "recipe:N",
            sort=names,
            scale=alt.Scale(domain=names),
            legend=alt.Legend(orient="top", title=None, symbolOpacity=1, columns=2),
        ),
    )
    band = base.mark_area(opacity=0.18, clip=True).encode(
        y=alt.Y("low:Q", title=title, scale=scale, axis=axis), y2=alt.Y2("high:Q")
    )
    number = ".1%" if share else ".3f"
    tips = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("mean:Q", title="mean", format=number),
        alt.Tooltip("low:Q", title="lowest", format=number),
        alt.Tooltip("high:Q", title="highest", format=number),
        alt.Tooltip("seeds:Q"),
    ]
    line = base.mark_line(point=alt.OverlayMarkDef(size=24, filled=True), clip=True).encode(
        y=alt.Y("mean:Q", title=title, scale=scale, axis=axis), tooltip=tips
    )
    return alt.layer(band, line).properties(height=320)


def differences(race: Race) -> alt.LayerChart:
    """Each recipe beside the first: a dot for each seed, the mean with its interval, and the line of no difference."""
    verdicts = race.verdicts()
    names = [one.name for one in verdicts]
    y = alt.Y("recipe:N", sort=names, title=None, scale=alt.Scale(domain=names), axis=alt.Axis(labelLimit=150))
    x_title = f"points of test accuracy beside {race.contest.names[0]}"
    reach = max([0.5, *(abs(100 * value) for one in verdicts for value in (*one.differences, *_ends(one)))]) * 1.05
    scale = alt.Scale(domain=[-reach, reach], nice=True)
    colour = alt.Color("recipe:N", scale=alt.Scale(domain=list(race.contest.names)), legend=None)
    dots = pd.DataFrame(
        [
            {"recipe": verdicts[recipe - 1].name, "seed": race.contest.first + seed, "points": 100 * value}
            for recipe in range(1, len(race.contest.names))
            for seed, value in race.differences(recipe).items()
        ],
        columns=["recipe", "seed", "points"],
    )
    means = pd.DataFrame(
        [
            {"recipe": one.name, "mean": 100 * one.mean, "low": 100 * low, "high": 100 * high, "verdict": one.word}
            for one in verdicts
            if one.differences
            for low, high in [_ends(one) or (one.mean, one.mean)]
        ],
        columns=["recipe", "mean", "low", "high", "verdict"],
    )
    zero = (
        alt.Chart(pd.DataFrame({"points": [0.0]}))
        .mark_rule(strokeDash=[4, 3], strokeWidth=2, color=ZERO)
        .encode(x="points:Q")
    )
    told = [
        alt.Tooltip("recipe:N"),
        alt.Tooltip("mean:Q", title="mean difference", format="+.2f"),
        alt.Tooltip("low:Q", title="from", format="+.2f"),
        alt.Tooltip("high:Q", title="to", format="+.2f"),
        alt.Tooltip("verdict:N"),
    ]
    base = alt.Chart(means).encode(y=y, color=colour, tooltip=told)
    span = base.mark_rule(strokeWidth=4, opacity=0.45, strokeCap="round").encode(
        x=alt.X("low:Q", scale=scale, title=x_title, axis=alt.Axis(format="+~f", tickCount=8)), x2="high:Q"
    )
    middle = base.mark_tick(thickness=4, size=26, opacity=1).encode(x=alt.X("mean:Q", scale=scale, title=x_title))
    seeds = (
        alt.Chart(dots)
        .mark_point(filled=True, size=70, opacity=0.65, yOffset=-20)
        .encode(
            x=alt.X("points:Q", scale=scale, title=x_title),
            y=y,
            color=colour,
            tooltip=["recipe:N", "seed:Q", alt.Tooltip("points:Q", format="+.2f")],
        )
    )
    return alt.layer(zero, span, middle, seeds).properties(height=ROW * max(1, len(names)) + AXIS)


def by_epoch(race: Race, quantity: str) -> pd.DataFrame:
    """What `learning` draws: recipe, epoch, mean, low, high, seeds; an epoch is there where any seed reached it."""
    rows = []
    for recipe, name in enumerate(race.contest.names):
        curves = [one.accuracies if quantity == "accuracy" else one.losses for one in race.of(recipe)]
        for epoch in range(max(map(len, curves), default=0)):
            values = np.array([curve[epoch] for curve in curves if len(curve) > epoch])
            rows.append(
                {"recipe": name, "epoch": epoch, "mean": values.mean(), "low": values.min(), "high": values.max(),
                 "seeds": len(values)}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["recipe", "epoch", "mean", "low", "high", "seeds"])


def _floor(low: pd.Series) -> float:
    """Where the axis of accuracies begins: the tenth below all of them."""
    return float(np.floor(low.min() * 10) / 10) if len(low) else 0.0


def _ends(verdict) -> tuple[float, float] | tuple[()]:
    """The interval of a verdict; nothing where there is none."""
    return (verdict.low, verdict.high) if verdict.low == verdict.low else ()
