"""How a classifier was judged: what it confuses, whether it is as sure as it should be, how it does class by class."""

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts.theme import TRAINING, VALIDATION
from explorer.data.base import Dataset
from explorer.training.judge import Judgement
from explorer.training.run import Evaluation

RIGHT, WRONG = TRAINING, VALIDATION  # blue and orange, legible on both pages
GREY, FRAME = "#8892A0", "#F0A020"
INK = "luminance(background) > 0.5 ? '#17212E' : '#E8EDF3'"  # stands out from the page, light or dark
NUMBERED = 20  # classes up to which the cells of a confusion matrix have their numbers
NAMED = 30  # classes whose names stand on an axis, at the most
CELLS = 4000  # of a confusion matrix that are drawn
CLASSES = 20  # of the chart by class
MEASURES = ("precision", "recall", "F1")
AXIS = 44  # pixels left of the reliability diagram and of the counts below it, so that they stand in line


def confusion(evaluation: Evaluation, shares: bool = False, chosen: tuple[int, int] | None = None) -> alt.LayerChart:
    """How often each true class was given each name: right answers blue, mistakes orange, strong where many.

    shares: the numbers are shares of the true class instead of counts. chosen: the cell (true, predicted) to frame.
    A click on a cell selects it: the parameter is called `cell`, with the numbers of the classes in `i` and `j`.
    """
    counts = evaluation.confusion
    order, classes = list(evaluation.labels), len(evaluation.labels)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    true, predicted = np.nonzero(counts)
    fullest = np.argsort(-counts[true, predicted], kind="stable")[:CELLS]
    true, predicted = true[fullest], predicted[fullest]
    names = np.array(order, object)
    frame = pd.DataFrame(
        {
            "true": names[true],
            "predicted": names[predicted],
            "i": true,
            "j": predicted,
            "count": counts[true, predicted],
            "share": share[true, predicted].round(5),
        }
    )
    pick = alt.selection_point(name="cell", fields=["i", "j"], empty=False)
    base = alt.Chart(frame).encode(
        x=_classes("predicted", "called", order),
        y=_classes("true", "true class", order),
        tooltip=[
            alt.Tooltip("true:N", title="true class"),
            alt.Tooltip("predicted:N", title="called"),
            alt.Tooltip("count:Q", title="examples"),
            alt.Tooltip("share:Q", title="share of the true class", format=".1%"),
        ],
    )
    rare = alt.Scale(type="sqrt", domain=[0, 1], range=[0.12, 0.8])  # the root lets the rare mistakes show
    cells = (
        base.mark_rect(cornerRadius=2 if classes <= NAMED else 0, cursor="pointer")
        .encode(
            opacity=alt.Opacity("share:Q", scale=rare, legend=None),
            color=alt.condition("datum.i === datum.j", alt.value(RIGHT), alt.value(WRONG)),
        )
        .add_params(pick)
    )
    layers = [cells]
    if classes <= NUMBERED:
        text = alt.Text("share:Q", format=".0%") if shares else alt.Text("count:Q")
        size = 12 if classes <= 12 else 10
        layers.append(base.mark_text(fontSize=size, cursor="pointer").encode(text=text))
    if chosen:
        framed = pd.DataFrame({"true": [order[chosen[0]]], "predicted": [order[chosen[1]]]})
        here = {"x": _classes("predicted", "called", order), "y": _classes("true", "true class", order)}
        layers.append(
            alt.Chart(framed).mark_rect(filled=False, stroke=FRAME, strokeWidth=3, cornerRadius=2).encode(**here)
        )
    ground = alt.ViewBackground(fill=GREY, fillOpacity=0.07, cornerRadius=4)
    return alt.layer(*layers).properties(height=min(340 + 10 * classes, 600), view=ground)


