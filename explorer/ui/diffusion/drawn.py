"""Trajectories and the films of them, each worked out once for everybody who asks."""

from collections.abc import Hashable

from explorer.activations.pace import pace
from explorer.diffusion import Trajectory, frames
from explorer.diffusion.equation import SEVERAL, update
from explorer.diffusion.frames import Frames
from explorer.diffusion.sample import opened
from explorer.diffusion.samplers import SAMPLERS, evaluations, scheduler
from explorer.diffusion.wish import Wish, fulfil
from explorer.ui.film import Equation, Reel, Track
from explorer.ui.price import Price, ask_first
from explorer.ui.worked import worked_out
from explorer.zoo.denoiser import Denoiser

UNPACKED = ("states", "believed")  # what is to be seen of a way through latents is unpacked by the autoencoder
SYMBOLS = {  # what a step is made of → its symbol, and the reel that shows it
    "clean": ("x̂₀", 1),
    "noise": ("ε̂", 2),
    "state": ("xₜ", 0),
    "fresh": ("z", None),
    "clean before": ("x̂₀ before", None),
}
PLAIN = "fixed_small"  # what fresh noise has as its variance, unless a network's scheduler says otherwise
BENT = "This network's scheduler cuts what is believed at ±1, or draws other noise: its step is no plain sum."
LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def drawn(wish: Wish) -> Trajectory:
    """The samples of a wish."""
    ask_first(works(wish))
    return worked_out(("sample", wish), lambda on_step: fulfil(wish, on_step), "Drawing …", price_of(wish))


def price_of(wish: Wish) -> Price:
    """What the samples of a wish cost: each evaluation asks about every sample, with guidance twice."""
    passes = 2 if wish.guidance != 1 else 1
    kind = ("sample", wish.ref, wish.count, passes)
    return Price(kind, evaluations(wish.sampler, wish.steps), pace(opened(wish.ref)) * passes * wish.count)


def works(*wishes: Wish) -> dict[Hashable, float]:
    """What has to be done for the films of some wishes, with the seconds of each."""
    done: dict[Hashable, float] = {}
    for wish in wishes:
        done["sample", wish] = price_of(wish).seconds
        if opened(wish.ref).latent:
            pictures = wish.count * (evaluations(wish.sampler, wish.steps) + 1)
            done |= {(kind, wish): _unpacking(kind, wish.ref, pictures).seconds for kind in UNPACKED}
    return done


def _unpacking(kind: str, ref: str, pictures: int) -> Price:
    return Price((kind, ref), pictures, pace(opened(ref)))


def shot(kind: str, model: Denoiser, found: Trajectory, key: Hashable) -> Frames | None:
    """States, believed, noises or vectors of a trajectory as pictures; `key` tells it from any other trajectory."""
    latent = model.latent and kind in UNPACKED
    price = _unpacking(kind, model.card.ref, len(found.x) * found.x.shape[1]) if latent else None
    return worked_out((kind, key), lambda on_step: getattr(frames, kind)(model, found), "Unpacking …", price)


def track(
    model: Denoiser, found: Trajectory, key: Hashable, title: str = "", note: str = "", kinds: str = "all"
) -> Track:
    """The film of a trajectory: states, believed pictures and predicted noise, with the step in numbers.

    kinds: all, or pictures: the states and the believed pictures alone, without the step, not to be read.
    """
    whole = kinds == "all"
    states, believed = (shot(kind, model, found, key) for kind in ("states", "believed"))
    unpacked = ", unpacked" if model.latent else ""
    reels = [
        Reel(f"State xₜ{unpacked}", states.pictures, states.limits if whole else None),
        Reel(f"Believed picture x̂₀{unpacked}", believed.pictures, believed.limits if whole else None),
    ]
    if whole:
        noise = shot("noises", model, found, key)
        channels = ", its channels side by side" if model.latent else ""
        reels.append(Reel(f"Predicted noise ε̂{channels}", noise.pictures, noise.limits, noise.pictures.shape[-1] == 1))
    told = worked_out(("equations", key), lambda on_step: equations(model, found), "") if whole else ()
    return Track(tuple(reels), labels(found), title, note, told)


def labels(found: Trajectory) -> tuple[str, ...]:
    """What is told of each state: how many steps are done, the time, and how much of it is signal."""
    whole = len(found.answers)
    told = [
        f"{at} of {whole} done · t = {time:.0f} · ᾱ = {share:.3g}"
        for at, (time, share) in enumerate(zip(found.timesteps, found.alphas_bar, strict=False))
    ]
    return (*told, f"{whole} of {whole} done · the sample")


def equations(model: Denoiser, found: Trajectory) -> tuple[Equation | None, ...]:
    """The step after each state, in numbers; of latents no reel can be read."""
    whole = len(found.answers)
    if found.sampler in SEVERAL:
        return (*(Equation(_state(found, at + 1), (), SEVERAL[found.sampler]) for at in range(whole)), None)
    if _bent(model, found.sampler):
        return (*(Equation(_state(found, at + 1), (), BENT) for at in range(whole)), None)
    told: list[Equation | None] = []
    for at in range(whole):
        step = update(found, at, model.config)
        terms = [(factor, *SYMBOLS[what]) for factor, what in step.terms]
        if model.latent:
            terms = [(factor, symbol, None) for factor, symbol, _ in terms]
        told.append(Equation(_state(found, at + 1), tuple(terms), step.note))
    return (*told, None)


def _bent(model: Denoiser, sampler: str) -> bool:
    """Whether the network's scheduler does more in a step than the sum says, as that of the first DDPMs."""
    plan = scheduler(sampler, model.config).config
    return bool(plan.get("clip_sample") or plan.get("thresholding") or (plan.get("variance_type") or PLAIN) != PLAIN)


def _state(found: Trajectory, at: int) -> str:
    """The name of a state: x with its time below, x₀ at the end."""
    time = f"{found.timesteps[at]:.0f}" if at < len(found.timesteps) else "0"
    return f"x{time.translate(LOW)}"


def named(sampler: str) -> str:
    """What a sampler is called."""
    return SAMPLERS[sampler].facts["title"]
