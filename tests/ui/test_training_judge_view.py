"""A trained classifier is judged on the screen: python -m pytest tests/ui/test_training_judge_view.py"""

import json
import shutil
import uuid

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer import data, runs, zoo
from explorer.runs import database
from explorer.training import TrainConfig, evaluate, read
from explorer.training.record import record
from explorer.training.run import Evaluation

DIGITS = TrainConfig(epochs=1, model="mlp", batch_size=256)
POINTS = TrainConfig("points", "mlp", epochs=1, batch_size=256)


def view(ref, answers=None):
    """The judge of a run at its last checkpoint; `answers` are shown in the place of its own."""
    import streamlit as st

    from explorer import data
    from explorer.training import evaluate
    from explorer.ui.page import guard
    from explorer.ui.runs import open_run
    from explorer.ui.training.judge import judged

    with guard():
        run = open_run(ref)
        test = data.load(run.config.dataset, "test", **dict(run.config.dataset_settings))
        judged(run, run.checkpoints[-1], test, answers or evaluate(run, run.checkpoints[-1]))
        st.markdown("done")


@pytest.fixture
def links(monkeypatch):
    """Where the links of the page lead, in order; there is but one page here."""
    found = []
    monkeypatch.setattr(
        "streamlit.page_link", lambda page, label, query_params, **about: found.append((page, label, query_params))
    )
    return found


