"""A person's own text: cut into pieces, by a tokenizer that is learnt from it."""

from typing import Any

import numpy as np

from explorer.data.text import PAD, SPECIAL, START
from explorer.errors import ExplorerError

LENGTH = 64  # tokens of a piece, [START] included
WORDS = 1000  # tokens of the vocabulary, at most
WORD = 64  # letters: longer words are cut, as the time to learn one grows with the square of its length
FEWEST = 20  # pieces
LONGEST = 2_000_000  # characters
WHO = "Your text"


def read_text(content: str) -> tuple[np.ndarray, str]:
    """A text as pieces of tokens, (N, LENGTH) int64, and the tokenizer that was learnt from it, as JSON.

    Byte pair encoding over bytes, so that no letter is unknown (Sennrich et al. 2016; Radford et al. 2019, 2.2).
    Raises ExplorerError for a text that is too short or too long.
    """
    text = content.replace("\r\n", "\n").replace("\0", "").strip().encode("utf-8", "replace").decode()
    if len(text) > LONGEST:
        raise ExplorerError(WHO, f"it has {len(text):,} characters", f"Bring at most {LONGEST:,}")
    made = _learnt(text)
    ids = made.encode(text, add_special_tokens=False).ids
    size = LENGTH - 1
    count = -(-len(ids) // size)
    if count < FEWEST:
        least = FEWEST * size
        raise ExplorerError(
            WHO, f"it is {len(ids):,} tokens long, too short to learn from", f"Bring at least {least:,}: some pages"
        )
    x = np.full((count, LENGTH), PAD, np.int64)
    x[:, 0] = START
    x[:, 1:].flat[: len(ids)] = ids
    return x, made.to_str()


def texts_of(x: np.ndarray, tokenizer: str) -> tuple[str, ...]:
    """What the pieces say."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(tokenizer)
    return tuple(made.decode_batch([row[row != PAD].tolist() for row in x]))


def _learnt(text: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rf"\S{{{WORD}}}|\s{{{WORD}}}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=list(SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(text.splitlines(keepends=True), trainer)
    frame = {"single": "[START] $A [END]", "pair": "[START] $A [END] $B:1 [END]:1"}
    made.post_processor = processors.TemplateProcessing(
        **frame, special_tokens=[(word, SPECIAL.index(word)) for word in ("[START]", "[END]")]
    )
    return made
