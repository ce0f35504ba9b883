"""Another future: leave a trajectory at any step, start from a picture, paint into one, or begin between two noises."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.diffusion.base import Trajectory, factor
from explorer.diffusion.sample import Record, Walk, check, dice, first_noise, kept, opened, spread
from explorer.diffusion.samplers import scheduler
from explorer.errors import ExplorerError
from explorer.turns import TURNS
from explorer.zoo.denoiser import Asked, Denoiser

SAME: Any = object()  # as it was


def fork(
    past: Trajectory,
    at: int,
    sampler: str | None = None,
    guidance: float | None = None,
    condition: Any = SAME,
    avoid: Any = SAME,
    seed: int | None = None,
    ref: str | Denoiser | None = None,
    on_step: Callable[[float], None] = lambda share: None,
) -> Trajectory:
    """The same way up to a state, and from there another one.

    at: how many evaluations stay as they were, 0 to E − 1. What is None or left out stays as it was. seed: of the noise
    that is drawn from there on. With nothing changed the future is the same, bit for bit: the scheduler is led along
    the recorded answers, so that it remembers what it remembered then, and the network is not asked again.
    Raises ExplorerError for a state that there isn't.
    """
    began, model, count = TURNS.clock(), opened(ref or past.ref), len(past.seeds)
    if not 0 <= at < len(past.answers):
        raise ExplorerError(f"A fork after {at} evaluations", f"there are {len(past.answers)}", "Choose an earlier one")
    strength = past.guidance if guidance is None else guidance
    wish = list(past.conditions) if condition is SAME and model.kind != "free" else condition
    away = (past.avoid or None) if avoid is SAME else avoid
    check(past.steps, strength, count, past.seeds)
    with model.borrow() as parts, torch.inference_mode():
        asked = model.ask(parts, None if wish is SAME else wish, count, away)
        plan = _plan(past.sampler, past.steps, model)
        walk = Walk(model, parts, plan, past.sampler, asked, strength, dice(model, past.seeds))
        first_noise(model, walk.generators, count)  # what was drawn then is not drawn again
        for step in range(at):
            state, answer = (torch.tensor(rows[step], device=model.device) for rows in (past.x, past.answers))
            walk.move(state, walk.plan.timesteps[step], answer)
        if seed is not None:
            walk.generators = dice(model, [seed + row for row in range(count)])
        begin, x = at, torch.tensor(past.x[at], device=model.device)
        taken_over = sampler not in (None, past.sampler)
        if taken_over:
            walk = Walk(model, parts, _plan(sampler, past.steps, model), sampler, asked, strength, walk.generators)
            begin = _first(walk, float(past.alphas_bar[at]))
            x = _state(walk, begin, *(torch.tensor(rows[at], device=model.device) for rows in (past.clean, past.noise)))
        record = walk.along(
            x, _from(walk, begin, sampler not in (None, past.sampler)), on_step, _remembered(past, at, walk)
        )
        return record.trajectory(model, walk, past.steps, past.seeds, away, began)


def from_picture(
    ref: str | Denoiser,
    picture: Any,
    strength: float = 0.6,
    mask: np.ndarray | None = None,
    sampler: str = "ddim",
    steps: int = 20,
    guidance: float = 2.0,
    condition: Any = None,
    seed: int = 0,
    avoid: Any = None,
    on_step: Callable[[float], None] = lambda share: None,
) -> Trajectory:
    """A picture, noised part of the way and drawn again from there.

    strength: how far back it goes, 0 (the picture stays) to 1 (from noise alone) (Meng et al. 2022, SDEdit).
    mask: bool (H, W), true where it is to be painted anew; elsewhere each state is the picture's own, noised alike
    (Lugmayr et al. 2022, equation 8, without its repetitions). The rest as of `sample`.
    Raises ExplorerError for a picture or a mask that the network does not take.
    """
    began, model = TURNS.clock(), opened(ref)
    check(steps, guidance, 1, (seed,))
    if not 0 <= strength <= 1:
        raise ExplorerError(f"A strength of {strength}", "it can be 0 to 1", "Choose a number between")
    with model.borrow() as parts, torch.inference_mode():
        clean = model.encode(parts, picture)  # (1, …)
        fresh = _mask(mask, clean)
        asked = model.ask(parts, condition, 1, avoid)
        walk = Walk(model, parts, _plan(sampler, steps, model), sampler, asked, guidance, dice(model, (seed,)))
        noise = first_noise(model, walk.generators, 1)
        order = walk.plan.order
        begin = min(round(len(walk.plan.timesteps) * (1 - strength)), len(walk.plan.timesteps) - 1) // order * order

        def held(x: Tensor, share: float) -> Tensor:
            return x if fresh is None else torch.where(fresh, x, _at(walk, share, clean, noise))

        record = walk.along(_state(walk, begin, clean, noise), _from(walk, begin, begin > 0), on_step, held=held)
        return record.trajectory(model, walk, steps, (seed,), avoid, began)


def between(
    ref: str | Denoiser,
    seeds: tuple[int, int],
    conditions: tuple[Any, Any] = (None, None),
    count: int = 7,
    sampler: str = "ddim",
    steps: int = 20,
    guidance: float = 2.0,
    avoid: Any = None,
    on_step: Callable[[float], None] = lambda share: None,
) -> Trajectory:
    """Samples on the way from one noise, and one condition, to another: `count` of them, both ends among them.

    Noises are joined along the sphere. Of two conditions the network is asked about both, and its answers are mixed in
    the same shares (Liu et al. 2022, "Compositional visual generation", section 3.2, of two, weighed). Whatever a
    sampler draws on the way comes from the first seed, for all alike. The rest as of `sample`.
    """
    began, model = TURNS.clock(), opened(ref)
    check(steps, guidance, count, seeds[:1] * count)
    shares = np.linspace(0, 1, count) if count > 1 else np.zeros(1)
    with model.borrow() as parts, torch.inference_mode():
        asked, other = (model.ask(parts, condition, count, avoid) for condition in conditions)
        plan = _plan(sampler, steps, model)
        ends = [first_noise(model, dice(model, (seed,)), 1).cpu().numpy() for seed in seeds]
        noise = torch.tensor(np.concatenate([slerp(*ends, share) for share in shares])).to(model.device)
        generators = dice(model, seeds[:1] * count)
        first_noise(model, generators, count)  # what was drawn for the beginning is not drawn again
        kind = Walk if asked.names == other.names else Mixed
        walk = kind(model, parts, plan, sampler, asked, guidance, generators)
        if kind is Mixed:
            walk.mix(other, shares)
        record = walk.along(noise * spread(plan), plan.timesteps, on_step)
        return record.trajectory(model, walk, steps, seeds[:1] * count, avoid, began)


class Mixed(Walk):
    """A walk with two wishes, of which each sample follows its own share."""

    def mix(self, other: Asked, shares: np.ndarray) -> None:
        """Ask about the other wish too. shares: (N,) of the other one."""
        self.both = torch.cat([self.both, other.given])
        self.shares = torch.tensor(shares, dtype=torch.float32, device=self.model.device)
        self.shares = self.shares.view(-1, *(1,) * len(self.model.x_shape))
        told = zip(self.asked.names, other.names, shares, strict=True)
        self.asked = replace(self.asked, names=tuple(_mixture(a, b, share) for a, b, share in told))

    def ask(self, x: Tensor, at: Tensor) -> tuple[Tensor, ...]:
        """The network's answers to a state, those about both wishes mixed."""
        parts = 3 if self.guided else 2
        *without, one, other = self.answers(torch.cat([x] * parts), at).chunk(parts)
        knowing = one + self.shares * (other - one)
        if not without:
            return (knowing,)
        return without[0] + self.strength * (knowing - without[0]), knowing, without[0]


