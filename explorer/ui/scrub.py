"""What is recorded once and scrubbed in the browser: where a person rests, kept as new recordings come."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import streamlit as st

from explorer.charts.theme import DARK, LIGHT
from explorer.ui.component import component
from explorer.ui.links import refused
from explorer.ui.pickers import follow, new_link, to_link


def scrub(name: str, key: str, counts: Sequence[int], at: int | None, data: dict[str, Any]) -> int:
    """Draw the component `name` under one transport bar; gives the frame where the person rests.

    counts: the frames of each recording; the bar has those of the longest. ValueError where nothing was recorded.
    at: where it starts, unless `?<key>-at=` in the link says another; None: at the last frame. Later the bar stays
    where it is while new data have that frame; at the end it stays at the end. Resting reruns the page, or the
    fragment that it is in; playing and scrubbing do not.
    """
    if not counts:
        raise ValueError(f"{key}: nothing was recorded")
    frames = max(counts)
    state, seed = st.session_state, f"{key}-seed"
    if key not in state or seed not in state:  # first drawn, or drawn again
        state[seed] = uuid4().hex
    usual = frames - 1 if at is None else min(max(at, 0), frames - 1)
    start = _linked(f"{key}-at", usual, frames)
    said = state.get(key)
    before = settle(said.get("rest") if isinstance(said, Mapping) else None, frames, start)
    palettes = {
        name: {"categorical": palette.categorical, "signed": palette.diverging}
        for name, palette in (("light", LIGHT), ("dark", DARK))
    }
    sent = {
        "key": key,
        "seed": state[seed],
        "frames": frames,
        "at": before,
        "palettes": palettes,
        "print": hashlib.sha256(json.dumps(data).encode()).hexdigest(),  # the same: nothing is to be decoded again
        **data,
    }
    now = component(name, "transport", name)(key=key, data=sent, default={"rest": None}, on_rest_change=lambda: None)
    rest = settle(now.get("rest"), frames, start)
    state[f"{key}-at"] = str(rest)
    to_link(f"{key}-at", str(rest), str(usual))
    return rest


def _linked(key: str, usual: int, frames: int) -> int:
    """The frame that the link says, where there is such a one; else the usual one, which may become another."""
    asked = follow(key, str(usual))
    if asked.isdecimal() and len(asked) < 6 and int(asked) < frames:
        return int(asked)
    if new_link(key):
        refused("Frame", key, asked, str(usual))
    return usual


def settle(rest: Any, frames: int, start: int) -> int:
    """The frame of what the browser reported, which may be anything, or of a recording that had more or fewer."""
    try:
        at, of = int(rest["at"]), int(rest["of"])
    except (TypeError, KeyError, ValueError, OverflowError):
        return start
    return at if 0 <= at < min(of - 1, frames) else frames - 1
