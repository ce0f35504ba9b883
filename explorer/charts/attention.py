"""What heads do and what they are worth: a result in, a chart out."""

from collections.abc import Iterable, Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.attention.roles import ROLES, PartScores
from explorer.charts.theme import letters, magnitude, signed

BARE = {"domain": False, "ticks": False, "labelOverlap": False}
COLUMNS = 4  # of a legend of roles


def role_map(scores: PartScores, chosen: tuple[int, int] | None = None, roles: Sequence[str] = ()) -> alt.LayerChart:
    """Layers × heads, each in the colour of its best role and as strong as its score; `chosen` (layer, head) is framed.

    roles: all those of the network, where several parts share their colours. A click on a head selects it: the
    parameter is called `head`.
    """
    layers, heads = scores.entropy.shape
    best = scores.best
    rows = []
    for layer in range(layers):
        for head in range(heads):
            role = best[layer, head]
            found = {"role": scores.roles[role] if role >= 0 else "none is clear", "score": 0.0, "shuffled": 0.0}
            if role >= 0:
                found["score"] = float(scores.mass[role, layer, head])
                found["shuffled"] = float(scores.shuffled[role, layer, head])
            rows.append(
                found
                | {
                    "layer": layer + 1, "head": head + 1, "entropy": float(scores.entropy[layer, head]),
                    "sparsity": float(scores.sparsity[layer, head]),
                    "distance": _number(scores.distance[layer, head]),
                    "chosen": (layer, head) == chosen,
                }
            )  # fmt: skip
    present = best_roles(scores)
    frame = pd.DataFrame(rows)
    pick = alt.selection_point(name="head", fields=["layer", "head"], empty=False)
    base = _grid(frame).encode(
        tooltip=[
            "layer:O", "head:O", "role:N", alt.Tooltip("score:Q", format=".2f"),
            alt.Tooltip("shuffled:Q", format=".2f"), alt.Tooltip("entropy:Q", format=".2f", title="entropy (nats)"),
            alt.Tooltip("sparsity:Q", format=".2f"), alt.Tooltip("distance:Q", format=".1f"),
        ]
    )  # fmt: skip
    cells = (
        base.mark_rect(cornerRadius=5, cursor="pointer")
        .encode(
            color=alt.condition(
                "datum.role === 'none is clear'",
                alt.value("#8892A0"),
                alt.Color("role:N", scale=role_colours(roles or scores.roles), legend=_named(present)),
            ),
            opacity=alt.condition(
                "datum.role === 'none is clear'",
                alt.value(0.12),
                alt.Opacity("score:Q", scale=alt.Scale(domain=[0, 1], range=[0.2, 0.72]), legend=None),
            ),
            stroke=alt.condition("datum.chosen", alt.value("#F0A020"), alt.value("transparent")),
            strokeWidth=alt.value(3),
        )
        .add_params(pick)
    )
    names = base.mark_text(fontSize=12, dy=-7).encode(text="role:N", opacity=_spoken())
    numbers = base.mark_text(fontSize=13, dy=9, fontWeight="bold").encode(
        text=alt.Text("score:Q", format=".2f"), opacity=_spoken()
    )
    legend = 32 * -(-len(present) // COLUMNS)  # pixels of its rows
    return alt.layer(cells, names, numbers).properties(height=58 * layers + 60 + legend)


def role_colours(roles: Iterable[str]) -> alt.Scale:
    """The colours of a network's roles, the same in every chart: in the order in which all roles are listed."""
    some = set(roles)
    return alt.Scale(domain=[name for name in ROLES if name in some])


def _named(roles: Sequence[str] | None) -> alt.Legend:
    return alt.Legend(columns=COLUMNS, title=None, values=alt.Undefined if roles is None else roles)


def best_roles(scores: PartScores) -> list[str]:
    """The roles that some head has, in order."""
    return [scores.roles[role] for role in sorted(set(scores.best.ravel()) - {-1})]


def role_bars(scores: PartScores, layer: int, head: int) -> alt.LayerChart:
    """One head: its score for every role, and a mark where shuffled keys come to."""
    frame = pd.DataFrame(
        {
            "role": scores.roles,
            "score": scores.mass[:, layer, head],
            "shuffled": scores.shuffled[:, layer, head],
            "places": scores.counts,
        }
    )
    base = alt.Chart(frame).encode(
        y=alt.Y("role:N", sort=list(scores.roles), title=None, axis=alt.Axis(labelLimit=160, **BARE)),
        tooltip=["role:N", alt.Tooltip("score:Q", format=".3f"), alt.Tooltip("shuffled:Q", format=".3f"), "places:Q"],
    )
    words = "attention on the right tokens; mark: on shuffled"
    bars = base.mark_bar().encode(x=alt.X("score:Q", scale=alt.Scale(domain=[0, 1]), title=words))
    marks = base.mark_tick(thickness=3, size=18, color="#8892A0").encode(x="shuffled:Q")
    return alt.layer(bars, marks).properties(height=24 * len(frame) + 50)


def role_course(course: Mapping[int, Mapping[str, float]], at: int) -> alt.LayerChart:
    """The best head's score of every role at each checkpoint, step → role → score; `at` marks a step."""
    rows = [
        {"step": step, "role": role, "score": score} for step, found in course.items() for role, score in found.items()
    ]
    frame = pd.DataFrame(rows, columns=["step", "role", "score"])
    near = alt.selection_point(fields=["role"], on="pointerover", nearest=True, empty=True)
    lines = (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=30))
        .encode(
            x=alt.X(
                "step:Q",
                title="training step",
                scale=alt.Scale(type="symlog", constant=10),
                axis=alt.Axis(values=[0, *(figure * 10**power for power in range(1, 7) for figure in (1, 3))]),
            ),
            y=alt.Y("score:Q", title="best head, above shuffled", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("role:N", scale=role_colours(frame["role"].unique()), legend=_named(None)),
            opacity=alt.condition(near, alt.value(1), alt.value(0.15)),
            tooltip=["role:N", "step:Q", alt.Tooltip("score:Q", format=".2f")],
        )
        .add_params(near)
    )
    mark = alt.Chart(pd.DataFrame({"step": [at]})).mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="step:Q")
    return alt.layer(lines, mark).properties(height=300)


