"""A race drawn: python -m pytest tests/charts/test_race_charts.py"""

import dataclasses

import pytest

from explorer.charts import race as charts
from explorer.training.presets import PRESETS, shipped

RACE = shipped("optimisers")


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_shipped_race_can_be_drawn(name):
    race = shipped(name)
    for quantity in ("accuracy", "loss"):
        charts.learning(race, quantity).to_dict()
    charts.differences(race).to_dict()


def test_the_line_is_the_mean_over_the_seeds_and_the_band_holds_them_all():
    frame = charts.by_epoch(RACE, "accuracy")
    assert list(dict.fromkeys(frame["recipe"])) == list(RACE.contest.names)
    for recipe, name in enumerate(RACE.contest.names):
        values = [one.accuracies[3] for one in RACE.of(recipe)]
        row = frame[(frame["recipe"] == name) & (frame["epoch"] == 3)].iloc[0]
        assert row["mean"] == pytest.approx(sum(values) / len(values))
        assert (row["low"], row["high"], row["seeds"]) == (min(values), max(values), len(values))


def test_there_is_a_dot_for_each_seed_and_an_interval_for_each_recipe_but_the_first():
    chart = charts.differences(RACE)
    zero, span, _, seeds = chart.layer
    assert zero.data["points"].tolist() == [0.0]
    verdicts = RACE.verdicts()
    assert span.data["low"].tolist() == pytest.approx([100 * one.low for one in verdicts])
    assert span.data["high"].tolist() == pytest.approx([100 * one.high for one in verdicts])
    assert len(seeds.data) == len(verdicts) * RACE.contest.seeds
    first = seeds.data[seeds.data["recipe"] == verdicts[0].name]["points"]
    assert first.tolist() == pytest.approx([100 * value for value in verdicts[0].differences])


def test_a_race_that_has_just_begun_can_be_drawn():
    for count in (0, 1, 2, 4):
        begun = dataclasses.replace(RACE, trials=RACE.trials[:count])
        charts.learning(begun).to_dict()
        charts.differences(begun).to_dict()
