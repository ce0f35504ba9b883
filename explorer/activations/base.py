"""What was seen inside a network: the layers of one pass, with their values."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from explorer.errors import ExplorerError

CALL = "#"  # between a layer's name and the number of its call, from its second in one pass on


@dataclass(frozen=True, eq=False)
class Layer:
    """One call of one layer in a pass of N examples."""

    name: str  # as in named_modules(), and "#2" from its second call in the same pass on
    kind: str  # the class of the module
    output: np.ndarray | None = None  # (N, …) float; None where it gives out no numbers
    input: np.ndarray | None = None  # (N, …) the first tensor that it is given; None unless it was asked for
    gradient: np.ndarray | None = None  # as `output`: of the answer's score; None unless it was asked for
    weights: dict[str, np.ndarray] = field(default_factory=dict)  # its own, by name; empty unless asked for
    note: str = ""  # what of its output is not shown, as a clause

    @property
    def module(self) -> str:
        """The name of the module, whichever call it is."""
        return self.name.partition(CALL)[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        arrays = (self.output, self.input, self.gradient, *self.weights.values())
        return sum(array.nbytes for array in arrays if array is not None)


@dataclass(frozen=True, eq=False)
class Activations:
    """What every layer gave out in one pass, in the order in which they finished."""

    ref: str
    layers: tuple[Layer, ...]
    answer: np.ndarray  # (N, …) float32: logits, or what a denoiser says
    left_out: dict[str, str]  # layers that are not there → why, as a clause
    keep: np.ndarray | None = None  # (N, T) bool, of texts: which tokens are none that only fill
    seconds: float = 0.0

    def __getitem__(self, name: str) -> Layer:
        """A layer by its name; raises ExplorerError where there is none of that name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        why = self.left_out.get(name, "none of that name ran")
        names = ", ".join(layer.name for layer in self.layers[:40])
        raise ExplorerError(f"The layer {name!r}", why, f"Choose one of: {names}")

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __contains__(self, name: str) -> bool:
        return any(layer.name == name for layer in self.layers)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers in order."""
        return tuple(layer.name for layer in self.layers)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.answer.nbytes + sum(layer.nbytes for layer in self.layers)
