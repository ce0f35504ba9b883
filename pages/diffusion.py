"""Diffusion: step through sampling, see what the network believes, and steer it."""

import streamlit as st

from explorer import zoo
from explorer.diffusion.sample import opened
from explorer.ui.catalogue import catalogue, generates
from explorer.ui.checkpoint import at_checkpoint
from explorer.ui.diffusion.fork import fork
from explorer.ui.diffusion.forward import forward
from explorer.ui.diffusion.guidance import guidance
from explorer.ui.diffusion.own_points import own_points
from explorer.ui.diffusion.pinned import pin_of, pinned
from explorer.ui.diffusion.plane import score_field
from explorer.ui.diffusion.quality import quality
from explorer.ui.diffusion.question import draws, question
from explorer.ui.diffusion.reverse import reverse
from explorer.ui.diffusion.samplers import samplers
from explorer.ui.diffusion.words import words
from explorer.ui.page import guard, inside_app, plain
from explorer.ui.pickers import agreed, model_picker
from explorer.ui.pins import chip
from explorer.ui.row import one_of

VIEWS = {
    "From noise": reverse,
    "Into noise": forward,
    "Samplers": samplers,
    "Guidance": guidance,
    "Another future": fork,
    "Words": words,
    "A and B": pinned,
    "Score field": score_field,
    "Your points": own_points,
    "How good?": quality,
}
FITS = {  # what a view needs of the network
    "Guidance": lambda model: model.avoids and model.x_shape != (2,),
    "Words": lambda model: model.kind == "text",
    "Score field": lambda model: model.x_shape == (2,),
}
USUAL = "zoo:shapes-diffusion"

inside_app()
st.title("From noise to a picture, step by step", anchor=False)
with guard():
    left, right = st.columns([1, 3], gap="large")
    with left:
        ref = at_checkpoint(model_picker(draws, USUAL), "The same noise at every checkpoint.")
        catalogue(generates)
        agreed(ref)
        with st.spinner(f"Opening {plain(ref)}", show_time=True):
            model = opened(zoo.load(ref))
    with right:
        views = [name for name in VIEWS if FITS.get(name, lambda model: True)(model)]
        view = one_of("View", views, default="From noise", key="view", wrap=True, label_visibility="collapsed")
    with left:
        wish = question(model)
        chip(pin_of(wish))
    with right:
        VIEWS[view](model, wish)
