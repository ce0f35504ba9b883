"""Train a network: choose, start, watch, and look at it again at any checkpoint."""

import streamlit as st

from explorer import jobs, runs, training
from explorer.settings import settings
from explorer.ui import own_data
from explorer.ui.page import guard, inside_app
from explorer.ui.person import person
from explorer.ui.pickers import linked, to_link
from explorer.ui.recipe import code, recipe
from explorer.ui.runs import show
from explorer.ui.runs_list import runs_list

SHIPPED = "zoo:digits-lenet"  # what there is to look at before the first click

inside_app()
st.title("Train a network", anchor=False)
if settings().limits.idle == 0:  # where a worker may stay, it is ready before Start is pressed
    jobs.engine().warm_up()
    runs.warm_up()
left, right = st.columns([1, 2.4], gap="large")

linked("run", SHIPPED)

with left:
    place = st.container()  # the button stands above what it starts
    config = recipe(own_data.names())
    with place, guard():
        if st.button("Start training", type="primary", icon=":material/play_arrow:", width="stretch", key="start"):
            st.session_state["run"] = f"run:{training.start(config, person())}"
    own_data.add()
    with st.expander("The same in Python", icon=":material/code:"):
        st.code(code(config), language="python")

ref = st.session_state["run"]
with right, guard():
    to_link("run", ref, SHIPPED)
    if ref == SHIPPED:
        st.caption("A recorded run to look at. Press **Start training** to make your own: it takes seconds.")
    show(ref)

with left, guard():
    runs_list(runs.listing(person()), ref)