def _mixture(a: str, b: str, share: float) -> str:
    """Two conditions and how much of each, in words."""
    if share in (0, 1):
        return (b if share else a) or "nothing"
    return f"{a or 'nothing'} {1 - share:.0%}, {b or 'nothing'} {share:.0%}"


def slerp(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """Between two noises along the sphere, so that what lies between is as long as noise is (Shoemake 1985).

    a, b: (N, …). share: 0 gives a, 1 gives b.
    """
    flat = [one.reshape(len(one), -1).astype(float) for one in (a, b)]
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in flat]
    angle = np.arccos(np.clip((unit[0] * unit[1]).sum(1, keepdims=True), -1, 1))  # (N, 1)
    straight = np.sin(angle) < 1e-6
    safe = np.where(straight, 1.0, np.sin(angle))
    weights = (np.where(straight, 1 - share, np.sin((1 - share) * angle) / safe),
               np.where(straight, share, np.sin(share * angle) / safe))  # fmt: skip
    return (weights[0] * flat[0] + weights[1] * flat[1]).reshape(a.shape).astype(np.float32)


def _plan(sampler: str, steps: int, model: Denoiser) -> Any:
    plan = scheduler(sampler, model.config)
    plan.set_timesteps(steps, device=model.device)
    return plan


def _first(walk: Walk, share: float) -> int:
    """The first timestep of a plan with no more noise than a state of that much signal has."""
    order = walk.plan.order
    later = np.flatnonzero(kept(walk.plan)[:-1:order] >= share - 1e-6)
    return int(later[0]) * order if len(later) else (len(walk.plan.timesteps) - 1) // order * order


