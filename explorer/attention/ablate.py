"""Does a head matter? Take it away, and see what the network then makes of the same text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.attention.predict import Predictions, Question, answers, ask, portions, told
from explorer.attention.reading import Reading, forward, order, read, through, write
from explorer.errors import ExplorerError
from explorer.heads import Call, Change, watch
from explorer.turns import TURNS
from explorer.zoo.model import Model

HOW = {  # way to take a head away → what its output becomes
    "zero": "nothing",
    "mean": "its mean over all tokens",
}
Head = tuple[str, int, int]  # part, layer, head


@dataclass(frozen=True, eq=False)
class Ablation:
    """What a network predicts with all its heads, and without some: P places."""

    heads: tuple[Head, ...]
    how: str
    before: Predictions
    after: Predictions
    loss_before: float  # mean -ln p of the right answers, in nats; of the intact network's own where none is known
    loss_after: float
    kept_before: np.ndarray  # (P,) the probability of the intact network's own answer
    kept_after: np.ndarray  # (P,) of the same answer
    output_before: str  # the text continued, its masks filled, its answer, or the class
    output_after: str

    @property
    def change(self) -> float:
        """By how much the loss rises without the heads, in nats."""
        return self.loss_after - self.loss_before


@dataclass(frozen=True, eq=False)
class Sweep:
    """What each head is worth for one text."""

    how: str
    loss: float  # of the intact network, as in `Ablation`
    changes: dict[str, np.ndarray]  # part → (L, H) by how much the loss rises without that head alone, in nats
    passed: int  # inputs that passed through the network


def ablate(
    ref: str | Model,
    text: Any,
    heads: Sequence[Head],
    how: str = "zero",
    text_b: str | None = None,
    target: str | None = None,
    top: int = 10,
    tokens: int = 12,
) -> Ablation:
    """What a network predicts from a text (or a picture) with and without some of its heads.

    heads: (part, layer, head) each, counted from 0. how: "zero" takes a head's output away; "mean" puts its mean over
    the queries of this text in its place, the same vector everywhere, so that only what it tells apart is lost.
    The loss: of a decoder over the next tokens, of an encoder-decoder over the target or else its own greedy answer, of
    an encoder over its tokens masked in turn; where the text has masks itself, and for classes, over the intact
    network's own answers. tokens: that a decoder continues the text by.
    Raises ExplorerError for a head that there isn't, and where the network's heads can't be reached.
    """
    with read(ref, text, text_b, target) as reading:
        calls, numbers = _calls(reading)
        _check(heads, calls, numbers, reading)
        constants = _constants(calls, how)
        chosen: dict[int, list[int]] = {}
        for part, layer, head in heads:
            chosen.setdefault(numbers[part][layer], []).append(head)
        changes = {
            number: _same_for_all(torch.tensor(some, device=constants[number].device), constants[number])
            for number, some in chosen.items()
        }
        question = ask(reading)
        before, after = answers(question), answers(question, changes)
        own = before.argmax(1)
        places = torch.arange(len(own))
        right, known = _right(question, before)
        return Ablation(
            heads=tuple(heads),
            how=how,
            before=told(question, before, top, after),
            after=told(question, after, top, before),
            loss_before=_loss(before, right, known),
            loss_after=_loss(after, right, known),
            kept_before=before[places, own].exp().numpy(),
            kept_after=after[places, own].exp().numpy(),
            output_before=_output(question, before, tokens, {}),
            output_after=_output(question, after, tokens, changes),
        )


def sweep(
    ref: str | Model, text: Any, how: str = "zero", text_b: str | None = None, target: str | None = None
) -> Sweep:
    """By how much the loss on a text (or a picture) rises without each head in turn; arguments as of `ablate`.

    All heads of a layer pass as one batch where they fit. See `price` for what it costs.
    """
    with read(ref, text, text_b, target) as reading:
        calls, numbers = _calls(reading)
        constants = _constants(calls, how)
        question = ask(reading)
        before = answers(question)
        right, known = _right(question, before)
        loss = _loss(before, right, known)
        if not known.any():
            raise ExplorerError("The text", "its one token has no next one to predict", "Write more")
        changes = {
            part: np.stack([_without_each(question, number, constants[number], right, known) for number in layers])
            - loss
            for part, layers in numbers.items()
        }
        return Sweep(how, loss, changes, question.size * (1 + sum(array.size for array in changes.values())))


def price(ref: str | Model, text: Any, text_b: str | None = None, target: str | None = None) -> int:
    """How many inputs a sweep of this text will pass through the network: once for each head, and once more."""
    with read(ref, text, text_b, target) as reading:
        calls, _ = _calls(reading)
        return ask(reading).size * (1 + sum(call.output.shape[1] for call in calls))


def importance(ref: str | Model, texts: Iterable[Any], how: str = "zero") -> Iterator[Sweep]:
    """The sweep of one text after the other, so that a job can tell how far it is, and stop in between.

    texts: a text, a picture or a pair of texts each. Their mean is the importance of a head (Michel et al. 2019,
    "Are sixteen heads really better than one?", section 3).
    """
    for text in texts:
        pair = text if isinstance(text, tuple) else (text, None)
        yield sweep(ref, pair[0], how, pair[1])


def _calls(reading: Reading) -> tuple[list[Call], dict[str, list[int]]]:
    """The attention calls of one pass with all heads, and their numbers by part."""
    with watch(reading.net) as calls:
        through(reading)
    if not calls:
        raise ExplorerError(
            f"The heads of {reading.model.card.ref}", "they can be looked at, if that, but not be reached",
            "Choose a model of a common kind, such as BERT, GPT-2, Llama, T5 or a vision transformer of ours",
        )  # fmt: skip
    return calls, order(reading, calls)


def _check(heads: Sequence[Head], calls: list[Call], numbers: dict[str, list[int]], reading: Reading) -> None:
    for part, layer, head in heads:
        layers = numbers.get(part, [])
        if not 0 <= layer < len(layers) or not 0 <= head < calls[layers[layer]].output.shape[1]:
            sizes = ", ".join(
                f"{name}: {len(some)} layers of {calls[some[0]].output.shape[1]} heads"
                for name, some in numbers.items()
            )
            raise ExplorerError(
                f"Head {head} of layer {layer}, {part}", f"{reading.model.card.ref} has no such head", f"It has {sizes}"
            )


def _constants(calls: list[Call], how: str) -> list[Tensor]:
    """What the heads of each call are replaced by, (H, d)."""
    if how not in HOW:
        raise ExplorerError(f"The ablation {how!r}", "there is none of that name", f"Choose one of: {', '.join(HOW)}")
    return [call.output[0].mean(1) if how == "mean" else torch.zeros_like(call.output[0, :, 0]) for call in calls]


def _same_for_all(heads: Tensor, constant: Tensor) -> Change:
    """Replace some heads of a layer in every input."""

    def change(output: Tensor) -> Tensor:  # (N, H, Q, d)
        output = output.clone()
        output[:, heads] = constant[heads, None]
        return output

    return change


def _one_for_each(heads: Tensor, constant: Tensor) -> Change:
    """Replace another head in each of N inputs, `heads` (N,)."""

    def change(output: Tensor) -> Tensor:  # (N, H, Q, d)
        output = output.clone()
        output[torch.arange(len(heads)), heads] = constant[heads, None]
        return output

    return change


def _right(question: Question, before: Tensor) -> tuple[Tensor, Tensor]:
    """The answers that are scored, and where there are some: (P,) each."""
    labels = question.labels
    if question.kind in ("class", "masked") and not (labels >= 0).any():
        labels = before.argmax(1)
    return labels, labels >= 0


def _loss(logarithms: Tensor, right: Tensor, known: Tensor) -> float:
    """Mean -ln p of the right answers; NaN where none is known."""
    return float(-logarithms[known, right[known]].mean())


def _without_each(question: Question, number: int, constant: Tensor, right: Tensor, known: Tensor) -> np.ndarray:
    """The loss without each head of one call in turn, (H,)."""
    heads, size = len(constant), question.size
    inputs = question.copies(heads)
    which = torch.arange(heads, device=constant.device).repeat_interleave(size)  # of each input
    scores = torch.empty(heads, len(question.rows))
    rows = question.rows + size * torch.arange(heads)[:, None]  # (H, P)
    for part in portions(question, heads * size):
        TURNS.look()
        change = {number: _one_for_each(which[part], constant)}
        logits = forward(question.reading, {name: value[part] for name, value in inputs.items()}, change)
        head, place = ((rows >= part.start) & (rows < part.stop)).nonzero(as_tuple=True)
        found = logits[rows[head, place] - part.start, question.positions[place]].float().log_softmax(-1).cpu()
        scores[head, place] = -found[torch.arange(len(place)), right[place]]
    return scores[:, known].mean(1).numpy()


def _output(question: Question, logarithms: Tensor, tokens: int, changes: dict[int, Change]) -> str:
    """What the network makes of it all, in words."""
    reading = question.reading
    best = question.spelled(logarithms.argmax(1).tolist())
    if question.kind == "class":
        return best[0]
    if question.kind == "masked":
        filled = list(reading.tokens)
        for place, word in zip(question.positions.tolist(), best, strict=True):
            filled[place] = word
        special = set(reading.model.tokenizer.all_special_tokens)
        return " ".join(word for word in filled if word not in special)
    ids = write(replace(reading, answer=(), decoder_ids=()), *([] if reading.answer else [tokens]), changes=changes)
    return reading.model.decode(ids)
