"""Short stories of a grammar whose every relation is known: who does what, whom a pronoun means, what is repeated."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from explorer.data.base import DATASETS, Dataset, Roles, stream
from explorer.data.text import everything, listed, numbered, tokenizer, vocabulary

SIZES = {"train": 8000, "validation": 400, "test": 800}
LENGTH = 48  # tokens, [START] and [END] included

FIRST = {
    "she": listed("ada bella cora dora edith flora greta hilda iris june kate lena mona nora olga petra"),
    "he": listed("adam boris carl david erik felix georg hugo ivan jonas karl leo max noah oskar paul"),
}
FAMILY = listed(
    "adler baum brandt dorn eder falk fink graf haas hahn heller kern koch kraus lang lorenz mohr moser otto "
    "peters pohl reuter roth sander schenk seidel sommer stark thoma ulrich vogel wagner weber winter wolf "
    "ziegler"
)
NOUNS = {  # pronoun of one → singular and plural
    "she": (("queen", "queens"), ("girl", "girls"), ("woman", "women"), ("aunt", "aunts"), ("nun", "nuns")),
    "he": (("king", "kings"), ("boy", "boys"), ("man", "men"), ("uncle", "uncles"), ("monk", "monks")),
    "it": (
        ("dog", "dogs"), ("cat", "cats"), ("horse", "horses"), ("fox", "foxes"), ("goose", "geese"),
        ("bear", "bears"), ("hare", "hares"), ("owl", "owls"),
    ),
}  # fmt: skip
ALONE = (  # verbs that need no object: of one, of many
    ("runs", "run"), ("sleeps", "sleep"), ("sings", "sing"), ("waits", "wait"), ("dances", "dance"),
    ("rests", "rest"), ("smiles", "smile"), ("hides", "hide"), ("swims", "swim"), ("yawns", "yawn"),
)  # fmt: skip
WITH_OBJECT = (
    ("sees", "see"), ("follows", "follow"), ("helps", "help"), ("watches", "watch"), ("loves", "love"),
    ("hears", "hear"), ("finds", "find"), ("calls", "call"), ("fears", "fear"), ("greets", "greet"),
)  # fmt: skip
ADJECTIVES = listed("old young small tall brave quiet happy clever gentle hungry proud tired")
PLACES = listed("near behind beside")
OWNED = listed("brother sister friend mother father teacher")
POSSESSIVE = {"she": "her", "he": "his", "it": "its", "they": "their"}

SYLLABLES = [consonant + vowel for consonant in "bdkt" for vowel in "aiou"]
MELODY = np.random.default_rng(
    7
).permuted(  # the pair before → the two syllables that may come next, (16, 16, 2)
    np.tile(np.arange(len(SYLLABLES)), (len(SYLLABLES), len(SYLLABLES), 1)), axis=2
)[..., :2]

SUBJECTS = ("name", "plain", "adjective", "beside", "clause")
PREDICATES = ("alone", "is", "object", "adjective object", "name object")
TAILS = ("", "with", "then", "with then")
TEMPLATES = tuple(product(SUBJECTS, PREDICATES, TAILS))
REFRAIN = 0.2  # share of the stories whose first sentence comes again at the end
SONG = 0.6  # share of the stories that end with a song
HELD_OUT = {"validation": 11, "test": 22}  # of 100 templates, besides those that teach

WORDS = vocabulary(
    [
        ".", ":", ",", "and", "are", "is", "that", "the", "then", "with", *FIRST["she"], *FIRST["he"], *FAMILY,
        *(word for nouns in NOUNS.values() for pair in nouns for word in pair),
        *(word for pair in (*ALONE, *WITH_OBJECT) for word in pair),
        *ADJECTIVES, *PLACES, *OWNED, *POSSESSIVE, *POSSESSIVE.values(), *SYLLABLES,
    ]
)  # fmt: skip


@dataclass
class Writing:
    """A story while it is written: its words, the part of speech of each, and who is linked to whom."""

    rng: np.random.Generator
    people: list[tuple[str, str, str]]  # first name, family name, pronoun
    words: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    links: dict[str, list[tuple[int, tuple[int, ...]]]] = field(default_factory=dict)

    def add(self, word: str, part: str) -> int:
        """Write a word; its place."""
        self.words.append(word)
        self.parts.append(part)
        return len(self.words) - 1

    def link(self, role: str, query: int, *keys: int) -> None:
        """Note what a word depends on."""
        self.links.setdefault(role, []).append((query, keys))

    def again(self, count: int) -> None:
        """Write the first `count` words once more, with what is known of them."""
        start = len(self.words)
        self.words += self.words[:count]
        self.parts += self.parts[:count]
        for links in self.links.values():
            first = [(query, keys) for query, keys in links if query < count]
            links += [(start + query, tuple(start + key for key in keys)) for query, keys in first]

    def one(self, options: Sequence):
        """One of several, each as likely."""
        return options[self.rng.integers(len(options))]


@dataclass(frozen=True)
class Phrase:
    """A noun phrase that was written: where its head is, and which pronoun stands for it."""

    head: tuple[int, ...]  # a noun, or both names
    pronoun: str

    @property
    def many(self) -> bool:
        """Whether its verb is a plural."""
        return self.pronoun == "they"


@DATASETS.register("story", task="text", shape=(LENGTH,), classes=len(WORDS))
def story(split: str, seed: int) -> Dataset:
    """Stories of a small grammar in which it is known what each verb agrees with and whom each pronoun means.

    Two to four sentences each. A full name is drawn anew for each story and comes again in it, so its second half can
    only be known from the first time; many a story ends with its first sentence once more, or with a song that is sung
    twice and in which each syllable depends on the two before. Nouns of another number or gender stand between a verb
    or pronoun and what it depends on. The sentences of validation and test have forms that none of training has.
    """
    rng = stream(seed, split)
    templates = templates_of(split, seed)
    stories: dict[str, Writing] = {}
    while len(stories) < SIZES[split]:
        written = write(rng, templates)
        if len(written.words) + 2 <= LENGTH:
            stories[" ".join(written.words)] = written
    x = numbered([one.words for one in stories.values()], WORDS, LENGTH)
    roles = tuple(
        Roles(tuple(one.parts), {role: tuple(links) for role, links in one.links.items()}) for one in stories.values()
    )
    return Dataset(
        "story", split, "text", x, everything(x), WORDS, texts=tuple(stories), roles=roles, tokenizer=tokenizer(WORDS)
    )


def templates_of(split: str, seed: int) -> list[tuple[str, str, str]]:
    """The forms of the sentences of a split: no two splits share one, and every part of a form is in each split."""
    order = np.random.default_rng(seed).permutation(len(TEMPLATES))
    ends = np.cumsum([HELD_OUT["validation"], HELD_OUT["test"]])
    chosen = dict(zip(("validation", "test", "train"), np.split(order, ends), strict=True))[split]
    return [TEMPLATES[index] for index in chosen]


def write(rng: np.random.Generator, templates: Sequence[tuple[str, str, str]]) -> Writing:
    """One story about two people, with a refrain, a song, or neither at its end."""
    pronouns = ["she", "he"] if rng.integers(2) else ["he", "she"]
    families = rng.choice(len(FAMILY), 2, replace=False)
    people = [
        (FIRST[pronoun][rng.integers(len(FIRST[pronoun]))], FAMILY[family], pronoun)
        for pronoun, family in zip(pronouns, families, strict=True)
    ]
    written = Writing(rng, people)
    weights = np.array([1 + 6 * (subject == "name") + 6 * (verb == "name object") for subject, verb, _ in templates])
    end = rng.choice(("refrain", "song", "none"), p=(REFRAIN, SONG, 1 - REFRAIN - SONG))
    for _ in range(rng.integers(1, 3) if end == "song" else rng.integers(2, 4 if end == "refrain" else 5)):
        sentence(written, *templates[rng.choice(len(templates), p=weights / weights.sum())])
    if end == "refrain":
        written.again(written.words.index(".") + 1)
    elif end == "song":
        song(written)
    return written


def song(to: Writing) -> None:
    """Somebody sings a few syllables, twice; each is one of the two that may follow the pair before it."""
    _verb(to, _person(to), (("sings", "sing"),))
    line = [*to.rng.choice(len(SYLLABLES), 2)]
    for _ in range(to.rng.integers(4, 9)):
        line.append(MELODY[line[-2], line[-1], to.rng.integers(2)])
    for sign in (":", ","):
        to.add(sign, "punctuation")
        for syllable in line:
            to.add(SYLLABLES[syllable], "song")
    to.add(".", "punctuation")


def sentence(to: Writing, subject: str, predicate: str, tail: str) -> None:
    """One sentence of a form."""
    who = _subject(to, subject)
    _predicate(to, who, predicate)
    if "with" in tail:
        to.add("with", "preposition")
        to.link("coreference", to.add(POSSESSIVE[who.pronoun], "pronoun"), *who.head)
        to.add(to.one(OWNED), "noun")
    if "then" in tail:
        to.add("and", "conjunction")
        to.add("then", "adverb")
        pronoun = to.add(who.pronoun, "pronoun")
        to.link("coreference", pronoun, *who.head)
        verb = to.add(to.one(ALONE)[who.many], "verb")
        to.link("agreement", verb, pronoun, *who.head)
    to.add(".", "punctuation")


def _subject(to: Writing, form: str) -> Phrase:
    if form == "name":
        return _person(to)
    who = _noun(to, adjective=form == "adjective" or to.rng.random() < 0.2)
    if form == "beside":
        to.add(to.one(PLACES), "preposition")
        _noun(to)
    if form == "clause":
        to.add("that", "pronoun")
        other = _noun(to)
        _verb(to, other, WITH_OBJECT)
    return who


def _predicate(to: Writing, who: Phrase, form: str) -> None:
    if form == "alone":
        _verb(to, who, ALONE)
    elif form == "is":
        to.link("agreement", to.add("are" if who.many else "is", "verb"), *who.head)
        to.add(to.one(ADJECTIVES), "adjective")
    else:
        verb = _verb(to, who, WITH_OBJECT)
        what = _person(to, who) if form == "name object" else _noun(to, adjective=form == "adjective object")
        to.link("object", what.head[0], verb)


def _verb(to: Writing, who: Phrase, verbs: Sequence[tuple[str, str]]) -> int:
    place = to.add(to.one(verbs)[who.many], "verb")
    to.link("agreement", place, *who.head)
    return place


def _noun(to: Writing, adjective: bool = False) -> Phrase:
    to.add("the", "determiner")
    described = to.add(to.one(ADJECTIVES), "adjective") if adjective else None
    pronoun = to.one(("she", "he", "it"))
    many = int(to.rng.integers(2))
    noun = to.add(to.one(NOUNS[pronoun])[many], "noun")
    if described is not None:
        to.link("adjective", noun, described)
    return Phrase((noun,), "they" if many else pronoun)


def _person(to: Writing, other: Phrase | None = None) -> Phrase:
    """One of the two people; where the other phrase is one of them, the other one."""
    said = to.words[other.head[0]] if other else ""
    first, family, pronoun = to.one([person for person in to.people if person[0] != said])
    return Phrase((to.add(first, "name"), to.add(family, "name")), pronoun)
