"""The section without a browser: python -m pytest tests/attention/test_from_scratch.py"""

import functools

import pytest
from streamlit.testing.v1 import AppTest

from explorer.attention import cost
from explorer.errors import ExplorerError
from explorer.store import Store
from explorer.ui.attention.from_scratch import PIECES, allowed, numbers


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    """Of what other tests have measured."""
    monkeypatch.setattr("explorer.ui.kept.ANSWERS", Store(lambda: 10**7))


def page():
    from explorer.ui.attention.from_scratch import from_scratch

    from_scratch()


def opened(**link: str) -> AppTest:
    app = AppTest.from_function(page, default_timeout=60)
    for name, value in link.items():
        app.query_params[name.replace("__", ".")] = value
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in (*app.markdown, *app.caption, *app.warning, *app.error, *app.code))


def test_it_draws_all_three_lessons_without_a_click_and_measures_nothing(monkeypatch):
    monkeypatch.setattr(cost, "_works", None)
    app = opened()
    assert [part.value for part in app.subheader] == [
        "The code, with every number", "Where a token stands", "What a longer text costs",
    ]  # fmt: skip
    assert "def scaled_dot_product(" in texts(app)
    assert "Recorded on" in texts(app)
    assert not app.error
    assert dict(app.query_params) == {}


@pytest.mark.parametrize(("piece", "mask"), [*((piece, "both") for piece in PIECES), ("One head", "causal")])
def test_every_piece_of_code_runs_under_every_mask(piece, mask):
    app = opened(scratch__piece=piece, scratch__mask=mask, scratch__tokens="2", scratch__heads="4")
    assert not app.error
    for called in PIECES[piece]:
        assert f"{called.__name__}(" in texts(app)


@pytest.mark.parametrize("kind", ["sinusoidal", "learned", "rotary", "relative", "alibi"])
def test_every_kind_of_position_is_drawn_with_its_own_controls(kind):
    app = opened(positions__kind=kind, positions__tokens="32")
    assert not app.error
    offered = {slider.key for slider in (*app.slider, *app.select_slider)}
    assert ("positions.base" in offered) == (kind in ("sinusoidal", "rotary"))
    assert ("positions.tokens" in offered) == (kind != "learned")


def test_numbers_of_one_s_own_are_in_the_link_and_refused_with_a_sentence():
    app = opened(scratch__tokens="2", scratch__width="2", scratch__query="1 0; 0 1")
    assert app.text_input(key="scratch.query").value == "1 0; 0 1"
    assert not app.error
    app.text_input(key="scratch.key").set_value("1 0; 0").run()
    assert "has 2 rows of 1 or 2 numbers" in app.error[0].value.replace("\\", "")


def test_a_measurement_is_made_at_the_press_of_the_button_alone(monkeypatch):
    asked = []

    @functools.wraps(cost.measure)  # the controls read its settings
    def measure(**settings):
        asked.append(settings)
        return cost.recorded()

    app = opened(cost__heads="2")
    assert "Measure it to see" in app.info[0].value
    monkeypatch.setattr(cost, "measure", measure)
    app.button(key="cost-here").click().run()
    assert [(one["width"], one["heads"]) for one in asked] == [(256, 2)]
    assert "Measured here" in texts(app)
    app.toggle(key="cost.log").set_value(False).run()
    assert len(asked) == 1


def test_a_measurement_that_is_refused_leaves_what_was_there(monkeypatch):
    @functools.wraps(cost.measure)
    def measure(**settings):
        raise ExplorerError("Measuring what attention costs", "only 2 lengths fit here", "Try again")

    app = opened()
    monkeypatch.setattr(cost, "measure", measure)
    app.button(key="cost-here").click().run()
    assert "only 2 lengths fit here" in app.error[0].value
    assert "Recorded on" in texts(app)


def test_the_masks_of_the_example():
    assert allowed(3, "none").all()
    assert allowed(3, "causal").tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert allowed(3, "padding").tolist() == [[True, True, False]] * 3
    assert allowed(3, "both").tolist() == [[True, False, False], [True, True, False], [True, True, False]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 x; 2 3", "'x' is no number. Write numbers like"),
        ("1 2", "it has 1 row of 2 numbers"),
        ("1 2; 3", "rows of 1 or 2 numbers"),
        ("1 nan; 2 3", "beyond 100 or not a number"),
        ("1 1e9; 2 3", "beyond 100"),
        (";;", "row of 0"),
        ("😀", "Write numbers like"),
    ],
)
def test_numbers_that_are_none_are_refused(text, words):
    with pytest.raises(ExplorerError, match=words):
        numbers(text, 2, 2, "query")


def test_numbers_may_be_written_with_commas_and_a_last_semicolon():
    assert numbers("1, 0.5; -2,3;", 2, 2, "query").tolist() == [[1.0, 0.5], [-2.0, 3.0]]
