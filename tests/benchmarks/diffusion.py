"""What sampling with everything on record costs, beside the plain loop of diffusers, in the same run."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from explorer import zoo
from explorer.diffusion import sample
from explorer.zoo.denoiser import Denoiser
from tests.benchmarks.timing import against
from tests.diffusion import nets

REPEATS = 7
STEPS, DIGITS, GUIDANCE = 20, 10, 3.0


def rows() -> Iterator[tuple[str, str, str]]:
    """(what, measured, target), one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        ref = _digits(Path(folder) / "digits")
        model = zoo.load(ref)
        classes = list(range(DIGITS))
        ratio, ours = against(
            lambda: sample(ref, "ddim", STEPS, GUIDANCE, classes, count=DIGITS), lambda: _plain(model), REPEATS
        )
        millions = model.card.parameters / 1e6
        what = (
            f"sample(), all on record ÷ the plain loop: {DIGITS} pictures of 16×16, {STEPS} guided DDIM steps, "
            f"a UNet of {millions:.1f} M"
        )
        yield what, f"{ratio:.2f} ({ours:.2f} s)", "≤ 1.10"
        points = nets.save(Path(folder) / "points", "points")
        sample(points, "ddim", 2, count=10)
        start = time.perf_counter()
        sample(points, "ddim", 50, count=5000)
        yield "5,000 points, 50 DDIM steps", f"{time.perf_counter() - start:.2f} s", "≤ 0.5 s"


def _digits(folder: Path) -> str:
    """A random class-conditional UNet of the size that learns to draw digits."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = nets.seeded(
        lambda: UNet2DModel(
            sample_size=16, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(32, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8, attention_head_dim=16, num_class_embeds=DIGITS + 1,
        )
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler(clip_sample=False)).save_pretrained(folder)
    nets.label(folder, [str(digit) for digit in range(DIGITS)])
    return f"file:{folder}"


def _plain(model: Denoiser) -> torch.Tensor:
    """The same samples, as diffusers' own pipelines go about it."""
    from diffusers import DDIMScheduler
    from diffusers.utils.torch_utils import randn_tensor

    labels = torch.tensor([*[DIGITS] * DIGITS, *range(DIGITS)])
    with model.borrow() as parts, torch.inference_mode():
        plan = DDIMScheduler.from_config(model.config)
        plan.set_timesteps(STEPS)
        x = randn_tensor((DIGITS, 1, 16, 16), [torch.Generator().manual_seed(row) for row in range(DIGITS)])
        for t in plan.timesteps:
            nothing, knowing = parts["unet"](torch.cat([x, x]), t, labels).sample.chunk(2)
            x = plan.step(nothing + GUIDANCE * (knowing - nothing), t, x).prev_sample
    return x


if __name__ == "__main__":
    for row in rows():
        print("| " + " | ".join(row) + " |", flush=True)
