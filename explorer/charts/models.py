"""What a network answers: class probabilities in, bars out."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

MOST = 10  # classes that are shown


def answer(probabilities: np.ndarray, labels: Sequence[str], true: int | None = None) -> alt.LayerChart:
    """The most probable classes of one example, (classes,); the true one is marked where it is known."""
    order = np.argsort(-probabilities, kind="stable")[:MOST]
    frame = pd.DataFrame(
        {
            "class": [labels[i] for i in order],
            "probability": probabilities[order],
            "answer": ["true class" if i == true else "other class" for i in order],
        }
    )
    bare = alt.Axis(domain=False, ticks=False, labelLimit=220, labelOverlap=False)
    y = alt.Y("class:N", sort=list(frame["class"]), title=None, axis=bare)
    base = alt.Chart(frame).encode(y=y, tooltip=["class:N", alt.Tooltip("probability:Q", format=".2%")])
    bars = base.mark_bar().encode(
        x=alt.X("probability:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5), title=None),
        color=alt.Color(
            "answer:N",
            scale=alt.Scale(domain=["other class", "true class"]),
            legend=None if true is None else alt.Legend(orient="top", title=None),
        ),
    )
    numbers = base.mark_text(align="left", dx=4).encode(x="probability:Q", text=alt.Text("probability:Q", format=".1%"))
    return alt.layer(bars, numbers).properties(height=26 * len(frame) + 30)
