"""Charts of the health of layers: python -m pytest tests/charts/test_activations_health.py"""

import dataclasses

import altair as alt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from explorer.activations.feed import Feed
from explorer.activations.health import examine, health
from explorer.activations.health_over_training import OverTraining
from explorer.charts import activations_health as charts
from explorer.zoo.card import Card
from explorer.zoo.model import Model


@pytest.fixture(scope="module")
def given():
    torch_seeded = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    for weight in net.parameters():
        weight.data = torch.randn(weight.shape, generator=torch_seeded)
    net[0].bias.data[2] = -1000.0
    card = Card("file:tiny", "tiny", "image-classification", "tiny", 1, (4,), tuple("abc"), (0.5,), (0.25,))
    model = Model(card, net)
    return Feed(model, {"x": torch.randn(9, 4, generator=torch_seeded)}, y=np.arange(9) % 3)


@pytest.fixture(scope="module")
def found(given):
    return health(given.model, given=given)


def frames(chart):
    """The tables that a chart was given, its layers in order."""
    parts = chart.layer if isinstance(chart, alt.LayerChart) else [chart]
    return [part.data if isinstance(part.data, pd.DataFrame) else chart.data for part in parts]


def test_overviews_have_a_point_for_each_layer_and_mark_the_chosen_one(found):
    marked, spread = frames(charts.spreads(found.layers, "1"))[:2]
    assert marked["layer"].tolist() == ["1"]
    assert spread["layer"].tolist() == [layer.name for layer in found.layers]
    np.testing.assert_allclose(spread["high"] - spread["low"], [2 * layer.std for layer in found.layers])
    shares = frames(charts.shares(found.layers))[0].set_index(["layer", "what"])["share"]
    assert shares["1", "dead units"] == pytest.approx(1 / 6)
    assert shares["1", "exact zeros"] == shares["1", "saturated"] == found["1"].zeros
    assert ("2", "saturated") not in shares.index


def test_gradients_are_drawn_for_outputs_and_for_all_weights_of_a_layer_together(found):
    frame = frames(charts.gradients(found, found.layers))[0].set_index(["layer", "what"])["gradient"]
    assert frame["1", "of the output"] == found["1"].gradient
    own = [weight.gradient for weight in found.weights if weight.layer == "2"]
    assert frame["2", "of the weights"] == pytest.approx(np.linalg.norm(own))
    assert ("1", "of the weights") not in frame.index
    ratio = frames(charts.ratios(found, found.layers))[0].set_index("layer")["ratio"]
    norms = [weight.norm for weight in found.weights if weight.layer == "2"]
    assert ratio["2"] == pytest.approx(np.linalg.norm(own) / np.linalg.norm(norms))


def test_a_layer_with_no_gradient_and_many_layers_still_draw(found):
    none = dataclasses.replace(found, layers=tuple(dataclasses.replace(one, gradient=0.0) for one in found.layers))
    many = tuple(dataclasses.replace(one, name=f"{one.name}.{n}") for n in range(20) for one in found.layers)
    for layers in (none.layers, many):
        for chart in (charts.spreads(layers), charts.shares(layers), charts.gradients(found, found.layers)):
            chart.to_dict()
    assert charts.spreads(many).to_dict()["layer"][0]["encoding"]["x"]["field"] == "depth"
    assert charts.spreads(found.layers).to_dict()["layer"][0]["encoding"]["x"]["field"] == "layer"


def test_units_are_sorted_by_how_often_they_are_active_and_dead_ones_are_marked(given):
    units = examine(given.model, "1", given=given)
    frame = frames(charts.units(units, "active"))[0]
    assert frame["active"].is_monotonic_decreasing
    assert frame.loc[frame["state"] == "dead", "unit"].tolist() == [2]
    assert sorted(frame["unit"]) == list(range(6))
    bars = frames(charts.histogram(units))[0]
    assert bars["share"].sum() + units.layer.zeros == pytest.approx(1)
    for chart in (charts.units(units, "mean"), charts.histogram(units)):
        chart.to_dict()


def test_very_many_units_are_thinned(given):
    units = examine(given.model, "1", given=given)
    many = {name: np.tile(getattr(units, name), 1000) for name in ("mean", "low", "high", "active", "above", "dead")}
    frame = frames(charts.units(dataclasses.replace(units, **many), "active"))[0]
    assert len(frame) == charts.UNITS
    assert frame["rank"].iloc[[0, -1]].tolist() == [1, 6000]


def test_the_course_of_training():
    dice = np.random.default_rng(0)
    shares = dice.random((3, 10))
    over = OverTraining(
        "run:x", "a", 3, np.array([0, 5, 9]), np.linspace(-1, 1, 11), shares / shares.sum(1, keepdims=True),
        np.zeros(3), np.zeros(3), np.ones(3), np.array([0.0, np.nan, 2.0]), 4, "never varies", ("a", "b"),
        np.ones((3, 2)), np.array([[0.5, np.nan], [0.1, 0.2]]), 8,
    )  # fmt: skip
    ridge = frames(charts.ridge(over))[0]
    np.testing.assert_allclose(ridge.groupby("step", sort=False)["share"].sum(), 1)
    assert frames(charts.course(over, "dead"))[0]["value"].tolist() == [0, 2]
    assert len(frames(charts.weights(over, "updates"))[0]) == 3
    for chart in (charts.ridge(over), charts.course(over, "std"), charts.weights(over, "norms")):
        chart.to_dict()


def test_modules_are_folded_into_those_around_them():
    names = [f"block{block}.part{part}" for block in range(15) for part in range(3)]
    values = np.arange(2 * 45, dtype=float).reshape(2, 45)
    folded, gathered = charts.folded(names, values)
    assert folded == tuple(f"block{block}" for block in range(15))
    np.testing.assert_allclose(gathered[:, 1], np.sqrt((values[:, 3:6] ** 2).mean(1)))
    few, same = charts.folded(names[:6], values[:, :6])
    assert few == tuple(names[:6])
    np.testing.assert_array_equal(same, values[:, :6])
