"""What data of text share: the vocabulary, the tokenizer made of it, and sentences as rows of numbers."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

SPECIAL = ("[PAD]", "[UNK]", "[START]", "[END]", "[MASK]")  # the first words of every vocabulary
PAD, UNK, START, END, MASK = range(len(SPECIAL))
IGNORED = -100  # in y: a token that is given, or no token at all; PyTorch's own sign for it


def listed(line: str) -> tuple[str, ...]:
    """The words of a line."""
    return tuple(line.split())


def vocabulary(words: Iterable[str]) -> tuple[str, ...]:
    """The special tokens and then the words, each once, in order of appearance."""
    return tuple(dict.fromkeys((*SPECIAL, *words)))


def numbered(sentences: Sequence[Sequence[str]], words: Sequence[str], length: int) -> np.ndarray:
    """Sentences as token numbers between [START] and [END], padded to `length`: (N, length) int64."""
    number = {word: index for index, word in enumerate(words)}
    x = np.full((len(sentences), length), PAD, np.int64)
    for row, sentence in zip(x, sentences, strict=True):
        row[: len(sentence) + 2] = [START, *(number[word] for word in sentence), END]
    return x


def everything(x: np.ndarray) -> np.ndarray:
    """The y of plain text: each token but [START] is there to be predicted."""
    return np.where((x == PAD) | (x == START), IGNORED, x)


def tokenizer(words: Sequence[str], digits: bool = False) -> str:
    """A word-level tokenizer over a vocabulary, as the JSON of the `tokenizers` library.

    Lower case, split at spaces and punctuation; with `digits`, each digit is a word. It frames a text as
    [START] … [END] and a pair as [START] … [END] … [END].
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=SPECIAL[UNK]))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.add_special_tokens(list(SPECIAL))
    split: list[Any] = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    if digits:
        split.append(pre_tokenizers.Digits(individual_digits=True))
    made.pre_tokenizer = pre_tokenizers.Sequence(split)
    made.post_processor = processors.TemplateProcessing(
        single="[START] $A [END]",
        pair="[START] $A [END] $B:1 [END]:1",
        special_tokens=[("[START]", START), ("[END]", END)],
    )
    return made.to_str()


def open_ended(made: str) -> str:
    """The same tokenizer for a model that writes on: a text begins with [START] and has no end."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_str(made)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[START] $A", pair="[START] $A $B:1", special_tokens=[("[START]", START)]
    )
    return tokenizer.to_str()


def source_only(made: str) -> str:
    """The same tokenizer for a model that reads one text and writes another: both just end."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_str(made)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [END]", pair="$A [END] $B:1 [END]:1", special_tokens=[("[END]", END)]
    )
    return tokenizer.to_str()


def words_of(made: str) -> tuple[str, ...]:
    """The vocabulary of a tokenizer, by number."""
    found = json.loads(made)["model"]["vocab"]
    return tuple(sorted(found, key=found.__getitem__))
