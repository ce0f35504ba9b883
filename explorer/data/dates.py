"""Dates in words and as ISO 8601 writes them: one text turned into another, with every digit's origin known."""

import datetime
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from explorer.data.base import DATASETS, Dataset, Roles, stream
from explorer.data.text import IGNORED, PAD, listed, numbered, tokenizer, vocabulary
from explorer.params import Choice

SIZES = {"train": 6000, "validation": 300, "test": 600}
LENGTH = 16  # tokens of either side, [END] included
MONTHS = listed("january february march april may june july august september october november december")
WEEKDAYS = listed("monday tuesday wednesday thursday friday saturday sunday")
FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
DIRECTIONS = ("to ISO", "from ISO")
WORDS = vocabulary(
    [*"0123456789-,", "the", "of", "st", "nd", "rd", "th", *MONTHS, *(month[:3] for month in MONTHS), *WEEKDAYS]
)

Field = dict[str, list[int]]  # "year", "month", "day" → the places of its tokens, in order


@dataclass
class Writing:
    """A date while it is written: its words, and where its fields are."""

    words: list[str] = field(default_factory=list)
    fields: Field = field(default_factory=dict)

    def add(self, *words: str, field: str = "") -> "Writing":
        """Write words that belong to a field, or to none."""
        if field:
            places = range(len(self.words), len(self.words) + len(words))
            self.fields.setdefault(field, []).extend(places)
        self.words.extend(words)
        return self


@DATASETS.register("dates", task="text-pairs", shape=(LENGTH,), classes=len(WORDS))
def dates(
    split: str,
    seed: int,
    direction: Annotated[str, Choice(DIRECTIONS, help="What is turned into what")] = "to ISO",
) -> Dataset:
    """Dates such as "the 3rd of march 2021" turned into "2021-03-03", or back; each digit's origin is known.

    The days are from 1900 to 2099, and no two splits share one. In words a date has one of six forms, some with the day
    of the week, which the answer does not need.
    """
    days = _days(split, seed)
    rng = stream(seed, split)
    pairs = []
    for day in days:
        iso = _iso(day)
        spelled = _spelled(day, rng, plain=direction == "from ISO")
        pairs.append((spelled, iso) if direction == "to ISO" else (iso, spelled))
    x = numbered([question.words for question, _ in pairs], WORDS, LENGTH + 1)[:, 1:]  # a question has no [START]
    y = numbered([answer.words for _, answer in pairs], WORDS, LENGTH + 1)[:, 1:]
    roles = tuple(Roles((), _alignment(question, answer)) for question, answer in pairs)
    texts, answers = (tuple(" ".join(one.words) for one in side) for side in zip(*pairs, strict=True))
    return Dataset(
        "dates", split, "text-pairs", x, np.where(y == PAD, IGNORED, y), WORDS, texts=texts, answers=answers,
        roles=roles, tokenizer=tokenizer(WORDS, digits=True),
    )  # fmt: skip


def _days(split: str, seed: int) -> list[datetime.date]:
    """The days of a split, drawn from one shuffled calendar."""
    count = (LAST - FIRST).days + 1
    order = np.random.default_rng(seed).permutation(count)
    start = {"train": 0, "validation": SIZES["train"], "test": SIZES["train"] + SIZES["validation"]}[split]
    return [FIRST + datetime.timedelta(days=int(index)) for index in order[start : start + SIZES[split]]]


def _iso(day: datetime.date) -> Writing:
    made = Writing()
    made.add(*str(day.year), field="year").add("-").add(*f"{day.month:02d}", field="month")
    return made.add("-").add(*f"{day.day:02d}", field="day")


def _spelled(day: datetime.date, rng: np.random.Generator, plain: bool) -> Writing:
    """One of six forms, or the first where only one answer can be right."""
    month, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    number, year = str(day.day), str(day.year)
    made = Writing()
    match 0 if plain else int(rng.integers(6)):
        case 0:
            made.add("the").add(*number, field="day").add(_ending(day.day), "of")
            return made.add(month, field="month").add(*year, field="year")
        case 1:
            return made.add(month, field="month").add(*number, field="day").add(",").add(*year, field="year")
        case 2:
            made.add(weekday, ",").add(*number, field="day").add(month, field="month")
            return made.add(*year, field="year")
        case 3:
            return made.add(*number, field="day").add(month[:3], field="month").add(*year, field="year")
        case 4:
            made.add(weekday, "the").add(*number, field="day").add(_ending(day.day), "of")
            return made.add(month, field="month").add(",").add(*year, field="year")
        case _:
            made.add(*year, field="year").add(",").add(month[:3], field="month")
            return made.add(*number, field="day")


def _ending(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _alignment(question: Writing, answer: Writing) -> dict[str, tuple[tuple[int, tuple[int, ...]], ...]]:
    """For each field, which tokens of the question each token of the answer is made from.

    Digits stand for digits, counted from the last one; a month's name stands for both digits of its number, and a zero
    in front for the one digit that follows.
    """
    links = {}
    for name, places in answer.fields.items():
        origin = question.fields[name]
        pairs = []
        for back, place in enumerate(reversed(places)):
            whole = name == "month" or back >= len(origin)
            pairs.append((place, tuple(origin) if whole else (origin[-1 - back],)))
        links[name] = tuple(reversed(pairs))
    return links
