"""The truth that comes with texts is true: worked out here again, by other means."""

import datetime
import re

import numpy as np
import pytest
from tokenizers import Tokenizer

from explorer import data
from explorer.data import story
from explorer.data.dates import MONTHS
from explorer.data.text import END, IGNORED, PAD, START, open_ended, source_only, words_of

pytestmark = pytest.mark.usefixtures("small")
TEXTS = ["story", "dates", "sort", "reverse"]
PLURAL = {many for nouns in story.NOUNS.values() for _, many in nouns}
SINGULAR = {one: pronoun for pronoun, nouns in story.NOUNS.items() for one, _ in nouns}
SINGULAR |= {name: pronoun for pronoun, names in story.FIRST.items() for name in names}
VERBS = dict([*story.ALONE, *story.WITH_OBJECT, ("is", "are")])  # of one → of many


def links(found, role):
    """Every link of a role: (words of the text, the place, the places that it depends on)."""
    for text, roles in zip(found.texts, found.roles, strict=True):
        for place, depends in roles.links.get(role, ()):
            yield text.split(), place, depends


@pytest.mark.parametrize("name", TEXTS)
def test_the_tokenizer_gives_the_numbers_and_the_numbers_the_text(name):
    found = data.load(name, "test")
    made = Tokenizer.from_str(found.tokenizer)
    assert words_of(found.tokenizer) == found.labels
    framed = Tokenizer.from_str(source_only(found.tokenizer)) if name == "dates" else made
    for text, row in zip(found.texts, found.x, strict=True):
        assert framed.encode(text).ids == row[row != PAD].tolist()
        assert " ".join(found.labels[i] for i in row if i > END) == text
    assert Tokenizer.from_str(open_ended(found.tokenizer)).encode(found.texts[0]).ids[0] == START


def test_verbs_agree_with_what_they_are_linked_to():
    found = data.load("story", "test")
    seen = 0
    for words, place, depends in links(found, "agreement"):
        head = words[depends[-1]] if words[depends[0]] in story.POSSESSIVE else words[depends[0]]
        plural = head in PLURAL
        assert words[place] in (VERBS.values() if plural else VERBS.keys())
        seen += 1
    verbs = sum(roles.parts.count("verb") for roles in found.roles)
    assert seen == verbs > 80


def test_pronouns_agree_with_whom_they_mean_and_stand_after_them():
    for words, place, depends in links(data.load("story", "test"), "coreference"):
        head = words[depends[0]]
        meant = "they" if head in PLURAL else SINGULAR[head]
        assert words[place] in (meant, story.POSSESSIVE[meant])
        assert max(depends) < place


def test_adjectives_stand_before_their_nouns_and_objects_after_their_verbs():
    found = data.load("story", "test")
    for words, place, depends in links(found, "adjective"):
        assert depends == (place - 1,)
        assert words[place - 1] in story.ADJECTIVES
    for words, place, (verb,) in links(found, "object"):
        assert verb < place
        assert words[verb] in VERBS or words[verb] in VERBS.values()


def test_every_word_has_a_part_of_speech_and_stories_differ():
    found = data.load("story", "train")
    assert all(len(text.split()) == len(roles.parts) for text, roles in zip(found.texts, found.roles, strict=True))
    assert len(set(found.texts)) == len(found)


def test_distractors_of_another_number_stand_between_verbs_and_subjects():
    torn = [
        words for words, place, depends in links(data.load("story", "train"), "agreement")
        if len(depends) == 1 and any(
            (word in PLURAL) != (words[depends[0]] in PLURAL)
            for word in words[depends[0]:place] if word in PLURAL or word in SINGULAR
        )
    ]  # fmt: skip
    assert len(torn) > 5


def test_no_two_splits_share_the_form_of_a_sentence():
    forms = [set(story.templates_of(split, 0)) for split in data.SPLITS]
    assert sum(map(len, forms)) == len(set.union(*forms)) == len(story.TEMPLATES)
    for parts in zip(*forms[2], strict=True):  # but every part of a form is learnt
        assert set(parts) <= {part for form in forms[0] for part in form}


def test_names_come_again_so_that_their_second_half_can_be_known():
    again = [
        text for text in data.load("story", "train").texts
        if any(text.split().count(first) > 1 for names in story.FIRST.values() for first in names)
    ]  # fmt: skip
    assert len(again) > 30


@pytest.mark.parametrize("direction", ["to ISO", "from ISO"])
def test_dates_are_the_same_day_and_their_digits_come_from_where_it_says(direction):
    found = data.load("dates", "test", direction=direction)
    for question, answer, roles in zip(found.texts, found.answers, found.roles, strict=True):
        spelled, iso = (question, answer) if direction == "to ISO" else (answer, question)
        day = datetime.date.fromisoformat(iso.replace(" ", ""))
        month = next(index for index, name in enumerate(MONTHS) if re.search(rf"\b({name}|{name[:3]})\b", spelled))
        assert month + 1 == day.month
        assert set(roles.links) == {"year", "month", "day"}
        for field, pairs in roles.links.items():
            for place, depends in pairs:
                target = answer.split()[place]
                origins = [question.split()[index] for index in depends]
                if field == "year" or (field == "day" and len(depends) == 1 and target != "0"):
                    assert origins == [target]


@pytest.mark.parametrize("name", ["sort", "reverse"])
def test_only_the_answer_is_asked_and_it_is_right(name):
    found = data.load(name, "test", numbers=5)
    for text, row, y, roles in zip(found.texts, found.x, found.y, found.roles, strict=True):
        question, answer = (list(map(int, half.split())) for half in text.split("="))
        assert answer == (sorted(question) if name == "sort" else question[::-1])
        asked = [int(found.labels[i]) for i in y[y != IGNORED] if i > END]
        assert asked == answer
        assert np.array_equal(row[y != IGNORED], y[y != IGNORED])
        words = text.split()
        assert all(words[place] == words[depends[0]] for place, depends in roles.links["origin"])
