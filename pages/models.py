"""Open a model: its card, its layers, and its answer to a picture."""

import streamlit as st

from explorer import zoo
from explorer.charts import models as charts
from explorer.ui.draw import draw
from explorer.ui.examples import example
from explorer.ui.models import card_of, layers_of
from explorer.ui.page import inside_app
from explorer.ui.pickers import model_picker

inside_app()
st.title("Open a network", anchor=False)
ref = model_picker()
with st.spinner(f"Opening {ref}", show_time=True):
    model = zoo.load(ref)
card_of(model)

left, right = st.columns([1, 1.4], gap="large")
with left:
    x, true = example(model)
with right:
    st.markdown("**Its answer**")
    draw(charts.answer(model.predict(x)[0], model.labels, true), "answer", "The most probable classes")
layers_of(model)
