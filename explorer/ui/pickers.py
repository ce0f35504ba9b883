"""Choose a model: a shipped one, one of one's own runs, or any other by its ref."""

import streamlit as st

from explorer import runs, zoo
from explorer.ui.person import person

DEFAULT = "zoo:shapes-resnet"


def model_picker(key: str = "model") -> str:
    """The ref of the chosen model, bound to `?model=`; a ref may be typed too."""
    titles = {card.ref: f"{card.title} · {card.ref}" for card in zoo.cards()}
    titles |= {
        run.ref: f"{run.name} · {run.metrics.get('test accuracy', 0):.1%} · {run.created:%d %b %H:%M}"
        for run in runs.listing(person())
        if runs.checkpoints(runs.folder(run.id))
    }
    options = list(titles)
    linked = st.query_params.get(key) or st.session_state.get(key)
    if linked and linked not in options:
        options.append(linked)
    return st.selectbox(
        "Model",
        options,
        options.index(DEFAULT) if DEFAULT in options else 0,
        key=key,
        bind="query-params",
        persist_state="session",
        accept_new_options=True,
        format_func=lambda ref: titles.get(ref, ref),
        help="Choose one, or type a name: `torchvision:resnet18`, `hf:microsoft/resnet-18`, `run:<id>@<step>`.",
    )
