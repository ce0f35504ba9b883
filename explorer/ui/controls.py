"""Widgets from a function's annotated arguments, bound to the URL: a link brings every setting back."""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.params import Choice, Control, LogSlider, Number, Param, Slider, Toggle, params
from explorer.ui.page import plain


def controls(
    target: Callable[..., Any],
    *,
    prefix: str = "",
    only: Collection[str] | None = None,
    exclude: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
    highest: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """One widget per setting of `target`, as `params` finds them; gives their values by name.

    prefix: goes before the setting's name in the URL, where two targets share a page.
    defaults: in place of the signature's own. highest: what this server allows, where that is less.
    Settings of one group share an expander, in order of first appearance; those of none come first.
    """
    chosen = [
        _fit(param, (defaults or {}).get(name, param.default), (highest or {}).get(name, math.inf))
        for name, param in params(target).items()
        if name not in exclude and (only is None or name in only)
    ]
    notes = st.container()
    groups = dict.fromkeys(param.control.group for param in chosen)
    named = [group for group in groups if group]
    values = {}
    for group in ("", *named):
        with st.expander(group, expanded=group == named[0]) if group else nullcontext():
            for param in (param for param in chosen if param.control.group == group):
                values[param.name] = _control(param, prefix + param.name, notes)
    return {param.name: values[param.name] for param in chosen}


def _control(param: Param, key: str, notes: DeltaGenerator) -> Any:
    """The widget of one setting, bound to `?key=` in the URL; gives its value.

    A value in the URL that is not allowed is told in `notes`, with the value that took its place.
    """
    asked = st.query_params.get(key)
    wrong = None if asked is None else refusal(param, asked)
    value = _widget(param, {"label": label(param), "key": key, "bind": "query-params", "help": _help(param.control)})
    if wrong:
        sentence = f"{label(param)} in the link: {wrong}. It is {_text(value)} now."
        notes.warning(plain(sentence), icon=":material/link_off:")
    return value


def _widget(param: Param, about: dict[str, Any]) -> Any:
    """The widget that suits the control, at the setting's default."""
    kind, default = param.type, param.default
    match param.control:
        case Slider(low=low, high=high) if low == high:
            st.caption(f"{about['label']}: {_text(default)}")
            return default
        case Slider(low=low, high=high, step=step):
            return st.slider(min_value=kind(low), max_value=kind(high), value=kind(default), step=kind(step), **about)
        case Number(low=low, high=high):
            return st.number_input(min_value=low, max_value=high, value=default, step=1, **about)
        case Toggle():
            return st.toggle(value=default, **about)
        case LogSlider():
            return kind(st.select_slider(options=_steps(param), value=default, format_func=_text, **about))
        case Choice(options=options) if len(options) <= 4 and sum(map(len, map(_text, options))) <= 28:
            return st.segmented_control(options=options, default=default, required=True, format_func=_text, **about)
        case Choice(options=options):
            return st.selectbox(options=options, index=options.index(default), format_func=_text, **about)
        case _:
            raise TypeError(f"no widget for {param.control!r}")


def refusal(param: Param, text: str) -> str | None:
    """Why `text`, found in a URL, is no value of the setting, as a clause; None when it is one."""
    match param.control:
        case Toggle():
            return None if text.lower() in ("true", "false") else f"{text!r} is neither true nor false"
        case Choice(options=options):
            return None if text in map(_text, options) else f"{text!r} is not one of {', '.join(map(_text, options))}"
        case LogSlider(low=low, high=high):
            offered = f"{text!r} is not one of the steps offered from {_text(low)} to {_text(high)}"
            return None if text in map(_text, _steps(param)) else offered
    try:
        return param.control.wrong(param.type(text))
    except ValueError:
        return f"{text!r} is not a {'whole ' if param.type is int else ''}number"


def label(param: Param) -> str:
    """What a person calls the setting: its label, or its name in plain words."""
    return param.control.label or param.name.replace("_", " ").capitalize()


def _text(value: Any) -> str:
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
