"""A and B: pin what is asked now, change anything, and compare on one scale."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from explorer import zoo
from explorer.attribution import METHODS
from explorer.attribution.agreement import correlation, ranks
from explorer.attribution.arena import Question, Settings, ask, settled
from explorer.attribution.base import Attribution
from explorer.params import params
from explorer.ui.attribution.maps import show, tile
from explorer.ui.attribution.question import answer, example_of
from explorer.ui.controls import read_as, text_of
from explorer.ui.heatmaps import Tile
from explorer.ui.page import plain
from explorer.ui.pickers import agreed, choose
from explorer.ui.pins import Pin, chip, of_picture
from explorer.zoo.model import Model

FIELDS = ("target", "versus", "layer", "seed", "method", "settings")  # what a pin of this page has more than a picture


def pinned(model: Model, question: Question, methods: dict[str, Settings]) -> None:
    """What was pinned beside what is chosen now, and their difference."""
    names = list(methods)
    if not names:
        st.info("Choose at least one method above.", icon=":material/arrow_upward:")
        return
    method = choose("Method", names, names[0], "pin-method", lambda name: METHODS[name].facts["title"])
    pin = chip(pin_of(question, method, methods[method]), question.example.pixels)
    if pin is None:
        st.info("Pin what you see now. Then change the picture, the network, the class, the layer or the method.")
        b = _answer(question, method, methods[method])
        show([tile(b, question.example.mask)], "pinned", 300)
        return
    a = _a(pin, model, question, method, methods[method])
    first, second = _answer(*a), _answer(question, method, methods[method])
    drawn = [
        tile(first, a[0].example.mask, f"A · {_name(first)}", _said(first)),
        tile(second, question.example.mask, f"B · {_name(second)}", _said(second)),
    ]
    if first.scores.shape == second.scores.shape:
        scaled = [found.scores / (np.abs(found.scores).max() or 1) for found in (first, second)]
        drawn.append(Tile("B − A", "each first divided by its largest value", scaled[1] - scaled[0], second.picture))
        same = correlation([ranks(first.scores).ravel(), ranks(second.scores).ravel()])[0, 1]
        told = f"Rank correlation of the two maps: **{same:.3f}**."
    else:
        told = "The two pictures differ in size: there is no difference map."
    show(drawn, "pinned", 300)
    st.caption(f"{told} **One scale for all** above the maps puts A and B on the same scale.")


def pin_of(question: Question, method: str = "", values: Settings = ()) -> Pin:
    """What is asked, as a pin; other pages take the network and the picture of it."""
    told = ";".join(f"{name}={text_of(value)}" for name, value in values)
    more = (question.target, question.versus, question.layer, question.seed, method, told)
    return of_picture(question.ref, question.example.key, more)


def _a(pin: Pin, model: Model, question: Question, method: str, values: Settings) -> tuple[Question, str, Settings]:
    """What is pinned, as a question; what the pin leaves open, or what is none here, is as in B."""
    agreed(pin.ref)
    loaded = zoo.load(pin.ref)
    fits = loaded.card.task == "image-classification"
    other, example = loaded if fits else model, example_of(loaded, pin) or question.example
    more = dict(zip(FIELDS, pin.more, strict=False)) if fits else {}
    target = _number(more.get("target", ""), other)
    a = Question(
        other.card.ref, example, int(answer(other, example).argmax()) if target is None else target,
        _number(more.get("versus", ""), other), more.get("layer", ""),
        int(more["seed"]) if more.get("seed", "").isdecimal() and len(more["seed"]) < 10 else question.seed,
    )  # fmt: skip
    if more.get("method") in METHODS:
        method, values = more["method"], _settings(more["method"], more.get("settings", "").split(";"))
    return a, method, values


def _number(text: str, model: Model) -> int | None:
    """The number of a class."""
    return int(text) if text.isdecimal() and len(text) < 7 and int(text) < len(model.labels) else None


def _settings(method: str, told: Sequence[str]) -> Settings:
    """A method's settings as a pin has them."""
    texts, known = dict(one.split("=", 1) for one in told if "=" in one), params(METHODS[method].make)
    read = {name: read_as(known[name], text) for name, text in texts.items() if name in known}
    return settled(method, {name: value for name, value in read.items() if value is not None})


def _answer(question: Question, method: str, values: Settings) -> Attribution:
    (answer,) = ask(question, {method: values})
    if answer.found is None:
        raise answer.refusal
    return answer.found


def _name(found: Attribution) -> str:
    return METHODS[found.method].facts["title"]


def _said(found: Attribution) -> str:
    labels = zoo.load(found.ref).labels
    against = f" rather than {labels[found.versus]}" if found.versus is not None else ""
    where = f" · {found.layer}" if found.layer else ""
    return plain(f"{found.ref} · {labels[found.target]}{against}{where}").replace("\\", "")
