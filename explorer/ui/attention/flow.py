"""Flow: what of each token has arrived at a token after all layers, and why even that is no explanation yet."""

import numpy as np
import streamlit as st

from explorer.attention import AttentionPatterns, attention_flow, norm_weighted, rollout
from explorer.attention.base import Part
from explorer.charts import attention as charts
from explorer.ui.attention.chosen import keep, part_of, selected
from explorer.ui.attention.question import Asked, patterns_of
from explorer.ui.attention_views import Selection
from explorer.ui.draw import draw
from explorer.ui.heatmaps import Tile, View, heatmaps
from explorer.ui.page import guard, plain
from explorer.ui.row import one_of
from explorer.ui.transport import transport
from explorer.zoo.model import Model

KINDS = {
    "Rollout": "The product of all layers' attention, half of each layer being the residual connection "
    "(Abnar and Zuidema 2020).",
    "Attention flow": "The greatest flow from each token to the chosen one, were attention weights the widths of pipes "
    "(Abnar and Zuidema 2020).",
    "Weights × value norms": "What one layer takes from each token: its attention times the length of what is taken "
    "(Kobayashi et al. 2020).",
    "Weights": "The plain attention of one layer, mean of its heads.",
}
COSTLY = 800  # layers times tokens from which a flow waits for a click


@st.fragment
@guard()
def flow(model: Model, asked: Asked) -> None:
    """One token, seen through all layers, by four ways of adding them up."""
    found = patterns_of(model, asked)
    chosen = selected(found)
    part = part_of(found, chosen)
    if part.name == "cross":
        part = found.part("encoder")
        st.caption("Cross-attention passes nothing on from layer to layer; this is its encoder.")
    names = [name for name in KINDS if "norms" not in name or part.detail is not None]
    kind = one_of("Added up by", names, default=names[0], key="flow", wrap=True)
    st.caption(KINDS[kind])
    token = _token(found, part, chosen)
    costly = kind == "Attention flow" and part.layers * len(part.queries) > COSTLY
    if costly and not st.toggle("Work it out: some seconds", key="flow-now", bind="query-params"):
        return
    layers = _arrived(part, kind, token)
    if found.patches:
        _picture(found, layers)
    else:
        told = f"Where {part.queries[token]} takes from, after each layer"
        draw(charts.arrivals, layers, part.keys, "share", key="arrivals", says=told)
    st.info(
        "Attention shows where a head *may* take from, not what the answer depends on: values may be near zero, later "
        "layers may undo it, and other weights can give the same answer (Jain and Wallace 2019). Ask "
        "**Does it matter?** for an effect that is measured.",
        icon=":material/lightbulb:",
    )


def _token(found: AttentionPatterns, part: Part, chosen: Selection) -> int:
    """The token that is looked from, by the bar of all tokens."""
    last = len(part.queries) - 1
    usual = 0 if found.patches or not part.causal else last
    state, key, mine = st.session_state, f"flow-token-{part.name}-{last}", part.name == chosen.part
    held = chosen.token if mine and chosen.token is not None else usual
    if key not in state or held != state.get(f"{key}-held", held):  # held elsewhere since
        state[key] = held
    token = transport(
        "Token", range(last + 1), key=key, format=lambda place: f"{place + 1} · {plain(part.queries[place])}"
    )
    if mine and token != held:  # moved here
        keep(found, Selection(chosen.view, chosen.part, chosen.layer, chosen.heads, token), redraw=True)
        held = token
    state[f"{key}-held"] = held
    return token


def _arrived(part: Part, kind: str, token: int) -> np.ndarray:
    """(L, T): of every token in the chosen one after each layer."""
    if kind == "Rollout":
        return rollout(part)[:, token]
    if kind == "Attention flow":
        return np.stack([attention_flow(part, token, layers=depth + 1) for depth in range(part.layers)])
    weights = norm_weighted(part) if "norms" in kind else part.weights
    return weights[:, :, token].mean(1)


def _picture(found: AttentionPatterns, layers: np.ndarray) -> None:
    """The same over the patches of a picture."""
    patches = found.patches
    height, width = patches.picture.shape[:2]
    rows = np.arange(height) * patches.rows // height
    columns = np.arange(width) * patches.columns // width
    tiles = []
    for layer, values in enumerate(layers):
        grid = values[patches.before :].reshape(patches.rows, patches.columns)
        tiles.append(Tile(f"After layer {layer + 1}", "", grid[rows][:, columns].astype(np.float32), patches.picture))
    heatmaps(tiles, "flow-maps", View(show="size", opacity=0.75))
