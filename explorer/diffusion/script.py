"""The code panel: a trajectory's samples by a script of their own, in torch and diffusers."""

import textwrap
from pathlib import Path

from explorer import zoo
from explorer.diffusion.base import Trajectory
from explorer.diffusion.sample import opened
from explorer.diffusion.samplers import SAMPLERS, scheduler, settings
from explorer.errors import ExplorerError
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.refs import Ref
from explorer.zoo.saved_diffusion import FILES, home, listing


def script(found: Trajectory, ref: str | Denoiser | None = None) -> str:
    """A Python script that draws the samples of a trajectory anew and saves them as `samples.npy`, (N, …).

    It is for trajectories of `sample`, not for forks. It opens the folder of a `file:` model or the name of a model of
    the Hub; others it unpacks from `model.zip` beside it, which `zoo.own.zipped` gives. It needs torch and diffusers,
    and transformers where there are prompts, and nothing of the explorer.
    """
    model = opened(ref or found.ref)
    if len(model.card.shape) == 1:
        raise ExplorerError(
            f"A script for {found.ref}", "diffusers has no pipeline of points", "Take the numbers as NPZ"
        )
    parsed = zoo.parse(found.ref)
    packed = parsed.source not in ("file", "hf")
    folder = "model" if packed else parsed.name
    plan = scheduler(found.sampler, model.config)
    unet = "UNet2DConditionModel" if model.kind == "text" else "UNet2DModel"
    kinds = sorted({unet, type(plan).__name__} | ({"AutoencoderKL"} if model.latent else set()))
    more = "".join(f", {name}={value!r}" for name, value in settings(found.sampler).items())
    guided = found.knowing is not None
    title = f"{SAMPLERS[found.sampler].facts['title']}, {found.steps} steps"
    lines = [
        f'"""Samples of a diffusion model by {title}, as samples.npy (N, …)."""',
        "",
        *(["from zipfile import ZipFile", ""] if packed else []),
        "import numpy as np",
        "import torch",
        f"from diffusers import {', '.join(kinds)}",
        *(["from transformers import AutoTokenizer, CLIPTextModel"] if model.kind == "text" else []),
        "",
        f"folder = {folder!r}",
        *([f'ZipFile("model.zip").extractall(folder)  # {found.ref}'] if packed else []),
        f"unet = {unet}.from_pretrained(folder{_inside(parsed, 'unet')}).eval()",
        f"scheduler = {type(plan).__name__}.from_pretrained(folder{_inside(parsed, 'scheduler')}{more})",
        f"scheduler.set_timesteps({found.steps})",
        "",
        "# 1. What is asked for",
        *_asked(found, model, guided),
        "",
        "# 2. Noise, each sample's from its own seed",
        f"generators = [torch.Generator().manual_seed(seed) for seed in {list(found.seeds)}]",
        f"x = torch.stack([torch.randn({tuple(model.x_shape)}, generator=one) for one in generators])",
        *([] if found.scale == "straight" else ["x = x * scheduler.init_noise_sigma"]),
        "",
        "# 3. Step by step",
        "with torch.inference_mode():",
        *textwrap.indent("\n".join(_loop(found, model, guided)), "    ").splitlines(),
        'np.save("samples.npy", x.numpy())',
        "",
    ]
    return "\n".join(lines)


def _inside(ref: Ref, part: str) -> str:
    """The argument that says where a part lies: in a folder of its own, in the oldest pipelines beside the index."""
    apart = True
    if ref.source == "hf":
        from huggingface_hub import try_to_load_from_cache

        apart = isinstance(try_to_load_from_cache(ref.name, f"{part}/{FILES[part][0]}", revision=ref.revision), str)
    elif ref.source == "file":
        apart = bool(home(part, listing(Path(ref.name))))
    return f', subfolder="{part}"' if apart else ""


def _asked(found: Trajectory, model: Denoiser, guided: bool) -> list[str]:
    """The lines that make `given`, what the network is told beside the state."""
    if model.kind == "free":
        return ["given = {}"]
    if model.kind == "class":
        nothing = len(model.labels)
        numbers = [model.labels.index(name) if name else nothing for name in found.conditions]
        away = [model.labels.index(found.avoid) if found.avoid in model.labels else nothing] * len(numbers)
        return [f'given = {{"class_labels": torch.tensor({[*away, *numbers] if guided else numbers})}}']
    return [
        'tokenizer = AutoTokenizer.from_pretrained(folder, subfolder="tokenizer")',
        'encoder = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder").float().eval()',
        f"prompts = {[*([found.avoid] * len(found.conditions) if guided else []), *found.conditions]!r}",
        "longest = tokenizer.model_max_length",
        'tokens = tokenizer(prompts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt")',
        "with torch.inference_mode():",
        '    given = {"encoder_hidden_states": encoder(tokens.input_ids)[0]}',
    ]


def _loop(found: Trajectory, model: Denoiser, guided: bool) -> list[str]:
    """The lines of the loop, and the decoding of latents."""
    draws = ", generator=generators" if SAMPLERS[found.sampler].facts.get("random") else ""
    lines = ["for t in scheduler.timesteps:"]
    scaled = "{}" if found.scale == "straight" else "scheduler.scale_model_input({}, t)"
    if guided:
        lines += [
            f"    both = {scaled.format('torch.cat([x, x])')}",
            "    without, knowing = unet(both, t, **given).sample.chunk(2)",
            f"    answer = without + {found.guidance} * (knowing - without)",
        ]
    else:
        lines += [f"    answer = unet({scaled.format('x')}, t, **given).sample"]
    lines += [f"    x = scheduler.step(answer, t, x{draws}).prev_sample"]
    if model.latent:
        lines += [
            'vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()',
            "x = vae.decode(x / vae.config.scaling_factor).sample",
        ]
    return lines
