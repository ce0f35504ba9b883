"""The tour's bar: it notices what is done, waits where it was done already, and is remembered in the link."""

import pytest
from streamlit.testing.v1 import AppTest

from explorer.ui import tour as machinery
from explorer.ui.tour import ENDED, Step, Tour, class_of

STEPS = (
    Step("Choose *two*.", "It is two.", "which", {"which": "two"}),
    Step("Tick it.", "It is ticked.", "tick", {"tick": True}),
    Step("Move it.", "It has moved.", "far.away", {"far.away": 5}, lambda now: (now("far.away") or 0) > 2),
)
FAKE = Tour("Three steps.", {"which": "one", "tick": False, "far.away": 0}, STEPS)


def page():
    from types import SimpleNamespace

    import streamlit as st

    from explorer.ui.tour import tour

    tour(SimpleNamespace(title=st.session_state.get("page", "Models")))
    st.selectbox("Which", ["one", "two", "three"], key="which", bind="query-params")
    st.checkbox("Tick", key="tick")

    @st.fragment
    def elsewhere():
        st.slider("Far", 0, 9, 0, key="far.away")

    elsewhere()


@pytest.fixture(autouse=True)
def fake_tours(monkeypatch):
    monkeypatch.setattr(machinery, "tour_of", {"models": FAKE, "training": FAKE, "attribution": FAKE}.get)


def opened(**link: str) -> AppTest:
    app = AppTest.from_function(page, default_timeout=30)
    for name, value in link.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def press(app: AppTest, which: str) -> AppTest:
    app.button(key=f"tour-{which}").click().run()
    assert not app.exception
    return app


def link(app: AppTest) -> str | None:
    return app.query_params.get("tour")


def said(app: AppTest) -> str:
    return " ".join(one.value for one in (*app.markdown, *app.caption) if "<style" not in str(one.value))


def test_no_tour_is_on_until_somebody_takes_it_and_its_first_step_is_in_the_link():
    app = opened()
    assert link(app) is None
    assert "Choose" not in said(app)
    press(app, "start")
    assert link(app) == "1"
    assert "Three steps." in said(app)
    assert "Choose *two*." in said(app)


def test_a_page_without_a_tour_offers_none():
    app = AppTest.from_function(page, default_timeout=30)
    app.session_state["page"] = "Home"
    app.run()
    assert not [one for one in app.button if one.key == "tour-start"]


def test_a_tour_begins_from_a_state_that_is_known():
    app = opened(which="three")
    press(app, "start")
    assert app.selectbox(key="which").value == "one"


def test_a_step_completes_by_doing_and_the_next_one_tells_what_is_to_be_seen():
    app = press(opened(), "start")
    app.selectbox(key="which").set_value("three").run()
    assert link(app) == "1"
    app.selectbox(key="which").set_value("two").run()
    assert link(app) == "2"
    assert "It is two." in said(app)
    assert "Tick it." in said(app)
    app.checkbox(key="tick").check().run()
    assert link(app) == "3"


def test_what_was_so_already_waits_for_a_click():
    app = press(opened(), "start")
    app.checkbox(key="tick").check().run()
    app.selectbox(key="which").set_value("two").run()
    assert link(app) == "2"
    assert "It is so already. It is ticked." in said(app)
    app.run()
    assert link(app) == "2"
    assert app.button(key="tour-on").label == "Next"
    press(app, "on")
    assert link(app) == "3"
    assert app.checkbox(key="tick").value


def test_what_was_so_already_may_be_undone_and_done():
    app = press(opened(), "start")
    app.checkbox(key="tick").check().run()
    app.selectbox(key="which").set_value("two").run()
    app.checkbox(key="tick").uncheck().run()
    assert app.button(key="tour-on").label == "Skip"
    app.checkbox(key="tick").check().run()
    assert link(app) == "3"


def test_a_skipped_step_leaves_the_page_as_doing_it_would():
    app = press(opened(), "start")
    press(app, "on")
    assert link(app) == "2"
    assert app.selectbox(key="which").value == "two"


def test_back_goes_to_where_the_step_before_began():
    app = press(opened(), "start")
    assert app.button(key="tour-back").disabled
    app.selectbox(key="which").set_value("two").run()
    press(app, "back")
    assert link(app) == "1"
    assert app.selectbox(key="which").value == "one"
    assert "Choose *two*." in said(app)


def test_a_link_opens_at_its_step_with_what_the_steps_before_have_made():
    app = opened(tour="3")
    assert "Move it." in said(app)
    assert app.selectbox(key="which").value == "two"
    assert app.checkbox(key="tick").value


def test_a_link_that_says_more_is_left_as_it_is():
    app = opened(tour="2", which="three")
    assert app.selectbox(key="which").value == "three"
    assert "Tick it." in said(app)


@pytest.mark.parametrize("wrong", ["0", "4", "-1", "x", "²", "1" * 99, "<b>"])
def test_a_link_to_no_step_is_told_and_begins_at_the_first(wrong):
    app = opened(tour=wrong)
    assert "is no step of this tour, which has 3" in said(app)
    assert "Choose *two*." in said(app)
    assert link(app) == "1"


def test_a_late_echo_of_an_older_link_does_not_lead_back():
    app = press(opened(), "start")
    app.selectbox(key="which").set_value("two").run()
    app.query_params["tour"] = "1"
    app.run()
    assert link(app) == "2"


def test_after_the_last_step_it_says_so_and_offers_the_next_page(monkeypatch):
    offered = []
    monkeypatch.setattr("streamlit.page_link", lambda path, **about: offered.append((path, about["query_params"])))
    app = opened(tour="3")
    app.slider(key="far.away").set_value(1).run()
    assert link(app) == "3"
    app.slider(key="far.away").set_value(4).run()
    assert link(app) == ENDED
    assert "That was the tour of Models" in said(app)
    assert "It has moved." in said(app)
    assert offered[-1] == ("pages/training.py", {"tour": "1"})
    press(app, "again")
    assert link(app) == "1"
    assert app.slider(key="far.away").value == 0


def test_end_takes_it_away_and_out_of_the_link():
    app = press(press(opened(), "start"), "end")
    assert link(app) is None
    assert app.button(key="tour-start")


def test_every_page_remembers_its_own():
    app = press(opened(), "start")
    app.selectbox(key="which").set_value("two").run()
    app.session_state["page"] = "Saliency"
    del app.query_params["tour"]
    app.run()
    assert app.button(key="tour-start")
    app.session_state["page"] = "Models"
    app.run()
    assert link(app) == "2"


def test_the_outline_names_the_control_as_streamlit_does():
    assert class_of("far.away") == "st-key-far-away"
    app = opened(tour="3")
    styles = " ".join(str(one.proto.body) for one in app.get("html"))
    assert ".st-key-far-away { outline" in styles


def test_the_word_for_the_end_is_no_number():
    assert not ENDED.isdecimal()
