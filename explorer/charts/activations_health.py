"""The health of layers: spread, zeros, dead units and gradients through depth, one layer's units, and over training."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.activations.health import Health, LayerHealth, UnitHealth
from explorer.activations.health_over_training import OverTraining
from explorer.charts.theme import TRAINING, VALIDATION, magnitude

NAMED = 24  # layers up to which each stands by its name
LINES = 40  # modules up to which each has a row of its own
UNITS = 1500  # that a chart shows apart
BENT = 50  # times the largest spread may pass the median before the axis is bent
GREY = "#8A94A3"  # legible on both pages
SHARES = ("exact zeros", "dead units", "saturated")
GRADIENTS = ("of the output", "of the weights")


def spreads(layers: Sequence[LayerHealth], at: str = "") -> alt.LayerChart:
    """Mean ± standard deviation of each layer's values by depth; `at` marks a layer."""
    frame = _frame(layers)
    frame["low"], frame["high"] = frame["mean"] - frame["std"], frame["mean"] + frame["std"]
    middle, most = float(frame["std"].median()), float(frame["std"].max())
    bent = middle > 0 and most > BENT * middle
    scale = alt.Scale(type="symlog", constant=middle) if bent else alt.Scale(zero=True)
    title = f"mean ± std{', axis bent' if bent else ''}"
    base = alt.Chart(frame).encode(x=_depth(frame), tooltip=_tips(["mean:Q", "std:Q", "minimum:Q", "maximum:Q"]))
    bars = base.mark_rule(strokeWidth=3, opacity=0.55).encode(
        y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q", color=alt.value(TRAINING)
    )
    points = base.mark_point(size=34, opacity=1).encode(y=alt.Y("mean:Q", title=title), color=alt.value(TRAINING))
    return _marked([bars, points], frame, at, 210)