def reliability(judgement: Judgement) -> alt.LayerChart:
    """How often the network is right, by how sure it was; on the diagonal it would be as sure as it should be."""
    found = judgement.reliability
    some = found.counts > 0
    width = found.edges[1]
    frame = pd.DataFrame(
        {
            "from": found.edges[:-1] + width * 0.06,
            "to": found.edges[1:] - width * 0.06,
            "middle": (found.edges[:-1] + found.edges[1:]) / 2,
            "count": found.counts,
            "confidence": found.confidence,
            "accuracy": found.accuracy,
            "gap": found.gaps,
            "low": found.interval[:, 0],
            "high": found.interval[:, 1],
        }
    )[some].round(5)
    colour = alt.Scale(domain=["right this often", "this sure of it"], range=[RIGHT, WRONG])
    tips = [
        alt.Tooltip("count:Q", title="answers"),
        alt.Tooltip("confidence:Q", title="mean confidence", format=".1%"),
        alt.Tooltip("accuracy:Q", title="right", format=".1%"),
        alt.Tooltip("low:Q", title="95 % interval from", format=".1%"),
        alt.Tooltip("high:Q", title="to", format=".1%"),
    ]
    base = alt.Chart(frame).encode(x=_confidence("from", None), x2="to", tooltip=tips)
    bars = (
        base.mark_rect(opacity=0.5)
        .transform_calculate(what="'right this often'", zero="0")
        .encode(y=_share("zero"), y2="accuracy", color=_legend(colour))
    )
    surer = base.transform_filter("datum.gap > 0")
    gaps = surer.mark_rect(color=WRONG, opacity=0.22).encode(y=_share("accuracy"), y2="confidence")
    sure = (
        base.mark_rule(strokeWidth=3, opacity=1)
        .transform_calculate(what="'this sure of it'")
        .encode(y=_share("confidence"), color=_legend(colour))
    )
    spread = (
        alt.Chart(frame)
        .mark_rule(color=GREY, strokeWidth=1.5)
        .encode(x=_confidence("middle", None), y=_share("low"), y2="high", tooltip=tips)
    )
    ideal = (
        alt.Chart(pd.DataFrame({"at": [0.0, 1.0]}))
        .mark_line(strokeDash=[5, 4], strokeWidth=1.5, color=GREY)
        .encode(x=_confidence("at", None), y=_share("at"))
    )
    return alt.layer(ideal, bars, gaps, spread, sure).properties(height=300)


def confidences(judgement: Judgement) -> alt.Chart:
    """How many answers have each confidence: the small chart below the reliability diagram."""
    found = judgement.reliability
    frame = pd.DataFrame({"from": found.edges[:-1], "to": found.edges[1:], "count": found.counts}).round(5)
    return (
        alt.Chart(frame)
        .transform_calculate(zero="0")
        .mark_rect(color=GREY, opacity=0.7)
        .encode(
            x=_confidence("from", "how sure it was of its answer"),
            x2="to",
            y=alt.Y(
                "zero:Q",
                title="answers",
                axis=alt.Axis(values=[0, int(found.counts.max())], minExtent=AXIS, maxExtent=AXIS, format="~s"),
                scale=alt.Scale(nice=False),
            ),
            y2="count",
            tooltip=[
                alt.Tooltip("from:Q", format=".0%"),
                alt.Tooltip("to:Q", format=".0%"),
                alt.Tooltip("count:Q", title="answers"),
            ],
        )
        .properties(height=130)
    )


