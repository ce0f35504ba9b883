"""Widgets from a function's annotated arguments, bound to the URL: a link brings every setting back."""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.params import Choice, Control, LogSlider, Number, Param, Slider, Toggle, acts, params
from explorer.ui.links import LETTERS, told
from explorer.ui.number import number_input
from explorer.ui.page import plain
from explorer.ui.row import one_of


@dataclass(frozen=True)
class Source:
    """Settings of one target, as `controls` takes them."""

    target: Callable[..., Any]
    prefix: str = ""  # before the setting's name in the URL, where several targets share a page
    only: Collection[str] | None = None
    exclude: Collection[str] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)  # in place of the signature's own
    highest: Mapping[str, float] = field(default_factory=dict)  # what this server allows, where that is less


def controls(target: Callable[..., Any], expanded: bool = True, **about: Any) -> dict[str, Any]:
    """One widget per setting of `target`, as `params` finds them; gives their values by name.

    about: fields of `Source`. expanded: the first group is open.
    """
    return controls_of(Source(target, **{name: value for name, value in about.items() if value is not None}),
                       expanded=expanded)[0]  # fmt: skip


def controls_of(*sources: Source, expanded: bool = True) -> list[dict[str, Any]]:
    """The widgets of several targets together; gives the values of each, in order.

    Settings of one group share an expander, in order of first appearance, whatever their target; those of none come
    first. A setting that does nothing beside the others has no widget, and its default for a value.
    """
    notes = st.container()
    shown: dict[str, list[tuple[int, Param]]] = {}
    values: list[dict[str, Any]] = [{} for _ in sources]
    for at, source in enumerate(sources):
        for name, param in params(source.target).items():
            if name in source.exclude or (source.only is not None and name not in source.only):
                continue
            default, highest = source.defaults.get(name, param.default), source.highest.get(name, math.inf)
            shown.setdefault(param.control.group, []).append((at, _fit(param, default, highest)))
    groups = [group for group in shown if group]
    for group in ("", *groups):
        open_now = expanded and group == (groups or [""])[0]
        with st.expander(group, expanded=open_now) if group else nullcontext():
            for at, param in shown.get(group, ()):
                there = values[at]
                if param.control.when and param.control.when[0] in there and not acts(param, there):
                    there[param.name] = param.default
                else:
                    there[param.name] = _control(param, sources[at].prefix + param.name, notes)
    return values


def _control(param: Param, key: str, notes: DeltaGenerator) -> Any:
    """The widget of one setting, bound to `?key=` in the URL; gives its value.

    A value in the URL that is not allowed is told in `notes`, with the value that took its place.
    """
    asked = st.query_params.get_all(key)
    wrong = refusal(param, asked[0]) if len(asked) == 1 else None
    value = _widget(param, {"label": label(param), "key": key, "bind": "query-params", "help": _help(param.control)})
    if wrong:
        told(key)
        sentence = f"{label(param)} in the link: {wrong}. It is {text_of(value)} now."
        notes.warning(plain(sentence), icon=":material/link_off:")
    return value


def _widget(param: Param, about: dict[str, Any]) -> Any:
    """The widget that suits the control, at the setting's default."""
    kind, default = param.type, param.default
    match param.control:
        case Slider(low=low, high=high) if low == high:
            st.caption(f"{about['label']}: {text_of(default)}")
            return default
        case Slider(low=low, high=high, step=step):
            return st.slider(min_value=kind(low), max_value=kind(high), value=kind(default), step=kind(step), **about)
        case Number(low=low, high=high):
            return number_input(min_value=low, max_value=high, value=default, step=1, **about)
        case Toggle():
            return st.toggle(value=default, **about)
        case LogSlider():
            return kind(st.select_slider(options=_steps(param), value=default, format_func=text_of, **about))
        case Choice(options=options) if len(options) <= 4 and sum(map(len, map(text_of, options))) <= 28:
            del about["bind"]  # always
            return one_of(options=options, default=default, format_func=text_of, **about)
        case Choice(options=options):
            return st.selectbox(options=options, index=options.index(default), format_func=text_of, **about)
        case _:
            raise TypeError(f"no widget for {param.control!r}")


def refusal(param: Param, text: str) -> str | None:
    """Why `text`, found in a URL, is no value of the setting, as a clause; None when it is one."""
    text = text if len(text) <= LETTERS else f"{text[:LETTERS]}…"
    match param.control:
        case Toggle():
            return None if text.lower() in ("true", "false") else f"{text!r} is neither true nor false"
        case Choice(options=options):
            return (
                None if text in map(text_of, options) else f"{text!r} is not one of {', '.join(map(text_of, options))}"
            )
        case LogSlider(low=low, high=high):
            offered = f"{text!r} is not one of the steps offered from {text_of(low)} to {text_of(high)}"
            return None if text in map(text_of, _steps(param)) else offered
    try:
        return param.control.wrong(param.type(text))
    except ValueError:
        return f"{text!r} is not a {'whole ' if param.type is int else ''}number"


def read_as(param: Param, text: str) -> Any:
    """The value that `text`, as it stands in a URL, means; None where it is no value of the setting."""
    if refusal(param, text):
        return None
    match param.control:
        case Toggle():
            return text.lower() == "true"
        case Choice(options=options):
            return next(value for value in options if text_of(value) == text)
        case LogSlider():
            return next(value for value in _steps(param) if text_of(value) == text)
    return param.type(text)


def label(param: Param) -> str:
    """What a person calls the setting: its label, or its name in plain words."""
    return param.control.label or param.name.replace("_", " ").capitalize()


def text_of(value: Any) -> str:
    """A value in few characters, in the widget and in the URL alike."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _steps(param: Param) -> list[float]:
    """What a LogSlider offers, its default among them."""
    return sorted({*param.control.options, param.default})


def _help(about: Control) -> str | None:
    paper = f"[Read the paper]({about.paper})" if about.paper else ""
    return "\n\n".join(part for part in (about.help, paper) if part) or None


def _fit(param: Param, default: Any, highest: float) -> Param:
    """The setting with another default, and nothing above `highest`."""
    if getattr(param.control, "high", -math.inf) <= highest:
        return replace(param, default=default)
    return replace(param, default=min(default, highest), control=replace(param.control, high=highest))
