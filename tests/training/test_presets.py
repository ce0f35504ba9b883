"""Every race that ships is what was measured: python -m pytest tests/training/test_presets.py"""

import dataclasses
import json

import pytest

from explorer import data, models
from explorer.training import presets, racing
from explorer.training.__main__ import _recipe
from explorer.training.config import TrainConfig, check_levers
from explorer.training.presets import MODERN, PRESETS, RACED, RECIPES, STANDARD, shipped


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_asks_a_question_and_says_what_to_expect_and_why(name):
    entry = PRESETS[name]
    assert entry.summary.endswith("?")
    for fact in ("expected", "because"):
        assert entry.facts[fact].endswith(".")
    assert entry.facts["paper"].startswith("https://")
    contest = entry.make()
    assert contest == entry.make()
    assert len(set(contest.configs)) == len(contest.configs)
    assert set(entry.facts["claims"]) == set(contest.names[1:])
    for config in contest.configs:
        about = data.about(config.dataset)
        check_levers(config, about.task, about.shape, False, config.batch)
        assert models.count(config.model, about.shape, about.classes, **dict(config.model_settings)) < 500_000


@pytest.mark.parametrize("name", list(PRESETS))
def test_what_ships_is_the_whole_race_of_the_present_configs_and_what_is_claimed_follows_from_its_numbers(name):
    race = shipped(name)
    assert race is not None, f"measure it: python -m explorer.training bench --presets {name}"
    assert race.contest == PRESETS[name].make()
    assert race.complete
    assert race.contest.seeds >= 3
    assert {one.name: one.word for one in race.verdicts()} == PRESETS[name].facts["claims"]
    assert race.parameters == tuple(racing.count(config) for config in race.contest.configs)
    config = race.contest.configs[0]
    assert race.tests == len(data.load(config.dataset, "test", **dict(config.dataset_settings)))
    for one in race.trials:
        assert abs(one.accuracy * race.tests - round(one.accuracy * race.tests)) < 1e-6  # a share of whole examples
        assert one.validation == pytest.approx(max(one.accuracies), abs=1e-4)
        assert one.run == ""  # its network is not here
        if one.state == "finished":
            assert len(one.losses) == config.epochs + 1
    for seed in range(race.contest.seeds):
        begun = {one.losses[0] for one in race.trials if one.seed == seed}
        assert len(begun) == 1 or not race.contest.same_weights
    assert (RACED / f"{name}.json").stat().st_size < 40_000


def test_nothing_ships_that_no_preset_asks_for():
    assert {path.stem for path in RACED.glob("*.json")} == set(PRESETS)


def test_a_result_of_other_configs_is_not_shown(monkeypatch, tmp_path):
    name = "clipping"
    race = shipped(name)
    monkeypatch.setattr(presets, "RACED", tmp_path)
    assert shipped(name) is None
    presets.ship(name, race)
    assert shipped(name).verdicts() == race.verdicts()
    values = json.loads((tmp_path / f"{name}.json").read_bytes())
    values["contest"]["configs"][0]["lr"] = 0.5
    (tmp_path / f"{name}.json").write_text(json.dumps(values))
    assert shipped(name) is None


def test_a_shipped_result_comes_out_again_when_it_is_measured_here():
    """The shortest preset, one seed of it: the same accuracies, but for what other processors round otherwise."""
    race = shipped("recipe")
    small = racing.result(racing.run(dataclasses.replace(race.contest, seeds=1, first=1)))
    for recipe in range(2):
        kept, again = race.of(recipe)[1], small.of(recipe)[0]
        assert again.losses == pytest.approx(kept.losses, rel=0.03)
        assert again.accuracies == pytest.approx(kept.accuracies, abs=0.03)
        assert again.accuracy == pytest.approx(kept.accuracy, abs=0.03)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_over_no_trick_of_the_config_that_it_challenges(name):
    kept = {"model_settings": {"width": 8}, "epochs": 3, "batch_size": 32, "accumulate": 2, "amp": "off", "seed": 7}
    full = TrainConfig(
        **kept, ema=0.9, mixup=1.0, crop=2, flip=True, balanced=True, early_stopping=3, clip_value=0.1, nesterov=True,
        cutmix=0.5, optimizer="sgd", momentum=0.5, decay=0.5, patience=1, cycles=7, erasing=0.5, randaugment=9,
    )  # fmt: skip
    digits = data.about("digits")
    assert dataclasses.replace(full, **presets.changes(name, digits)) == TrainConfig(**kept, **RECIPES[name])
    assert _recipe(full, name)[1] == TrainConfig(**kept, **RECIPES[name])
    assert not presets.changes("modern", data.about("points"))["mixup"]


def test_photographs_are_mirrored_and_shifted_by_an_eighth_of_their_side():
    for name in RECIPES:  # He et al. 2016, section 4.2: 4 of CIFAR-10's 32 pixels
        photographs = presets.fitted(name, data.about("cifar10"))
        assert (photographs["flip"], photographs["crop"]) == (True, 4)
        assert photographs == RECIPES[name] | {"flip": True, "crop": 4}
    shapes = presets.fitted("modern", data.about("shapes"))
    assert shapes == MODERN | {"crop": data.about("shapes").shape[1] // 8}
    assert presets.fitted("standard", data.about("shapes")) == STANDARD


def test_the_recipes_change_only_what_there_is():
    for changes in RECIPES.values():
        dataclasses.replace(PRESETS["recipe"].make().configs[0], **changes)
    assert set(STANDARD) != set(MODERN)
