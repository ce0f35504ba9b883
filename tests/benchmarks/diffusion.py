"""What sampling with everything on record costs, beside the plain loop of diffusers, in the same run."""

import json
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from explorer import zoo
from explorer.diffusion import sample
from explorer.diffusion.field import field
from explorer.diffusion.wish import Wish
from explorer.turns import SWITCH
from explorer.ui.diffusion.drawn import labels
from explorer.ui.film import Reel, Track, encode
from explorer.zoo.denoiser import Denoiser
from tests.benchmarks.timing import against

REPEATS = 7
STEPS, DIGITS, GUIDANCE = 20, 10, 2.0
PROMPT = "a red ring left of a blue star"


def rows() -> Iterator[tuple[str, str, str]]:
    """(what, measured, target), one after the other."""
    ref = "zoo:digits-diffusion"
    model, classes = zoo.load(ref), list(range(DIGITS))
    ratio, ours = against(
        lambda: sample(ref, "ddim", STEPS, GUIDANCE, classes, count=DIGITS), lambda: _digits(model), REPEATS
    )
    yield f"`{ref}`: sample(), all on record ÷ the plain loop of diffusers", f"{ratio:.2f}", "≤ 1.10"
    yield f"`{ref}`: {DIGITS} digits, {STEPS} guided DDIM steps", f"{ours:.2f} s", "≤ 0.7 s"
    ref = "zoo:shapes-diffusion"
    model = zoo.load(ref)
    ratio, ours = against(lambda: sample(ref, "ddim", STEPS, 4.0, PROMPT), lambda: _shape(model), REPEATS)
    yield f"`{ref}`: sample(), all on record ÷ the plain loop of diffusers", f"{ratio:.2f}", "≤ 1.10"
    yield f"`{ref}`: one prompt, {STEPS} guided DDIM steps", f"{ours:.2f} s", "≤ 2 s"
    with _busy():
        ratio, ours = against(lambda: sample(ref, "ddim", STEPS, 4.0, PROMPT), lambda: _shape(model), REPEATS)
    yield (
        "beside a thread of plain Python, as a busy server has: sample() ÷ the plain loop",
        f"{ratio:.2f}",
        "",
    )
    yield "there: the same prompt", f"{ours:.2f} s", ""
    yield "its film in the browser: states, believed pictures, noise", f"{_sent(model) / 1000:.0f} KB", "≤ 300 KB"
    ref = "zoo:points-diffusion"
    taken = [sample(ref, "ddim", 50, 1.0, 0, count=5000).seconds for _ in range(REPEATS)]
    yield f"`{ref}`: 5,000 points, 50 DDIM steps", f"{statistics.median(taken):.2f} s", "≤ 0.5 s"
    start = time.perf_counter()
    field(ref, torch.zeros(289, 2).numpy(), 500)
    yield f"`{ref}`: the score at 289 places", f"{1000 * (time.perf_counter() - start):.0f} ms", ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    yield "peak memory of all this, libraries included", f"{peak:.0f} MB", ""


@contextmanager
def _busy() -> Iterator[None]:
    """A thread that always has something to do, which gives way as often as those of the app do."""
    over, before = threading.Event(), sys.getswitchinterval()

    def work() -> None:
        while not over.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    sys.setswitchinterval(SWITCH)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)


def _digits(model: Denoiser) -> torch.Tensor:
    """The same digits, as diffusers' own pipelines go about it."""
    from diffusers import DDIMScheduler
    from diffusers.utils.torch_utils import randn_tensor

    labels = torch.tensor([*[DIGITS] * DIGITS, *range(DIGITS)])
    with model.borrow() as parts, torch.inference_mode():
        plan = DDIMScheduler.from_config(model.config)
        plan.set_timesteps(STEPS)
        x = randn_tensor((DIGITS, *model.x_shape), [torch.Generator().manual_seed(row) for row in range(DIGITS)])
        for t in plan.timesteps:
            nothing, knowing = parts["unet"](torch.cat([x, x]), t, labels).sample.chunk(2)
            x = plan.step(nothing + GUIDANCE * (knowing - nothing), t, x).prev_sample
    return x


def _shape(model: Denoiser) -> torch.Tensor:
    """The same latents of a prompt."""
    from diffusers import DDIMScheduler
    from diffusers.utils.torch_utils import randn_tensor

    with model.borrow() as parts, torch.inference_mode():
        tokens = model.tokenizer(["", PROMPT], padding="max_length", return_tensors="pt").input_ids
        given = parts["text_encoder"](tokens)[0]
        plan = DDIMScheduler.from_config(model.config)
        plan.set_timesteps(STEPS)
        x = randn_tensor((1, *model.x_shape), torch.Generator().manual_seed(0))
        for t in plan.timesteps:
            nothing, knowing = parts["unet"](torch.cat([x, x]), t, encoder_hidden_states=given).sample.chunk(2)
            x = plan.step(nothing + 4.0 * (knowing - nothing), t, x).prev_sample
    return x


def _sent(model: Denoiser) -> int:
    """Bytes that the page's first film takes on its way to the browser."""
    from explorer.diffusion import frames
    from explorer.diffusion.wish import fulfil

    found = fulfil(Wish(model.card.ref, (PROMPT,), guidance=4.0))
    shots = [make(model, found) for make in (frames.states, frames.believed, frames.noises)]
    reels = tuple(Reel("", shot.pictures, shot.limits) for shot in shots)
    return len(json.dumps(encode([Track(reels, labels(found))])))


if __name__ == "__main__":
    for row in rows():
        print("| " + " | ".join(row) + " |", flush=True)
