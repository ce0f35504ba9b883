"""What a network predicts from a text or a picture: the likeliest answers, with their probabilities."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.attention.reading import Reading, forward, read, spell, write
from explorer.errors import ExplorerError
from explorer.heads import Change
from explorer.zoo.model import Model

NUMBERS = 16_000_000  # logits that one pass may give: 64 MB
MOST = 128  # tokens that are masked in turn


@dataclass(frozen=True, eq=False)
class Predictions:
    """The likeliest answers of a network, P times K of them."""

    kind: str  # next (token) | masked (token) | answer (of an encoder-decoder) | class
    tokens: tuple[str, ...]  # what was read; of an encoder-decoder what its decoder read; none of a picture
    positions: tuple[int, ...]  # (P,) where in `tokens`: next and answer follow that token, masked stands there
    actual: tuple[str | None, ...]  # (P,) what stands there in truth; None where that is not known
    top: tuple[tuple[str, ...], ...]  # (P, K) the likeliest first
    probabilities: np.ndarray  # (P, K) float32
    surprise: np.ndarray  # (P,) -ln p of `actual`, in nats; NaN where that is not known


@dataclass(frozen=True, eq=False)
class Question:
    """R inputs to be passed through a network, and P places where its answer counts."""

    reading: Reading
    kind: str  # as of `Predictions`
    inputs: dict[str, Tensor]  # each (R, …)
    rows: Tensor  # (P,) which input
    positions: Tensor  # (P,) where in it
    labels: Tensor  # (P,) the true token or class; -1 where it is not known

    @property
    def size(self) -> int:
        """How many inputs pass."""
        return len(next(iter(self.inputs.values())))

    def copies(self, number: int) -> dict[str, Tensor]:
        """The inputs so many times over, one whole set after the other."""
        return {name: value.repeat(number, *[1] * (value.ndim - 1)) for name, value in self.inputs.items()}

    def spelled(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Answers by their numbers."""
        model = self.reading.model
        return tuple(model.labels[number] for number in ids) if self.kind == "class" else spell(model, ids)


def predict(
    ref: str | Model, text_or_image: Any, top: int = 10, text_b: str | None = None, target: str | None = None
) -> Predictions:
    """What a network expects, wherever it answers; the arguments as of `attend`.

    A decoder is asked for the token after each. An encoder for each mask in the text or, where there is none, for each
    token, masked in turn (the first 128). An encoder-decoder for each token of its own greedy answer, or of the target.
    A classifier for the class. Raises ExplorerError for a network that only represents what it reads.
    """
    with read(ref, text_or_image, text_b, target) as reading:
        question = ask(reading)
        return told(question, answers(question), top)


def ask(reading: Reading) -> Question:
    """What a network can be asked about what it reads."""
    task, inputs = reading.model.card.task, reading.inputs
    none = torch.zeros(0, dtype=torch.long)
    if task in ("text-classification", "image-classification"):
        return Question(reading, "class", inputs, none.new_zeros(1), none.new_zeros(1), none.new_full((1,), -1))
    if task == "fill-mask":
        return _masked(reading)
    if task not in ("text-generation", "text2text-generation"):
        raise ExplorerError(
            f"The predictions of {reading.model.card.ref}", "it represents texts, and answers nothing",
            "Choose one that fills masks, writes or classifies",
        )  # fmt: skip
    ids = torch.tensor(reading.answer) if reading.answer else inputs["input_ids"][0].cpu()
    labels = ids if reading.answer else torch.cat([ids[1:], none.new_full((1,), -1)])
    places = torch.arange(len(labels))
    kind = "answer" if reading.answer else "next"
    return Question(reading, kind, inputs, torch.zeros_like(places), places, labels)


def _masked(reading: Reading) -> Question:
    """The masks of the text, or each token but the special ones as the only mask of an input of its own.

    Source of the second: Salazar et al. 2020, "Masked language model scoring", section 2.
    """
    tokenizer, ids = reading.model.tokenizer, reading.inputs["input_ids"]
    mask = tokenizer.mask_token_id
    found = (ids[0] == mask).nonzero()[:, 0].cpu()
    if len(found):
        return Question(
            reading, "masked", reading.inputs, torch.zeros_like(found), found, torch.full_like(found, -1)
        )  # fmt: skip
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    places = [place for place, token in enumerate(ids[0].tolist()) if token not in special][:MOST]
    if not places:
        raise ExplorerError("The text", "it has only special tokens, which are never masked", "Write a word")
    rows, places = torch.arange(len(places)), torch.tensor(places)
    inputs = {name: value.repeat(len(rows), 1) for name, value in reading.inputs.items()}
    inputs["input_ids"][rows, places] = mask
    return Question(reading, "masked", inputs, rows, places, ids[0].cpu()[places])