def shares(layers: Sequence[LayerHealth], at: str = "") -> alt.LayerChart:
    """The share of exact zeros, of dead units and of saturated values of each layer by depth, where it is not zero."""
    wide = _frame(layers)
    wide["dead units"] = wide["dead"] / wide["units"]
    kinds = [kind for kind in SHARES if wide[kind].notna().any()]
    frame = wide.melt(["layer", "kind", "depth"], kinds, "what", "share").dropna()
    frame = frame[frame["share"] > 0]
    near = alt.selection_point(fields=["what"], bind="legend")
    points = (
        alt.Chart(frame)
        .mark_point(filled=False, strokeWidth=2)
        .encode(
            x=_depth(wide),
            y=alt.Y("share:Q", title="share", axis=alt.Axis(format="%", tickCount=5), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("what:N", scale=alt.Scale(domain=list(SHARES))),
            shape=alt.Shape("what:N", scale=alt.Scale(domain=list(SHARES), range=["circle", "triangle-up", "square"])),
            size=alt.Size("what:N", scale=alt.Scale(domain=list(SHARES), range=[30, 70, 150])),
            opacity=alt.condition(near, alt.value(0.9), alt.value(0.08)),
            tooltip=_tips(["what:N", alt.Tooltip("share:Q", format=".1%")]),
        )
        .add_params(near)
    )
    return _marked([points], wide, at, 210)


def gradients(found: Health, layers: Sequence[LayerHealth], at: str = "") -> alt.LayerChart:
    """The norm of the loss's gradient by depth, on a log scale: of each layer's output and of all its weights."""
    wide = _frame(layers)
    own = _of_weights(found, layers)
    rows = [
        {"layer": layer.name, "kind": layer.kind, "depth": depth, "gradient": value, "what": what}
        for depth, layer in enumerate(layers, 1)
        for what, value in zip(GRADIENTS, (layer.gradient, own[layer.name][0]), strict=True)
        if value
    ]
    frame = pd.DataFrame(rows, columns=["layer", "kind", "depth", "gradient", "what"])
    base = alt.Chart(frame).encode(
        x=_depth(wide),
        y=alt.Y("gradient:Q", title="‖gradient‖ (log)", scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~e", tickCount=6)),
        color=alt.Color("what:N", scale=alt.Scale(domain=list(GRADIENTS))),
        tooltip=_tips(["what:N", alt.Tooltip("gradient:Q", format=".3g")]),
    )  # fmt: skip
    line = base.transform_filter(alt.datum.what == GRADIENTS[0]).mark_line(strokeWidth=1.5, opacity=0.6)
    points = base.mark_point(size=34, opacity=0.9).encode(shape=alt.Shape("what:N"))
    return _marked([line, points], wide, at, 230)


def ratios(found: Health, layers: Sequence[LayerHealth], at: str = "") -> alt.LayerChart:
    """How large the gradient of a layer's weights is beside the weights, by depth, on a log scale."""
    own = _of_weights(found, layers)
    wide = _frame(layers)
    rows = [
        {"layer": layer.name, "kind": layer.kind, "depth": depth, "ratio": own[layer.name][0] / own[layer.name][1],
         "gradient": own[layer.name][0], "norm": own[layer.name][1]}
        for depth, layer in enumerate(layers, 1)
        if own[layer.name][0] and own[layer.name][1]
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["layer", "kind", "depth", "ratio", "gradient", "norm"])
    points = (
        alt.Chart(frame)
        .mark_point(size=40, opacity=0.9)
        .encode(
            x=_depth(wide),
            y=alt.Y("ratio:Q", title="‖∇w‖ / ‖w‖ (log)", scale=alt.Scale(type="log"),
                    axis=alt.Axis(format="~e", tickCount=6)),
            color=alt.value(VALIDATION),
            tooltip=_tips([alt.Tooltip("ratio:Q", format=".3g"), alt.Tooltip("gradient:Q", title="‖∇w‖", format=".3g"),
                           alt.Tooltip("norm:Q", title="‖w‖", format=".4g")]),
        )
    )  # fmt: skip
    return _marked([points], wide, at, 230)


def histogram(found: UnitHealth) -> alt.LayerChart:
    """All values of a layer but exact zeros, in bins of equal width, with the mean marked."""
    frame = pd.DataFrame({"low": found.edges[:-1], "high": found.edges[1:], "values": found.counts})
    frame["share"] = frame["values"] / max(1, found.layer.values)
    low, high = float(found.edges[0]), float(found.edges[-1])
    bars = (
        alt.Chart(frame)
        .mark_rect(opacity=0.85)
        .encode(
            x=alt.X("low:Q", title="value", scale=alt.Scale(domain=[low, high], nice=False), bin="binned"),
            x2="high:Q",
            y=alt.Y("share:Q", title="share of all values", axis=alt.Axis(format="~%", tickCount=4)),
            y2=alt.datum(0),
            color=alt.value(TRAINING),
            tooltip=[alt.Tooltip("low:Q", title="from", format=".3g"), alt.Tooltip("high:Q", title="to", format=".3g"),
                     alt.Tooltip("values:Q", format=","), alt.Tooltip("share:Q", format=".2%")],
        )
    )  # fmt: skip
    mean = pd.DataFrame({"mean": [found.layer.mean]})
    rule = alt.Chart(mean).mark_rule(strokeDash=[4, 3], strokeWidth=1.5).encode(
        x="mean:Q", color=alt.value(VALIDATION), tooltip=[alt.Tooltip("mean:Q", format=".4g")]
    )  # fmt: skip
    return alt.layer(bars, rule).properties(height=220)


def units(found: UnitHealth, quantity: str) -> alt.LayerChart:
    """The units of a layer, the most active first: the share of examples in which each is `active`, or its `mean`.

    Of more than UNITS as many are shown, evenly chosen in this order. A dead unit is a cross.
    """
    order = np.lexsort((-found.mean, -found.active))
    frame = pd.DataFrame(
        {
            "start": np.arange(len(order)) + 0.55,
            "stop": np.arange(len(order)) + 1.45,
            "rank": np.arange(1, len(order) + 1),
            "unit": order,
            "active": found.active[order],
            "above": found.above[order],
            "mean": found.mean[order],
            "low": found.low[order],
            "high": found.high[order],
            "state": np.where(found.dead[order], "dead", "alive"),
        }
    )
    if len(frame) > UNITS:
        frame = frame.iloc[np.linspace(0, len(frame) - 1, UNITS).round().astype(int)]
        half = len(order) / UNITS / 2
        frame = frame.assign(start=frame["rank"] - half, stop=frame["rank"] + half)
    x = alt.X(
        "start:Q",
        title="units, the most active first" if quantity == "mean" else None,
        scale=alt.Scale(domain=[0.5, len(order) + 0.5], nice=False),
        axis=alt.Axis(tickMinStep=1, format="d"),
    )
    title, axis = {
        "active": ("active in", alt.Axis(format="%", tickCount=3)),
        "mean": ("mean", alt.Axis(tickCount=3)),
    }[quantity]
    y = alt.Y(
        f"{quantity}:Q",
        title=title,
        axis=axis,
        scale=alt.Scale(domain=[0, 1]) if quantity == "active" else alt.Scale(zero=True),
    )
    base = alt.Chart(frame).encode(
        color=alt.Color("state:N", scale=alt.Scale(domain=["alive", "dead"], range=[TRAINING, VALIDATION]),
                        legend=alt.Legend() if quantity == "active" else None),
        tooltip=[
            "unit:Q", "state:N", alt.Tooltip("active:Q", title="active in", format=".1%"),
            alt.Tooltip("above:Q", title="values above zero", format=".1%"), alt.Tooltip("mean:Q", format=".3g"),
            alt.Tooltip("low:Q", title="minimum", format=".3g"), alt.Tooltip("high:Q", title="maximum", format=".3g"),
        ],
    )  # fmt: skip
    bars = base.mark_rect(opacity=0.85).encode(x=x, x2="stop:Q", y=y, y2=alt.datum(0))
    dead = base.transform_filter(alt.datum.state == "dead").mark_point(shape="cross", size=45, opacity=1)
    return alt.layer(bars, dead.encode(x="rank:Q", y=y)).properties(height=170 if quantity == "active" else 150)


def ridge(found: OverTraining) -> alt.Chart:
    """The histogram of a layer at each checkpoint, a column each; colour is the root of the share of values."""
    steps = [f"{step}" for step in found.steps]
    rows = [
        {"step": step, "low": found.edges[place], "high": found.edges[place + 1], "share": float(share)}
        for step, line in zip(steps, found.shares, strict=True)
        for place, share in enumerate(line)
        if share > 0
    ]
    frame = pd.DataFrame(rows, columns=["step", "low", "high", "share"])
    frame["root"] = np.sqrt(frame["share"])
    high = float(frame["root"].max()) if len(frame) else 1.0
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("step:O", sort=steps, title="checkpoint, after step", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("low:Q", title="value", bin="binned",
                    scale=alt.Scale(domain=[float(found.edges[0]), float(found.edges[-1])], nice=False)),
            y2="high:Q",
            color=alt.Color("root:Q", scale=magnitude(high), legend=None),
            tooltip=["step:O", alt.Tooltip("low:Q", title="from", format=".3g"),
                     alt.Tooltip("high:Q", title="to", format=".3g"), alt.Tooltip("share:Q", format=".2%")],
        )
        .properties(height=260)
    )  # fmt: skip


def course(found: OverTraining, quantity: str) -> alt.Chart:
    """One number of the layer over the checkpoints: `dead`, `std` or `zeros`."""
    titles = {"dead": f"dead units of {found.units:,}", "std": "std", "zeros": "exact zeros"}
    frame = pd.DataFrame({"step": found.steps, "value": getattr(found, quantity)}).dropna()
    axis = {
        "dead": alt.Axis(tickMinStep=1, tickCount=4, format="d"),
        "std": alt.Axis(tickCount=4),
        "zeros": alt.Axis(format="%", tickCount=4),
    }[quantity]
    return (
        alt.Chart(frame)
        .mark_line(point=alt.OverlayMarkDef(size=30, filled=True), strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(nice=False)),
            y=alt.Y("value:Q", title=titles[quantity], axis=axis, scale=alt.Scale(zero=True)),
            color=alt.value(TRAINING),
            tooltip=["step:Q", alt.Tooltip("value:Q", title=titles[quantity], format=".3~g")],
        )
        .properties(height=150)
    )


