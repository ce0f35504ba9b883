"""The sanity check: which maps don't notice that the network has forgotten everything?"""

import numpy as np
import streamlit as st

from explorer.attribution import METHODS
from explorer.attribution.arena import Question, Settings
from explorer.attribution.sanity import STEPS, Cascade, cascade
from explorer.charts import attribution as charts
from explorer.ui.attribution.maps import show, tile
from explorer.ui.attribution.methods import afford
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.page import guard
from explorer.ui.transport import transport
from explorer.zoo.model import Model


def sanity(model: Model, question: Question, methods: dict[str, Settings]) -> None:
    """Make it forget, from the last layer to the first, and watch the maps."""
    st.caption(
        "Layer by layer, from the last one on, random weights replace what the network has learned. A map that "
        "hardly changes was not about what it had learned (Adebayo et al. 2018)."
    )
    plain_methods = tuple(methods)
    if not plain_methods:
        st.info("Choose at least one method above.", icon=":material/arrow_upward:")
        return
    if not _cascade.held(question, plain_methods):
        afford(model, dict.fromkeys(plain_methods, ()), question, STEPS + 1)
    with st.spinner("Forgetting …", show_time=True):
        found = _cascade(question, plain_methods)
    _film(found, question.example.mask)


@kept(known={Question: lambda question: question.key})
def _cascade(question: Question, methods: tuple[str, ...]) -> Cascade:
    return cascade(question.ref, question.example.pixels, methods, question.target, question.layer, question.seed)


@st.fragment
@guard()
def _film(found: Cascade, mask: np.ndarray | None) -> None:
    last = len(found.forgotten) - 1
    at = transport("Forgotten", range(last + 1), key="forgotten", format=lambda step: _called(found, step))
    drawn = [
        tile(one, mask, note=f"like the first map: {value:.2f}" if np.isfinite(value) else "the map is empty")
        for one, value in zip(found.maps[at], found.similarity[at], strict=True)
    ]
    show(drawn, "sanity")
    titles = [METHODS[name].facts["title"] for name in found.methods]
    draw(charts.cascade, found, titles, at, key="cascade", says="How like its first map each map still is")


def _called(found: Cascade, step: int) -> str:
    if step == 0:
        return "nothing, the network as it was trained"
    layers = f"`{found.forgotten[step]}` and all after it"
    return f"{step} of {len(found.forgotten) - 1} parts: {layers}"
