"""Attention: who looks at whom in every head, what each head does, and whether it matters."""

import streamlit as st

from explorer import zoo
from explorer.ui.attention.change import changed
from explorer.ui.attention.flow import flow
from explorer.ui.attention.from_scratch import from_scratch
from explorer.ui.attention.heads import heads
from explorer.ui.attention.matter import matter
from explorer.ui.attention.question import pin_of, question
from explorer.ui.attention.roles import roles
from explorer.ui.catalogue import attends, catalogue
from explorer.ui.page import guard, inside_app, plain
from explorer.ui.pickers import model_picker, reads_with_attention
from explorer.ui.pins import chip
from explorer.ui.row import one_of

VIEWS = {
    "Heads": heads,
    "What does each do?": roles,
    "Does it matter?": matter,
    "Change it": changed,
    "Flow": flow,
}
LESSON = "From scratch"

inside_app()
st.title("Who looks at whom?", anchor=False)
view = one_of(
    "View",
    [*VIEWS, LESSON],
    default="Heads",
    key="see",
    wrap=True,
    label_visibility="collapsed",
)
with guard():
    if view == LESSON:
        from_scratch()
    else:
        left, right = st.columns([1, 3], gap="large")
        with left:
            ref = model_picker(reads_with_attention, "zoo:story-gpt")
            catalogue(attends)
            with st.spinner(f"Opening {plain(ref)}", show_time=True):
                model = zoo.load(ref)
            asked = question(model)
            chip(pin_of(asked), asked.given)
        with right, guard():
            VIEWS[view](model, asked)
