"""An opened model: shared by everybody, so frozen and in evaluation mode."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.borrow import Pool
from explorer.errors import ExplorerError
from explorer.turns import TURNS
from explorer.zoo.card import Card
from explorer.zoo.graphs import Graphs
from explorer.zoo.pictures import batches, fit


class Model:
    """A network with its card; nobody touches the network itself, `borrow` lends private trees over it.

    module: maps what `preprocess` gives to logits (N, classes).
    transform: uint8 pixels (N, C, H, W) → float32 (N, *card.shape), normalised; None does what the card says.
    """

    def __init__(self, card: Card, module: nn.Module, transform: Callable[[Tensor], Tensor] | None = None) -> None:
        self.card = card
        module.eval().requires_grad_(False)
        self._transform = transform or self._as_on_card
        self._pool = Pool(module)
        self._graphs = Graphs(module, _said)
        tensors = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
        self.bytes = sum(tensor.nbytes for tensor in tensors.values())
        self.device = next(iter(tensors.values())).device if tensors else torch.device("cpu")
        if card.task == "image-classification" and self.device.type == "cpu":
            module.to(memory_format=torch.channels_last)  # a fifth to a third less time, there and back

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the logits."""
        return self.card.labels

    def borrow(self) -> AbstractContextManager[nn.Module]:
        """A private module tree over the shared weights; see `explorer.borrow`."""
        return self._pool.borrow()

    def preprocess(self, x: Any) -> Tensor:
        """What the network takes, float32 (N, *card.shape) on its device, from pictures or points.

        x: a PIL image, uint8 (H, W), (H, W, C) or (N, H, W, C), or a list of these; for points (2,) or (N, 2).
        Raises ExplorerError for anything else.
        """
        if self.card.task == "points-classification":
            return self._points(x)
        ready = [self._transform(pixels.to(self.device)) for pixels in batches(x, self.card.shape[0])]
        if not ready:
            raise ExplorerError("The pictures", "there are none", "Give one at least")
        return torch.cat(ready).to(self.device, torch.float32)

    def logits(self, network: nn.Module, x: Tensor) -> Tensor:
        """What a borrowed network says, (N, classes), sooner where it is asked again and again; its hooks may not fire.

        It has to answer as it did when it was lent.
        """
        return self._graphs.ask(network, x)

    def predict(self, x: Any, batch: int = 64) -> np.ndarray:
        """Class probabilities (N, classes) of pictures or points, `batch` at a time."""
        if self.card.task == "points-classification":
            x, several = np.atleast_2d(np.asarray(x)), True
        else:
            several = isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.ndim == 4)
        slices = [x[start : start + batch] for start in range(0, max(1, len(x)), batch)] if several else [x]
        with self.borrow() as module, torch.inference_mode():
            parts = []
            for part in slices:
                TURNS.look()
                parts.append(self.logits(module, self.preprocess(part)).float().softmax(1).cpu().numpy())
        return np.concatenate(parts)

    def _as_on_card(self, pixels: Tensor) -> Tensor:
        """Fit to the card's size, scale to between 0 and 1, normalise."""
        values = fit(pixels, *self.card.shape[1:]).float() / 255
        return (values - self._per_channel(self.card.mean)) / self._per_channel(self.card.std)

    def _per_channel(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=self.device).view(-1, 1, 1)

    def _points(self, x: Any) -> Tensor:
        array = np.atleast_2d(np.asarray(x, dtype=np.float32))
        if array.ndim != 2 or array.shape[1:] != self.card.shape:
            raise ExplorerError("The points", f"they have the shape {array.shape}", "Give pairs of numbers, (N, 2)")
        points = torch.tensor(array, device=self.device)  # (N, 2)
        return (points - points.new_tensor(self.card.mean)) / points.new_tensor(self.card.std)


class Logits(nn.Module):
    """A transformers image classifier as a plain network: pixels in, logits out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        return self.net(pixel_values=x).logits  # (N, classes)


def _said(network: nn.Module, x: Tensor) -> Tensor:
    return network(x)