def by_class(judgement: Judgement, worst_first: bool = True) -> alt.LayerChart:
    """Precision, recall and F1 of each class in one row; of many classes only the CLASSES with the lowest F1.

    worst_first: the lowest F1 on top, else the classes in their own order.
    """
    order = shown_classes(judgement, worst_first)
    rows = [
        {"class": judgement.labels[i], "measure": measure, "value": values[i], "examples": int(judgement.support[i]),
         "answers": int(judgement.called[i])}
        for i in order
        for measure, values in zip(MEASURES, (judgement.precision, judgement.recall, judgement.f1), strict=True)
    ]  # fmt: skip
    frame = pd.DataFrame(rows).round(5)
    low = np.floor(10 * min(0.9, frame["value"].min())) / 10 if frame["value"].notna().any() else 0.0
    named = [judgement.labels[i] for i in order]
    y = alt.Y("class:N", sort=named, scale=alt.Scale(domain=named), title=None, axis=_names(len(named), named, 0))
    scale, axis = alt.Scale(domain=[low, 1]), alt.Axis(format="%", tickCount=5)
    x = alt.X("value:Q", title=None, scale=scale, axis=axis)
    known = alt.Chart(frame).transform_filter("isValid(datum.value)")
    lines = known.mark_rule(color=GREY, opacity=0.5, strokeWidth=2).encode(
        x=alt.X("min(value):Q", scale=scale, axis=axis, title=None), x2="max(value)", y=y
    )
    domain = alt.Scale(domain=list(MEASURES))
    dots = known.mark_point(filled=True, opacity=1, size=75).encode(
        x=x,
        y=y,
        color=alt.Color("measure:N", scale=domain, legend=alt.Legend(orient="top", title=None)),
        shape=alt.Shape("measure:N", scale=alt.Scale(domain=list(MEASURES), range=["triangle-up", "square", "circle"])),
        tooltip=[
            "class:N",
            "measure:N",
            alt.Tooltip("value:Q", format=".1%"),
            alt.Tooltip("examples:Q", title="test examples"),
            alt.Tooltip("answers:Q", title="times called"),
        ],
    )
    undefined = frame[frame["measure"].isin(MEASURES[:2]) & frame["value"].isna()]
    why = np.where(undefined["measure"] == "precision", "never called so", "no test example")
    notes = (
        alt.Chart(undefined.assign(why=why).groupby("class", as_index=False, sort=False)["why"].agg(", ".join))
        .mark_text(align="right", dx=-6, fontSize=11, opacity=0.8)
        .encode(x=alt.datum(1.0), y=y, text="why:N")
    )
    return alt.layer(lines, notes, dots).properties(height=26 * len(named) + 110)


def shown_classes(judgement: Judgement, worst_first: bool = True) -> np.ndarray:
    """The classes of the chart by class, in its order; those of no F1, which were neither there nor called, last."""
    by_f1 = np.argsort(np.where(np.isnan(judgement.f1), 2.0, judgement.f1), kind="stable")
    worst = by_f1[:CLASSES]
    return worst if worst_first else np.sort(worst)


def picked_points(test: Dataset, picked: np.ndarray) -> alt.LayerChart:
    """The test points of a 2-D problem by their true class, those of the numbers `picked` framed."""
    order = list(test.labels)
    frame = pd.DataFrame({"x": test.x[:, 0], "y": test.x[:, 1], "class": np.array(order, object)[test.y]}).round(4)
    place = {"x": alt.X("x:Q", title=None), "y": alt.Y("y:Q", title=None)}
    colour = alt.Color("class:N", sort=order, scale=alt.Scale(domain=order), legend=alt.Legend(symbolOpacity=1))
    stride = -(-len(frame) // CELLS)
    all_points = alt.Chart(frame[::stride]).mark_circle(size=18, opacity=0.3).encode(**place, color=colour)
    chosen = (
        alt.Chart(frame.iloc[picked[:CELLS]])
        .mark_point(filled=True, size=80, opacity=1, stroke=alt.ExprRef(INK), strokeWidth=1)
        .encode(**place, color=colour, tooltip=["class:N", "x:Q", "y:Q"])
    )
    return alt.layer(all_points, chosen).properties(height=280)


def _classes(field: str, title: str, order: list[str]) -> alt.X | alt.Y:
    """An axis of class names, thinned where they are many."""
    channel = alt.X if field == "predicted" else alt.Y
    slanted = field == "predicted" and max(map(len, order)) > 3
    most = NAMED // 2 if slanted and len(order) > NAMED else NAMED  # of slanted ones fewer have room
    axis = _names(len(order), order[:: -(-len(order) // most)], -40 if slanted else 0)
    return channel(f"{field}:N", sort=order, title=title, scale=alt.Scale(domain=order), axis=axis)


def _names(classes: int, values: list[str], angle: int) -> alt.Axis:
    size = 12 if classes <= NUMBERED else 10
    return alt.Axis(
        values=values, labelAngle=angle, labelFontSize=size, labelLimit=110, domain=False, ticks=False,
        labelOverlap=False,
    )  # fmt: skip


def _confidence(field: str, title: str | None) -> alt.X:
    axis = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1], labels=title is not None)
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)


def _share(field: str) -> alt.Y:
    axis = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1], minExtent=AXIS, maxExtent=AXIS)
    return alt.Y(f"{field}:Q", title="share of right answers", scale=alt.Scale(domain=[0, 1]), axis=axis)


def _legend(scale: alt.Scale) -> alt.Color:
    return alt.Color("what:N", scale=scale, legend=alt.Legend(orient="top", title=None))
