"""The layers of a network in the order in which they run, with what each gives out."""

from dataclasses import dataclass
from typing import Any

from explorer.zoo.card import GENERATION_TASKS, TEXT_TASKS
from explorer.zoo.model import Model


@dataclass(frozen=True)
class Layer:
    """One layer of an outline."""

    name: str  # as in named_modules()
    kind: str  # the class of the module
    shape: tuple[int, ...]  # of its output for one example; () where it is not a tensor
    parameters: int  # its own, without those of layers inside it


def outline(model: Model) -> list[Layer]:
    """Every layer that has weights of its own or no layers inside, in order, measured by letting one example pass."""
    import torch

    from explorer.borrow import capture

    with model.borrow() as module, torch.inference_mode():
        parts = dict(module.named_modules())
        own = {name: sum(p.numel() for p in part.parameters(recurse=False)) for name, part in parts.items()}
        shown = [name for name, part in parts.items() if name and (own[name] or not any(part.children()))]
        with capture(module, shown) as outputs:
            if model.card.task in GENERATION_TASKS:
                asked = model.ask(module, model.labels[0] if model.kind == "class" else None, 1)
                x = torch.zeros(1, *model.x_shape, device=model.device)
                model.answer(module, x, torch.tensor(1, device=model.device), asked.given)
            elif model.card.task in TEXT_TASKS:
                ids = torch.zeros((1, 4), dtype=torch.long, device=model.device)
                module(ids, **({"decoder_input_ids": ids} if model.kind == "encoder-decoder" else {}))
            else:
                module(torch.zeros(1, *model.card.shape, device=model.device))
    silent = [name for name in shown if name not in outputs and own[name]]  # weights that their parent uses itself
    return [
        Layer(name, type(parts[name]).__name__, _shape(outputs.get(name)), own[name]) for name in (*outputs, *silent)
    ]


def _shape(output: Any) -> tuple[int, ...]:
    """Without the batch; () for what is no tensor."""
    return tuple(getattr(output, "shape", (1,))[1:])
