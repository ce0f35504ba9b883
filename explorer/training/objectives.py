"""What a network is asked in a batch: a class of each example, the next word, a masked one, or an answer's words."""

from collections.abc import Callable

import torch
from torch import Tensor

from explorer.data.text import IGNORED, MASK, PAD, START
from explorer.models import MODELS

Batch = tuple[tuple[Tensor, ...], Tensor]  # what the network is given, and the classes it should answer
Objective = Callable[[Tensor, Tensor, torch.Generator], Batch]

MASKED = 0.15  # share of the words that a masked language model has to restore
SHOWN, SWAPPED = 0.1, 0.1  # share of these that stay as they are, and that are replaced by another word


def objective(model: str) -> Objective:
    """The objective of an architecture, by its name."""
    return OBJECTIVES[MODELS[model].facts.get("objective", "classes")]


def classes(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """Each example's class: x (N, …), y (N,)."""
    return (x,), y


def causal(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """At each token the next one, where y has it: x and y (N, T)."""
    x, y = _trimmed(x, y)
    return (x[:, :-1],), y[:, 1:]


def masked(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """The answer where a part of the text is given, else 15 % of all words (Devlin et al. 2019, section 3.1).

    Of these words 80 % are hidden, 10 % replaced by another word and 10 % shown.
    """
    x, y = _trimmed(x, y)
    word = x.gt(MASK)
    asked = y.ne(IGNORED) & word
    if not torch.equal(asked, word):
        return (x.masked_fill(asked, MASK),), y.masked_fill(~asked, IGNORED)
    draw = torch.rand((2, *x.shape), generator=generator).to(x.device)
    asked &= draw[0] < MASKED
    others = torch.randint(MASK + 1, int(x.max()) + 1, x.shape, generator=generator).to(x.device)
    shown = x.where(draw[1] < SHOWN, torch.where(draw[1] < SHOWN + SWAPPED, others, MASK))
    return (torch.where(asked, shown, x),), y.masked_fill(~asked, IGNORED)


def seq2seq(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """At each token of the answer the next one: x (N, S) the question, y (N, T) the answer with its [END]."""
    x, _ = _trimmed(x, x)
    y = y[:, : max(1, int(y.ne(IGNORED).sum(1).max()))]
    before = y[:, :-1].masked_fill(y[:, :-1] == IGNORED, PAD)
    return (x, torch.cat([before.new_full((len(y), 1), START), before], 1)), y


def _trimmed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Without the columns that are padding in every row."""
    longest = max(2, int(x.ne(PAD).sum(1).max()))
    return x[:, :longest], y[:, :longest]


OBJECTIVES: dict[str, Objective] = {"classes": classes, "causal": causal, "masked": masked, "seq2seq": seq2seq}
