"""What a method of attribution is given, and what it leaves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.attribution.layers import MapLayer
from explorer.errors import ExplorerError
from explorer.registry import Registry
from explorer.turns import TURNS
from explorer.zoo.model import Model

# facts: as of `register`
METHODS = Registry("attribution method")


class TimeIsUp(Exception):
    """The time that was given to a method is over."""


class Meter:
    """What a method has used up: one for a score and for all copies of it."""

    def __init__(self) -> None:
        self.passed = 0  # examples that went through the network
        self.deadline = float("inf")  # as TURNS.clock() has it
        self.cut = False  # a method was told to make do with what it has

    def __deepcopy__(self, memo: dict[int, Any]) -> "Meter":
        return self

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline is over."""
        return TURNS.clock() > self.deadline


class Score(nn.Module):
    """One number for each example: the logit of a class, or by how much it exceeds another's.

    A forward pass after the meter's deadline raises TimeIsUp, unless the method is already making do with what it has.
    """

    def __init__(self, net: nn.Module, target: int, versus: int | None = None, meter: Meter | None = None) -> None:
        super().__init__()
        self.net = net
        self.target, self.versus = target, versus
        self.meter = meter or Meter()

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        TURNS.look()
        if self.meter.out_of_time and not self.meter.cut:
            raise TimeIsUp
        self.meter.passed += len(x)
        return self.of(self.net(x))

    def of(self, logits: Tensor) -> Tensor:  # (N, classes)
        """The score where the logits are known."""
        chosen = logits[:, self.target]
        return chosen if self.versus is None else chosen - logits[:, self.versus]  # (N,)


@dataclass(frozen=True, eq=False)
class Case:
    """One question to a network: what in this picture speaks for this class?"""

    model: Model
    score: Score  # (N, C, H, W) → (N,), a private module tree: hook it, differentiate it
    x: Tensor  # (1, C, H, W) as the network takes it
    picture: np.ndarray  # (H, W, C) uint8, what the network sees
    value: float  # of the score for this picture
    layer: MapLayer | None  # whose maps the CAMs read
    maps: nn.Module | None  # gives that layer's output as maps (N, K, h, w), in the course of a forward pass
    batch: int  # examples that may pass at once
    generator: torch.Generator  # on the CPU, the only source of randomness

    @property
    def out_of_time(self) -> bool:
        """Whether a method should make do with what it has; who was told so may still finish the batch it has begun."""
        meter = self.score.meter
        meter.cut = meter.cut or (meter.passed > 0 and meter.out_of_time)
        return meter.cut

    @property
    def grid(self) -> tuple[int, int, int]:
        """Of the tokens that attention reads: how many come before the patches, and the patches' height and width."""
        from explorer.attribution.traits import traits

        return traits(self.model).grid

    def baseline(self, name: str) -> Tensor:
        """A picture that says nothing, (1, C, H, W): see `baselines.BASELINES`."""
        from explorer.attribution.baselines import baseline

        return baseline(self, name)

    def unrolled(self, additions: bool = False) -> nn.Module:
        """The score as a network in which every ReLU is a module of its own, for methods that hook them.

        additions: additions become modules too, and what only reshapes becomes a function.
        """
        from explorer.attribution.graph import unrolled

        return unrolled(self.model, self.score, additions)


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each pixel of one picture contributed to one score."""

    ref: str
    method: str
    settings: Mapping[str, Any]
    target: int
    versus: int | None  # the class that the score was compared with
    layer: str  # "" where the method reads none
    seed: int
    scores: np.ndarray  # (H, W) float32, signed: positive speaks for the class
    picture: np.ndarray  # (H, W, C) uint8, what the network saw
    score: float  # the logit, or the difference of two
    seconds: float
    evaluations: int  # examples that passed through the network
    complete: bool = True  # False where the time ran out and this is what there was

    def __post_init__(self) -> None:
        self.scores.flags.writeable = False
        self.picture.flags.writeable = False


FAMILIES = ("gradients", "class activation maps", "perturbation", "attention", "no network at all")


def anything(traits: Any) -> None:
    """Valid for every network of pictures."""


def once(shape: tuple[int, ...], **settings: Any) -> int:
    """The price of a method that needs one pass."""
    return 1


def register(
    name: str,
    title: str,
    price: Callable[..., int] = once,
    unfit: Callable[[Any], str | None] = anything,
    layer: bool = False,
    random: bool = False,
    target: bool = True,
    family: str = "gradients",
    fast: bool = True,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a method: `make(case, **settings)` → Tensor (1, c, h, w), signed.

    price: how many examples will pass, at the most. unfit: why it can't explain a network, or None.
    layer, random, target: whether the chosen layer, the seed and the class matter to it. family: a key of FAMILIES.
    fast: takes well under a second on a small network.
    """
    return METHODS.register(
        name,
        title=title,
        price=price,
        unfit=unfit,
        layer=layer,
        random=random,
        target=target,
        family=family,
        fast=fast,
    )


def refuse(name: str, wrong: str) -> ExplorerError:
    """The sentence for a method that does not go with a network."""
    return ExplorerError(METHODS[name].facts["title"], wrong, "Choose another method, or another network")
