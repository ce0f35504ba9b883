"""Tokens from block to block: the logit lens, lengths and turns, likeness, and what neurons fire at and speak for."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.activations.lens import Lens
from explorer.activations.neurons import Effect, Survey
from explorer.activations.tokens import Baseline, Stream
from explorer.charts.theme import letters, magnitude, signed

MEASURES = {  # of the lens → the title of its colours
    "probability": "probability of the likeliest answer",
    "truth": "probability of the true answer",
    "rank": "rank of the true answer (log)",
    "entropy": "entropy in nats",
    "divergence": "nats from the final answer",
}
ROW = 20  # pixels a row of words
TOP = 150  # pixels above the rows: legend, title and names of the columns
ROWS = 5000  # that Altair takes
HOVER = 5  # answers that are told of a cell
CLASSES = 12  # that are told of a classifier
MOST = 100  # tokens that are drawn at once
DIGITS = 8  # columns up to which numbers stand in the cells
WIDE = 20.0  # times the median: above it a scale of lengths is logarithmic
NAME = "slice(datum.label, indexof(datum.label, ' ') + 1)"  # the number in front keeps words apart that occur twice
FRAME = "luminance(background) > 0.5 ? '#D55E00' : '#F5854A'"  # seen on every blue from the page's to the strongest
BARE = {"domain": False, "ticks": False, "labelOverlap": False}


def window(columns: int) -> int:
    """How many tokens can be drawn at once over so many columns."""
    return min(MOST, ROWS // columns)


def lens(found: Lens, measure: str, start: int, stop: int) -> alt.LayerChart:
    """The likeliest answer at each token after each block; framed where the final one has come to stay."""
    values = {"probability": found.probabilities[..., 0], "truth": found.truth, "rank": found.rank,
              "entropy": found.entropy, "divergence": found.divergence}[measure]  # fmt: skip
    values = values[:, start:stop].T  # (tokens, places)
    settled = found.settled[start:stop]
    known = found.kind in ("next", "answer") and any(word is not None for word in found.actual[start:stop])
    tokens = _numbered(found.tokens[start:stop], start)
    nth = ("likeliest", *(f"number {number}" for number in range(2, min(HOVER, found.ids.shape[2]) + 1)))
    frame = pd.DataFrame(
        {
            "token": token, "place": place, "value": _number(values[row, column]),
            "text": found.words[column][start + row][0], "framed": bool(settled[row] == column),
            "true answer": _told(found.actual[start + row], found.truth[column, start + row]),
        }
        | {
            name: _told(word, share)
            for name, word, share in zip(nth, found.words[column][start + row],
                                         found.probabilities[column, start + row], strict=False)
        }
        for row, token in enumerate(tokens)
        for column, place in enumerate(found.places)
    )  # fmt: skip
    scale, half = _lens_scale(found, measure)
    frame["strong"] = [bool(half(value)) for value in frame["value"].astype(float)]  # never of NaN
    truly = "truly next"
    columns = [*found.places, truly] if known else [*found.places]
    tips = [alt.Tooltip(f"{name}:N") for name in ("token", "place", *nth)]
    tips += [alt.Tooltip("true answer:N"), alt.Tooltip("value:Q", title=MEASURES[measure], format=".3g")]
    base = alt.Chart(frame).encode(**_axes(columns, "after block"), tooltip=tips)
    colour = alt.Color("value:Q", scale=scale, legend=_legend(MEASURES[measure]))
    cells = base.mark_rect().encode(color=colour)
    words = base.mark_text(fontSize=12, limit=alt.ExprRef("bandwidth('x') - 4")).encode(
        text="text:N", color=letters("datum.strong")
    )
    framed = base.transform_filter("datum.framed").mark_rect(
        filled=False, stroke=alt.ExprRef(FRAME), strokeWidth=2, cornerRadius=2
    )
    layers = [cells, words, framed]
    if known:
        truth = pd.DataFrame(
            {"token": token, "place": truly, "text": word}
            for token, word in zip(tokens, found.actual[start:stop], strict=True)
            if word is not None
        )
        layers.append(
            alt.Chart(truth)
            .mark_text(fontSize=12, fontStyle="italic", limit=alt.ExprRef("bandwidth('x') - 4"))
            .encode(**_axes(columns, "after block"), text="text:N")
        )
    return alt.layer(*layers).properties(height=ROW * len(tokens) + TOP)


def classes(found: Lens) -> alt.LayerChart:
    """How likely a classifier would hold its likeliest classes after each block; blank where that is not told."""
    names = found.words[-1][0][:CLASSES]
    values = np.full((len(names), len(found.places)), np.nan)
    for column in range(len(found.places)):
        for row, number in enumerate(found.ids[-1, 0, : len(names)]):
            at = np.flatnonzero(found.ids[column, 0] == number)
            values[row, column] = found.probabilities[column, 0, at[0]] if len(at) else np.nan
    return _cells(values, values > 0.55, _numbered(names, 0), found.places, "after block", "probability",
                  magnitude(1.0), ".1%")  # fmt: skip


def settled(found: Lens) -> alt.Chart:
    """At how many tokens the final answer comes to stay at each place."""
    counts = np.bincount(found.settled, minlength=len(found.places))
    frame = pd.DataFrame({"place": found.places, "tokens": counts})
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("place:N", sort=None, title="after block", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("tokens:Q", title="tokens", axis=alt.Axis(format="d", tickMinStep=1)),
            tooltip=["place:N", "tokens:Q"],
        )
        .properties(height=180)
    )


def lengths(found: Stream, start: int, stop: int) -> alt.LayerChart:
    """How long the vector of each token is at each place."""
    values = found.norms.T  # (T, L + 1)
    log = values.min() > 0 and values.max() > WIDE * np.median(values)
    title = "length of the vector (log)" if log else "length of the vector"
    high = float(values.max()) or 1.0
    scale = alt.Scale(type="log", domain=[float(values.min()), high]) if log else magnitude(high)
    low = values.min() if log else 0.0
    strong = values > (np.sqrt(low * high) if log else 0.55 * high)
    return _cells(values[start:stop], strong[start:stop], _numbered(found.tokens[start:stop], start), found.places,
                  "after block", title, scale, ".3g")  # fmt: skip


def kept(found: Stream, start: int, stop: int) -> alt.LayerChart:
    """The cosine of each token's vector before and after each block; the colour says how far it has turned."""
    values = found.kept.T  # (T, L)
    rows = values[start:stop]
    return _cells(1 - rows, 1 - rows > 0.55, _numbered(found.tokens[start:stop], start), found.places[1:], "block",
                  "1 − cosine with the vector before; in numbers the cosine", magnitude(1.0), ".2f", rows)  # fmt: skip


