"""What the network expects, beside its heads."""

from collections.abc import Iterable

import numpy as np
import streamlit as st

from explorer.attention import Predictions
from explorer.charts import attention as charts
from explorer.errors import ExplorerError
from explorer.ui.attention.question import Asked, predictions_of
from explorer.ui.attention_views import Selection
from explorer.ui.draw import draw
from explorer.ui.page import plain
from explorer.zoo.model import Model

TOP = 8
USUAL = Selection("heads")  # no token is chosen
ABOUT = {
    "next": "What it expects next, after the chosen token.",
    "masked": "What it would put in place of the chosen token, were it masked.",
    "answer": "What its decoder says next, after the chosen token of its answer.",
    "class": "What it takes the picture for.",
}


def predicted(model: Model, asked: Asked, chosen: Selection = USUAL) -> None:
    """The likeliest answers at the chosen token, and how surprising each token was."""
    st.markdown("**What does it predict?**")
    try:
        found = predictions_of(model, asked)
    except ExplorerError as error:
        st.caption(f"{plain(error.wrong).capitalize()}.")
        return
    if not found.positions:
        st.caption("There is nothing here to predict.")
        return
    place = place_of(found, chosen)
    actual = found.actual[place]
    where = f" after **{plain(before(found, place))}**" if found.kind in ("next", "answer") else ""
    where = f" instead of **{plain(actual)}**" if found.kind == "masked" and actual else where
    truth = "" if actual is None else f" Truly: **{plain(actual)}**, {np.exp(-found.surprise[place]):.1%}."
    st.caption(f"{ABOUT[found.kind]}{truth if found.kind != 'masked' else ''}")
    st.markdown(f"Likeliest{where}")
    draw(
        charts.likely(distinct(found.top[place][:TOP]), found.probabilities[place][:TOP], None),
        "predictions",
        f"The likeliest answers: {', '.join(found.top[place][:3])}",
    )
    if np.isfinite(found.surprise).sum() > 1:
        shifted = [position + (found.kind != "masked") for position in found.positions]
        tokens = (*found.tokens, found.actual[-1] or "")
        draw(
            charts.surprise(tokens, shifted, found.surprise, shifted[place]),
            "surprise",
            "How surprising each token was",
        )


def place_of(found: Predictions, chosen: Selection) -> int:
    """The prediction that belongs to the chosen token; the last one where none is chosen."""
    if chosen.token is not None and chosen.part in ("self", "decoder", "cross", "") and chosen.token in found.positions:
        return found.positions.index(chosen.token)
    return len(found.positions) - 1 if found.kind == "next" else 0


def before(found: Predictions, place: int) -> str:
    """The token after which a prediction stands."""
    return found.tokens[found.positions[place]]


def distinct(words: Iterable[str]) -> list[str]:
    """Different tokens may be spelled alike; bars need names of their own."""
    seen: dict[str, int] = {}
    named = []
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        named.append(word + "\u200b" * (seen[word] - 1))
    return named
