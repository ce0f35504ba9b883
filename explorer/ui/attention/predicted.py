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
    "next": "What it expects next.",
    "masked": "What it would put in place of a token, were it masked.",
    "answer": "What its decoder says next.",
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
    held = place_of(found, chosen)
    place = usual_place(found) if held is None else held
    actual = found.actual[place]
    truth = "" if actual is None else f" Truly: “{plain(actual)}”, {np.exp(-found.surprise[place]):.1%}."
    told = ABOUT[found.kind]
    if held is None and found.kind != "class" and chosen is not USUAL:  # where tokens can be held
        other = chosen.token is not None
        told += " The one that is held has no prediction." if other else " Hold a token above to choose the place."
    st.caption(f"{told}{truth if found.kind != 'masked' else ''}")
    st.markdown(f"Likeliest{where(found, place)}")
    draw(
        charts.likely,
        distinct(found.top[place][:TOP]),
        found.probabilities[place][:TOP],
        None,
        key="predictions",
        says=f"The likeliest answers: {', '.join(found.top[place][:3])}",
    )
    if np.isfinite(found.surprise).sum() > 1:
        shifted = [position + (found.kind != "masked") for position in found.positions]
        tokens = (*found.tokens, found.actual[-1] or "")
        draw(
            charts.surprise,
            tokens,
            shifted,
            found.surprise,
            shifted[place],
            key="surprise",
            says="How surprising each token was",
        )


def place_of(found: Predictions, chosen: Selection) -> int | None:
    """The prediction that belongs to the held token; None where none is held, or where it has none."""
    if chosen.token is not None and chosen.part in ("self", "decoder", "cross", "") and chosen.token in found.positions:
        return found.positions.index(chosen.token)
    return None


def usual_place(found: Predictions) -> int:
    """The prediction that is shown unless a token is held: what comes next, or the first."""
    return len(found.positions) - 1 if found.kind == "next" else 0


def where(found: Predictions, place: int) -> str:
    """Where a prediction stands, in words that follow another."""
    if found.kind in ("next", "answer"):
        return f" after “{plain(before(found, place))}”"
    if found.kind == "class":
        return ""
    actual = found.actual[place]
    return f" instead of “{plain(actual)}”" if actual else f" for token {found.positions[place] + 1}"


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