def strip(found: Stream, token: int) -> alt.Chart:
    """The numbers of one token's vector at every place; each place has its own scale, to its largest number."""
    values = found.states[:, token]
    scaled = values / np.maximum(np.abs(values).max(-1, keepdims=True), np.finfo(np.float32).tiny)
    return _packed(scaled, found.places, [str(number) for number in range(values.shape[1])], "dimension", "after block",
                   "share of the largest number at that place", signed(1.0), 26 * len(values) + TOP)  # fmt: skip


def largest(found: Stream, token: int) -> alt.LayerChart:
    """The dimensions that carry most of one token's vector: their share of its squared length, and their numbers."""
    chosen = found.largest(token)
    shares, values = found.shares(token)[:, chosen].T, found.states[:, token, chosen].T  # (K, L + 1)
    high = max(float(shares.max()), 0.05)
    names = _numbered([f"dimension {number}" for number in chosen], 0)
    return _cells(shares, shares > 0.55 * high, names, found.places, "after block",
                  "share of the squared length; the value in numbers", magnitude(high), ".3g", values)  # fmt: skip


def similar(found: Stream, place: int, start: int, stop: int) -> alt.Chart:
    """The cosine of the vectors of every two tokens at one place."""
    names = _numbered(found.tokens[start:stop], start)
    values = found.cosines[place, start:stop, start:stop]
    height = min(720, 18 * len(names) + TOP + 60)
    return _packed(values, names, names, "token", "token", "cosine", signed(1.0), height, True)


