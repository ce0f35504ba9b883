"""Races on the screen: python -m pytest tests/ui/test_training_race.py"""

import time

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from explorer import jobs
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.training import TrainConfig, racing
from explorer.training.presets import PRESETS, STANDARD, shipped
from explorer.training.race import Contest
from explorer.ui.training.price import price
from explorer.ui.words import duration

QUICK = {"dataset": "points", "model": "mlp", "epochs": 1, "dataset_settings": {"count": 100}}


def view(values):
    """The view of races beside a recipe."""
    import streamlit as st

    from explorer.training import TrainConfig
    from explorer.ui.training.race import race_view

    race_view(TrainConfig(**values))
    st.markdown("done")


def opened(values=QUICK, **query):
    app = AppTest.from_function(view, args=(values,), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return fine(app.run())


def fine(app):
    assert not app.exception
    assert not app.error
    assert "done" in said(app)
    return app


def said(app):
    return "\n".join(str(one.value) for one in (*app.markdown, *app.caption, *app.info, *app.warning)).replace("\\", "")


def test_a_measured_race_is_there_at_first_paint():
    app = opened()
    name = next(iter(PRESETS))
    for verdict in shipped(name).verdicts():
        assert verdict.sentence in said(app)
    assert "Measured by us on two cores, 5 seeds" in said(app)
    assert "1 point is 3.59 of the 359 test examples" in said(app)
    (table,) = (one.value for one in app.dataframe if "verdict" in one.value)
    assert table["recipe"].tolist() == list(shipped(name).contest.names)


@pytest.mark.parametrize("name", list(PRESETS)[1:3])
def test_a_link_to_a_preset_shows_its_result(name):
    app = opened(race=name)
    assert PRESETS[name].facts["because"] in said(app)
    for verdict in shipped(name).verdicts():
        assert verdict.sentence in said(app)


def test_a_race_of_your_own_is_built_started_watched_and_found_again_by_its_link():
    app = opened(race="own")
    assert "Choose what each challenger changes" in said(app)
    app = fine(app.multiselect(key="b_levers").set_value(["lr"]).run())
    assert "the same as contender 1" in said(app)
    app = fine(app.select_slider(key="b_lr").set_value(0.1).run())
    app = fine(app.slider(key="race-seeds").set_value(2).run())
    assert "4 runs, about" in said(app)
    assert "the same first weights" in said(app)
    app = fine(app.button(key="start-race").click().run())
    id = app.session_state["raced"]
    deadline = time.monotonic() + 120
    while not jobs.engine().status(id).over and time.monotonic() < deadline:
        time.sleep(0.1)
    racing.collect(id)
    race = racing.result(id)
    assert race.contest == Contest(
        ("your recipe", "learning rate 0.1"), (TrainConfig(**QUICK), TrainConfig(**QUICK, lr=0.1)), seeds=2
    )
    assert race.complete
    again = opened(raced=id)
    assert race.verdicts()[0].sentence in said(again)
    for one in race.trials:
        assert f"(training?run=run:{one.run})" in said(again)
        assert f"(models?model=run:{one.run})" in said(again)


def test_a_whole_recipe_may_challenge_and_a_network_that_names_nothing_may_not():
    app = opened(race="own", b_kind="modern")
    app = fine(app.slider(key="race-seeds").set_value(1).run())
    assert "2 runs, about" in said(app)  # it mixes no pictures where there are none
    levers = opened(race="own").multiselect(key="b_levers").options
    assert "Learning rate" in levers
    assert "MixUp" not in levers
    assert "names classes" in said(opened({"dataset": "sort", "model": "gpt"}, race="own"))


def test_a_challenging_recipe_takes_over_no_trick_of_the_one_on_the_left(monkeypatch):
    raced = []
    monkeypatch.setattr(racing, "start", lambda contest, owner: raced.append(contest) or "0" * 32)
    mine = {"model": "mlp", "epochs": 1, "batch_size": 128, "ema": 0.9, "mixup": 0.5, "crop": 2}
    app = opened(mine, race="own", b_kind="standard")
    app.button(key="start-race").click().run()
    assert raced[0].configs == (TrainConfig(**mine), TrainConfig(model="mlp", epochs=1, batch_size=128, **STANDARD))


def test_a_race_that_is_not_there_is_refused_in_a_sentence():
    app = AppTest.from_function(view, args=(QUICK,), default_timeout=60)
    app.query_params["raced"] = "0" * 32
    app.run()
    assert not app.exception
    assert "none of that name" in app.error[0].value.replace("\\", "")
    assert "done" in said(app)


def test_a_price_that_is_refused_is_told_and_the_race_can_start(monkeypatch):
    monkeypatch.setenv("EXPLORER_STORE", str(4 * 16 * 4482))  # just enough for the network
    settings.cache_clear()
    wide = {"model_settings": {"width": 66}}
    st.cache_data.clear()
    assert price(TrainConfig(**QUICK)).parameters == 4482
    monkeypatch.setattr("explorer.ui.training.price.cost", None)  # what is too large is not built
    with pytest.raises(ExplorerError, match="4,754 parameters is too large to be tried beside the pages"):
        price(TrainConfig(**QUICK, **wide))
    app = opened(QUICK | wide, race="own", b_kind="modern")
    assert "too large to be tried beside the pages" in said(app)
    assert "10 runs. At each seed" in said(app)
    assert not app.button(key="start-race").disabled
    app = fine(app.button(key="start-race").click().run())
    id = app.session_state["raced"]
    assert racing.asked(id).configs[0].model_settings == (("width", 66),)
    jobs.engine().cancel(id)


def test_what_is_over_a_limit_has_no_price(monkeypatch):
    monkeypatch.setenv("EXPLORER_EPOCHS", "5")
    settings.cache_clear()
    st.cache_data.clear()
    with pytest.raises(ExplorerError, match="trains for 5"):
        price(TrainConfig(**(QUICK | {"epochs": 6})))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0.1 s"), (0.44, "0.4 s"), (12.4, "12 s"), (89, "89 s"), (300, "5 min"), (3600, "60 min"), (5400, "1.5 h")],
)
def test_a_duration_is_told_as_a_person_says_it(seconds, told):
    assert duration(seconds) == told
