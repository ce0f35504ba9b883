"""Races of training recipes: what was measured at each seed, and what may be said of it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from explorer import data, models
from explorer.errors import ExplorerError
from explorer.params import params
from explorer.training.config import TrainConfig

RECIPES = (2, 4)  # fewest and most in one race
SEEDS = 10  # at the most
DOUBT = 0.05  # chance that any of the intervals of a race misses
COUNTED = ("finished", "diverged")  # how a run may have ended to count


@dataclasses.dataclass(frozen=True)
class Contest:
    """What to race: named recipes on the same data, at the seeds `first`, `first` + 1 …, not at their own."""

    names: tuple[str, ...]
    configs: tuple[TrainConfig, ...]  # parallel to names
    seeds: int = 5
    first: int = 0

    def __post_init__(self) -> None:
        asked, (fewest, most) = "This race", RECIPES
        if not fewest <= len(self.names) <= most or len(self.names) != len(self.configs):
            raise ExplorerError(asked, f"it has {len(self.names)} recipes", f"Race {fewest} to {most}")
        if len(set(self.names)) < len(self.names) or not all(self.names):
            raise ExplorerError(asked, "two recipes have the same name, or one has none", "Name each differently")
        if not 1 <= self.seeds <= SEEDS:
            raise ExplorerError(asked, f"{self.seeds} seeds are not between 1 and {SEEDS}", "Choose another number")
        if len({(config.dataset, config.dataset_settings) for config in self.configs}) > 1:
            raise ExplorerError(asked, "its recipes learn from different data", "Give all the same data")

    def config(self, recipe: int, seed: int) -> TrainConfig:
        """What one run of it trains; seed: counted from 0."""
        return dataclasses.replace(self.configs[recipe], seed=self.first + seed)

    @property
    def order(self) -> tuple[tuple[int, int], ...]:
        """(recipe, seed) of every run, all recipes of one seed before the next, so that what there is is paired."""
        return tuple((recipe, seed) for seed in range(self.seeds) for recipe in range(len(self.names)))

    @property
    def same_weights(self) -> bool:
        """Whether all recipes begin from the same weights, which the seed draws for an architecture and its size.

        What regularises a network, like dropout, has no weights of its own.
        """
        return len({_drawn(config) for config in self.configs}) == 1

    @property
    def same_order(self) -> bool:
        """Whether all recipes see the examples in the same order, into however large batches it is cut."""
        return len({config.balanced for config in self.configs}) == 1

    @property
    def same_batches(self) -> bool:
        """Whether all recipes see the same examples at each step."""
        return self.same_order and len({config.batch for config in self.configs}) == 1

    @property
    def shared(self) -> str:
        """What the recipes have in common at each seed, in one sentence."""
        weights = "the same first weights" if self.same_weights else "first weights that may differ (their networks do)"
        order = "the same order of examples"
        if not self.same_order:
            order = "examples in an order of their own (some draw classes alike)"
        elif not self.same_batches:
            order += ", cut into batches of their own"
        return f"At each seed the recipes have {weights}, and {order}."

    def to_dict(self) -> dict[str, Any]:
        """The contest as plain JSON values."""
        return dataclasses.asdict(self) | {"configs": [config.to_dict() for config in self.configs]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Contest":
        """The contest of `to_dict`."""
        configs = tuple(TrainConfig.from_dict(config) for config in values["configs"])
        return cls(**{**values, "names": tuple(values["names"]), "configs": configs})


@dataclasses.dataclass(frozen=True)
class Trial:
    """One recipe at one seed."""

    recipe: int
    seed: int  # counted from 0
    state: str  # as a run has it
    accuracy: float | None  # on the test split, of the checkpoint that was best on the validation split; None: stopped
    validation: float | None  # the accuracy of that checkpoint there
    losses: tuple[float, ...]  # on the validation split: before training, and after each epoch
    accuracies: tuple[float, ...]  # parallel to losses
    seconds: float  # of training, validation included
    examples: float  # that it learned from a second
    error: str = ""
    run: str = ""  # the id under which the list of runs has it


@dataclasses.dataclass(frozen=True)
class Race:
    """What is measured so far."""

    contest: Contest
    trials: tuple[Trial, ...]  # in order
    tests: int  # examples of the test split
    parameters: tuple[int, ...]  # of each recipe's network
    flops: tuple[int, ...]  # of each recipe's network, for one example

    def of(self, recipe: int) -> tuple[Trial, ...]:
        """The runs of one recipe that count, by seed."""
        return tuple(one for one in self.trials if one.recipe == recipe and one.state in COUNTED)

    def accuracies(self, recipe: int) -> np.ndarray:
        """Test accuracies of the runs that count, (seeds,)."""
        return np.array([one.accuracy for one in self.of(recipe)])

    def differences(self, recipe: int) -> dict[int, float]:
        """seed → how much better than the first recipe it was there; seeds at which both have been tried."""
        first = {one.seed: one.accuracy for one in self.of(0)}
        return {one.seed: one.accuracy - first[one.seed] for one in self.of(recipe) if one.seed in first}

    @property
    def complete(self) -> bool:
        """Whether every run that was asked for counts."""
        return len([one for one in self.trials if one.state in COUNTED]) == len(self.contest.order)

    @property
    def point(self) -> str:
        """What one point is, in test examples."""
        return f"1 point is {self.tests / 100:.3g} of the {self.tests:,} test examples"

    def verdicts(self) -> tuple["Verdict", ...]:
        """What may be said of each recipe but the first."""
        return tuple(verdict(self, recipe) for recipe in range(1, len(self.contest.names)))

    def to_dict(self) -> dict[str, Any]:
        """The race as plain JSON values."""
        return dataclasses.asdict(self) | {"contest": self.contest.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Race":
        """The race of `to_dict`."""
        trials = tuple(trial(one) for one in values["trials"])
        contest = Contest.from_dict(values["contest"])
        return cls(contest, trials, values["tests"], tuple(values["parameters"]), tuple(values["flops"]))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One recipe beside the first: the mean difference of their test accuracies, and where the true one may lie."""

    name: str
    against: str
    differences: tuple[float, ...]  # one a seed
    mean: float  # NaN where there is none yet
    low: float  # NaN where one seed can't tell
    high: float
    diverged: int = 0  # of its runs
    diverged_first: int = 0  # of those of the first recipe

    @property
    def word(self) -> str:
        """better | worse | within noise | one seed can't tell | not raced yet"""
        if not self.differences:
            return "not raced yet"
        if len(self.differences) == 1:
            return "one seed can't tell"
        if self.low <= 0 <= self.high:
            return "within noise"
        return "better" if self.mean > 0 else "worse"

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        count, said = len(self.differences), f"{points(self.mean)} points"
        if not count:
            return f"{self.name} and {self.against} have no seed in common yet."
        if count == 1:
            told = (
                f"One seed can't tell: {self.name} is at {said} beside {self.against}, another seed may turn it round"
            )
        else:
            span = f"between {points(self.low)} and {points(self.high)}"
            told = f"{self.name}: {self.word}, {said} beside {self.against} ({span}), over {count} seeds"
        for name, often in ((self.name, self.diverged), (self.against, self.diverged_first)):
            told += f"; {name} diverged at {often}" if often else ""
        return told + "."


