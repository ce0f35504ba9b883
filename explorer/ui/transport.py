"""The transport bar of everything that has a course: epochs, layers, timesteps, tokens.

@st.fragment
def film():
    step = transport("Checkpoint", steps, key="checkpoint")
    draw(step)  # only this fragment runs again while it plays
"""

from collections.abc import Callable, Sequence

import streamlit as st

PACE = 600  # milliseconds that a picture stays at least


def transport(label: str, positions: Sequence[int], key: str, format: Callable[[int], str] = str) -> int:
    """Step, play and scrub through `positions`, ascending; gives the one that is chosen now.

    The choice is `?key=` in the URL; without it the bar stands at the last position, and stays there as new ones come.
    format: how a position is called above the bar. Playing reruns the fragment that the bar is in, or else the page.
    """
    positions = list(positions)
    at = _settle(positions, key)
    if len(positions) == 1:
        st.caption(f"{label}: {format(positions[0])}")
        return positions[0]
    playing = st.session_state.get(_playing(key), False)
    chosen = st.select_slider(
        f"{label}: {format(positions[at])}",
        positions,
        positions[-1],
        key=key,
        bind="query-params",
        on_change=_pause,
        args=(key,),
    )
    with st.container(horizontal=True, horizontal_alignment="center", gap="xxsmall", wrap=False, key=f"{key}-bar"):
        for button, name, icon, target in (
            ("first", "First", "first_page", 0),
            ("back", "Back", "arrow_back", max(at - 1, 0)),
            ("play", "Pause" if playing else "Play", "pause" if playing else "play_arrow", None),
            ("forward", "Forward", "arrow_forward", min(at + 1, len(positions) - 1)),
            ("last", "Last", "last_page", len(positions) - 1),
        ):
            st.button(
                f":material/{icon}:",
                key=f"{key}-{button}",
                help=name,
                on_click=_toggle if target is None else _go,
                args=(key, positions) if target is None else (key, positions[target]),
                type="primary" if target is None else "secondary",
                disabled=target == at,
            )
    if playing:
        _clock()(key=f"{key}-clock", data={"at": at, "pace": PACE}, on_tick_change=lambda: _tick(key, positions))
    return chosen


def _settle(positions: list[int], key: str) -> int:
    """The index of the chosen position, which follows the last one as positions are added."""
    state = st.session_state
    if key not in state:  # first drawn, or drawn again: the slider itself reads the URL
        asked = st.query_params.get(key)
        chosen = int(asked) if asked in map(str, positions) else positions[-1]
    elif state[key] == state.get(_end(key)) or state[key] not in positions:
        chosen = state[key] = positions[-1]
    else:
        chosen = state[key]
    state[_end(key)] = positions[-1]
    return positions.index(chosen)


def _go(key: str, position: int) -> None:
    _pause(key)
    st.session_state[key] = position


def _toggle(key: str, positions: list[int]) -> None:
    """Play or pause; playing from the end starts at the beginning."""
    playing = st.session_state[_playing(key)] = not st.session_state.get(_playing(key), False)
    if playing and st.session_state[key] == positions[-1]:
        st.session_state[key] = positions[0]


def _tick(key: str, positions: list[int]) -> None:
    """One position further; the last one ends the play."""
    if st.session_state.get(_playing(key)):
        later = [position for position in positions if position > st.session_state[key]]
        st.session_state[key] = later[0] if later else positions[-1]
        st.session_state[_playing(key)] = len(later) > 1


def _pause(key: str) -> None:
    st.session_state[_playing(key)] = False


def _playing(key: str) -> str:
    return f"{key}-playing"


def _end(key: str) -> str:
    return f"{key}-end"


@st.cache_resource
def _clock():
    """A component that is invisible and ticks once, `pace` after each time it is drawn with a new position.

    The next tick waits for the next picture, so a slow one slows the play and nothing piles up.
    """
    return st.components.v2.component(
        "explorer-clock",
        js="""
        export default ({ data, setTriggerValue }) => {
            const timer = setTimeout(() => setTriggerValue("tick", data.at), data.pace)
            return () => clearTimeout(timer)
        }
        """,
    )
