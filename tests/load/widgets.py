"""What a browser knows of Streamlit's widgets: where each stands, where else it may, and how the URL says so."""

import random
from typing import Any

from streamlit.proto.ButtonGroup_pb2 import ButtonGroup
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.Slider_pb2 import Slider

BUTTON = 0.75  # how often a number is moved by the buttons beside it rather than typed; a guess
MOVED = ("slider", "selectbox", "radio", "button_group", "multiselect", "checkbox", "number_input")
TOLD = (*MOVED, "text_input", "text_area", "color_picker")  # whose values go to the server with every run
FIELDS = {  # of WidgetState, for those whose values aren't lists of words
    "selectbox": "string_value", "radio": "string_value", "checkbox": "bool_value", "number_input": "double_value",
    "text_input": "string_value", "text_area": "string_value", "color_picker": "string_value",
}  # fmt: skip


def kind(element: Element) -> str:
    """Which of `TOLD` an element is; "" for all others."""
    found = element.WhichOneof("type")
    return found if found in TOLD else ""


def field(element: Element) -> str:
    """The field of WidgetState that takes its value."""
    return "double_array_value" if _numbers(element) else FIELDS.get(kind(element), "string_array_value")


def movable(element: Element) -> bool:
    """Whether the page runs again when a person moves it."""
    if kind(element) not in MOVED:
        return False
    widget = getattr(element, kind(element))
    return not (widget.disabled or widget.form_id or widget.ignore_rerun)


def start(element: Element, told: bool = True) -> Any:
    """Its value as it is sent: where the server has set it, if it has and that counts (`told`), else its default."""
    name, widget = kind(element), getattr(element, kind(element))
    told = told and widget.set_value
    match name:
        case "slider" if _numbers(element):
            return list(widget.value if told else widget.default)
        case "slider":
            return list(widget.raw_value) if told else [_words(element)[int(at)] for at in widget.default]
        case "button_group" | "multiselect":
            return list(widget.raw_values) if told else [_words(element)[at] for at in widget.default]
        case "selectbox" | "radio" if told:
            return widget.raw_value if widget.HasField("raw_value") else None
        case "selectbox" | "radio":
            return _words(element)[widget.default] if widget.options and widget.HasField("default") else None
        case "checkbox":
            return widget.value if told else widget.default
    found = "value" if told else "default"
    return getattr(widget, found) if widget.HasField(found) else None


def another(element: Element, value: Any, chance: random.Random) -> Any:
    """A value that a person could move it to from `value`, drawn by chance; None where there is none."""
    name, widget = kind(element), getattr(element, kind(element))
    if name == "checkbox":
        return not value
    if name == "number_input":
        low = widget.min if widget.has_min else (value or 0) - 10 * widget.step
        high = widget.max if widget.has_max else (value or 0) + 10 * widget.step
        value = low if value is None else value
        if chance.random() < BUTTON:
            beside = [round(value + step, 10) for step in (-widget.step, widget.step)]
            return _one(chance, [one for one in beside if low <= one <= high])
        return _step(low, high, widget.step, value, chance)
    if _numbers(element):
        at = chance.randrange(len(value))  # which end, where it is a range
        low = value[at - 1] if at else widget.min
        high = value[at + 1] if at + 1 < len(value) else widget.max
        moved = _step(low, high, widget.step, value[at], chance)
        return None if moved is None else [*value[:at], moved, *value[at + 1 :]]
    words = _words(element)
    if name in ("selectbox", "radio"):
        return _one(chance, [word for word in words if word != value])
    if name == "slider":
        at = chance.randrange(len(value))
        places = [words.index(word) if word in words else 0 for word in value]  # the choices may have changed since
        ends = slice(places[at - 1] if at else 0, places[at + 1] + 1 if at + 1 < len(value) else None)
        moved = _one(chance, [word for word in words[ends] if word != value[at]])
        return moved and [*value[:at], moved, *value[at + 1 :]]
    if name == "button_group" and widget.click_mode == ButtonGroup.SINGLE_SELECT:
        return _one(chance, [[word] for word in words if [word] != value])
    most = getattr(widget, "max_selections", 0) or len(words)
    toggled = [[one for one in value if one != word] if word in value else [*value, word] for word in words]
    return _one(
        chance,
        [chosen for chosen in toggled if len(chosen) <= most and (chosen or not getattr(widget, "required", False))],
    )


def in_url(element: Element, value: Any) -> list[str]:
    """What stands in the URL for a value of a widget that is bound to it; nothing for its default."""
    if value is None or value == start(element, told=False):
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    return [_text(one) for one in (value if isinstance(value, list) else [value])]


def _numbers(element: Element) -> bool:
    return kind(element) == "slider" and element.slider.type != Slider.SELECT_SLIDER


def _words(element: Element) -> list[str]:
    """What it offers, as the server knows it."""
    widget = getattr(element, kind(element))
    if kind(element) == "button_group":
        return [f"{option.content_icon} {option.content}".strip() for option in widget.options]
    return list(widget.options)


def _step(low: float, high: float, step: float, now: float, chance: random.Random) -> float | None:
    """Another number of low, low + step, … high."""
    last, at = int((high - low) / step + 1e-9), round((now - low) / step)
    if last < 1:
        return None
    place = chance.randrange(last)
    return round(low + (place + (place >= at)) * step, 10)


def _one(chance: random.Random, values: list[Any]) -> Any:
    return chance.choice(values) if values else None


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
