"""Every head of one reading, with what the network expects beside it, and what the chosen head is worth."""

import streamlit as st

from explorer.ui.attention.chosen import KEY, keep, selected
from explorer.ui.attention.matter import worth
from explorer.ui.attention.predicted import predicted
from explorer.ui.attention.question import Asked, patterns_of
from explorer.ui.attention.roles import scores_of, short
from explorer.ui.attention.takeaway import takeaway
from explorer.ui.attention_views import attention_views
from explorer.ui.page import guard
from explorer.zoo.model import Model


@st.fragment
@guard()
def heads(model: Model, asked: Asked) -> None:
    """The views that share one selection; only this part of the page runs again after a click."""
    found = patterns_of(model, asked)
    scores = scores_of(model, wait=False)
    chosen = attention_views(found, KEY, selected(found), roles=short(scores) if scores else None)
    keep(found, chosen)
    left, right = st.columns(2, gap="large")
    with left:
        predicted(model, asked, chosen)
    with right:
        worth(model, asked, found, chosen)
    takeaway(model, asked, found, chosen, scores)
