"""Every control is in the link, and a link that asks for too much says so: python -m pytest tests/test_links.py"""

import ast
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - the fixture

ROOT = Path(__file__).parents[1]
WIDGETS = {  # but for files, which stay with the person
    "audio_input", "camera_input", "chat_input", "checkbox", "color_picker", "data_editor", "date_input", "feedback",
    "multiselect", "number_input", "pills", "radio", "segmented_control", "select_slider", "selectbox",
    "slider", "text_area", "text_input", "time_input", "toggle",
}  # fmt: skip
ELSEWHERE = {  # keys as the source has them → where their value is in the link, or why it is in none
    "'own-path'": "a path of this computer means nothing elsewhere; the data set that it becomes is `data`",
    "'own-text'": "up to a book long; the data set that it becomes is `data`",
    "'lesson-hide'": "makes a link of its own",
    "'teacher-token'": "a secret",
    "'to-warm'": "what a button is to do, and nothing that is seen",
    "'to-delete'": "what a button is to do, and nothing that is seen",
    "key": "by `choose`, `segments`, `prompt_box` and the boxes of texts, each by `to_link`",
    "state": "the methods, by name, as `methods`",
    "'cell-true'": "with the other box, as `cell`",
    "'cell-called'": "with the other box, as `cell`",
    "f'pick-part-{part}'": "as `part`",
    "named": "as `layer` and `head`",
    "'hidden-tokens'": "their numbers, as `hidden`",
    "'other'": "by `to_link`, while it is short",
    "AT": "by `to_link`",
    "EXAMPLE": "by `to_link`",
    "TEXT": "by `to_link`",
}
VIEWS = {  # of each page one with many controls, and a network that answers fast
    "training": {"view": "The run"},
    "attribution": {"view": "A and B", "model": "zoo:digits-lenet"},
    "attention": {"see": "Change it"},
    "activations": {"view": "What it wants", "model": "zoo:digits-lenet"},
    "diffusion": {"view": "Another future", "model": "zoo:points-diffusion"},
}
ALONE = {"model", "network", "data", "race", "view", "see", "hidden-tokens"}  # after which other controls stand there


def widgets():
    """Every call of a widget in the source: where it is, its kind, and its arguments by name."""
    for path in [ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("explorer/ui/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WIDGETS:
                yield path.relative_to(ROOT), node.func.attr, {one.arg: one.value for one in node.keywords}


def test_every_widget_is_bound_to_the_link_or_has_its_reason_here():
    seen, unbound = set(), []
    for path, kind, named in widgets():
        if "bind" in named or (None in named and path.name == "controls.py"):  # `**about`, which binds
            continue
        key = ast.unparse(named["key"]) if "key" in named else "none"
        seen.add(key)
        if key not in ELSEWHERE:
            unbound.append(f"{path} {kind} {key}")
    assert not unbound
    assert seen == set(ELSEWHERE), "a reason for what there is no more"


def one_of_all(app: AppTest):
    return [
        widget
        for kind in ("slider", "select_slider", "selectbox", "segmented_control", "pills", "multiselect", "toggle",
                     "number_input", "text_input", "text_area")
        for widget in getattr(app, kind)
        if widget.key and not widget.disabled and f"{widget.key!r}" not in ELSEWHERE
        and not widget.key.startswith(("own", "pick-"))
    ]  # fmt: skip


def change(widget) -> str | list[str] | None:
    """Set a widget to another value; what a browser writes into the link of a bound one; None where there is none."""
    kind, now = type(widget).__name__, widget.value
    if kind == "Toggle":
        widget.set_value(not now)
        return str(not now).lower()
    if kind in ("Slider", "NumberInput"):
        low, high, step = widget.min, widget.max, widget.step or 1
        now = low if now is None else now
        value = round(now + step if high is None or now + step <= high else now - step, 9)
        if low is not None and value < low:
            return None
        widget.set_value(value)
        return f"{value:g}"
    if kind in ("TextInput", "TextArea"):
        widget.set_value(f"{now or ''} the cat"[:200])
        return widget.value
    several = isinstance(now, list)
    mine = [str(one) for one in (now if several else [now])]
    if kind == "ButtonGroup":
        mine = list(widget.formatted_values)
    elif kind == "Selectbox":
        mine = [widget.options[widget.index]] if widget.index is not None else []
    elif kind in ("Multiselect", "SelectSlider"):
        mine = [str(widget.format_func(one)) for one in (now if several else [now])]
    others = [option for option in widget.options if option not in mine]
    if not others:
        return None
    widget.set_value(others[:1] if several else others[0])
    return others[:1] if several else others[0]


@pytest.mark.parametrize("page", VIEWS)
def test_what_is_set_on_a_page_is_in_its_link_which_opens_alike(page):
    opens_alike(page, VIEWS[page])


def opens_alike(page: str, query: dict[str, str]) -> None:
    app = open_app(f"pages/{page}.py", **query)
    assert not app.exception
    changed = {}
    for widget in one_of_all(app):
        if widget.key not in ALONE and (text := change(widget)) is not None:
            changed[widget.key] = text
    app.run()
    assert not app.exception
    now = {widget.key: widget.value for widget in one_of_all(app)}
    with app._session_state.query_params() as link:  # a browser writes what is bound
        written = {name: text for name, text in changed.items() if name in now and link.is_bound(name)}
    again = open_app(f"pages/{page}.py", **query | written | app.query_params)
    assert not again.exception
    assert {widget.key: widget.value for widget in one_of_all(again)} == now
    assert [one.value for one in again.warning if "in the link" in one.value] == []
