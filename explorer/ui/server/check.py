"""The start-up check on the screen: what is missing first, then all that is here."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from explorer.server import check as checking
from explorer.server.check import GOOD, LOOK, MISSING, Check
from explorer.ui.page import plain

MARKS = {GOOD: "✓", LOOK: "!", MISSING: "✗"}
FRESH = 30  # seconds for which a look at the machine is good


def check() -> None:
    """The verdict, what there is to do, everything that was looked at, and the limits."""
    st.subheader("What is here, and what is missing", anchor=False)
    found = [*_looked(), *st.session_state.get("hub", ())]
    _verdict(found)
    shown = pd.DataFrame(
        [(one.name, f"{MARKS[one.state]} {plain(one.found)}") for one in found], columns=["what", "found"]
    )
    left, right = st.columns(2, gap="large")
    with left, st.expander("What was looked at", icon=":material/checklist:"):
        st.table(shown.set_index("what"), alt="What was looked at, and what was found")
        if st.button("Try the Hugging Face Hub as well", icon=":material/cloud:", key="try-hub",
                     help="Nothing else on this page asks the network."):  # fmt: skip
            with st.spinner("Asking the Hub …"):
                st.session_state["hub"] = [checking.hub()]
            st.rerun()
    with right, st.expander("The limits here", icon=":material/speed:"):
        st.table(
            pd.DataFrame(checking.limits(), columns=["limit", "here", "of what"]).set_index("limit"), alt="Every limit"
        )
        st.caption("Each is set by its name: `EXPLORER_EPOCHS=20`.")


@st.cache_data(ttl=FRESH, max_entries=1, show_spinner=False)
def _looked() -> list[Check]:
    return checking.checks()


def _verdict(found: Sequence[Check]) -> None:
    wrong = [one for one in found if one.state != GOOD]
    if not wrong:
        st.success(f"All {len(found)} that were looked at are as they should be.", icon=":material/check:")
    for one in sorted(wrong, key=lambda one: one.state != MISSING):
        box, icon = (st.error, "error") if one.state == MISSING else (st.info, "info")
        box(f"**{plain(one.name)}:** {plain(one.found)}. {plain(one.do)}.", icon=f":material/{icon}:")
