"""The layers of a network in the order in which they run, with what each gives out."""

from dataclasses import dataclass

from explorer.zoo.model import Model


@dataclass(frozen=True)
class Layer:
    """One layer of an outline."""

    name: str  # as in named_modules()
    kind: str  # the class of the module
    shape: tuple[int, ...]  # of its output for one example; () where it is not a tensor
    parameters: int


def outline(model: Model) -> list[Layer]:
    """Every innermost layer that one example passes, in order, measured by letting one pass."""
    import torch

    from explorer.borrow import capture

    with model.borrow() as module, torch.inference_mode():
        parts = dict(module.named_modules())
        leaves = [name for name, part in parts.items() if name and not any(part.children())]
        with capture(module, leaves) as outputs:
            module(torch.zeros(1, *model.card.shape, device=model.device))
    return [
        Layer(
            name,
            type(parts[name]).__name__,
            tuple(output.shape[1:]) if isinstance(output, torch.Tensor) else (),
            sum(parameter.numel() for parameter in parts[name].parameters()),
        )
        for name, output in outputs.items()
    ]