def opened(ref: str, answers: Evaluation | None = None, **query: str) -> AppTest:
    app = AppTest.from_function(view, args=(ref, answers), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return fine(app.run())


def fine(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error
    assert "done" in said(app)
    return app


def said(app: AppTest) -> str:
    parts = (*app.markdown, *app.caption, *app.warning, *app.success)
    return " ".join(part.value for part in parts).replace("\\", "")


def examples(evaluation: Evaluation, true: int, called: int) -> list[str]:
    """The numbers of the examples that a cell must open, the surest first."""
    there = np.flatnonzero((evaluation.y == true) & (evaluation.predicted == called))
    return [str(i) for i in there[np.argsort(-evaluation.confidence[there], kind="stable")]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folders of a run of digits and of one of points."""
    folders = {}
    for name, config in (("digits", DIGITS), ("points", POINTS)):
        folders[name] = tmp_path_factory.mktemp(name)
        record(config, folders[name])
    return folders


@pytest.fixture
def digits(made):
    return among_runs(made["digits"])


@pytest.fixture
def points(made):
    return among_runs(made["points"])


def among_runs(folder):
    """A run from a copy of its folder, and its answers at its last checkpoint."""
    id = uuid.uuid4().hex
    shutil.copytree(folder, database.path(id))
    run = read(runs.folder(id), f"run:{id}")
    return run, evaluate(run, run.checkpoints[-1])


def test_at_first_the_most_frequent_mistake_is_open_and_every_figure_is_there(links, digits):
    run, evaluation = digits
    app = opened(run.ref)
    labels = [metric.label for metric in app.metric]
    assert labels == ["Test accuracy", "Macro F1", "Calibration error", "Time for one", "Size on disk"]
    assert app.metric[0].value == f"{evaluation.accuracy:.1%}"
    assert app.metric[4].delta == f"{zoo.load(run.ref).card.parameters:,} parameters"
    wrong = evaluation.confusion - np.diag(np.diag(evaluation.confusion))
    true, called = np.unravel_index(wrong.argmax(), wrong.shape)
    assert (app.selectbox(key="cell-true").value, app.selectbox(key="cell-called").value) == (true, called)
    assert f"{true}, called {called}: {wrong.max()}" in said(app)
    assert "cell" not in app.query_params
    assert "What do these words mean?" in [part.label for part in app.expander]


def test_the_cell_of_a_link_opens_its_examples_with_links_to_their_explanation(links, digits):
    run, evaluation = digits
    true, called = map(int, np.unravel_index(evaluation.confusion.argmax(), evaluation.confusion.shape))
    app = opened(run.ref, cell=f"{true}-{called}")
    assert app.selectbox(key="cell-true").value == true
    step, expected = run.checkpoints[-1], examples(evaluation, true, called)[:24]
    assert len(expected) > 8
    assert [query["example"] for _, _, query in links[: len(expected)]] == expected
    assert {(page, query["model"]) for page, _, query in links} == {("pages/attribution.py", f"{run.ref}@{step}")}
    assert links[0][1] == f"{evaluation.confidence[int(expected[0])]:.0%}"


def test_the_boxes_open_a_cell_and_put_it_into_the_link(links, digits):
    run, evaluation = digits
    app = opened(run.ref, cell="2-2")
    app.selectbox(key="cell-called").set_value(7).run()
    assert app.query_params["cell"] in ("2-7", ["2-7"])
    assert f"2, called 7: {evaluation.confusion[2, 7]}" in said(fine(app))
    app.selectbox(key="cell-true").set_value(7).run()
    assert "7, rightly named" in said(fine(app))


@pytest.mark.parametrize("cell", ["3-99", "nonsense", "-1-2", "3", "٣-1"])
def test_a_cell_that_there_is_not_is_told_and_the_most_frequent_mistake_stands_in(links, digits, cell):
    run, _ = digits
    app = opened(run.ref, cell=cell)
    assert "is none" in said(app)
    assert "classes here go from 0 to 9" in said(app)
    assert "cell" not in app.query_params
    app.run()
    assert "is none" not in said(fine(app))


def test_a_cell_without_examples_says_so(links, digits):
    run, evaluation = digits
    i, j = map(int, np.argwhere(evaluation.confusion == 0)[0])
    assert "No test example is in this cell" in said(opened(run.ref, cell=f"{i}-{j}"))


def test_points_of_a_cell_are_a_table_of_their_coordinates(links, points):
    run, evaluation = points
    test = data.load("points", "test")
    app = opened(run.ref, cell="0-1" if evaluation.confusion[0, 1] else "0-0")
    true, called = 0, 1 if evaluation.confusion[0, 1] else 0
    expected = [int(i) for i in examples(evaluation, true, called)[:24]]
    table = app.dataframe[0].value
    assert list(table.index) == expected
    np.testing.assert_allclose(table[["x", "y"]], test.x[expected])
    assert links[0][0] == "pages/models.py"
    assert links[0][2] == {"model": f"{run.ref}@{run.checkpoints[-1]}", "example": str(expected[0])}


def answers(y: np.ndarray, predicted: np.ndarray, classes: int, sure: float) -> Evaluation:
    probabilities = np.full((len(y), classes), (1 - sure) / (classes - 1))
    probabilities[np.arange(len(y)), predicted] = sure
    return Evaluation(tuple(f"class {i}" for i in range(classes)), y, probabilities)


def test_a_perfect_network_has_no_mistakes_and_its_cells_open_all_the_same(links, digits):
    run, _ = digits
    y = data.load("digits", "test").y
    perfect = answers(y, y, 10, 0.9)
    app = opened(run.ref, perfect)
    assert "No mistakes" in said(app)
    assert "Most confident mistakes" not in said(app)
    assert app.selectbox(key="cell-true").value is None
    assert "**under-confident**, less sure than it should be by 10.0 points" in said(app)
    app.selectbox(key="cell-true").set_value(4).run()
    assert "class 4, rightly named" in said(fine(app))


def test_a_network_that_calls_everything_the_same(links, digits):
    run, _ = digits
    y = data.load("digits", "test").y
    app = opened(run.ref, answers(y, np.full(len(y), 3), 10, 0.99))
    assert "**over-confident**, surer than it should be by" in said(app)
    assert "called class 3" in said(app)


def test_a_hundred_classes_of_which_some_are_not_in_the_test_split(links, digits):
    run, _ = digits
    y = data.load("digits", "test").y
    app = opened(run.ref, answers(y, (y + 1) % 10, 100, 0.6))
    assert "The 20 classes of 100 with the lowest F1" in said(app)
    assert "There is no test example of class 10, class 11, class 12, class 13, class 14 and 85 more" in said(app)
    assert "Of 100 names some stand beside the rows" in said(app)


def test_shipped_networks_say_that_links_open_their_best_weights(links):
    app = opened("zoo:digits-lenet")
    charts = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    assert charts[0]["params"][0]["name"] == "cell"
    assert "no others are kept" in said(app)
    assert {query["model"] for _, _, query in links} == {"zoo:digits-lenet"}