def heads(values: np.ndarray, says: str, sign: bool = True, chosen: tuple[int, int] | None = None) -> alt.LayerChart:
    """One number for each head, (L, H), as a grid; a click selects one, as in `role_map`."""
    layers, count = values.shape
    frame = pd.DataFrame(
        {
            "layer": layer + 1,
            "head": head + 1,
            "value": float(values[layer, head]),
            "chosen": (layer, head) == chosen,
        }
        for layer in range(layers)
        for head in range(count)
    )
    limit = float(np.abs(values).max()) or 1.0
    pick = alt.selection_point(name="head", fields=["layer", "head"], empty=False)
    base = _grid(frame).encode(tooltip=["layer:O", "head:O", alt.Tooltip("value:Q", format=".3f", title=says)])
    cells = base.mark_rect(cornerRadius=5, cursor="pointer").encode(
        color=alt.Color("value:Q", scale=signed(limit) if sign else magnitude(limit), legend=None),
        stroke=alt.condition("datum.chosen", alt.value("#F0A020"), alt.value("transparent")),
        strokeWidth=alt.value(3),
    ).add_params(pick)  # fmt: skip
    numbers = base.mark_text(fontSize=13).encode(
        text=alt.Text("value:Q", format="+.2f" if sign else ".2f"),
        color=letters(f"abs(datum.value) > {0.55 * limit}"),
    )
    return alt.layer(cells, numbers).properties(height=40 * layers + 60)


