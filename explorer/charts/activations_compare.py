"""A and B: layers, answers, units and examples of two passes; a result in, a chart out."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.activations.compare import Comparison, Difference, Disagreement
from explorer.charts.theme import letters, magnitude, signed

MOST = 8  # answers that are shown
NUMBERED = 13  # layers up to which a cell of a matrix has its number written into it
BARE = {"domain": False, "ticks": False, "labelOverlap": False}
BOTH, OTHER = "A and B", "A and another input"


def depth(found: Comparison, reference: Comparison | None, at: str) -> alt.LayerChart:
    """The cosine of A and B in every layer, from the input to the answer; `at` is the layer that is looked at.

    reference: the same for A on another example: how alike any two inputs are there.
    """
    order = {layer.name: place for place, layer in enumerate(found.layers)}
    sides = [(BOTH, found)] + ([(OTHER, reference)] if reference else [])
    rows = [
        {"layer": layer.name, "kind": layer.kind, "place": order[layer.name], "what": what,
         "cosine": layer.cosine, "distance": layer.distance}
        for what, one in sides for layer in one.layers if layer.name in order and np.isfinite(layer.cosine)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["layer", "kind", "place", "what", "cosine", "distance"])
    low = min(0.0, float(frame["cosine"].min())) if len(frame) else 0.0
    pick = alt.selection_point(name="layer", fields=["layer"], nearest=True, empty=False)
    base = alt.Chart(frame).encode(
        x=alt.X("place:Q", title="layer, from the input to the answer", axis=alt.Axis(tickMinStep=1, labels=False)),
        y=alt.Y("cosine:Q", title="cosine", scale=alt.Scale(domain=[max(-1.0, low - 0.05), 1])),
        color=alt.Color("what:N", scale=alt.Scale(domain=[what for what, _ in sides]), legend=alt.Legend(title=None)),
        tooltip=["layer:N", "kind:N", "what:N", alt.Tooltip("cosine:Q", format=".3f"),
                 alt.Tooltip("distance:Q", format=".3g", title="‖B − A‖ / ‖A‖")],
    )  # fmt: skip
    lines = base.mark_line(opacity=0.6)
    points = base.mark_point(size=70 if len(found.layers) < 100 else 25, cursor="pointer").add_params(pick)
    mark = pd.DataFrame({"place": [order.get(at, 0)]})
    rule = alt.Chart(mark).mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="place:Q")
    return alt.layer(rule, lines, points).properties(height=250)


def answers(labels: Sequence[str], a: np.ndarray, b: np.ndarray) -> alt.LayerChart:
    """The most probable answers of A and of B, (K,) each, in pairs of bars."""
    order = np.argsort(-np.maximum(a, b), kind="stable")[:MOST]
    frame = pd.DataFrame(
        {"answer": labels[place], "side": side, "probability": float(values[place]),
         "change": float(b[place] - a[place])}
        for place in order for side, values in (("A", a), ("B", b))
    )  # fmt: skip
    base = alt.Chart(frame).encode(
        y=alt.Y("answer:N", sort=[labels[place] for place in order], title=None, axis=alt.Axis(labelLimit=140, **BARE)),
        yOffset=alt.YOffset("side:N", sort=["A", "B"]),
        tooltip=["answer:N", "side:N", alt.Tooltip("probability:Q", format=".2%"),
                 alt.Tooltip("change:Q", format="+.2%", title="B − A")],
    )  # fmt: skip
    x = alt.X("probability:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5), title=None)
    color = alt.Color("side:N", scale=alt.Scale(domain=["A", "B"]), legend=alt.Legend(title=None))
    bars = base.mark_bar().encode(x=x, color=color)
    numbers = base.mark_text(align="left", dx=4, fontSize=11).encode(
        x="probability:Q", text=alt.Text("probability:Q", format=".1%")
    )
    return alt.layer(bars, numbers).properties(height=34 * len(order) + 50)


def units(found: Difference) -> alt.Chart:
    """The values of the units that differ most, of a layer that has one number for each: (K,)."""
    names = [f"unit {unit}" for unit in found.units]
    frame = pd.DataFrame(
        {"unit": name, "side": side, "value": float(value)}
        for side, values in (("A", found.a), ("B", found.b))
        for name, value in zip(names, values, strict=True)
    )
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            y=alt.Y("unit:N", sort=names, title=None, axis=alt.Axis(**BARE)),
            yOffset=alt.YOffset("side:N", sort=["A", "B"]),
            x=alt.X("value:Q", title="what the unit gives"),
            color=alt.Color("side:N", scale=alt.Scale(domain=["A", "B"]), legend=alt.Legend(title=None)),
            tooltip=["unit:N", "side:N", alt.Tooltip("value:Q", format=".3g")],
        )
        .properties(height=34 * len(names) + 60)
    )


def states(found: Difference, tokens_a: Sequence[str], tokens_b: Sequence[str]) -> alt.HConcatChart:
    """The units that differ most at every token, (K, T): A, B, and B − A, all on one scale."""
    limit = float(max(np.abs(values).max() for values in (found.a, found.b, found.change))) or 1.0
    panels = []
    for title, values, tokens in (
        ("A", found.a, tokens_a),
        ("B", found.b, tokens_b),
        ("B − A", found.change, tokens_b),
    ):
        names = [f"{place} {token}" for place, token in enumerate(tokens)]
        frame = pd.DataFrame(
            {"unit": f"unit {unit}", "token": name, "value": float(value)}
            for unit, line in zip(found.units, values, strict=True) for name, value in zip(names, line, strict=True)
        )  # fmt: skip
        panels.append(
            alt.Chart(frame, title=title)
            .mark_rect()
            .encode(
                y=alt.Y("token:N", sort=names, title=None, axis=alt.Axis(labelLimit=90, **BARE)),
                x=alt.X("unit:N", sort=[f"unit {unit}" for unit in found.units], title=None,
                        axis=alt.Axis(labelAngle=-45, **BARE)),
                color=alt.Color("value:Q", scale=signed(limit), legend=None),
                tooltip=["token:N", "unit:N", alt.Tooltip("value:Q", format=".3g")],
            )
            .properties(width=20 * len(found.units), height=18 * len(names))
        )  # fmt: skip
    return alt.hconcat(*panels)


def matrix(
    values: np.ndarray, layers_a: Sequence[str], layers_b: Sequence[str], chosen: tuple[str, str] | None = None,
    small: bool = False,
) -> alt.LayerChart:  # fmt: skip
    """CKA of every layer of A, down, with every layer of B, across: (A, B); a click selects `cell`.

    small: without numbers. Colours go from 0, the page's own, to 1, and do so for all such matrices.
    """
    frame = pd.DataFrame(
        {"a": a, "b": b, "value": float(value) if np.isfinite(value) else None, "chosen": (a, b) == chosen}
        for a, line in zip(layers_a, values, strict=True)
        for b, value in zip(layers_b, line, strict=True)
    )
    pick = alt.selection_point(name="cell", fields=["a", "b"], empty=False)
    base = alt.Chart(frame).encode(
        x=alt.X("b:N", sort=list(layers_b), title="B", axis=alt.Axis(labelLimit=110, labelAngle=-60, **BARE)),
        y=alt.Y("a:N", sort=list(layers_a), title="A", axis=alt.Axis(labelLimit=130, **BARE)),
        tooltip=[alt.Tooltip("a:N", title="A"), alt.Tooltip("b:N", title="B"),
                 alt.Tooltip("value:Q", format=".3f", title="CKA")],
    )  # fmt: skip
    cells = base.mark_rect(cursor="pointer", invalid=None).encode(
        color=alt.Color("value:Q", scale=magnitude(1.0), legend=None),
        stroke=alt.condition("datum.chosen", alt.value("#F0A020"), alt.value("transparent")),
        strokeWidth=alt.value(3),
    ).add_params(pick)  # fmt: skip
    layers = [cells]
    if max(len(layers_a), len(layers_b)) <= NUMBERED and not small:
        layers.append(
            base.mark_text(fontSize=11).encode(
                text=alt.Text("value:Q", format=".2f"), color=letters("datum.value > 0.55")
            )
        )
    return alt.layer(*layers).properties(height=(20 if small else 30) * len(layers_a) + 120)


def cloud(
    points: np.ndarray, y: np.ndarray | None, labels: Sequence[str], title: str, explained: tuple[float, float]
) -> alt.Chart:
    """Examples in one layer, (N, 2), in the colours of their classes; hover on a class isolates it."""
    frame = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "example": np.arange(len(points))})
    frame["class"] = "examples" if y is None else [labels[one] for one in y]
    near = alt.selection_point(fields=["class"], on="pointerover", empty=True)
    limit = float(np.abs(points).max()) * 1.05 or 1.0
    scale = alt.Scale(domain=[-limit, limit])
    legend = None if y is None else alt.Legend(title=None, columns=5)
    encoded = alt.Chart(frame, title=title).mark_circle(size=36, opacity=0.8).encode(
        x=alt.X("x:Q", scale=scale, title=f"{explained[0]:.0%} of the variance", axis=alt.Axis(labels=False)),
        y=alt.Y("y:Q", scale=scale, title=f"{explained[1]:.0%} of the variance", axis=alt.Axis(labels=False)),
        color=alt.Color("class:N", scale=alt.Scale(domain=list(labels) if y is not None else ["examples"]),
                        legend=legend),
        opacity=alt.condition(near, alt.value(0.85), alt.value(0.1)),
        tooltip=["class:N"],
    )  # fmt: skip
    return encoded.add_params(near).properties(height=420)


def table(found: Disagreement) -> alt.LayerChart:
    """How often A and B are right: a table of four counts."""
    frame = pd.DataFrame(
        {"a": f"A {one}", "b": f"B {other}", "count": int(found.table[row, column]),
         "share": float(found.table[row, column] / max(1, len(found.index)))}
        for row, one in enumerate(("right", "wrong")) for column, other in enumerate(("right", "wrong"))
    )  # fmt: skip
    base = alt.Chart(frame).encode(
        x=alt.X("b:N", sort=["B right", "B wrong"], title=None, axis=alt.Axis(orient="top", labelAngle=0, **BARE)),
        y=alt.Y("a:N", sort=["A right", "A wrong"], title=None, axis=alt.Axis(**BARE)),
        tooltip=["a:N", "b:N", "count:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    cells = base.mark_rect(cornerRadius=5).encode(color=alt.Color("share:Q", scale=magnitude(1.0), legend=None))
    numbers = base.mark_text(fontSize=18).encode(text="count:Q", color=letters("datum.share > 0.55"))
    return alt.layer(cells, numbers).properties(height=170)


def where(found: Disagreement, x: np.ndarray) -> alt.Chart:
    """The points (N, 2) on which A and B disagree, by who is right."""
    who = np.select(
        [found.right_a & ~found.right_b, found.right_b & ~found.right_a, ~found.right_a & ~found.right_b],
        ["only A right", "only B right", "both wrong"], "both right",
    )  # fmt: skip
    frame = pd.DataFrame({"x": x[:, 0], "y": x[:, 1], "who": who, "A says": found.said_a, "B says": found.said_b})
    names = ["only A right", "only B right", "both wrong", "both right"]
    return (
        alt.Chart(frame)
        .mark_circle(size=45)
        .encode(
            x="x:Q", y="y:Q",
            color=alt.Color("who:N", scale=alt.Scale(domain=names), legend=alt.Legend(title=None)),
            opacity=alt.condition("datum.who === 'both right'", alt.value(0.15), alt.value(0.9)),
            tooltip=["who:N", "A says:N", "B says:N"],
        )
        .properties(height=380)
    )  # fmt: skip