def beside(found: Stream, token: int, start: int, stop: int) -> alt.LayerChart:
    """The cosine of one token's vector with those of all others, at each place."""
    values = found.cosines[:, token, start:stop].T  # (T, L + 1)
    return _cells(values, np.abs(values) > 0.55, _numbered(found.tokens[start:stop], start), found.places,
                  "after block", "cosine", signed(1.0), ".2f")  # fmt: skip


def by_place(found: Stream, other: Baseline | None) -> alt.Chart:
    """The mean cosine of two tokens of this example at each place, and of two of different ones."""
    count = len(found.tokens)
    pairs = count * (count - 1)
    within = (found.cosines.sum((1, 2)) - np.einsum("lii->l", found.cosines)) / max(pairs, 1)
    lines = {"two tokens of this example": within} if pairs else {}
    if other is not None:
        lines["two tokens of different test examples"] = other.cosines
    frame = pd.DataFrame(
        {"line": line, "place": place, "cosine": float(value)}
        for line, values in lines.items()
        for place, value in zip(found.places, values, strict=True)
    )
    return (
        alt.Chart(frame)
        .mark_line(point=True)
        .encode(
            x=alt.X("place:N", sort=None, title="after block", axis=alt.Axis(labelAngle=0)),
            y=alt.Y(
                "cosine:Q", title="mean cosine", scale=alt.Scale(domainMin=min(0.0, frame["cosine"].min()), domainMax=1)
            ),
            color=alt.Color("line:N", sort=None, legend=alt.Legend(title=None, columns=1, labelLimit=400)),
            tooltip=["line:N", "place:N", alt.Tooltip("cosine:Q", format=".3f")],
        )
        .properties(height=280)
    )


def spoken(found: Effect) -> alt.LayerChart:
    """The words that a neuron promotes, and those that it suppresses, with what it adds to the logit of each."""
    words = [*found.promoted, *reversed(found.suppressed)]
    scores = [*found.gains, *found.losses[::-1]]
    names = _numbered(words, 0)
    frame = pd.DataFrame({"word": names, "score": [float(score) for score in scores]})
    limit = max(map(abs, frame["score"])) or 1.0
    base = alt.Chart(frame).encode(
        y=alt.Y("word:N", sort=None, title=None, axis=alt.Axis(**BARE, labelExpr=NAME, labelLimit=140)),
        x=alt.X("score:Q", title="added to the logit for each 1 that it fires"),
        tooltip=[alt.Tooltip("word:N"), alt.Tooltip("score:Q", format=".3f")],
    )
    bars = base.mark_bar().encode(color=alt.Color("score:Q", scale=signed(limit), legend=None))
    rule = alt.Chart(pd.DataFrame({"score": [0.0]})).mark_rule(opacity=0.5).encode(x="score:Q")
    return alt.layer(bars, rule).properties(height=18 * len(words) + 50)


def speech(found: Survey, neuron: int) -> alt.LayerChart:
    """How well one neuron tells each part of speech from all others, beside the best neuron on shuffled ones."""
    order = np.argsort(-found.areas[:, neuron], kind="stable")
    frame = pd.DataFrame(
        {"part": found.parts[row], "area": float(found.areas[row, neuron]), "chance": float(found.chance[row])}
        for row in order
    )
    y = alt.Y("part:N", sort=None, title=None, axis=alt.Axis(**BARE))
    x = alt.X("area:Q", title="area under the ROC curve", scale=alt.Scale(domain=[0, 1]))
    tips = [alt.Tooltip("part:N"), alt.Tooltip("area:Q", format=".3f"),
            alt.Tooltip("chance:Q", title="best of shuffled", format=".3f")]  # fmt: skip
    base = alt.Chart(frame).encode(y=y, tooltip=tips)
    dots = base.mark_point(size=70, opacity=1).encode(x=x)
    ticks = base.mark_tick(thickness=2, opacity=0.7).encode(x=alt.X("chance:Q"))
    rule = alt.Chart(pd.DataFrame({"area": [0.5]})).mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x="area:Q")
    return alt.layer(rule, ticks, dots).properties(height=20 * len(frame) + 50)