def answers(
    question: Question, changes: Mapping[int, Change] | None = None, hidden: Mapping[int, Tensor] | None = None
) -> Tensor:
    """Log-probabilities of all answers at each place, (P, choices) on the CPU; changes, hidden as of `heads.watch`."""
    found = []
    for part in portions(question, question.size):
        logits = forward(question.reading, {n: v[part] for n, v in question.inputs.items()}, changes, hidden)
        mine = (question.rows >= part.start) & (question.rows < part.stop)
        chosen = logits[question.rows[mine] - part.start, question.positions[mine]]
        found.append(chosen.float().log_softmax(-1).cpu())
    return torch.cat(found)


def portions(question: Question, rows: int) -> Iterator[slice]:
    """So many inputs in portions that can pass at once."""
    reading = question.reading
    if reading.tokens:
        one = len(reading.decoder_ids or reading.tokens) * max(
            len(reading.tokens), reading.model.config.get_text_config().vocab_size
        )
    else:
        one = 50 * reading.inputs["x"].numel()
    step = max(1, NUMBERS // one)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def told(question: Question, logarithms: Tensor, top: int = 10, others: Tensor | None = None) -> Predictions:
    """The likeliest answers in words, (P, top) or, with others, twice as many.

    others: logarithms of other answers at the same places; the likeliest of those are among them too, so that two
    predictions of which each was told the other's have all that either would show.
    """
    best, ids = _chosen(logarithms, top, others)
    known = question.labels >= 0
    surprise = torch.full((len(known),), math.nan)
    surprise[known] = -logarithms[known, question.labels[known]]
    reading = question.reading
    return Predictions(
        kind=question.kind,
        tokens=reading.decoder_tokens if reading.answer else reading.tokens,
        positions=tuple(question.positions.tolist()),
        actual=tuple(question.spelled([label])[0] if label >= 0 else None for label in question.labels.tolist()),
        top=tuple(question.spelled(row) for row in ids.tolist()),
        probabilities=best.exp().numpy(),
        surprise=surprise.numpy(),
    )


def _chosen(logarithms: Tensor, top: int, others: Tensor | None) -> tuple[Tensor, Tensor]:
    """The values and the numbers of the answers that are told, the likeliest first."""
    most = min(top, logarithms.shape[1])
    own = logarithms.topk(most)
    if others is None:
        return own
    rows = min(len(logarithms), len(others))
    asked = torch.zeros_like(logarithms, dtype=torch.bool).scatter_(1, own.indices, True)
    asked[:rows] = asked[:rows].scatter(1, others[:rows].topk(most).indices, True)
    first = torch.where(asked, 1.0, logarithms)  # a logarithm of a probability is never above 0
    ids = first.topk(min(2 * top, logarithms.shape[1])).indices
    values, order = logarithms.gather(1, ids).sort(dim=1, descending=True, stable=True)
    return values, ids.gather(1, order)


@dataclass(frozen=True, eq=False)
class Continuation:
    """What a decoder wrote after a text."""

    text: str  # without special tokens
    tokens: tuple[str, ...]  # (N,) the end token too, where it came to that
    probabilities: np.ndarray  # (N,) float32, of each token when it was chosen, at temperature 1


def continue_(
    ref: str | Model,
    text: str,
    tokens: int = 20,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Continuation:
    """What a decoder writes after a text: so many tokens, or fewer where it ends.

    temperature: 0 takes the likeliest token each time; else one is drawn, from probabilities to the power of its
    inverse, by a generator on the CPU. Raises ExplorerError for a network that writes nothing.
    """
    if temperature < 0 or (temperature and generator is None):
        raise ExplorerError(f"The temperature {temperature}", "it draws by chance", "Give 0, or more and a generator")
    chosen: list[float] = []

    def choose(logits: Tensor) -> int:
        logits = logits.cpu()
        if temperature:
            token = int((logits / temperature).softmax(-1).multinomial(1, generator=generator))
        else:
            token = int(logits.argmax())
        chosen.append(float(logits.softmax(-1)[token]))
        return token

    with read(ref, text) as reading:
        if reading.model.card.task != "text-generation":
            raise ExplorerError(f"A text by {reading.model.card.ref}", "it continues none", "Choose a decoder")
        ids = write(reading, tokens, choose)
        return Continuation(
            reading.model.decode(ids),
            spell(reading.model, ids),
            np.array(chosen, np.float32),
        )
