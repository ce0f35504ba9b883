"""Attention from scratch as pictures: small matrices, positions, and what a longer text costs."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.attention.cost import Cost
from explorer.attention.positions import Encoding
from explorer.charts.theme import letters, magnitude, signed

BARE = {"domain": False, "ticks": False, "labelOverlap": False, "labelLimit": 90}  # an axis of names alone
CELL = 34  # pixels a row of a small matrix
CALLED = {"attention": "from scratch", "fused": "fused", "linear": "linear layers"}  # short: a phone is narrow
TERMS = ("constant", "linear in n", "quadratic in n")
TERM_COLOURS = ("quadratic in n", "", "linear in n", "constant")  # as the curves they come from: attention, –, linear


def matrix(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    limit: float | None = None,
    hidden: np.ndarray | None = None,
) -> alt.LayerChart:
    """A few numbers (rows, columns), each in its cell; signed about 0 up to `limit`, or from 0 to 1 without one.

    hidden: (rows, columns) bool, cells whose number is -∞.
    """
    hidden = np.zeros(values.shape, bool) if hidden is None else hidden
    digits = 0 if np.isin(values, (0, 1)).all() else 2  # a mask is told by its ones
    frame = pd.DataFrame(
        {
            "row": f"{i + 1} {row}",
            "column": f"{j + 1} {column}",
            "value": None if hidden[i, j] else float(values[i, j]),
            "text": "−∞" if hidden[i, j] else f"{round(float(values[i, j]), 2) + 0.0:.{digits}f}".replace("-", "−"),
        }
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    )
    name = "split(datum.label, ' ')[1]"  # the number in front keeps words apart that occur twice
    base = alt.Chart(frame).encode(
        x=alt.X("column:N", sort=None, title=None, axis=alt.Axis(**BARE, labelExpr=name, orient="top", labelAngle=0)),
        y=alt.Y("row:N", sort=None, title=None, axis=alt.Axis(**BARE, labelExpr=name)),
        tooltip=[alt.Tooltip("row:N"), alt.Tooltip("column:N"), alt.Tooltip("text:N", title="value")],
    )  # fmt: skip
    scale = signed(limit) if limit else magnitude(1.0)
    strong = f"abs(datum.value) > {0.55 * (limit or 1.0)}"
    cells = base.mark_rect(cornerRadius=3).encode(color=alt.Color("value:Q", scale=scale, legend=None))
    numbers = base.mark_text(fontSize=12).encode(text="text:N", color=letters(strong))
    return alt.layer(cells, numbers).properties(height=CELL * len(rows) + 24)


def encoding(found: Encoding) -> alt.Chart:
    """Positions as a picture: a row for each token, a column for each dimension."""
    return _picture(found.picture, found.column, found.value, found.signed).properties(height=360)


def pairs(found: Encoding) -> alt.Chart:
    """What positions alone do to the score of every two tokens."""
    return _picture(found.pairs, "another token", found.effect, True).properties(height=300)


def by_distance(found: Encoding) -> alt.LayerChart:
    """What positions alone do to a score, by how far apart two tokens are; the band holds all pairs that far apart."""
    frame = pd.DataFrame(
        {"line": line, "distance": d, "mean": found.mean[i, d], "low": found.low[i, d], "high": found.high[i, d]}
        for i, line in enumerate(found.lines)
        for d in range(found.mean.shape[1])
    ).round(4)
    several = len(found.lines) > 1
    near = alt.selection_point(fields=["line"], on="pointerover", nearest=True, empty=True)
    legend = alt.Legend(columns=4, title=None, symbolOpacity=1) if several else None
    colour = {"color": alt.Color("line:N", sort=None, scale=alt.Scale(domain=list(found.lines)), legend=legend)}
    base = alt.Chart(frame).encode(x=alt.X("distance:Q", title="tokens apart", axis=alt.Axis(format="d", tickMinStep=1),
                                           scale=alt.Scale(nice=False)), **colour)  # fmt: skip
    band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title=found.effect), y2="high:Q")
    tips = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("mean", "low", "high")]
    line = (
        base.mark_line(strokeWidth=2)
        .encode(
            y=alt.Y("mean:Q", title=found.effect),
            opacity=alt.condition(near, alt.value(1), alt.value(0.2)),
            tooltip=[*(["line:N"] if several else []), "distance:Q", *tips],
        )
        .add_params(near)
    )
    return alt.layer(band, line).properties(height=250)


def turns(found: Encoding) -> alt.LayerChart:
    """After how many tokens each pair of dimensions has come round, beside the length of the text."""
    tokens = len(found.picture)
    frame = pd.DataFrame({"pair": range(len(found.turns)), "tokens": found.turns})
    frame["within"] = np.where(found.turns <= tokens, "comes round within the text", "never comes round")
    order = ["comes round within the text", "never comes round"]
    scale = alt.Scale(type="log", nice=True)
    points = (
        alt.Chart(frame)
        .mark_point(size=40, opacity=1)
        .encode(
            x=alt.X("pair:Q", title="pair of dimensions", axis=alt.Axis(format="d", tickMinStep=1),
                    scale=alt.Scale(nice=False)),
            y=alt.Y("tokens:Q", title="tokens for one turn", scale=scale,
                    axis=alt.Axis(format="~s", values=[10.0**power for power in range(8)])),
            color=alt.Color("within:N", scale=alt.Scale(domain=order), legend=alt.Legend(title=None, columns=2)),
            tooltip=["pair:Q", alt.Tooltip("tokens:Q", title="tokens for one turn", format=",.1f")],
        )
    )  # fmt: skip
    text = alt.Chart(pd.DataFrame({"tokens": [tokens], "text": [f"the text: {tokens} tokens"]}))
    rule = text.mark_rule(strokeDash=[4, 3], opacity=0.6).encode(y="tokens:Q")
    below = text.mark_text(align="right", baseline="top", dx=-2, dy=5)  # where no point is
    name = below.encode(y="tokens:Q", x=alt.value("width"), text="text:N")
    return alt.layer(rule, points, name).properties(height=250)


def seconds(cost: Cost, log: bool) -> alt.LayerChart:
    """Measured milliseconds against tokens, each with the quadratic that fits; a rule where attention overtakes."""
    x = alt.X("tokens:Q", title="tokens (n)", scale=_scale(log), axis=alt.Axis(**_ticks(cost, log)))
    y = alt.Y("time:Q", title="milliseconds", scale=_scale(log), axis=alt.Axis(**_amounts(log)))
    measured = pd.DataFrame(
        {"what": CALLED[curve.name], "tokens": int(n), "time": 1e3 * t}
        for curve in cost.curves
        for n, t in zip(cost.lengths, curve.seconds, strict=True)
    )
    grid = np.geomspace(*cost.lengths[[0, -1]], 60) if log else np.linspace(*cost.lengths[[0, -1]], 60)
    fitted = pd.DataFrame(
        {"what": CALLED[curve.name], "tokens": n, "time": 1e3 * float(curve.fit.at(n))}
        for curve in cost.curves
        for n in grid
    )
    colour = _colour(cost)
    tips = ["what:N", alt.Tooltip("tokens:Q", format=","), alt.Tooltip("time:Q", title="milliseconds", format=".3g")]
    lines = alt.Chart(fitted).mark_line(strokeWidth=2, opacity=0.8).encode(x=x, y=y, color=colour)
    points = alt.Chart(measured).mark_point(size=55, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips)
    layers = [lines, points]
    at = cost.crossing()
    if at is not None and cost.lengths[0] <= at <= cost.lengths[-1]:
        text = alt.Chart(pd.DataFrame({"tokens": [at], "text": [f"they cross at {at:,.0f} tokens"]}))
        words = text.mark_text(align="right", dx=-6, baseline="bottom" if log else "top")  # where no curve is
        layers.append(text.mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="tokens:Q"))
        layers.append(words.encode(x="tokens:Q", y=alt.value(alt.ExprRef("height - 6") if log else 4), text="text:N"))
    return alt.layer(*layers).properties(height=300)


def space(cost: Cost, log: bool) -> alt.Chart:
    """Megabytes of the tensors that exist at once, against tokens."""
    frame = pd.DataFrame(
        {"what": CALLED[curve.name], "tokens": int(n), "megabytes": b / 2**20}
        for curve in cost.curves
        for n, b in zip(cost.lengths, curve.bytes, strict=True)
    )
    return (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=40), strokeWidth=2)
        .encode(
            x=alt.X("tokens:Q", title="tokens (n)", scale=_scale(log), axis=alt.Axis(**_ticks(cost, log))),
            y=alt.Y("megabytes:Q", title="megabytes", scale=_scale(log), axis=alt.Axis(**_amounts(log))),
            color=_colour(cost),
            tooltip=["what:N", alt.Tooltip("tokens:Q", format=","), alt.Tooltip("megabytes:Q", format=".3g")],
        )
        .properties(height=300)
    )


def shares(cost: Cost) -> alt.Chart:
    """Which part of a layer's time is constant, linear and quadratic in the length, by the fit."""
    frame = pd.DataFrame(
        {"term": term, "order": order, "tokens": float(n), "share": share}
        for n in np.geomspace(*cost.lengths[[0, -1]], 60)
        for order, (term, share) in enumerate(zip(TERMS, cost.layer.shares(float(n)), strict=True))
    )
    return (
        alt.Chart(frame)
        .mark_area(opacity=0.85)
        .encode(
            x=alt.X("tokens:Q", title="tokens (n)", axis=alt.Axis(**_ticks(cost, True)), scale=_scale(True)),
            y=alt.Y("share:Q", stack="normalize", title="of a layer's time", axis=alt.Axis(format="%", tickCount=5)),
            color=alt.Color("term:N", sort=None, scale=alt.Scale(domain=list(TERM_COLOURS)),
                            legend=alt.Legend(title=None, columns=3, values=list(TERMS))),
            order="order:Q",
            tooltip=["term:N", alt.Tooltip("tokens:Q", format=",.0f"), alt.Tooltip("share:Q", format=".0%")],
        )
        .properties(height=300)
    )  # fmt: skip