def _from(walk: Walk, begin: int, anew: bool) -> Tensor:
    """The timesteps from there on; `anew`: the scheduler has not been led there."""
    if anew and hasattr(walk.plan, "set_begin_index"):
        walk.plan.set_begin_index(begin)
    return walk.plan.timesteps[begin:]


def _state(walk: Walk, place: int, clean: Tensor, noise: Tensor) -> Tensor:
    """A clean picture with this noise, as the sampler has it at a place of its plan."""
    return _at(walk, float(kept(walk.plan)[place]), clean, noise)


def _at(walk: Walk, share: float, clean: Tensor, noise: Tensor) -> Tensor:
    state = share**0.5 * clean + (1 - share) ** 0.5 * noise
    return state / float(factor(np.array(share), walk.scale))


def _remembered(past: Trajectory, at: int, walk: Walk) -> Record:
    """The way up to a state, on the scale of who goes on."""
    record = Record(times=past.timesteps[:at].tolist(), shares=past.alphas_bar[:at].tolist())
    for step in range(at):
        same = past.scale == walk.scale
        again = (
            1.0
            if same
            else float(factor(past.alphas_bar[step], past.scale) / factor(past.alphas_bar[step], walk.scale))
        )
        record.states.append(torch.tensor(past.x[step] if same else past.x[step] * np.float32(again)))
        known = (past.answers, past.knowing, past.without)
        record.answers.append(tuple(torch.tensor(rows[step]) for rows in known if rows is not None))
    return record


def _mask(mask: np.ndarray | None, clean: Tensor) -> Tensor | None:
    """A mask as states have their places: painted where any of its pixels is."""
    if mask is None:
        return None
    if mask.ndim != 2 or clean.ndim != 4:
        raise ExplorerError("The mask", f"it has the shape {mask.shape}", "Give one of pixels, (H, W), for a picture")
    if not mask.any():
        raise ExplorerError("The mask", "nothing of it is to be painted", "Mark some pixels")
    share = torch.tensor(mask, device=clean.device)[None, None].float()
    return torch.nn.functional.adaptive_max_pool2d(share, clean.shape[-2:]) > 0
