"""Draw samples: from noise, step by step, with everything on record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer import zoo
from explorer.diffusion.base import Trajectory
from explorer.diffusion.samplers import SAMPLERS, scheduler, unfit
from explorer.errors import ExplorerError
from explorer.models.noise import FLOW
from explorer.turns import TURNS
from explorer.zoo.denoiser import Asked, Denoiser

MOST_STEPS = 1000
LARGE = 32  # pixels a side above which few samples show what a network has learned
POINTS = 1000  # of a cloud that shows what a network has learned


def sample(
    ref: str | Denoiser,
    sampler: str = "ddim",
    steps: int = 20,
    guidance: float | Sequence[float] = 2.0,
    condition: Any = None,
    seed: int | Sequence[int] = 0,
    count: int = 1,
    avoid: Any = None,
    noise: np.ndarray | None = None,
    on_step: Callable[[float], None] = lambda share: None,
) -> Trajectory:
    """Samples on their way from noise: every state, and what the network believed at each.

    condition: a class by its name or number, or a prompt; one for all, or one for each of the `count` samples.
    guidance: how far to go from what the network sees without the condition to what it sees with it, and beyond; 1 asks
    only with it (Ho and Salimans 2022, equation 6); one for all, or one for each. avoid: what it leads away from in
    place of nothing.
    seed: of the first sample; the others count on from it, unless each has its own. The same seed and settings give the
    same sample, whatever is drawn beside it; of points the first seed is that of the whole cloud. noise: what the
    samples begin as, (N, …) standard normal; None draws it. on_step: is told the share that is done; what it raises
    ends the sampling. Raises ExplorerError for a sampler that the network can't use, and for settings out of range.
    """
    began, model = TURNS.clock(), opened(ref)
    seeds = tuple(seed) if isinstance(seed, Sequence) else tuple(range(seed, seed + count))
    check(steps, guidance, count, seeds)
    with model.borrow() as parts, torch.inference_mode():
        asked = model.ask(parts, condition, count, avoid)
        plan = scheduler(sampler, model.config)
        plan.set_timesteps(steps, device=model.device)
        strength = tuple(map(float, guidance)) if isinstance(guidance, Sequence) else guidance
        walk = Walk(model, parts, plan, sampler, asked, strength, dice(model, seeds))
        first = first_noise(model, walk.generators, count) if noise is None else torch.tensor(noise).to(model.device)
        record = walk.along(first * spread(plan), plan.timesteps, on_step)
        return record.trajectory(model, walk, steps, seeds, avoid, began)


def drawn(model: Denoiser, on_step: Callable[[float], None] = lambda share: None) -> np.ndarray:
    """What a network draws from always the same noise: a row of pictures, (N, H, W, C) uint8, or points, (N, 2).

    Pictures: one of each class, ten at the most, and of large ones, which take their time, four in fewer steps; points:
    a thousand, of all classes alike. on_step: as of `sample`.
    """
    points, large = len(model.card.shape) == 1, max(model.card.shape) > LARGE
    count = POINTS if points else 4 if large else min(max(len(model.labels), 4), 10)
    steps = 15 if large else 40
    classes = [row % len(model.labels) for row in range(count)] if model.kind == "class" else None
    sampler = next(name for name in ("ddim", "flow", "ddpm") if not unfit(name, model.config))
    found = sample(model, sampler, steps, 1.0 if points else 2.0, classes, count=count, on_step=on_step)
    with model.borrow() as parts, torch.inference_mode():
        return model.decode(parts, torch.tensor(found.x[-1], device=model.device))


def opened(ref: str | Denoiser) -> Denoiser:
    """The diffusion model of a ref, or the opened model itself; raises ExplorerError where it is another kind."""
    model = zoo.load(ref) if isinstance(ref, str) else ref
    if not isinstance(model, Denoiser):
        raise ExplorerError(f"Samples of {model.card.ref}", "it is no diffusion model", "Choose one that is")
    return model


def check(steps: int, guidance: float | Sequence[float], count: int, seeds: Sequence[int]) -> None:
    """Raise ExplorerError for settings out of range."""
    if not 1 <= steps <= MOST_STEPS:
        raise ExplorerError(f"{steps} steps", f"there can be 1 to {MOST_STEPS:,}", "Choose a number between")
    for one in guidance if isinstance(guidance, Sequence) else (guidance,):
        if not 0 <= one <= 50:
            raise ExplorerError(f"A guidance of {one}", "it can be 0 to 50", "Choose a number between")
    if isinstance(guidance, Sequence) and len(guidance) != count:
        raise ExplorerError(f"{len(guidance)} guidances", f"there are {count} samples", "Give one for each, or one")
    if not 1 <= count <= 100_000:
        raise ExplorerError(f"{count} samples", "there can be 1 to 100,000", "Choose a number between")
    if len(seeds) != count:
        raise ExplorerError(f"{len(seeds)} seeds", f"there are {count} samples", "Give one for each, or the first")


def dice(model: Denoiser, seeds: Sequence[int]) -> list[torch.Generator]:
    """A source of noise for each sample; one for all points of a cloud."""
    return [torch.Generator().manual_seed(one) for one in (seeds if len(model.card.shape) > 1 else seeds[:1])]


def first_noise(model: Denoiser, generators: list[torch.Generator], count: int) -> Tensor:
    """Standard normal noise, (N, …)."""
    from diffusers.utils.torch_utils import randn_tensor

    return randn_tensor((count, *model.x_shape), generators, device=torch.device("cpu")).to(model.device)


@dataclass(eq=False)
class Record:
    """What was seen on the way: one state more than answers."""

    states: list[Tensor] = field(default_factory=list)  # (N, …) each
    answers: list[tuple[Tensor, ...]] = field(default_factory=list)  # (guided, knowing, without), or the only one
    times: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)  # ᾱ

    def trajectory(
        self, model: Denoiser, walk: "Walk", steps: int, seeds: Sequence[int], avoid: Any, began: float
    ) -> Trajectory:
        """The whole way, which `walk` went to its end."""
        guided = all(len(one) == 3 for one in self.answers)
        return Trajectory(
            ref=model.card.ref, sampler=walk.sampler, steps=steps, guidance=walk.guidance, seeds=tuple(seeds),
            conditions=walk.asked.names, avoid="" if avoid is None else str(avoid), timesteps=np.array(self.times),
            alphas_bar=np.array([*self.shares, 1.0], np.float32), x=_array(self.states),
            answers=_array([one[0] for one in self.answers]),
            knowing=_array([one[1] for one in self.answers]) if guided else None,
            without=_array([one[2] for one in self.answers]) if guided else None,
            predicts=walk.predicts, scale=walk.scale, unknown=walk.asked.unknown,
            cut=walk.asked.cut, seconds=TURNS.clock() - began,
        )  # fmt: skip


class Walk:
    """One network, one scheduler, one wish: what a step needs."""

    def __init__(
        self, model: Denoiser, parts: nn.ModuleDict, plan: Any, sampler: str, asked: Asked,
        guidance: float | tuple[float, ...], generators: list[torch.Generator],
    ) -> None:  # fmt: skip
        self.model, self.parts, self.plan, self.sampler = model, parts, plan, sampler
        self.asked, self.guidance, self.generators = asked, guidance, generators
        self.guided = guidance != 1 and asked.nothing is not None and asked.given is not None
        self.both = torch.cat([asked.nothing, asked.given]) if self.guided else asked.given
        self.strength = guidance  # as the answers are multiplied by it
        if isinstance(guidance, tuple):
            self.strength = torch.tensor(guidance, device=model.device).view(-1, *(1,) * len(model.x_shape))
        self.predicts = model.config.get("prediction_type", "epsilon")
        explodes = "exploding" if spread(plan) != 1 else "preserving"
        self.scale = "straight" if self.predicts == FLOW else explodes

    def along(
        self, x: Tensor, timesteps: Tensor, on_step: Callable[[float], None], record: Record | None = None,
        held: Callable[[Tensor, float], Tensor] = lambda x, share: x,
    ) -> Record:  # fmt: skip
        """Go through these timesteps of the plan. held: what becomes of each new state of so much signal."""
        record = record or Record()
        shares = kept(self.plan)[-len(timesteps) - 1 :].tolist()
        record.states.append(x)
        for done, at in enumerate(timesteps):
            TURNS.look()
            answers = self.ask(x, at)
            x = held(self.move(x, at, answers[0]), shares[done + 1])
            record.states.append(x)
            record.answers.append(answers)
            record.times.append(float(at))
            record.shares.append(shares[done])
            on_step((done + 1) / len(timesteps))
        return record

    def ask(self, x: Tensor, at: Tensor) -> tuple[Tensor, ...]:
        """The network's answers to a state: (guided, with the condition, without it), or the only one."""
        answer = self.answers(torch.cat([x, x]) if self.guided else x, at)
        if not self.guided:
            return (answer,)
        without, knowing = answer.chunk(2)
        return without + self.strength * (knowing - without), knowing, without

    def answers(self, rows: Tensor, at: Tensor) -> Tensor:
        """What the network says of states, one for each row of what is asked."""
        rows = rows if self.scale == "straight" else self.plan.scale_model_input(rows, at)
        return self.model.quick(self.parts, rows, at, self.both)

    def move(self, x: Tensor, at: Tensor, answer: Tensor) -> Tensor:
        """The next state."""
        draws = {"generator": self.generators} if SAMPLERS[self.sampler].facts.get("random") else {}
        return self.plan.step(answer, at, x, **draws).prev_sample


def kept(plan: Any) -> np.ndarray:
    """ᾱ at each of a scheduler's timesteps and at the end, (E + 1,)."""
    sigmas = getattr(plan, "sigmas", None)
    if sigmas is not None and len(sigmas) == len(plan.timesteps) + 1:
        sigmas = sigmas.double().cpu().numpy()
        straight = not hasattr(plan, "init_noise_sigma")  # flow matching: the signal shrinks as the noise grows
        signal = (1 - sigmas) ** 2 if straight else 1.0
        found = signal / (signal + sigmas**2)
    else:
        found = plan.alphas_cumprod.double().cpu()[plan.timesteps.long().cpu()].numpy()
    return np.append(found[: len(plan.timesteps)], 1.0)


def spread(plan: Any) -> float:
    """The deviation of the noise that a plan begins with."""
    return float(getattr(plan, "init_noise_sigma", 1.0))


def _array(rows: list[Tensor]) -> np.ndarray:
    return torch.stack(rows).float().cpu().numpy()
