"""Every guided tour, taken by doing what it says: python -m pytest tests/test_tours.py"""

from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from explorer.ui.page import PAGES
from explorer.ui.tour import ENDED, KEY, Step, tour_of
from tests.test_pages import open_app

TOPICS = [page.path.removeprefix("pages/").removesuffix(".py") for page in PAGES]
TOURS = {topic: tour_of(topic) for topic in TOPICS if tour_of(topic)}
LONGEST = 210  # letters of a sentence, that the bar keeps its height


@pytest.fixture(autouse=True)
def always_inside_app(monkeypatch):
    """AppTest forgets at every run that app.py calls st.navigation, and would run a page alone."""
    make = PagesManager.__init__

    def init(self, *args, **kwargs):
        make(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", init)


def test_every_page_about_networks_has_a_tour():
    assert set(TOURS) == {"training", "attribution", "attention", "activations", "diffusion", "models"}


@pytest.mark.parametrize("topic", TOURS)
def test_a_tour_is_of_a_length_that_ten_minutes_bear_and_of_sentences_that_fit(topic):
    found = TOURS[topic]
    assert 7 <= len(found.steps) <= 10
    assert len(found.about) <= LONGEST
    for step in found.steps:
        for words in (step.do, step.look):
            assert 20 < len(words) <= LONGEST
            assert words.rstrip("*")[-1] in ".?"


@pytest.mark.parametrize("topic", TOURS)
def test_a_tour_names_every_key_that_it_sets_where_it_starts(topic):
    found = TOURS[topic]
    assert {key for step in found.steps for key in step.sets} <= set(found.start)


def own_run(topic: str, step: Step) -> dict[str, Any]:
    """What pressing the button of a step leads to, where that is a run: one that is as short as can be."""
    from explorer import training
    from explorer.training import TrainConfig
    from explorer.ui.tours.training import FAR, RATE

    if step.key == "play-go":
        run = training.fit(
            TrainConfig(dataset="points", model="mlp", epochs=1, model_settings={"width": 4, "depth": 1})
        )
        return {"play": run.ref}
    rate = FAR if "again" in step.do else RATE
    return {"run": training.fit(TrainConfig(epochs=1, lr=rate, batch_size=256)).ref, "view": "The run"}


def do(app: AppTest, topic: str, step: Step) -> None:
    """Do what a step asks, by its widgets where there are any, else in the session or the link."""
    for key, value in (step.sets or own_run(topic, step)).items():
        try:
            widget = app.get_by_key(key)
        except KeyError:
            widget = None
        if key.startswith("?"):
            app.query_params[key[1:]] = value
        elif hasattr(widget, "set_value"):
            widget.set_value(value)
        else:
            app.session_state[key] = value
    app.run()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("topic", TOURS)
def test_every_control_is_there_and_doing_what_is_asked_leads_on(topic):
    found = TOURS[topic]
    app = open_app(f"pages/{topic}.py", tour="1")
    for number, step in enumerate(found.steps, 1):
        assert not app.exception
        assert not app.error
        assert app.query_params["tour"] == str(number), "the condition held before anything was done"
        assert not app.session_state[KEY][topic].ahead
        assert app.get_by_key(step.key), step.key
        do(app, topic, step)
        if app.query_params["tour"] == str(number):  # it is known only once the page was drawn
            app.run()
    assert app.query_params["tour"] == ENDED
    assert not app.exception
