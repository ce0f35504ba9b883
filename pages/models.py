"""Open a model: its card, its layers, and its answer to a picture or a text."""

import streamlit as st

from explorer import zoo
from explorer.charts import models as charts
from explorer.ui.attention.predicted import predicted
from explorer.ui.attention.question import question
from explorer.ui.draw import draw
from explorer.ui.examples import example
from explorer.ui.models import answered, card_of, layers_of
from explorer.ui.page import inside_app, plain
from explorer.ui.pickers import model_picker
from explorer.zoo.card import GENERATION_TASKS, TEXT_TASKS

inside_app()
st.title("Open a network", anchor=False)
ref = model_picker()
with st.spinner(f"Opening {plain(ref)}", show_time=True):
    model = zoo.load(ref)
card_of(model)
inside = {"model": ref}
st.page_link("pages/activations.py", label="Look inside every layer", icon=":material/layers:", query_params=inside)

left, right = st.columns([1, 1.4], gap="large")
if model.card.task in GENERATION_TASKS:
    left.page_link(
        "pages/diffusion.py",
        label="Watch it draw, step by step",
        icon=":material/blur_on:",
        query_params={"model": ref},
    )
elif model.card.task in TEXT_TASKS:
    with left:
        asked = question(model)
    with right:
        predicted(model, asked)
else:
    with left:
        x, true = example(model)
    with right:
        st.markdown("**Its answer**")
        draw(charts.answer, answered(model, x), model.labels, true, key="answer", says="The most probable classes")
layers_of(model)