def weights(found: OverTraining, quantity: str) -> alt.Chart:
    """The `updates` or the `norms` of all modules over the checkpoints, a row each; colour is their logarithm.

    Of more than LINES modules those around them stand in their place, with the mean square.
    """
    names, values = folded(found.modules, getattr(found, quantity))
    steps = found.steps[1:] if quantity == "updates" else found.steps
    title = {"updates": "‖Δw‖ / ‖w‖", "norms": "‖w‖"}[quantity]
    rows = [
        {"step": str(step), "module": name, "value": float(value)}
        for step, line in zip(steps, values, strict=True)
        for name, value in zip(names, line, strict=True)
        if value > 0
    ]
    frame = pd.DataFrame(rows, columns=["step", "module", "value"])
    frame["log"] = np.log10(frame["value"])
    low, high = (float(frame["log"].min()), float(frame["log"].max())) if len(frame) else (0.0, 1.0)
    low = min(low, high - 0.1) - 0.2 * (high - low)  # the least one is still seen
    return (
        alt.Chart(frame)
        .mark_rect(cornerRadius=2)
        .encode(
            x=alt.X("step:O", sort=[str(step) for step in steps], title="checkpoint, after step",
                    axis=alt.Axis(labelAngle=0)),
            y=alt.Y("module:N", sort=list(names), title=None, axis=alt.Axis(labelLimit=150, labelOverlap=False)),
            color=alt.Color("log:Q", scale=magnitude(high, low), legend=None),
            tooltip=["module:N", "step:O", alt.Tooltip("value:Q", title=title, format=".3g")],
        )
        .properties(height=max(120, 20 * len(names) + 50))
    )  # fmt: skip