def likely(words: Sequence[str], before: Sequence[float], after: Sequence[float] | None, names=("intact", "without")):
    """The likeliest answers as bars; with `after` a second bar each."""
    sides = [(names[0], before)] + ([(names[1], after)] if after is not None else [])
    frame = pd.DataFrame(
        {"word": word, "order": order, "probability": float(value), "side": side}
        for side, values in sides
        for order, (word, value) in enumerate(zip(words, values, strict=True))
    )
    base = alt.Chart(frame).encode(
        y=alt.Y("word:N", sort=list(words), title=None, axis=alt.Axis(labelLimit=140, **BARE)),
        tooltip=["word:N", "side:N", alt.Tooltip("probability:Q", format=".2%")],
    )
    if after is not None:
        base = base.encode(yOffset=alt.YOffset("side:N", sort=[side for side, _ in sides]))
    bars = base.mark_bar().encode(
        x=alt.X("probability:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5), title=None),
        color=alt.Color(
            "side:N",
            scale=alt.Scale(domain=[side for side, _ in sides]),
            legend=None if after is None else alt.Legend(title=None),
        ),
    )
    numbers = base.mark_text(align="left", dx=4, fontSize=12).encode(
        x="probability:Q", text=alt.Text("probability:Q", format=".1%")
    )
    return alt.layer(bars, numbers).properties(height=(26 if after is None else 40) * len(words) + 40)


def arrivals(values: np.ndarray, tokens: Sequence[str], says: str) -> alt.LayerChart:
    """How much of each token is in one token after each layer, (L, T)."""
    frame = pd.DataFrame(
        {"layer": layer + 1, "place": place, "token": token, "value": float(values[layer, place])}
        for layer in range(len(values))
        for place, token in enumerate(tokens)
    )
    labels = f"{_listed(tokens)}[datum.value]"
    base = alt.Chart(frame).encode(
        x=alt.X("place:O", title=None, axis=alt.Axis(labelExpr=labels, labelAngle=-50, labelLimit=110, **BARE)),
        y=alt.Y("layer:O", title="after layer", sort="descending", axis=alt.Axis(**BARE)),
        tooltip=["token:N", "layer:O", alt.Tooltip("value:Q", format=".3f", title=says)],
    )
    cells = base.mark_rect(cornerRadius=2).encode(
        color=alt.Color("value:Q", scale=magnitude(float(values.max()) or 1.0), legend=None)
    )
    return alt.layer(cells).properties(height=30 * len(values) + 110)


def surprise(tokens: Sequence[str], places: Sequence[int], values: Sequence[float], at: int | None) -> alt.LayerChart:
    """How surprising each token was, in nats; the one at place `at` stands out."""
    frame = pd.DataFrame(
        {"place": place, "token": tokens[place], "surprise": float(value), "now": place == at}
        for place, value in zip(places, values, strict=True)
        if np.isfinite(value)
    )
    labels = f"{_listed(tokens)}[datum.value]"
    bars = (
        alt.Chart(frame)
        .mark_bar(cursor="pointer")
        .encode(
            x=alt.X("place:O", title=None, axis=alt.Axis(labelExpr=labels, labelAngle=-50, labelLimit=110, **BARE)),
            y=alt.Y("surprise:Q", title="surprise (nats)"),
            opacity=alt.condition("datum.now", alt.value(1), alt.value(0.55)),
            tooltip=["token:N", alt.Tooltip("surprise:Q", format=".2f")],
        )
    )
    return alt.layer(bars).properties(height=190)


def _grid(frame: pd.DataFrame) -> alt.Chart:
    return alt.Chart(frame).encode(
        x=alt.X("head:O", title="head", axis=alt.Axis(labelAngle=0, orient="top", **BARE)),
        y=alt.Y("layer:O", title="layer", axis=alt.Axis(**BARE)),
    )


def _spoken() -> alt.Opacity:
    """Nothing is written on a head without a role."""
    return alt.condition("datum.role === 'none is clear'", alt.value(0), alt.value(1))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _listed(tokens: Sequence[str]) -> str:
    """Tokens as an array of the Vega expression language."""
    import json

    return json.dumps(list(tokens))