def _lens_scale(found: Lens, measure: str):
    """The colours of one measure of the lens, and from which value on a cell is dark."""
    if measure in ("probability", "truth"):
        return magnitude(1.0), lambda value: value > 0.55
    if measure == "rank":
        limit = np.sqrt(found.choices)
        return alt.Scale(type="log", domain=[1, found.choices], reverse=True), lambda value: value < limit
    values = found.entropy if measure == "entropy" else found.divergence
    high = float(np.log(found.choices)) if measure == "entropy" else float(values[np.isfinite(values)].max()) or 1.0
    return magnitude(high), lambda value: value > 0.55 * high


def _cells(values: np.ndarray, strong: np.ndarray, rows: Sequence[str], columns: Sequence[str], across: str, title: str,
           scale: alt.Scale, format: str, written: np.ndarray | None = None) -> alt.LayerChart:  # fmt: skip
    """Numbers (rows, columns) as colours, written into the cells where there is room.

    written: other numbers to be written than those that the colours show.
    """
    written = values if written is None else written
    frame = pd.DataFrame(
        {"token": row, "place": column, "value": _number(values[i, j]), "written": _number(written[i, j]),
         "strong": bool(strong[i, j])}
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    )  # fmt: skip
    tips = [alt.Tooltip("token:N", title="of"), alt.Tooltip("place:N", title=across),
            alt.Tooltip("written:Q", title="value", format=".4g")]  # fmt: skip
    base = alt.Chart(frame).encode(**_axes(columns, across), tooltip=tips)
    layers = [base.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=_legend(title)))]
    if len(columns) <= DIGITS:
        text = alt.Text("written:Q", format=format)
        layers.append(base.mark_text(fontSize=11).encode(text=text, color=letters("datum.strong")))
    return alt.layer(*layers).properties(height=ROW * len(rows) + TOP)


def _axes(columns: Sequence[str], across: str) -> dict:
    """Places across, tokens down."""
    return {
        "x": alt.X("place:N", sort=None, title=across, scale=alt.Scale(domain=list(columns)),
                   axis=alt.Axis(**BARE, orient="top", labelAngle=0)),
        "y": alt.Y("token:N", sort=None, title=None, axis=alt.Axis(**BARE, labelExpr=NAME, labelLimit=110)),
    }  # fmt: skip


def _packed(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], across: str, down: str, title: str,
            scale: alt.Scale, height: int, words: bool = False) -> alt.Chart:  # fmt: skip
    """Very many numbers (rows, columns) as colours; each row travels as one text, which the browser unpacks.

    words: rows and columns are numbered words, and stand on both axes.
    """
    frame = pd.DataFrame({"row": rows, "numbers": [" ".join(f"{x:.3g}" for x in row) for row in values]})
    names = alt.LookupData(pd.DataFrame({"place": range(1, len(columns) + 1), "column": columns}), "place", ["column"])
    axis = {"domain": False, "ticks": False} | ({"labelExpr": NAME, "labelLimit": 90} if words else {})
    turned = {"labelAngle": -90 if words else 0}
    return (
        alt.Chart(frame)
        .transform_calculate(text="split(datum.numbers, ' ')")
        .transform_flatten(["text"])
        .transform_window(place="row_number()", groupby=["row"])
        .transform_calculate(value="toNumber(datum.text)")
        .transform_lookup("place", names)
        .mark_rect()
        .encode(
            x=alt.X("column:N", sort=None, title=None if words else across, axis=alt.Axis(**axis, **turned)),
            y=alt.Y("row:N", sort=None, title=None if words else down, axis=alt.Axis(**axis)),
            color=alt.Color("value:Q", scale=scale, legend=_legend(title)),
            tooltip=[alt.Tooltip("row:N", title=down), alt.Tooltip("column:N", title=across),
                     alt.Tooltip("value:Q", title=title, format=".3f")],
        )
        .properties(height=height)
    )  # fmt: skip


def _legend(title: str) -> alt.Legend:
    return alt.Legend(title=title, titleLimit=460, type="gradient", gradientLength=160)


def _numbered(names: Sequence[str], start: int) -> list[str]:
    """Names with their number in front, so that no two are alike."""
    return [f"{start + number + 1} {name}" for number, name in enumerate(names)]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _told(word: str | None, share: float) -> str:
    """A word with its probability."""
    return "not known" if word is None else f"{word}  {share:.1%}"
