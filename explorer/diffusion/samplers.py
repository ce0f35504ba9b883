"""The samplers, by name: diffusers' schedulers, and which of them a network can use."""

import inspect
from collections.abc import Mapping
from typing import Any

from explorer.errors import ExplorerError
from explorer.models.noise import FLOW
from explorer.registry import Registry

SAMPLERS = Registry("sampler")
PREDICTIONS = ("epsilon", "v_prediction", "sample")  # what a network of diffusion may have learned to answer


def scheduler(name: str, config: Mapping[str, Any]) -> Any:
    """A scheduler of diffusers for networks of that scheduler config; raises ExplorerError where they don't fit."""
    reason = unfit(name, config)
    if reason:
        fitting = ", ".join(other for other in SAMPLERS if not unfit(other, config))
        raise ExplorerError(f"The sampler {name!r}", reason, f"Choose one of: {fitting}")
    kind = SAMPLERS[name].make()
    known = inspect.signature(kind.__init__).parameters
    return kind.from_config({key: value for key, value in config.items() if key in known}, **settings(name))


def unfit(name: str, config: Mapping[str, Any]) -> str | None:
    """Why a network of that scheduler config can't use a sampler, as a clause; None when it can."""
    entry = SAMPLERS[name]
    betas, predicts = config.get("beta_schedule", "linear"), config.get("prediction_type", "epsilon")
    if entry.facts.get("distilled") and not config.get("distilled"):
        return "it needs a network that was distilled for a few steps"
    if predicts not in entry.facts.get("predicts", PREDICTIONS):
        learned = "flow matching" if predicts == FLOW else f"to predict {predicts}"
        return f"the network has learned {learned}, and diffusers has no such step for it"
    if betas not in entry.facts["betas"]:
        return f"diffusers gives it no {betas} noise schedule"
    return None


def settings(name: str) -> Mapping[str, Any]:
    """What a sampler's scheduler is told beside the network's own config."""
    return SAMPLERS[name].facts.get("settings", {})


def evaluations(name: str, steps: int) -> int:
    """How often the network is asked in so many steps, guidance not counted."""
    return SAMPLERS[name].facts.get("evaluations", lambda steps: steps)(steps)


NOT_CLEAN = PREDICTIONS[:2]
ALL = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")
MOST = ALL[:3]


@SAMPLERS.register("ddpm", title="DDPM", betas=ALL, random=True, paper="https://arxiv.org/abs/2006.11239")
def ddpm() -> type:
    """Ancestral sampling: every step goes to the mean and adds fresh noise (Ho et al. 2020)."""
    from diffusers import DDPMScheduler

    return DDPMScheduler


@SAMPLERS.register("ddim", title="DDIM", betas=MOST, paper="https://arxiv.org/abs/2010.02502")
def ddim() -> type:
    """Deterministic: the same noise always becomes the same picture, in few steps (Song et al. 2021)."""
    from diffusers import DDIMScheduler

    return DDIMScheduler


@SAMPLERS.register(
    "pndm",
    title="PNDM",
    betas=MOST,
    predicts=NOT_CLEAN,
    evaluations=lambda steps: steps + 1,
    settings={"skip_prk_steps": True},
    paper="https://arxiv.org/abs/2202.09778",
)
def pndm() -> type:
    """A linear multistep method: it extrapolates from the last four predictions (Liu et al. 2022)."""
    from diffusers import PNDMScheduler

    return PNDMScheduler


@SAMPLERS.register("euler", title="Euler", betas=MOST, paper="https://arxiv.org/abs/2206.00364")
def euler() -> type:
    """Straight along the slope of the ordinary differential equation (Karras et al. 2022, algorithm 1 without Heun)."""
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler


@SAMPLERS.register(
    "euler_ancestral",
    title="Euler ancestral",
    betas=MOST,
    predicts=NOT_CLEAN,
    random=True,
    paper="https://arxiv.org/abs/2206.00364",
)
def euler_ancestral() -> type:
    """An Euler step a little too far, then fresh noise to make up for it."""
    from diffusers import EulerAncestralDiscreteScheduler

    return EulerAncestralDiscreteScheduler


@SAMPLERS.register(
    "heun", title="Heun", betas=MOST, evaluations=lambda steps: 2 * steps - 1, paper="https://arxiv.org/abs/2206.00364"
)
def heun() -> type:
    """Two looks a step: the slope at both of its ends, averaged (Karras et al. 2022, algorithm 1)."""
    from diffusers import HeunDiscreteScheduler

    return HeunDiscreteScheduler


@SAMPLERS.register(
    "dpm_solver", title="DPM-Solver++ 2M", betas=MOST, settings={"algorithm_type": "dpmsolver++", "solver_order": 2},
    paper="https://arxiv.org/abs/2211.01095",
)  # fmt: skip
def dpm_solver() -> type:
    """Solves the linear part exactly and extrapolates the rest from two predictions (Lu et al. 2022, algorithm 2)."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler


@SAMPLERS.register("unipc", title="UniPC", betas=MOST, paper="https://arxiv.org/abs/2302.04867")
def unipc() -> type:
    """Predicts a step, then corrects it with what the network says at its end (Zhao et al. 2023)."""
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler


@SAMPLERS.register("flow", title="Flow, Euler", betas=ALL, predicts=(FLOW,), paper="https://arxiv.org/abs/2210.02747")
def flow() -> type:
    """Along the velocity that a network of flow matching has learned (Lipman et al. 2023, equation 1)."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler


@SAMPLERS.register(
    "lcm", title="LCM", betas=MOST, random=True, distilled=True, paper="https://arxiv.org/abs/2310.04378"
)
def lcm() -> type:
    """Jumps to the clean picture and back, a few times, for networks distilled to do so (Luo et al. 2023)."""
    from diffusers import LCMScheduler

    return LCMScheduler
