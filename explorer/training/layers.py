"""What a step does to each layer: how long its gradient is, and how far its weights move."""

import torch
from torch import Tensor, nn

WATCHED = 100  # steps of a run, about, at which its layers are measured: their sum stays below a hundredth of its time
TINY = 1e-12


class Layers:
    """Measures the weights of a network around one step of its optimiser; biases and scales are left out."""

    def __init__(self, model: nn.Module) -> None:
        found = {name: value for name, value in model.named_parameters() if value.ndim > 1}
        self.names = tuple(name.removesuffix(".weight") for name in found)
        self._weights = list(found.values())

    def before(self) -> None:
        """The gradients are there, and not clipped yet."""
        grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in self._weights]
        self._norms = torch._foreach_norm(grads)
        self._were = [one.detach().clone() for one in self._weights]

    def after(self) -> dict[str, tuple[float, float]]:
        """The step is taken: of each layer the gradient's length, and the step's length over that of the weights."""
        with torch.no_grad():
            moved = torch._foreach_norm(torch._foreach_sub(self._weights, self._were))
            lengths = torch._foreach_norm(self._were)
        del self._were
        rows = torch.stack([_row(self._norms), _row(moved) / (_row(lengths) + TINY)], 1).tolist()
        return {name: (grad, ratio) for name, (grad, ratio) in zip(self.names, rows, strict=True)}


def watched(step: int, total: int) -> bool:
    """Whether the layers are measured at a step, counted from 1: at the first, and evenly after it."""
    return step == 1 or step % max(1, total // WATCHED) == 0


def _row(values: list[Tensor]) -> Tensor:
    return torch.stack([value.float() for value in values])
