"""Make a text-to-image model from nothing: an autoencoder, then a text encoder and a UNet on its latents.

Stable Diffusion in miniature (Rombach et al. 2022): the same parts from the same libraries, a few hundred times
smaller, and the text encoder learns together with the UNet.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer import data
from explorer.data.base import Dataset
from explorer.zoo.recipes import Painting

DATASET = "shapes-prompts"
CHANNELS = 8  # numbers in each cell of the latents
LONGEST = 16  # tokens of a prompt, the frame included
DROPPED = 0.1  # share of prompts that are left out, so that it can be guided (Ho and Salimans 2022, section 3.2)
HEAVIEST = 20.0  # weight of the times with the most noise, while it learns what lies where
BANDS = 5  # equal parts of the noise schedule of which the loss is told apart


Tell = Callable[[dict[str, Any]], None]  # hears of every 100 steps


def autoencoder(recipe: Painting, tell: Tell) -> nn.Module:
    """A network that packs 4×4 pixels into one cell of eight numbers and unpacks them again.

    Its loss is the mean absolute difference of pixels and of the steps between neighbours, which keeps edges sharp, and
    a little of the divergence from a standard normal (Rombach et al. 2022, section 3.1, without the adversary). The
    scale that gives latents a deviation of 1 is put into its config.
    """
    from diffusers import AutoencoderKL

    generator = torch.Generator().manual_seed(recipe.seed)
    pictures = _pictures(data.load(DATASET, "train"))
    with seeded(recipe.seed):
        net = AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=CHANNELS, block_out_channels=(16, 32, 48),
            norm_num_groups=8, layers_per_block=1, sample_size=pictures.shape[-1],
            down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        ).to(memory_format=torch.channels_last)  # fmt: skip

    def loss(rows: Tensor) -> Tensor:
        x = pictures[rows]
        packed = net.encode(x).latent_dist
        wrong = net.decode(packed.sample(generator)).sample - x
        edges = wrong.diff(dim=2).abs().mean() + wrong.diff(dim=3).abs().mean()
        return wrong.abs().mean() + edges + 1e-6 * packed.kl().mean()

    _learn(net.parameters(), loss, len(pictures), recipe.autoencoder_steps, recipe.autoencoder_batch,
           recipe.autoencoder_lr, generator, tell)  # fmt: skip
    net.register_to_config(scaling_factor=1 / float(latents(net.eval(), pictures).std()))
    return net


@torch.no_grad()
def latents(net: nn.Module, pictures: Tensor) -> Tensor:
    """What the autoencoder packs pictures into, not scaled, (N, 8, H/4, W/4)."""
    return torch.cat([net.encode(part).latent_dist.mode() for part in pictures.split(256)])


@dataclass(eq=False)
class Painter:
    """The parts that learn together, and the words they know."""

    text_encoder: nn.Module
    unet: nn.Module
    tokenizer: Any
    scheduler: Any


def untrained(recipe: Painting, captions: tuple[str, ...], side: int) -> Painter:
    """A text encoder for the words of the captions and a UNet for latents of `side` cells a side."""
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    words = tokenizer(captions)
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=LONGEST, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )  # fmt: skip
    with seeded(recipe.seed + 1):
        encoder = CLIPTextModel(text)
        unet = UNet2DConditionModel(
            sample_size=side, in_channels=CHANNELS, out_channels=CHANNELS, layers_per_block=1,
            block_out_channels=(48, 96), down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2, norm_num_groups=8, attention_head_dim=2,
            cross_attention_dim=64,
        ).to(memory_format=torch.channels_last)  # fmt: skip
    plan = DDPMScheduler(
        1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, timestep_spacing="trailing"
    )  # Rombach et al. 2022; the last state of "trailing" is noise alone (Lin et al. 2024, section 3.3)
    return Painter(encoder, unet, words, plan)


def painter(recipe: Painting, net: nn.Module, tell: Tell) -> Painter:
    """A text encoder and a UNet that learn to find the noise in the latents of a captioned picture.

    net: the autoencoder. They learn in two parts, `study`: first every time counts alike, then much noise counts more,
    because there it is decided what lies where, and the error of the predicted noise hardly shows it.
    """
    train = data.load(DATASET, "train")
    made = untrained(recipe, train.captions, latents(net, _pictures(train)[:1]).shape[-1])
    study(made, net, recipe, recipe.steps, recipe.lr, 1.0, tell)
    study(made, net, recipe, recipe.layout_steps, recipe.layout_lr, HEAVIEST, tell)
    return made


def study(made: Painter, net: nn.Module, recipe: Painting, steps: int, lr: float, heaviest: float, tell: Tell) -> None:
    """Go on learning for some steps; the parts are left with the running mean of their weights.

    heaviest: how much more a time with much noise may count than one with little, whose weight is 1; in between it is
    (SNR + 1) / SNR, that of the predicted velocity (Hang et al. 2023, section 3.3). tell: hears of the loss on the
    validation split too, per fifth of the noise schedule, from little noise to much, not weighed.
    """
    train, validation = (data.load(DATASET, split) for split in ("train", "validation"))
    scale = net.config.scaling_factor
    packed, held_out = (latents(net, _pictures(split)) * scale for split in (train, validation))
    prompts, asked = (torch.tensor(_ids(made.tokenizer, split.captions)) for split in (train, validation))
    nothing = torch.tensor(_ids(made.tokenizer, [""]))
    parts = nn.ModuleDict({"text_encoder": made.text_encoder, "unet": made.unet}).train()
    mean = torch.optim.swa_utils.AveragedModel(
        parts, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    weights = (1 / made.scheduler.alphas_cumprod).clamp(max=heaviest)  # (SNR + 1) / SNR is 1 / ᾱ

    def loss(rows: Tensor) -> Tensor:
        count = len(rows)
        left_out = torch.rand(count, generator=generator) < DROPPED
        words = torch.where(left_out[:, None], nothing, prompts[rows])
        times = torch.randint(len(weights), (count,), generator=generator)
        return (weights[times] * denoising(parts, made.scheduler, packed[rows], words, times, generator)).mean()

    def after(step: int) -> dict[str, Any]:
        mean.update_parameters(parts)
        return {"bands": _bands(mean.module, made.scheduler, held_out, asked)} if step % 1000 == 0 else {}

    _learn(parts.parameters(), loss, len(packed), steps, recipe.batch, lr, generator, tell, after)
    parts.load_state_dict(mean.module.state_dict())
    parts.eval()


def denoising(
    parts: nn.ModuleDict, scheduler: Any, x: Tensor, words: Tensor, times: Tensor, generator: torch.Generator
) -> Tensor:
    """The squared error of the predicted noise of each example, (N,) (Ho et al. 2020, equation 14)."""
    noise = torch.randn(x.shape, generator=generator)
    given = parts["text_encoder"](words)[0]
    found = parts["unet"](scheduler.add_noise(x, noise, times), times, encoder_hidden_states=given).sample
    return (found - noise).square().mean((1, 2, 3))


def tokenizer(captions: tuple[str, ...]) -> Any:
    """Every word of the captions as one token, framed as CLIP frames them; any other word is unknown."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    frame = ("<start>", "<end>", "<unknown>")
    names = (*frame, *sorted({word for caption in captions for word in caption.split()}))
    coder = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token=frame[2]))
    coder.normalizer = normalizers.Lowercase()
    coder.pre_tokenizer = pre_tokenizers.Whitespace()
    coder.post_processor = processors.TemplateProcessing(
        single=f"{frame[0]} $A {frame[1]}", special_tokens=[(frame[0], 0), (frame[1], 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=coder, bos_token=frame[0], eos_token=frame[1], unk_token=frame[2], pad_token=frame[1],
        model_max_length=LONGEST,
    )  # fmt: skip


def save(made: Painter, net: nn.Module, folder: Path) -> None:
    """Write the pipeline as diffusers does, the weights in half precision."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        net, made.text_encoder, made.tokenizer, made.unet, made.scheduler, None, None, requires_safety_checker=False
    )
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(folder)


def seeded(seed: int) -> Any:
    """A `with` in which libraries that know only the process-wide chance draw their first weights."""
    import contextlib

    @contextlib.contextmanager
    def drawing() -> Iterator[None]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield

    return drawing()


def _learn(
    parameters: Any, loss: Callable[[Tensor], Tensor], count: int, steps: int, batch: int, lr: float,
    generator: torch.Generator, tell: Tell, after: Callable[[int], dict[str, Any]] = lambda step: {},
) -> None:  # fmt: skip
    """Steps of AdamW on random rows of `count` examples, a short warm-up, then a cosine to zero."""
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=0.01, fused=True)
    warm = max(1, steps // 30)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1, max(0, step - warm) / max(1, steps - warm))))
        ),
    )
    order, recent = torch.empty(0, dtype=torch.long), []
    for step in range(1, steps + 1):
        if len(order) < batch:
            order = torch.randperm(count, generator=generator)
        rows, order = order[:batch], order[batch:]
        value = loss(rows)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(value.item())
        told = after(step)
        if step % 100 == 0 or step == steps or told:
            tell({"step": step, "loss": float(np.mean(recent)), **told})
            recent.clear()


@torch.no_grad()
def _bands(parts: nn.ModuleDict, scheduler: Any, x: Tensor, words: Tensor) -> list[float]:
    """The loss on held-out latents in each fifth of the noise schedule, with the same noise every time."""
    generator = torch.Generator().manual_seed(0)
    parts.eval()
    whole = len(scheduler.betas)
    times = ((torch.arange(len(x)) + 0.5) / len(x) * whole).long()
    found = denoising(parts, scheduler, x, words, times, generator)
    parts.train()
    return [float(part.mean()) for part in found.tensor_split(BANDS)]


def _pictures(dataset: Dataset) -> Tensor:
    """Pictures from -1 to 1, (N, C, H, W)."""
    x = torch.from_numpy(dataset.x.copy()).permute(0, 3, 1, 2).float()
    return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _ids(words: Any, captions: Any) -> list[list[int]]:
    return words(list(captions), padding="max_length", truncation=True, max_length=LONGEST).input_ids
