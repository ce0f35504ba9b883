"""Choose by name, with the name in the URL: a model, a data set."""

from collections.abc import Callable, Container, Sequence
from typing import Any

import streamlit as st

from explorer import zoo
from explorer.errors import ExplorerError
from explorer.settings import MB
from explorer.ui.links import refused, told
from explorer.ui.page import plain
from explorer.ui.runs import own_networks
from explorer.ui.runs_list import result
from explorer.zoo.card import Card
from explorer.zoo.refs import asked as named

DEFAULT = "zoo:shapes-resnet"


def choose(
    label: str, options: Sequence[str], default: str, key: str, titles: Callable[[str], str], **about: Any
) -> str:
    """A menu whose choice is `?key=` in the URL, by its name; Streamlit's own binding would write the title there.

    A name in the URL that is not offered is told in a sentence, and the default takes its place.
    """
    mine = st.query_params.get(key) == st.session_state.get(f"{key}-seen")  # not of a link that somebody gave
    asked = linked(key, default)
    if st.session_state[key] not in options and mine:
        st.session_state[key] = default  # of another network before this one
    elif st.session_state[key] not in options:
        refused(label, key, asked, titles(default))
        st.session_state[key] = default
    value = st.selectbox(label, options, key=key, format_func=titles, persist_state="session", **about)
    to_link(key, value, default)
    return value


def segments(label: str, options: Sequence[str], key: str, titles: Callable[[str], str] = str, **about: Any) -> str:
    """A row to choose from, the first as usual, by name in the URL as in `choose`; what it offers may change."""
    asked = linked(key, options[0])
    if asked not in options:
        if new_link(key):
            refused(label, key, asked, titles(options[0]))
        st.session_state[key] = options[0]
    value = st.segmented_control(label, options, key=key, format_func=titles, required=True, persist_state="session",
                                 **about)  # fmt: skip
    to_link(key, value, options[0])
    return value


def new_link(key: str) -> bool:
    """Whether the URL says something of the state `key` that was not in it before."""
    return st.query_params.get(key) not in (None, st.session_state.get(f"{key}-seen"))


def linked(key: str, default: str) -> str:
    """The state `key`: what the URL says where it says something new, else what it was, else the default."""
    state, asked = st.session_state, st.query_params.get(key)
    new = not isinstance(state.get(key), str) or new_link(key)  # a program may report anything
    state[key] = (
        (default if asked is None else asked) if new else state[key]
    )  # set anyhow: a page left early may report an empty widget
    return state[key]


def follow(key: str, usual: str) -> str:
    """As `linked`, of a state that nobody has changed: it stays at what is usual, which may become another."""
    state, before = st.session_state, f"{key}-usual"
    if key in state and state[key] == state.get(before):
        state.pop(key)
    state[before] = usual
    return linked(key, usual)


def remembered(key: str, usual: str = "") -> str:
    """The state `key`, in the link: a name that a button gave it, such as that of a job."""
    value = follow(key, usual)
    to_link(key, value, usual)
    return value


def to_link(key: str, value: str, default: str) -> None:
    """Show the state `key` in the URL, unless it is the default."""
    if value == default:
        st.query_params.pop(key, None)
    elif st.query_params.get_all(key) != [value]:
        st.query_params[key] = value
    st.session_state[f"{key}-seen"] = st.query_params.get(key)


def classifies_pictures(card: Card) -> bool:
    """A network that names what is in a picture."""
    return card.task == "image-classification"


def reads_with_attention(card: Card) -> bool:
    """A network with heads of attention."""
    return card.attends


def agreed(ref: str) -> None:
    """Say what opening a model of the Hub takes, before it is downloaded; the page goes on once that is agreed to."""
    state = st.session_state.setdefault("agreed", set())
    if not ref.startswith("hf:") or ref in state:
        return
    price = _price(ref)
    if price.download:
        st.info(
            f"**{plain(ref)}** downloads {price.download / MB:,.0f} MB and takes {price.memory / MB:,.0f} MB of memory "
            "here, and about as much again while it draws.",
            icon=":material/cloud_download:",
        )
        if not st.button("Download and open it", type="primary", key="agree", width="stretch"):
            st.stop()
    state.add(ref)


@st.cache_data(ttl=600, max_entries=64, show_spinner="Asking the Hub …")
def _price(ref: str) -> zoo.Price:
    return zoo.price(ref)


def _no_model(ref: str, known: Container[str]) -> str:
    """Why this page can open no model of that name; "" where that shows only when it is opened.

    known: those that are here, of which none that fits the page has this name.
    """
    try:
        shipped = zoo.parse(ref).source == "zoo"
        if ref in known:
            return f"{named(ref)}: this page shows networks of other kinds"
        if shipped:
            zoo.price(ref)
    except ExplorerError as error:
        return f"{error.asked}: {error.wrong}"
    return ""


def model_picker(fits: Callable[[Card], bool] = lambda card: True, default: str = DEFAULT, key: str = "model") -> str:
    """The ref of the chosen model: a shipped one, one of the person's runs, or any other that is typed or linked.

    fits: which of those that are known here the page can open. One that was chosen on another page and does not fit
    this one gives way to the default, as does what is no model, with a sentence.
    """
    known = {card.ref: card for card in zoo.cards()}
    names = {card.ref: f"{card.title} · {card.ref}" for card in known.values()}
    for run, card in own_networks():
        known[run.ref] = card
        names[run.ref] = f"{run.name} · {result(run.metrics) or run.state} · {run.created:%d %b %H:%M}"
    titles = {ref: name for ref, name in names.items() if fits(known[ref])}
    now, asked = st.session_state.get(key), st.query_params.get(key)
    if now is not None and not isinstance(now, str):  # a program may report anything
        now = st.session_state[key] = default
    if now in known and now not in titles and asked in (None, now, st.session_state.get(f"{key}-seen")):
        st.session_state[key] = default
        st.query_params.pop(key, None)
    if f"zoo:{now}" in titles:  # named without its source
        st.session_state[key] = f"zoo:{now}"
    if f"zoo:{asked}" in titles:
        st.query_params[key] = f"zoo:{asked}"
    said = [ref for ref in (st.session_state.get(key), st.query_params.get(key)) if ref is not None]
    wrong = {ref: why for ref in said if ref not in titles and (why := _no_model(ref, known))}
    if wrong:  # typed, or of a link
        now = next((ref for ref in said if ref not in wrong), default)
        st.session_state[key] = now
        if st.query_params.get(key) in wrong:
            st.query_params.pop(key)
        told(key)
        why = next(iter(wrong.values()))
        st.warning(f"{plain(f'{why}. It is {names.get(now, now)} now')}.", icon=":material/link_off:")
    others = {*said} - {*titles, *wrong}
    for ref in others:
        run, at, step = ref.partition("@")
        if at and run in names:
            names[ref] = f"{names[run]} · step {step}"
    return choose(
        "Model",
        [*titles, *sorted(others)],
        default,
        key,
        lambda ref: titles.get(ref, names.get(ref, ref)),
        accept_new_options=True,
        help="Choose one, or type a name: `torchvision:resnet18`, `hf:microsoft/resnet-18`, `run:<id>@<step>`.",
    )
