"""The transport bar: steps, plays, follows, and reads its link."""

from streamlit.testing.v1 import AppTest


def page(positions=(0, 10, 25, 70, 100)):
    import streamlit as st

    from explorer.ui import transport

    @st.fragment
    def film():
        now = st.session_state.get("positions", positions)
        for _ in range(st.session_state.pop("ticks", 0)):
            transport._tick("step", list(now))
        st.session_state.shown = transport.transport("Step", now, "step", lambda step: f"step {step}")

    film()


def draw(positions=(0, 10, 25, 70, 100), **link: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=30, kwargs={"positions": positions})
    for name, value in link.items():
        test.query_params[name] = value
    return test.run()


def press(test: AppTest, *buttons: str) -> AppTest:
    for button in buttons:
        test.button(key=f"step-{button}").click().run()
    assert not test.exception
    return test


def shown(test: AppTest) -> int:
    return test.session_state["shown"]


def test_it_starts_at_the_last_position():
    test = draw()
    assert shown(test) == 100
    assert test.select_slider(key="step").label == "Step: step 100"


def test_buttons_step_and_jump_and_end_at_the_ends():
    test = draw()
    assert shown(press(test, "back")) == 70
    assert shown(press(test, "back", "back")) == 10
    assert shown(press(test, "forward")) == 25
    assert shown(press(test, "first")) == 0
    assert test.button(key="step-first").disabled
    assert test.button(key="step-back").disabled
    assert shown(press(test, "last")) == 100
    assert test.button(key="step-forward").disabled


def test_the_slider_chooses():
    test = draw()
    test.select_slider(key="step").set_value(25).run()
    assert shown(test) == 25
    assert shown(press(test, "forward")) == 70


def test_a_link_chooses_and_one_that_is_not_there_is_the_last():
    test = draw(step="25")
    assert shown(test) == 25
    assert test.select_slider(key="step").label == "Step: step 25"
    assert shown(draw(step="26")) == 100
    assert shown(draw(step="²")) == 100


def test_play_goes_from_the_start_to_the_end_and_stops():
    test = press(draw(), "play")
    assert shown(test) == 0
    assert test.session_state["step-playing"]
    test.session_state["ticks"] = 2
    assert shown(test.run()) == 25
    assert test.session_state["step-playing"]
    test.session_state["ticks"] = 9
    assert shown(test.run()) == 100
    assert not test.session_state["step-playing"]


def test_play_goes_on_from_where_it_stands_until_someone_takes_over():
    test = press(draw(step="25"), "play")
    assert shown(test) == 25
    assert not press(test, "forward").session_state["step-playing"]
    assert not press(test, "play", "play").session_state["step-playing"]
    test.session_state["ticks"] = 1  # a tick that was under way when the person paused
    assert shown(test.run()) == 70


def test_at_the_last_position_it_follows_new_ones_and_elsewhere_it_stays():
    test = draw()
    test.session_state["positions"] = [0, 10, 25, 70, 100, 150]
    assert shown(test.run()) == 150
    press(test, "back")
    test.session_state["positions"] = [0, 10, 25, 70, 100, 150, 200]
    assert shown(test.run()) == 100
    assert shown(press(test, "last")) == 200


def test_a_position_that_is_gone_gives_way_to_the_last():
    test = draw(step="25")
    test.session_state["positions"] = [0, 5, 30]
    assert shown(test.run()) == 30


def test_one_position_needs_no_bar():
    test = draw([7])
    assert shown(test) == 7
    assert not test.button
    assert test.caption[0].value == "Step: step 7"
