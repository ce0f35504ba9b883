"""What a network is asked in a batch: a class, the next word, a masked one, an answer's words, or the noise in it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from explorer.data.text import IGNORED, MASK, PAD, START
from explorer.models import MODELS
from explorer.models.noise import alphas_bar, question, told

Batch = tuple[tuple[Tensor, ...], Tensor]  # what the network is given, and the classes or numbers it should answer
Objective = Callable[[Tensor, Tensor, torch.Generator], Batch]

MASKED = 0.15  # share of the words that a masked language model has to restore
SHOWN, SWAPPED = 0.1, 0.1  # share of these that stay as they are, and that are replaced by another word
UNTOLD = 0.1  # share of examples whose class a denoiser is not told (Ho and Salimans 2022, section 3.2)
TRIED = 1000  # states at least, on which a denoiser is tried: each example may be noised several times


def objective(model: str, net: nn.Module, trying: int = 0) -> Objective:
    """The objective of an architecture, by its name. trying: examples on which it is to be measured, 0 to learn."""
    if denoises(model):
        return Denoising(net.plan, net.config.num_class_embeds - 1, trying)
    return OBJECTIVES[MODELS[model].facts.get("objective", "classes")]


def denoises(model: str) -> bool:
    """Whether an architecture learns to find noise, and not to name anything."""
    return MODELS[model].facts.get("objective") == "denoise"


def classes(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """Each example's class: x (N, …), y (N,)."""
    return (x,), y


def causal(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """At each token the next one, where y has it: x and y (N, T)."""
    x, y = _trimmed(x, y)
    return (x[:, :-1],), y[:, 1:]


def masked(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """The answer where a part of the text is given, else 15 % of all words (Devlin et al. 2019, section 3.1).

    Of these words 80 % are hidden, 10 % replaced by another word and 10 % shown. One word is asked at least.
    """
    x, y = _trimmed(x, y)
    word = x.gt(MASK)
    asked = y.ne(IGNORED) & word
    if not torch.equal(asked, word):
        return (x.masked_fill(asked, MASK),), y.masked_fill(~asked, IGNORED)
    draw = torch.rand((2, *x.shape), generator=generator).to(x.device)
    asked &= (draw[0] < MASKED) | (draw[0] == draw[0].where(asked, 1.0).min())  # one at least
    others = torch.randint(MASK + 1, int(x.max()) + 1, x.shape, generator=generator).to(x.device)
    shown = x.where(draw[1] < SHOWN, torch.where(draw[1] < SHOWN + SWAPPED, others, MASK))
    return (torch.where(asked, shown, x),), y.masked_fill(~asked, IGNORED)


def paired(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """At each token of the answer the next one: x (N, S) the question, y (N, T) the answer with its [END]."""
    x, _ = _trimmed(x, x)
    y = y[:, : max(1, int(y.ne(IGNORED).sum(1).max()))]
    before = y[:, :-1].masked_fill(y[:, :-1] == IGNORED, PAD)
    return (x, torch.cat([before.new_full((len(y), 1), START), before], 1)), y


class Denoising:
    """The noise that was put on each example, which may be told its class (Ho et al. 2020, algorithm 1).

    x (N, …), y (N,) → ((states, times, classes), what the network should answer). trying: examples on which it is to
    be measured; then times are spread evenly, each class is told, and of few examples each comes several times over.
    """

    def __init__(self, plan: Mapping[str, Any], nothing: int, trying: int) -> None:
        self.plan, self.nothing = plan, nothing
        self.often = -(-TRIED // trying) if trying else 0  # how often each example is asked, 0 to learn
        self.shares = torch.from_numpy(alphas_bar(plan))  # (T,)

    def __call__(self, x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
        if self.often:
            x, y = (rows.repeat(self.often, *(1,) * (rows.ndim - 1)) for rows in (x, y))
        count, whole = len(x), len(self.shares)
        if self.often:
            times = ((torch.randperm(count, generator=generator) + 0.5) / count * whole).long()
        else:
            times = torch.randint(whole, (count,), generator=generator)
            untold = torch.rand(count, generator=generator) < UNTOLD
            y = y.masked_fill(untold.to(y.device), self.nothing)
        noise = torch.randn(x.shape, generator=generator).to(x.device)
        state, answer = question(self.plan, x, noise, self.shares[times].to(x.device))
        return (state, told(self.plan, times).to(x.device), y), answer


def _trimmed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Without the columns that are padding in every row."""
    longest = max(2, int(x.ne(PAD).sum(1).max()))
    return x[:, :longest], y[:, :longest]


OBJECTIVES: dict[str, Objective] = {"classes": classes, "causal": causal, "masked": masked, "seq2seq": paired}
