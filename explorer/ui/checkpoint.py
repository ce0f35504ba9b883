"""Which checkpoint of a run is opened."""

import streamlit as st

from explorer import runs, zoo

KEY, OF = "at", "at-of"


def at_checkpoint(ref: str, help: str = "") -> str:
    """The ref of a run at the checkpoint that is chosen, `?at=` in the URL, the best one first; any other as it is."""
    parsed = zoo.parse(ref)
    if parsed.source != "run":
        return ref
    folder = runs.folder(parsed.name)
    kept, best = runs.checkpoints(folder), runs.best(folder)
    if len(kept) < 2:
        return ref
    if st.session_state.get(OF) != ref or st.session_state.get(KEY) not in kept:  # of another run, or a newer link
        st.session_state.pop(KEY, None)
    st.session_state[OF] = ref
    named = {0: " (untrained)", best: " (lowest validation loss)", kept[-1]: " (last)"}
    asked = parsed.step if parsed.step in kept else best
    step = st.select_slider("Checkpoint", kept, asked, key=KEY, bind="query-params", help=help or None)
    st.caption(f"After step {step}{named.get(step, '')}.")
    return f"run:{parsed.name}@{step}"
