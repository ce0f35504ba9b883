"""Saliency: which parts of a picture made a network answer so, by many methods, each with the measure of its trust."""

import streamlit as st

from explorer import zoo
from explorer.ui.attribution.arena import arena
from explorer.ui.attribution.board import board
from explorer.ui.attribution.by_layer import by_layer
from explorer.ui.attribution.methods import methods
from explorer.ui.attribution.over_training import over_training
from explorer.ui.attribution.pinned import pin_of, pinned
from explorer.ui.attribution.question import question
from explorer.ui.attribution.sanity import sanity
from explorer.ui.attribution.shortcut import shortcut
from explorer.ui.page import guard, inside_app
from explorer.ui.pickers import classifies_pictures, model_picker
from explorer.ui.pins import chip
from explorer.ui.row import one_of

VIEWS = {
    "Arena": arena,
    "By layer": by_layer,
    "Sanity check": sanity,
    "Over training": over_training,
    "A and B": pinned,
    "Leaderboard": board,
}
LESSON = "A planted shortcut"

inside_app()
st.title("What speaks for this answer?", anchor=False)
view = one_of(
    "View",
    [*VIEWS, LESSON],
    default="Arena",
    key="view",
    wrap=True,
    label_visibility="collapsed",
)
with guard():
    if view == LESSON:
        shortcut()
    else:
        left, right = st.columns([1, 3], gap="large")
        with left:
            model = zoo.load(model_picker(classifies_pictures))
            asked = question(model)
            if VIEWS[view] is not pinned:  # which pins the method too
                chip(pin_of(asked), asked.example.pixels)
        with right:
            chosen = methods(model, left)
            VIEWS[view](model, asked, chosen)
