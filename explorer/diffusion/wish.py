"""What is to be drawn, and how: the request that a page makes of `sample`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from explorer.diffusion.base import Trajectory
from explorer.diffusion.sample import MOST_STEPS, sample
from explorer.params import LogSlider, Number, Slider


@dataclass(frozen=True)
class Wish:
    """One sampling, complete: the same wish gives the same samples."""

    ref: str
    conditions: tuple[str, ...] = ()  # a class or a prompt for all samples, or one for each; () asks for nothing
    avoid: str = ""  # what guidance leads away from; "" nothing
    sampler: str = "ddim"
    steps: Annotated[
        int,
        LogSlider(
            1,
            MOST_STEPS,
            help="How many steps from noise to sample. Each asks the network; few are quick and coarse.",
            paper="https://arxiv.org/abs/2010.02502",
        ),
    ] = 20
    guidance: Annotated[
        float,
        Slider(
            0.0,
            15.0,
            step=0.5,
            help="How far to go from what the network sees without the condition to what it sees with it, and beyond: "
            "0 ignores the condition, 1 asks only with it, more exaggerates it.",
            paper="https://arxiv.org/abs/2207.12598",
        ),
    ] = 2.0
    seed: Annotated[int, Number(0, 2**31 - 1, help="Decides the noise: the same seed, the same sample.")] = 0
    count: Annotated[int, Slider(1, 10, label="Samples", help="Side by side, each from a seed of its own.")] = 1

    @property
    def condition(self) -> str | list[str] | None:
        """As `sample` takes it."""
        if len(self.conditions) == 1:
            return self.conditions[0]
        return list(self.conditions) or None


def fulfil(wish: Wish, on_step: Callable[[float], None] = lambda share: None) -> Trajectory:
    """The samples that were wished for; raises ExplorerError as `sample` does."""
    return sample(
        wish.ref, wish.sampler, wish.steps, wish.guidance, wish.condition, wish.seed, wish.count, wish.avoid or None,
        on_step=on_step,
    )  # fmt: skip
