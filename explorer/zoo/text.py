"""An opened language model with its tokenizer: shared by everybody, like any other model."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.errors import ExplorerError
from explorer.zoo.card import TEXT_TASKS as TASKS
from explorer.zoo.card import Card
from explorer.zoo.model import Model

__all__ = ["TASKS", "Encoded", "TextModel"]

WIDEST = 50  # characters a token: of a longer text only so many times the most tokens are read
SIGNS = {" ": "·", "▁": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}  # what stands for what can't be seen


@dataclass(frozen=True, eq=False)
class Encoded:
    """A text, or a pair of texts, as a network takes it: T tokens."""

    inputs: dict[str, Tensor]  # keywords of the network's forward, each (1, T)
    tokens: tuple[str, ...]  # (T,) as a person reads them
    words: tuple[int | None, ...]  # (T,) the number of the word each is of, over both texts; None for special tokens
    segments: tuple[int, ...]  # (T,) 0 in the first text, 1 in the second
    unknown: tuple[str, ...]  # words that the vocabulary does not have, in order
    cut: int  # tokens that were left out at the end, as the network takes no more; of very long texts about so many
    target: "Encoded | None" = None  # of an encoder-decoder that was given one: what its decoder is to say

    @property
    def ids(self) -> list[int]:
        """The numbers of the tokens."""
        return self.inputs["input_ids"][0].tolist()


class TextModel(Model):
    """A network that reads tokens; `borrow` lends the transformers module itself.

    tokenizer: a fast tokenizer of transformers.
    """

    def __init__(self, card: Card, module: nn.Module, tokenizer: Any) -> None:
        super().__init__(card, module)
        self.tokenizer = tokenizer
        self._read: dict[int, str] = {}  # tokens as people read them
        self.config = module.config
        self._generation = getattr(module, "generation_config", None)
        self._coder = tokenizer.backend_tokenizer
        self._coder.no_truncation()  # to set either while another thread reads would fail, so neither is ever used
        self._coder.no_padding()
        self._in_bytes = self._coder.decoder is not None and b"ByteLevel" in self._coder.decoder.__getstate__()
        self._segmented = (getattr(module.config, "type_vocab_size", 0) or 0) > 1
        self._added = set(tokenizer.added_tokens_decoder)

    @property
    def kind(self) -> str:
        """encoder | decoder | encoder-decoder."""
        return TASKS[self.card.task]

    @property
    def longest(self) -> int:
        """Tokens that it reads at the most, special ones included."""
        return self.card.shape[0]

    @property
    def mask_token(self) -> str | None:
        """What is written where a word is to be filled in; None where the network was not taught to."""
        return self.tokenizer.mask_token if self.card.task == "fill-mask" else None

    @property
    def pad_id(self) -> int:
        """The token that fills a batch of texts of unequal length; the network must be told to overlook it."""
        found = (self.tokenizer.pad_token_id, self._setting("pad_token_id"), self.end_id)
        return next((number for number in found if number is not None), 0)

    @property
    def start_id(self) -> int:
        """The token with which the answer of an encoder-decoder begins."""
        names = ("decoder_start_token_id", "bos_token_id", "pad_token_id")
        found = next((number for name in names if (number := self._setting(name)) is not None), None)
        if found is None:
            raise ExplorerError(
                f"The answer of {self.card.ref}", "its config does not say how its decoder begins", "Open another model"
            )
        return found

    @property
    def end_id(self) -> int | None:
        """The token that ends a text."""
        found = self._setting("eos_token_id")
        return self.tokenizer.eos_token_id if found is None else found

    def encode(self, text: str, text_b: str | None = None) -> Encoded:
        """A text, or a pair of them, as tokens; what is too long for the network is cut off at its end.

        text_b: of an encoder the second text, which may be blank; of an encoder-decoder what its decoder is to say.
        Raises ExplorerError for a text without a single token, and for a second one where a network reads only one.
        """
        second = text_b if text_b is not None and text_b.strip() else None
        if second is None or self.kind == "encoder":
            return self._encode(text, second)
        if self.kind == "decoder":
            raise ExplorerError(
                "The second text", f"{self.card.ref} writes on one text and has no place for another", "Leave it out"
            )
        return replace(self._encode(text, None), target=self._encode(second, None))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens, without special ones."""
        return self.tokenizer.decode(list(map(int, ids)), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def token(self, number: int) -> str:
        """One token as a person reads it: · for the space before a word, ⟨0xF0⟩ for bytes that are no character."""
        if number not in self._read:
            self._read[number] = self._spell(number)
        return self._read[number]

    def _spell(self, number: int) -> str:
        piece = self.tokenizer.convert_ids_to_tokens(int(number))
        if piece is None:  # a row of the embedding that no token uses
            return f"⟨{number}⟩"
        if number in self._added:
            return piece
        if self._in_bytes:
            return _shown(_spelled(piece))
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):  # the byte fallback of sentencepiece
            return _shown(bytes([int(piece[3:5], 16)]))
        return _shown(piece.encode())

    def preprocess(self, x: Any) -> Tensor:
        """The token numbers of one text, (1, T)."""
        if not isinstance(x, str):
            raise ExplorerError("The text", f"it is a {type(x).__name__}", "Give a text")
        return self.encode(x).inputs["input_ids"]

    def predict(self, x: Any, batch: int = 256) -> np.ndarray:
        """Class probabilities (N, classes) of a text or a list of them, one after the other."""
        if self.card.task != "text-classification":
            raise ExplorerError(
                f"The classes of {self.card.ref}", "it is a language model, and has none", "Open a classifier"
            )
        texts = [x] if isinstance(x, str) else x
        return np.stack([self.logits(self.encode(text)).softmax(-1)[0].numpy() for text in texts])

    @torch.inference_mode()
    def logits(self, encoded: Encoded, decoder_ids: Sequence[int] | None = None) -> Tensor:
        """What the network answers at every position, (T, vocabulary); of a seq2seq model at every decoder position.

        decoder_ids: what the decoder has read, the start included; None: its start, then what it is to say but its end.
        A classifier of texts answers once, (1, classes). Raises ExplorerError for an encoder without a head.
        """
        if self.card.task == "feature-extraction":
            raise ExplorerError(
                f"The predictions of {self.card.ref}", "it is an encoder without a head", "Open one that fills masks"
            )
        inputs = dict(encoded.inputs)
        if self.kind == "encoder-decoder":
            said = encoded.target.ids if encoded.target else []
            said = said[:-1] if said[-1:] == [self.end_id] else said
            given = [self.start_id, *said] if decoder_ids is None else list(decoder_ids)
            inputs["decoder_input_ids"] = torch.tensor([given], device=self.device)
        with self.borrow() as net:
            logits = net(**inputs).logits.float().cpu()
        return logits if logits.ndim == 2 else logits[0]

    def _setting(self, name: str) -> int | None:
        """A token that the config names, or what it says of generation; of several the first."""
        found = (getattr(config, name, None) for config in (self.config, self._generation))
        value = next((number for number in found if number is not None), None)
        return value[0] if isinstance(value, list) else value

    def _encode(self, text: str, second: str | None) -> Encoded:
        """As `encode`, of what is known to go together."""
        texts = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in (text, second or "")]
        if not texts[0].strip():
            raise ExplorerError("The text", "it is empty", "Write a word at least")
        read = [one[: WIDEST * self.longest] for one in texts if one]
        coded = self._coder.encode(*read)
        parts = coded.sequence_ids  # (all tokens,) 0, 1, or None for what frames the texts
        counts = [parts.count(part) for part in range(len(read))]
        if not counts[0]:
            raise ExplorerError("The text", "there is nothing in it that this model reads", "Write a word at least")
        room = _shares(counts, self.longest - parts.count(None))
        kept, segments = [], []
        for number, part in enumerate(parts):
            if part is not None:
                room[part] -= 1
            if part is None or room[part] >= 0:
                kept.append(number)
                segments.append(part if part is not None else segments[-1] if segments else 0)
        parts, ids, offsets, types, words = (
            [values[number] for number in kept]
            for values in (parts, coded.ids, coded.offsets, coded.type_ids, coded.word_ids)
        )
        rows = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        if self._segmented:
            rows["token_type_ids"] = types
        typed = [
            read[part][start:end].strip()
            for token, part, (start, end) in zip(ids, parts, offsets, strict=True)
            if part is not None and token == self.tokenizer.unk_token_id
        ]
        unseen = sum(
            round(count / len(seen) * (len(whole) - len(seen)))  # as dense as what was read
            for whole, seen, count in zip(texts, read, counts, strict=False)
        )
        return Encoded(
            inputs={name: torch.tensor([row], device=self.device) for name, row in rows.items()},
            tokens=tuple(map(self.token, ids)),
            words=_words(parts, offsets, words, read),
            segments=tuple(segments),
            unknown=tuple(dict.fromkeys(word for word in typed if word != self.tokenizer.unk_token)),
            cut=len(coded) - len(kept) + unseen,
        )


