"""Train a network: choose, see what it will do, start, watch, judge it, and race one recipe against another."""

import streamlit as st

from explorer import jobs, runs, training
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.training import TrainConfig
from explorer.ui import own_data
from explorer.ui.begun import begin
from explorer.ui.page import guard, inside_app, refuse
from explorer.ui.person import person
from explorer.ui.pickers import linked, to_link
from explorer.ui.recipe import recipe
from explorer.ui.row import one_of
from explorer.ui.runs import own_runs
from explorer.ui.runs_list import listed_runs, runs_list
from explorer.ui.training.before import before
from explorer.ui.training.code import code
from explorer.ui.training.play import play, play_recipe
from explorer.ui.training.race import race_view
from explorer.ui.training.run import is_live, show, show_live

SHIPPED = "zoo:digits-lenet"  # what there is to look at before the first click
RUN, PLAY = "The run", "Playground"
VIEWS = {"Before it runs": before, "Is it real?": race_view, "Code": code}

inside_app()
st.title("Train a network", anchor=False)
if settings().limits.idle == 0:  # where a worker may stay, it is ready before Start is pressed
    jobs.engine().warm_up()
runs.warm_up()
linked("run", SHIPPED)
# Above both columns: on a phone they stand below each other.
view = one_of("View", [RUN, *VIEWS, PLAY], default=RUN, key="view", wrap=True, label_visibility="collapsed")
left, right = st.columns([1, 2.4], gap="large")


def start() -> None:
    """Queue the recipe that was on the left when the button was pressed, and look at it."""
    try:
        wanted = st.session_state["recipe"]
        begin("run", lambda: f"run:{training.start(wanted, person())}")
        st.session_state["view"] = RUN
    except ExplorerError as error:
        st.session_state["start-refused"] = error


def choose() -> TrainConfig:
    """The levers on the left, and Start above them; what is set."""
    with left:
        if view == PLAY:
            return play_recipe()
        place = st.container()  # the button stands above what it starts
        config = st.session_state["recipe"] = recipe(own_data.names())
        with place:
            st.button("Start training", type="primary", icon=":material/play_arrow:", width="stretch", key="start",
                      on_click=start)  # fmt: skip
            if error := st.session_state.pop("start-refused", None):
                refuse(error)
                for run in (one for one in own_runs(5) if one.state == "running"):
                    st.page_link("pages/training.py", label="Look at the one that goes on", icon=":material/sync:",
                                 query_params={"run": run.ref})  # fmt: skip
        own_data.add()
    return config


def look(config: TrainConfig | None) -> None:
    """What was chosen to be seen, on the right."""
    with right, guard():
        to_link("run", ref, SHIPPED)
        if view == PLAY:
            play(config)
        elif view != RUN:
            VIEWS[view](config)
        elif live:
            show_live(ref)
        else:
            if ref == SHIPPED:
                st.caption("A recorded run to look at. Press **Start training** to make your own: with these levers, "
                           "in seconds.")  # fmt: skip
            show(ref)


ref = st.session_state["run"]
live = view == RUN and is_live(ref)
if live:  # where many press Start at once, each sees its place before the levers are drawn anew
    look(None)
config = choose()
if not live:
    look(config)

with left, guard():
    runs_list(listed_runs(), ref)
