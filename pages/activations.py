"""Activations: look inside every layer, see what its units want, compare any two networks, and operate on them."""

import streamlit as st

from explorer import zoo
from explorer.ui.activations.beside import brought, pin_of
from explorer.ui.activations.compare import compare
from explorer.ui.activations.embeddings import embeddings
from explorer.ui.activations.health import health
from explorer.ui.activations.layer import layer
from explorer.ui.activations.modelmap import modelmap
from explorer.ui.activations.question import question
from explorer.ui.activations.surgery import surgery
from explorer.ui.activations.takeaway import takeaway
from explorer.ui.activations.tokens import tokens
from explorer.ui.activations.wants import wants
from explorer.ui.catalogue import catalogue
from explorer.ui.checkpoint import at_checkpoint
from explorer.ui.page import guard, inside_app, plain
from explorer.ui.pickers import agreed, model_picker
from explorer.ui.pins import chip
from explorer.ui.row import one_of

VIEWS = {
    "Map": modelmap,
    "Layer": layer,
    "Health": health,
    "What it wants": wants,
    "Embeddings": embeddings,
    "A and B": compare,
    "Surgery": surgery,
    "Tokens": tokens,
}
EARLY = ("Layer", "Health", "Surgery")  # where one layer is looked at: untouched, the first that acts
LATE = ("What it wants",)  # the last that acts, whose units know most

inside_app()
st.title("What does each layer see?", anchor=False)
with guard():
    left, right = st.columns([1, 3], gap="large")
    with left:
        ref = at_checkpoint(model_picker())
        catalogue(lambda entry: True)
        agreed(ref)
        with st.spinner(f"Opening {plain(ref)}", show_time=True):
            model = zoo.load(ref)
    with right:
        view = one_of("View", list(VIEWS), default="Map", key="view", wrap=True, label_visibility="collapsed")
    with left:
        asked = question(model, view in EARLY + LATE, view in LATE)
        chip(pin_of(asked), brought(asked))
    with right:
        with guard():
            VIEWS[view](model, asked)
        if view != "Map":  # which takes the layer away that is chosen there
            takeaway(model, asked)
