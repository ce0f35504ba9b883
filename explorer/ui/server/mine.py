"""What a person keeps here, and how they get rid of it."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from explorer import belongings
from explorer.errors import ExplorerError
from explorer.server import mine as keeping
from explorer.server.mine import Kept
from explorer.settings import MB, settings
from explorer.ui.page import refuse
from explorer.ui.person import person
from explorer.ui.words import ago

OPENS = {  # what has a page that opens it
    belongings.RUN: "training?run=run:{}", belongings.RACE: "training?view=Is+it+real%3F&raced={}",
    belongings.UPLOAD: "training?data=own:{}",
}  # fmt: skip


def mine() -> None:
    """How much there is of what there may be, a list, and a button that deletes what is chosen from it."""
    st.subheader("What you keep here", anchor=False)
    found, limits = keeping.kept(person()), settings().limits
    held, runs = sum(one.thing.bytes for one in found), sum(one.runs for one in found)
    if not found:
        st.caption("Nothing yet: runs, races, uploads and measurements will be listed here.")
        return
    if settings().shared:
        st.progress(
            min(1.0, held / limits.keep), f"{_size(held)} of {_size(limits.keep)}, {runs} of {limits.runs} runs"
        )
        st.caption(
            f"It is yours for as long as this browser stays open: keep the links of what you want to find later. "
            f"{_days(limits.unseen).capitalize()} after your last visit it is removed."
        )
    else:
        st.caption(f"{_size(held)} in all. Runs and uploads stay until you delete them.")
    if error := st.session_state.pop("delete-refused", None):
        refuse(error)
    rows = [
        {
            "what": one.thing.kind,
            "of": one.title,
            "size": _size(one.thing.bytes),
            "last used": _used(one),
            "open": OPENS[one.thing.kind].format(one.thing.id) if one.thing.kind in OPENS else None,
        }
        for one in found
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height=min(35 * len(rows) + 38, 300),
                 column_config={"open": st.column_config.LinkColumn(display_text="open")})  # fmt: skip
    by_id = {one.thing.id: one for one in found}
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    chosen = left.multiselect(
        "To delete", list(by_id), key="to-delete", placeholder="Choose what you need no more",
        format_func=lambda id: _called(by_id[id]) if id in by_id else id,
    )  # fmt: skip
    right.button("Delete for good", icon=":material/delete:", key="delete", width="stretch", disabled=not chosen,
                 on_click=_delete, args=([by_id[id] for id in chosen if id in by_id],))  # fmt: skip


def _delete(chosen: list[Kept]) -> None:
    try:
        for one in chosen:
            keeping.delete(one.thing, person())
    except ExplorerError as error:
        st.session_state["delete-refused"] = error
    st.session_state["to-delete"] = []


def _called(one: Kept) -> str:
    return f"{one.thing.kind} {one.title} · {_size(one.thing.bytes)} · {_used(one)}"


def _used(one: Kept) -> str:
    return ago(datetime.fromtimestamp(one.thing.used, UTC))


def _size(size: int) -> str:
    return f"{size / MB:,.1f} MB"


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:g} days" if seconds > 86_400 else f"{seconds / 3600:g} hours"