def verdict(race: Race, recipe: int) -> Verdict:
    """One recipe beside the first: Student's paired interval, wide enough for all comparisons of the race together.

    With k - 1 comparisons each holds at 1 - 0.05 / (k - 1), so that all hold at 95 % (Bonferroni). It speaks of other
    seeds on the same test examples, not of other examples.

    Accuracies are whole numbers of test examples, so a few differences may be equal by chance. A spread is therefore
    no smaller than the resolution of a difference: two errors, each uniform over 1 / tests, so sqrt(2 / 12) / tests.
    """
    names = race.contest.names
    found = np.array(list(race.differences(recipe).values()))
    low, high = interval(found, DOUBT / (len(names) - 1), least=math.sqrt(2 / 12) / race.tests)
    fell = [sum(one.state == "diverged" for one in race.of(which)) for which in (recipe, 0)]
    mean = float(found.mean()) if len(found) else math.nan
    return Verdict(names[recipe], names[0], tuple(map(float, found)), mean, low, high, *fell)


def interval(values: np.ndarray, doubt: float, least: float) -> tuple[float, float]:
    """Student's interval for the mean of values, which misses it with the chance `doubt`; NaN for fewer than two.

    least: the standard deviation that is taken where a smaller one was measured.
    """
    from scipy.stats import t

    if len(values) < 2:
        return math.nan, math.nan
    mean, spread = float(values.mean()), max(float(values.std(ddof=1)), least)
    half = float(t.ppf(1 - doubt / 2, len(values) - 1)) * spread / math.sqrt(len(values))
    return mean - half, mean + half


def points(share: float) -> str:
    """A difference of accuracies in points, signed."""
    return f"{100 * share:+.1f}".replace("-", "−")


def table(race: Race) -> list[dict[str, Any]]:
    """A line a recipe, numbers as they are: what the page, the terminal and the CSV show. None: not known."""
    rows, verdicts = [], (None, *race.verdicts())
    for recipe, (name, config) in enumerate(zip(race.contest.names, race.contest.configs, strict=True)):
        found, trials, told = race.accuracies(recipe), race.of(recipe), verdicts[recipe]
        rows.append(
            {
                "recipe": name,
                "model": config.model,
                "parameters": race.parameters[recipe],
                "flops": race.flops[recipe],
                "seeds": len(found),
                "accuracy": float(found.mean()) if len(found) else None,
                "spread": float(found.std(ddof=1)) if len(found) > 1 else None,
                "difference": _known(told and told.mean),
                "low": _known(told and told.low),
                "high": _known(told and told.high),
                "verdict": told.word if told else "",
                "seconds": float(np.mean([one.seconds for one in trials])) if trials else None,
                "examples_per_second": float(np.mean([one.examples for one in trials])) if trials else None,
                "diverged": sum(one.state == "diverged" for one in trials),
            }
        )
    return rows


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, with a heading."""
    import csv
    import io

    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def trial(values: Mapping[str, Any]) -> Trial:
    """A trial from JSON values."""
    return Trial(**{**values, "losses": tuple(values["losses"]), "accuracies": tuple(values["accuracies"])})


def rounded(race: Race) -> Race:
    """The race with as few digits as a curve needs; the test accuracies, of which verdicts are made, stay whole."""
    trials = tuple(
        dataclasses.replace(
            one,
            losses=tuple(float(f"{value:.3g}") for value in one.losses),
            accuracies=tuple(round(value, 4) for value in one.accuracies),
            seconds=round(one.seconds, 2),
            examples=round(one.examples),
            run="",
        )
        for one in race.trials
    )
    return dataclasses.replace(race, trials=trials)


def tests(contest: Contest) -> int:
    """How many examples the test split has."""
    config = contest.configs[0]
    return len(data.load(config.dataset, "test", **dict(config.dataset_settings)))


def _drawn(config: TrainConfig) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """What a network's first weights depend on beside seed and data: its name, and the settings that shape it."""
    known = params(models.MODELS[config.model].make)
    settings = config.complete().model_settings
    return config.model, tuple(pair for pair in settings if known[pair[0]].control.group != "Regularisation")


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
