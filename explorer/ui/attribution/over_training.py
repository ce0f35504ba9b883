"""Over training: the same picture, explained at every checkpoint of the run."""

import streamlit as st

from explorer import zoo
from explorer.attribution.arena import Question, Settings, ask
from explorer.ui.attribution.maps import show, tiles
from explorer.ui.attribution.methods import afford
from explorer.ui.attribution.question import answer
from explorer.ui.page import guard, plain
from explorer.ui.runs import open_run
from explorer.ui.transport import transport
from explorer.zoo.model import Model


def over_training(model: Model, question: Question, methods: dict[str, Settings]) -> None:
    """Replay the maps as the network learns."""
    parsed = zoo.parse(model.card.ref)
    if parsed.source != "run":
        st.info(
            "Only the runs that were trained here kept their checkpoints. Train one on the **Training** page: it takes "
            "seconds; then choose it on the left.",
            icon=":material/show_chart:",
        )
        st.page_link("pages/training.py", label="Train a network", icon=":material/show_chart:")
        return
    run = open_run(f"run:{parsed.name}")
    afford(model, methods, question)
    _film(run, question, methods)


@st.fragment
@guard()
def _film(run, question: Question, methods: dict[str, Settings]) -> None:
    step = transport("Checkpoint", run.checkpoints, key="checkpoint", format=lambda step: f"step {step}")
    ref = f"{run.ref}@{step}"
    then = zoo.load(ref)
    probabilities = answer(then, question.example)
    guess = int(probabilities.argmax())
    st.markdown(
        f"At step {step} it says **{plain(then.labels[guess])}** ({probabilities[guess]:.1%}); "
        f"**{plain(then.labels[question.target])}**, which is explained, gets {probabilities[question.target]:.1%}."
    )
    asked = Question(ref, question.example, question.target, question.versus, question.layer, question.seed)
    show(tiles(ask(asked, methods), question.example.mask), "over-training")
