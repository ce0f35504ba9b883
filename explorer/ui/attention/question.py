"""What is read: a text, two texts, or a picture, from the link, the test data or the person's own hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import streamlit as st

from explorer import data
from explorer.attention import AttentionPatterns, Predictions, attend, predict
from explorer.errors import ExplorerError
from explorer.ui import models
from explorer.ui.attribution.question import picture_example, shown
from explorer.ui.kept import kept
from explorer.ui.number import number_input
from explorer.ui.page import plain
from explorer.ui.pickers import linked, to_link
from explorer.ui.pins import Pin, of_picture, of_text
from explorer.zoo.model import Model
from explorer.zoo.text import Encoded, TextModel

LETTERS = 2000  # of a text that stands in the link
MOST = 100_000  # that are taken
ENGLISH = "The keys that lay beside the cabinet were lost because nobody had looked for them."
USUAL = {  # index of the test text that a network shows first, chosen for what its heads do there
    "story": 40,
    "dates": 3,
}


@dataclass(frozen=True, eq=False)
class Asked:
    """One reading: what `attend` is given, and a name for it that caches can hold."""

    ref: str
    key: str  # tells this input from any other
    given: Any  # a text, or a picture
    second: str | None = None  # the second text, or what an encoder-decoder is to say

    @property
    def text(self) -> str:
        """The text that is read; "" of a picture."""
        return self.given if isinstance(self.given, str) else ""


BROWSE, TAKEN = "browse-texts", "text-taken"  # in the session: whether the test texts are open; which one was taken
KNOWN = models.KNOWN | {Asked: lambda asked: (asked.ref, asked.key, asked.second)}


def question(model: Model) -> Asked:
    """The controls of what is read, bound to the URL."""
    if not isinstance(model, TextModel):
        example = picture_example(model)
        shown(model, example)
        return Asked(model.card.ref, example.key, example.pixels)
    if TAKEN in st.session_state:
        st.session_state["text"], st.session_state["text_b"] = st.session_state.pop(TAKEN), ""
    test = texts_of(model)
    usual = test.texts[USUAL.get(test.name, 0)] if test else ENGLISH
    text = _box("Text", "text", usual, model)
    if test:
        _browse(test)
    second = None
    if model.kind != "decoder":
        if model.kind == "encoder-decoder":
            second = _box(
                "Its answer", "text_b", "", model, "What the decoder is to say; empty: what it says of itself"
            )
        else:
            second = _box("Second text", "text_b", "", model, "Empty: there is none")
    _read_as(model, text, second)
    return Asked(model.card.ref, text, text, second or None)


def pin_of(asked: Asked) -> Pin:
    """What is read, as a pin; of two texts the first."""
    return of_text(asked.ref, asked.text) if asked.text else of_picture(asked.ref, asked.key)


def _box(label: str, key: str, usual: str, model: TextModel, help: str | None = None) -> str:
    """A box of text that follows the network's own example until somebody writes into it; in the link as `?key=`."""
    state, before = st.session_state, f"{key}-usual"
    linked(key, usual)
    if state[key] == state.get(before, usual) and state[key] != usual:  # untouched, of the network before
        state[key] = usual
    state[before] = usual
    text = st.text_area(label, key=key, height=170 if key == "text" else 68, max_chars=MOST, help=help,
                        persist_state="session")  # fmt: skip
    if len(text) <= LETTERS:
        to_link(key, text, usual)
    else:
        to_link(key, usual, usual)
        st.caption(f"Texts over {LETTERS:,} letters are not in the link.")
    return text


def texts_of(model: Model) -> data.Dataset | None:
    """The network's own test texts, where they are known."""
    if not model.card.dataset:
        return None
    try:
        found = data.load(model.card.dataset, "test", **model.card.dataset_settings)
    except ExplorerError:
        return None
    return found if found.texts else None


@st.fragment
def _browse(test: data.Dataset) -> None:
    """Test texts to choose from; drawn once it is open."""
    if TAKEN in st.session_state:
        st.rerun(scope="app")  # the box stands outside this fragment
    box = st.popover(
        "Take one of the test texts", icon=":material/format_list_bulleted:", width="stretch", key=BROWSE,
        on_change="rerun",
    )  # fmt: skip
    if box.open:
        with box:
            _texts(test)


def _texts(test: data.Dataset) -> None:
    pages = (len(test.texts) - 1) // 8 + 1
    page = number_input(f"Page, of {pages}", 1, pages, 1, key="texts-page")
    for index in range((page - 1) * 8, min(page * 8, len(test.texts))):
        text = test.texts[index]
        st.button(plain(text), key=f"take-text-{index}", on_click=_take, args=(text,), type="tertiary")


def _take(text: str) -> None:
    st.session_state[TAKEN] = text
    st.session_state[BROWSE] = False


def _read_as(model: TextModel, text: str, second: str | None) -> None:
    """What became of the text on its way into the network."""
    encoded = model.encode(text, second or None)
    told = [f"{len(encoded.tokens)} tokens, of {model.longest} at the most.", *lost(encoded)]
    if encoded.target:
        told += [f"Its answer: {len(encoded.target.tokens)} tokens.", *lost(encoded.target)]
    st.caption(" ".join(told))
    if model.mask_token:
        st.caption(f"Write `{model.mask_token}` for a word that it is to guess.")
    if encoded.unknown and len(model.labels) > 1:
        with st.popover("Words that it knows", icon=":material/menu_book:"):
            st.caption(plain(" · ".join(word for word in model.labels if not word.startswith("["))))


def lost(encoded: Encoded) -> Iterator[str]:
    """What the network does not see of a text, in sentences."""
    if encoded.cut:
        yield f":orange[{encoded.cut:,} more were left out at the end.]"
    if encoded.unknown:
        words = ", ".join(dict.fromkeys(plain(word[:30]) for word in encoded.unknown[:8]))
        yield f":orange[It does not know: {words}.]"


@kept(known=KNOWN)
def patterns_of(_model: Model, asked: Asked) -> AttentionPatterns:
    """Who looks at whom, with all that it was computed from."""
    return attend(_model, asked.given, asked.second, detail=True)


@kept(known=KNOWN)
def predictions_of(_model: Model, asked: Asked) -> Predictions:
    """What the network expects at every place."""
    return predict(_model, asked.given, text_b=asked.second)