def _shares(counts: list[int], room: int) -> list[int]:
    """How many tokens of each text are read: of two that are too long each has half, and what the other leaves."""
    if len(counts) == 1:
        return [max(1, min(counts[0], room))]
    half = max(1, room // 2)
    first = min(counts[0], max(room - half, room - counts[1]))
    return [first, min(counts[1], max(1, room - first))]


def _words(
    parts: list[int | None], offsets: list[tuple[int, int]], known: list[int | None], texts: list[str]
) -> tuple[int | None, ...]:
    """The word that each token is of, counted on over all texts; None for what frames them.

    parts, offsets, known: parallel; the text a token is of, its characters there, its word as the tokenizer counts.
    A tokenizer that does not split at spaces makes one word of a whole text; spaces split it here.
    """
    split = [
        len({word for word, one in zip(known, parts, strict=True) if one == part}) > 1 for part in range(len(texts))
    ]
    found: list[int | None] = []
    count, before, end = -1, (None, None), 0  # of the token before: its text and word, and where it ended
    for part, (start, after), word in zip(parts, offsets, known, strict=True):
        if part is None:
            found.append(None)
            continue
        fresh = word is None or word != before[1] if split[part] else texts[part][end : start + 1][:1].isspace()
        count += fresh or part != before[0]
        found.append(count)
        before, end = (part, word), after
    return tuple(found)


def _spelled(piece: str) -> bytes:
    """The bytes that a byte-level token writes as letters (Radford et al. 2019, section 2.2)."""
    return bytes(_BYTES[letter] for letter in piece) if _BYTES.keys() >= set(piece) else piece.encode()


def _letters() -> dict[str, int]:
    """Byte-level tokenizers write a printable byte as itself, and the others in order from letter 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTES = _letters()


def _shown(raw: bytes) -> str:
    """Bytes as a person reads them: what can't be seen as a sign, what is no character in numbers."""
    text = re.sub("[\udc80-\udcff]+", _in_numbers, raw.decode("utf-8", "surrogateescape"))
    return "".join(SIGNS.get(letter) or (f"⟨U+{ord(letter):04X}⟩" if _unseen(letter) else letter) for letter in text)


def _in_numbers(found: re.Match[str]) -> str:
    return f"⟨0x{found[0].encode('utf-8', 'surrogateescape').hex().upper()}⟩"


def _unseen(letter: str) -> bool:
    """Control characters and the like; those that join letters are part of what is seen."""
    return unicodedata.category(letter)[0] == "C" and letter not in "\u200c\u200d"
