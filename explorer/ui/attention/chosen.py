"""The one selection that all views share, in the browser and in the link: part, layer, heads, token."""

import time

import streamlit as st

from explorer.attention import AttentionPatterns
from explorer.attention.base import Part
from explorer.attention.roles import recorded
from explorer.ui.attention_views import Selection, choose, fit
from explorer.ui.links import refused

KEY = "attention"  # of the component
LATE = 3.0  # seconds within which a link that this session wrote may come back after a newer one
FIRST = 1  # layers and heads are counted from 1 for people
FIELDS = ("show", "part", "layer", "head", "token")  # as they stand in the URL


def selected(found: AttentionPatterns) -> Selection:
    """What is selected: what was clicked last, else what the link says, else what this network shows first."""
    state, usual = st.session_state, _usual(found)
    kept, asked = state.get("selection"), _in_link()
    reported = (state.get(KEY) or {}).get("selection")
    clicked = reported is not None and reported != state.get("selection-reported")
    state["selection-reported"] = reported
    if kept is not None and fit(kept, found) == fit(state["selection-usual"], found) != usual:
        kept = None  # untouched, of the network before
        choose(KEY, usual)
    links = [state.get("selection-linked"), *([] if time.monotonic() > state.get("late", 0) else state["links"])]
    if kept is None or not (clicked or asked in links):
        first, kept = kept is None, _linked(asked, kept or usual, usual)
        shown = _words(fit(kept, found))
        for name, text in asked.items():
            if first and text not in (None, shown[name]):
                refused(name.capitalize(), name, text, shown[name] or "none")
        choose(KEY, fit(kept, found))
    state["selection"], state["selection-usual"] = kept, usual
    return fit(kept, found)


def keep(found: AttentionPatterns, selection: Selection, redraw: bool = False) -> None:
    """Remember a selection and put it into the link; `redraw` shows it in the component too."""
    st.session_state["selection"], usual = selection, _usual(found)
    values, first = _words(selection), _words(usual)
    for name in FIELDS:
        if values[name] == first[name]:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = values[name]
    state, linked = st.session_state, _in_link()
    if linked != state.get("selection-linked"):  # for a moment a browser may still send the links before this one
        state["links"] = [*state.get("links", [])[-20:], state.get("selection-linked")]
        state["late"] = time.monotonic() + LATE
    state["selection-linked"] = linked
    if redraw:
        choose(KEY, selection)


def _words(selection: Selection) -> dict[str, str]:
    """A selection as it stands in the link."""
    return {
        "show": selection.view,
        "part": selection.part,
        "layer": str(selection.layer + FIRST),
        "head": ",".join(str(head + FIRST) for head in selection.heads),
        "token": "" if selection.token is None else str(selection.token),
    }


def _in_link() -> dict[str, str | None]:
    return {name: st.query_params.get(name) for name in FIELDS}


def part_of(found: AttentionPatterns, selection: Selection) -> Part:
    """The part that is selected."""
    return found.part(fit(selection, found).part)


def heads_of(selection: Selection) -> tuple[tuple[str, int, int], ...]:
    """The selected heads, as `ablate` takes them."""
    return tuple((selection.part, selection.layer, head) for head in selection.heads)


def named(selection: Selection) -> str:
    """The selected heads in words."""
    heads = ", ".join(str(head + FIRST) for head in selection.heads)
    part = f"{selection.part}, " if selection.part not in ("", "self") else ""
    return f"{part}layer {selection.layer + FIRST}, head{'s' if len(selection.heads) > 1 else ''} {heads}"


def head_picker(found: AttentionPatterns, selection: Selection) -> Selection:
    """Menus for part, layer and head, for views without the component."""
    with st.container(horizontal=True):
        parts = [part.name for part in found.parts]
        part = selection.part
        if len(parts) > 1:
            part = st.selectbox("Part", parts, parts.index(part), key=f"pick-part-{part}", width=140)
        now = found.part(part)
        layer = _number("Layer", f"{part}-{selection.layer}", now.layers, selection.layer)
        head = _number("Head", f"{part}-{selection.heads[0]}", now.heads, selection.heads[0])
    chosen = fit(Selection(selection.view, part, layer, (head,), selection.token), found)
    if (chosen.part, chosen.layer, chosen.heads[0]) != (selection.part, selection.layer, selection.heads[0]):
        keep(found, chosen, redraw=True)
        return chosen
    return selection


def _number(label: str, key: str, count: int, chosen: int) -> int:
    """A menu of layers or heads, counted as people do."""
    options, index = range(count), min(chosen, count - 1)
    named = f"pick-{label}-{key}"
    return st.selectbox(label, options, index, key=named, format_func=lambda one: str(one + FIRST), width=110)


def clicked(event, found: AttentionPatterns, selection: Selection, part: str) -> None:
    """Take the head that was clicked in a chart of layers × heads."""
    points = event.selection.get("head", []) if event else []
    if points:
        place = points[0]["layer"] - FIRST, points[0]["head"] - FIRST
        if (part, *place) != (selection.part, selection.layer, selection.heads[0]):
            keep(found, Selection(selection.view, part, place[0], (place[1],), selection.token), redraw=True)
            st.rerun(scope="fragment")


def _usual(found: AttentionPatterns) -> Selection:
    """What is shown first: patches over their picture, else lines between tokens, of the head that is known best."""
    scores = recorded(found.ref)
    part, layer, head = (scores and scores.telling()) or (found.parts[0].name, 0, 0)
    return fit(Selection("image" if found.patches else "heads", part, layer, (head,)), found)


def _linked(asked: dict[str, str | None], otherwise: Selection, usual: Selection) -> Selection:
    """The selection of a link; what it leaves out is as usual, and what makes no sense there is left out."""
    said = _words(usual) | {name: value for name, value in asked.items() if value is not None}
    try:
        heads = tuple(int(one) - FIRST for one in said["head"].split(","))
        token = int(said["token"]) if said["token"] else None
        return Selection(said["show"], said["part"], int(said["layer"]) - FIRST, heads, token)
    except ValueError:
        return otherwise