def _scale(log: bool) -> alt.Scale:
    return alt.Scale(type="log", nice=False) if log else alt.Scale(zero=True, nice=True)


def _ticks(cost: Cost, log: bool) -> dict:
    """Powers of two among the lengths, where the axis is logarithmic."""
    powers = [int(n) for n in cost.lengths if n & (n - 1) == 0]
    return {"values": powers, "format": ",d"} if log else {"format": ",d", "tickCount": 6}


def _amounts(log: bool) -> dict:
    """Powers of ten alone, where the axis is logarithmic."""
    return {"format": "~r"} | ({"values": [10.0**power for power in range(-4, 6)]} if log else {"tickCount": 5})


def _colour(cost: Cost) -> alt.Color:
    order = [CALLED[curve.name] for curve in cost.curves]
    return alt.Color("what:N", sort=None, scale=alt.Scale(domain=order), legend=alt.Legend(title=None, columns=3))


def _picture(values: np.ndarray, column: str, value: str, sign: bool) -> alt.Chart:
    """Values (tokens, columns) as colours; the browser unpacks the rows.

    Each row travels as one text: Altair refuses more than 5,000 rows, and a picture has up to 16,384 cells. A cell
    reaches into the next, which is drawn over it, so that no seam shows between them.
    """
    tokens, columns = values.shape
    frame = pd.DataFrame({"token": range(tokens), "row": [" ".join(f"{x:.3g}" for x in row) for row in values]})
    limit = float(np.percentile(np.abs(values), 99.5)) or 1.0
    axis = {"domain": False, "ticks": False, "grid": False, "format": "d", "tickMinStep": 1}
    return (
        alt.Chart(frame)
        .transform_calculate(text="split(datum.row, ' ')")
        .transform_flatten(["text"])
        .transform_window(place="row_number()", groupby=["token"])
        .transform_calculate(value="toNumber(datum.text)", column="datum.place - 1",
                             left="datum.place - 1.5", right="datum.place - 0.1",
                             top="datum.token - 0.5", bottom="datum.token + 0.9")
        .mark_rect(clip=True)
        .encode(
            x=alt.X("left:Q", title=column, axis=alt.Axis(**axis),
                    scale=alt.Scale(domain=[-0.5, columns - 0.5], nice=False)),
            x2="right:Q",
            y=alt.Y("top:Q", title="token", axis=alt.Axis(**axis),
                    scale=alt.Scale(domain=[tokens - 0.5, -0.5], nice=False)),
            y2="bottom:Q",
            color=alt.Color("value:Q", scale=signed(limit) if sign else magnitude(limit),
                            legend=alt.Legend(title=value, titleLimit=400, type="gradient", gradientLength=160)),
            tooltip=[alt.Tooltip("token:Q"), alt.Tooltip("column:Q", title=column),
                     alt.Tooltip("value:Q", title=value, format=".3f")],
        )
    )  # fmt: skip
