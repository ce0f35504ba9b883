"""How well a network does on a split: its loss, its right answers, its class probabilities, its dead units."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from explorer.data.text import IGNORED
from explorer.models.layers import ACTIVATIONS
from explorer.training.batches import Batches
from explorer.training.config import EVALUATION_BATCH
from explorer.training.objectives import Batch, denoises, objective

BANDS = 5


@dataclass(frozen=True)
class Scores:
    """How well a network does on a split."""

    loss: float
    accuracy: float | None  # None of denoisers
    bands: tuple[float, ...] | None = None  # of denoisers, the loss in each of BANDS equal parts of the time


def probabilities(model: nn.Module, name: str, batches: Batches) -> np.ndarray:
    """A classifier's probabilities for every example of a split, (N, classes) float32. name: of its architecture."""
    return torch.cat([logits.softmax(1) for logits, _, _ in _forward(model, name, batches)]).cpu().numpy()


def answers(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """A network's logits (M, classes) and what they should say (M,): one each an example, or a token.

    Where examples were mixed, what they should say is a share for each class, (M, classes). Of denoisers it is the
    answers and what they should be, (N, …).
    """
    inputs, y = batch
    answer = model(*inputs)
    if y.is_floating_point():
        return (answer if isinstance(answer, Tensor) else answer.sample), y  # diffusers' networks give more than one
    return (answer, y) if answer.ndim == 2 else (answer.flatten(0, -2), y.flatten())


def right(logits: Tensor, y: Tensor) -> Tensor:
    """How many answers are right; those that nobody asked for are not. Of mixed examples the larger part counts."""
    return (logits.argmax(-1) == (y.argmax(-1) if y.is_floating_point() else y)).sum()


def scores(model: nn.Module, name: str, batches: Batches) -> Scores:
    """Mean loss and share of right answers over a split; the same words are masked, and the same noise put on, always.

    name: of its architecture, which says what it is asked.
    """
    if denoises(name):
        return _denoising(model, name, batches)
    loss, correct, count = 0.0, 0, 0
    for logits, y, _ in _forward(model, name, batches):
        loss += cross_entropy(logits, y, ignore_index=IGNORED, reduction="sum").item()
        correct += int(right(logits, y))
        count += int(y.ne(IGNORED).sum())
    return Scores(loss / count, correct / count)


def _denoising(model: nn.Module, name: str, batches: Batches) -> Scores:
    """The squared error of a denoiser, and in each part of the time."""
    errors, times = [], []
    for answer, y, inputs in _forward(model, name, batches):
        errors.append((answer - y).square().flatten(1).mean(1))
        times.append(inputs[1])
    error, time = torch.cat(errors), torch.cat(times)
    parts = error[time.argsort()].tensor_split(BANDS)
    return Scores(error.mean().item(), None, tuple(part.mean().item() for part in parts))


def _forward(model: nn.Module, name: str, batches: Batches) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, ...]]]:
    """Answers, what they should be and what was given, batch by batch, in evaluation mode."""
    model.eval()
    ask, chance = objective(name, model, trying=len(batches)), torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for batch in batches(torch.arange(len(batches)), EVALUATION_BATCH):
            asked = ask(*batch, chance)
            answer, y = answers(model, asked)
            yield answer.float(), y, asked[0]


@contextmanager
def silent_units(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Inside the `with`, the share of units of each activation module that say nothing, over the first batch it sees.

    A ReLU's unit is dead where it is never above zero, any other's where it never varies; a channel of a map is one
    unit.
    """
    found: dict[str, Tensor] = {}

    def look(called: str, rectifies: bool) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if called in found:
                return
            rest = (0, 2, 3) if output.ndim == 4 else tuple(range(output.ndim - 1))  # all but the units
            high = output.amax(rest)
            found[called] = ((high <= 0) if rectifies else (high == output.amin(rest))).float().mean()

        return hook

    kinds = tuple(ACTIVATIONS.values())
    watched = [(called, module) for called, module in model.named_modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(look(called, isinstance(module, nn.ReLU))) for called, module in watched]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
