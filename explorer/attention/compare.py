"""Two readings side by side: the same text with a token hidden, or with a word changed."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from explorer.attention.attend import patterns
from explorer.attention.base import AttentionPatterns, Detail
from explorer.attention.predict import Predictions, Question, answers, ask, told
from explorer.attention.reading import Reading, order, read, through
from explorer.errors import ExplorerError
from explorer.heads import watch
from explorer.zoo.model import Model


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two readings, A and B, by one network or by two of one make."""

    a: AttentionPatterns
    b: AttentionPatterns
    aligned: dict[str, tuple[tuple[int, int], ...]]  # part → the queries that are compared: in A, in B
    changes: dict[str, np.ndarray]  # part → (L, H) ‖output of the head in B - in A‖ / ‖in A‖, over those queries
    before: Predictions | None  # of A; None of a network that predicts nothing
    after: Predictions | None


def mask_token(
    ref: str | Model,
    text: Any,
    positions: Sequence[int],
    text_b: str | None = None,
    target: str | None = None,
    top: int = 10,
) -> Comparison:
    """A text (or a picture) as it is, and with some tokens hidden: in every layer no other token looks at them.

    positions: of the tokens; of an encoder-decoder those of the text, which its decoder then does not see either. A
    hidden token still sees itself, so that the first token of a causal network has something to look at. The decoder
    of B reads what that of A reads. Raises ExplorerError for a position that there isn't, when nothing is left to see,
    and where the network's heads can't be reached.
    """
    with read(ref, text, text_b, target) as reading:
        a, before = _read(reading)
        _check(positions, a.tokens)
        hidden = _hidden(reading, positions)
        b, after = _read(reading, hidden)
    aligned = {part.name: tuple((i, i) for i in range(len(part.queries))) for part in a.parts}
    return _compare(a, b, before, after, aligned, top)


def change(
    ref: str | Model, text_a: Any, text_b: Any, target_a: str | None = None, target_b: str | None = None, top: int = 10,
    ref_b: str | Model | None = None,
) -> Comparison:  # fmt: skip
    """Two versions of a text (or two pictures) before one network, and how differently each head works in them.

    ref_b: the network that reads B, where it is another one of as many layers and heads, such as another checkpoint.
    Where they have different numbers of tokens, those that are in both are compared; else each with the other of its
    place. The decoder of an encoder-decoder reads its own answer to each, unless told.
    Raises ExplorerError where the two, or the two networks, have nothing in common.
    """
    with read(ref, text_a, target=target_a) as reading:
        a, before = _read(reading)
    with read(ref if ref_b is None else ref_b, text_b, target=target_b) as reading:
        b, after = _read(reading)
    shapes = [[(part.name, part.layers, part.heads) for part in one.parts] for one in (a, b)]
    answers_of = [None if one is None else one[1].shape[1] for one in (before, after)]
    if shapes[0] != shapes[1] or answers_of[0] != answers_of[1]:
        raise ExplorerError(f"{a.ref} beside {b.ref}", "they differ in their layers, heads or answers",
                            "Compare two checkpoints of one run, or two networks of one make")  # fmt: skip
    aligned = {mine.name: align(mine.queries, b.part(mine.name).queries) for mine in a.parts}
    return _compare(a, b, before, after, aligned, top)


def align(a: Sequence[str], b: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Which tokens of two texts belong together: all where they are as many, else those that match, in order."""
    if len(a) == len(b):
        return tuple((i, i) for i in range(len(a)))
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return tuple((block.a + i, block.b + i) for block in blocks for i in range(block.size))


def _read(
    reading: Reading, hidden: dict[int, torch.Tensor] | None = None
) -> tuple[AttentionPatterns, tuple[Question, torch.Tensor] | None]:
    """The attention and its details, and what is asked and answered, of one reading."""
    found = patterns(reading, detail=True, hidden=hidden)
    if any(part.detail is None for part in found.parts):
        raise ExplorerError(
            f"The heads of {reading.model.card.ref}", "their outputs can't be read",
            "Choose a model of a common kind, such as BERT, GPT-2, Llama, T5 or a vision transformer of ours",
        )  # fmt: skip
    if reading.model.card.task == "feature-extraction":
        return found, None
    question = ask(reading)
    return found, (question, answers(question, hidden=hidden))


def _check(positions: Sequence[int], tokens: Sequence[str]) -> None:
    if not positions or not set(positions) < set(range(len(tokens))):
        raise ExplorerError(
            f"To hide the tokens {sorted(set(positions))}", f"there are {len(tokens)}, and one must be left to see",
            "Count from 0, and choose fewer",
        )  # fmt: skip


def _hidden(reading: Reading, positions: Sequence[int]) -> dict[int, torch.Tensor]:
    """What must not be looked at in each call, (Q, K); what a decoder has said itself stays in sight."""
    with watch(reading.net) as calls:
        through(reading)
    found, places = {}, list(positions)
    for name, numbers in order(reading, calls).items():
        for number in numbers if name != "decoder" else ():
            barred = torch.zeros(calls[number].scores.shape[2:], dtype=torch.bool, device=reading.model.device)
            barred[:, places] = True
            if name != "cross":
                barred[places, places] = False
            found[number] = barred
    return found


def _compare(
    a: AttentionPatterns,
    b: AttentionPatterns,
    before: tuple[Question, torch.Tensor] | None,
    after: tuple[Question, torch.Tensor] | None,
    aligned: dict[str, tuple[tuple[int, int], ...]],
    top: int,
) -> Comparison:
    if not all(aligned.values()):
        raise ExplorerError("The two texts", "they have no token in common", "Change a word or two of one text")
    changes = {
        part.name: differences(part.detail, b.part(part.name).detail, aligned[part.name]) for part in a.parts
    }  # fmt: skip
    if before is None or after is None:
        return Comparison(a, b, aligned, changes, None, None)
    return Comparison(a, b, aligned, changes, told(*before, top, others=after[1]), told(*after, top, others=before[1]))


def differences(a: Detail, b: Detail, aligned: Sequence[tuple[int, int]]) -> np.ndarray:
    """‖output of each head in B - in A‖ / ‖in A‖ over the aligned queries, (L, H)."""
    places = np.array(aligned)
    mine, other = a.output[:, :, places[:, 0]], b.output[:, :, places[:, 1]]  # (L, H, aligned, d)
    size = np.linalg.norm(mine, axis=(2, 3))
    return np.linalg.norm(other - mine, axis=(2, 3)) / np.maximum(size, np.finfo(np.float32).tiny)
