"""Which methods are asked, with which settings, and at what price."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.attribution import METHODS, unfit
from explorer.attribution.arena import DEFAULT, Question, Settings, estimate, fitting, settled, unanswered
from explorer.params import params
from explorer.settings import settings
from explorer.ui.controls import controls
from explorer.ui.links import told
from explorer.ui.number import number_input
from explorer.ui.page import plain
from explorer.ui.pickers import linked, to_link
from explorer.ui.price import ask_first, lasting
from explorer.zoo.model import Model


def methods(model: Model, aside: DeltaGenerator, key: str = "methods") -> dict[str, Settings]:
    """The chosen methods, each with its settings where they differ from the defaults; all of it in the URL.

    aside: where the settings go.
    """
    offered = fitting(model)
    usual = [name for name in DEFAULT if name in offered]
    state, before = f"{key}-chosen", st.session_state.get(key)
    asked = _asked(key, usual)
    if state not in st.session_state or st.session_state[key] != before:  # first drawn here, or the link says another
        st.session_state[state] = asked
    st.session_state[state] = [name for name in st.session_state[state] if name in offered]
    chosen = st.pills(
        "Methods",
        offered,
        selection_mode="multi",
        wrap=True,
        key=state,
        format_func=lambda name: METHODS[name].facts["title"],
        help="Random and Sobel know nothing of the network: what is no better than they are explains nothing.",
    )
    chosen = [name for name in [*usual, *offered] if name in chosen]
    chosen = list(dict.fromkeys(chosen))
    st.session_state[key] = ",".join(chosen)
    to_link(key, st.session_state[key], ",".join(usual))
    refused = [f"**{METHODS[name].facts['title']}**: {plain(why)}" for name in METHODS if (why := unfit(model, name))]
    with aside, st.expander("Settings of the methods", icon=":material/tune:"):
        values = {name: _settings(name) for name in chosen}
        number_input("Seed of all chance", 0, 2**31 - 1, 0, key="seed")
    if refused:
        with aside, st.expander(f"{len(refused)} that don't go with this network", icon=":material/block:"):
            st.markdown("\n".join(f"- {line}" for line in refused))
    return values


def _asked(key: str, usual: list[str]) -> list[str]:
    """The names in the URL or the state; unknown ones are told, and the usual ones taken where no other is left."""
    names = [name for name in linked(key, ",".join(usual)).split(",") if name]
    if unknown := [name for name in names if name not in METHODS]:
        told(key)
        named = plain(", ".join(unknown))
        st.warning(f"Methods in the link: there is none called {named}.", icon=":material/link_off:")
    known = [name for name in names if name in METHODS]
    return usual if unknown and not known else known


def _settings(name: str) -> Settings:
    entry = METHODS[name]
    if not params(entry.make):
        return ()
    st.markdown(f"**{entry.facts['title']}**", help=entry.summary)
    return settled(name, controls(entry.make, prefix=f"{name}_"))


def afford(model: Model, chosen: dict[str, Settings], question: Question, times: int = 1) -> None:
    """Say what the methods cost; raises AskFirst where what is not kept costs much, and was not agreed to.

    It is agreed to for a network, on a shared server for each question. times: how often each method is asked; the
    answers kept are those of the first time.
    """
    passes, seconds = (times * value for value in estimate(model, chosen))
    due = times * estimate(model, unanswered(question, chosen) if times == 1 else chosen)[1]
    st.caption(f"At most {passes:,} passes through the network, about {lasting(seconds)} here.")
    about = question.key if settings().shared else model.card.ref
    ask_first({("maps", about, tuple(chosen.items()), times): due})