def folded(modules: Sequence[str], values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Modules gathered into those around them until there are at most LINES; of each the root of the mean square.

    values: (S, M) → (S, rows).
    """
    depth = max((name.count(".") + 1 for name in modules), default=1)
    names = [*modules]
    while len(set(names)) > LINES and depth > 1:
        depth -= 1
        names = [".".join(name.split(".")[:depth]) for name in modules]
    unique = tuple(dict.fromkeys(names))
    groups = np.array([unique.index(name) for name in names])
    gathered = [np.sqrt(np.nanmean(values[:, groups == row] ** 2, 1)) if (groups == row).sum() > 1
                else values[:, groups == row][:, 0] for row in range(len(unique))]  # fmt: skip
    return unique, np.stack(gathered, 1) if gathered else values


def _frame(layers: Sequence[LayerHealth]) -> pd.DataFrame:
    """A row for each layer, with its place in depth."""
    return pd.DataFrame(
        {
            "layer": [layer.name for layer in layers],
            "kind": [layer.kind for layer in layers],
            "depth": np.arange(1, len(layers) + 1),
            "mean": [layer.mean for layer in layers],
            "std": [layer.std for layer in layers],
            "minimum": [layer.low for layer in layers],
            "maximum": [layer.high for layer in layers],
            "units": [layer.units for layer in layers],
            "dead": np.array([layer.dead for layer in layers], float),
            "exact zeros": [layer.zeros for layer in layers],
            "saturated": np.array([layer.saturated for layer in layers], float),
        }
    )


def _of_weights(found: Health, layers: Sequence[LayerHealth]) -> dict[str, tuple[float, float]]:
    """The norms of the gradient and of the weights of each layer, all its weights together."""
    sums = {layer.name: [0.0, 0.0] for layer in layers}
    for weight in found.weights:
        if weight.layer in sums and weight.gradient is not None:
            sums[weight.layer][0] += weight.gradient**2
            sums[weight.layer][1] += weight.norm**2
    return {name: (gradient**0.5, norm**0.5) for name, (gradient, norm) in sums.items()}


def _depth(frame: pd.DataFrame) -> alt.X:
    """The layers in order: by name where they are few, by number where they are many."""
    if len(frame) <= NAMED:
        axis = alt.Axis(labelAngle=-40, labelLimit=110, labelOverlap=False)
        order = list(frame["layer"])
        return alt.X("layer:N", sort=order, title=None, axis=axis, scale=alt.Scale(domain=order))
    axis = alt.Axis(tickMinStep=1, format="d")
    scale = alt.Scale(domain=[0, len(frame) + 1], nice=False)
    return alt.X("depth:Q", title="layers, from the input on", axis=axis, scale=scale)


def _marked(charts: list[alt.Chart], frame: pd.DataFrame, at: str, height: int) -> alt.LayerChart:
    """The charts, with a line where the layer `at` stands."""
    here = frame.loc[frame["layer"] == at, ["layer", "depth"]]
    if len(here):
        rule = alt.Chart(here).mark_rule(strokeDash=[4, 3], color=GREY).encode(x=_depth(frame), tooltip=["layer:N"])
        charts = [rule, *charts]
    return alt.layer(*charts).properties(height=height)


def _tips(fields: list) -> list:
    """What is told on hover: which layer, and its numbers."""
    told = [alt.Tooltip(field, format=".3g") if isinstance(field, str) and field.endswith(":Q") else field
            for field in fields]  # fmt: skip
    return ["layer:N", "kind:N", "depth:Q", *told]
