"""Tiny diffusion models of random, seeded weights, as diffusers saves them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from explorer.models.points_denoiser import PointsDenoiser

BETAS = {"num_train_timesteps": 1000, "beta_schedule": "linear", "clip_sample": False}
WORDS = ("a", "red", "blue", "ring", "star", "left", "of")


def seeded(make: Any, seed: int = 0) -> Any:
    """What `make` builds from random weights of this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def save(folder: Path, kind: str, **scheduler: Any) -> str:
    """A pipeline with random weights as a folder, and its ref: free, classes, guided, prompts or points."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    plan = DDPMScheduler(**(BETAS | scheduler))
    if kind == "points":
        return _points(folder, plan)
    if kind == "prompts":
        return _prompts(folder, plan)
    classes = {"free": None, "classes": 3, "guided": 4}[kind]
    unet = seeded(
        lambda: UNet2DModel(
            sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(16, 32),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8, attention_head_dim=8, num_class_embeds=classes,
        )
    )  # fmt: skip
    DDPMPipeline(unet, plan).save_pretrained(folder)
    if kind == "guided":  # the fourth is for no class
        label(folder, [f"class {number}" for number in range(3)])
    return f"file:{folder}"


def label(folder: Path, names: list[str]) -> None:
    """Name the classes of a saved pipeline."""
    index = json.loads((folder / "model_index.json").read_text())
    index["id2label"] = {str(number): name for number, name in enumerate(names)}
    (folder / "model_index.json").write_text(json.dumps(index))


def _points(folder: Path, plan: Any) -> str:
    net = seeded(lambda: PointsDenoiser(width=16, depth=2))
    (folder / "unet").mkdir(parents=True)
    save_file(net.state_dict(), folder / "unet" / "diffusion_pytorch_model.safetensors")
    (folder / "unet" / "config.json").write_text(json.dumps(vars(net.config)))
    plan.save_pretrained(folder / "scheduler")
    index = {"_class_name": "PointsPipeline", "unet": ["explorer", "PointsDenoiser"],
             "scheduler": ["diffusers", "DDPMScheduler"]}  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index))
    return f"file:{folder}"


def _prompts(folder: Path, plan: Any) -> str:
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    unet = seeded(
        lambda: UNet2DConditionModel(
            sample_size=4, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            norm_num_groups=8, attention_head_dim=8, cross_attention_dim=16,
        )
    )  # fmt: skip
    vae = seeded(
        lambda: AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16), norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        )
    )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae, seeded(lambda: CLIPTextModel(text)), tokenizer(), unet, plan, None, None, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder)
    return f"file:{folder}"


def tokenizer() -> Any:
    """Words of a small world, framed as CLIP frames them."""
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(("<start>", "<end>", "<unk>", *WORDS))}
    coder = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    coder.pre_tokenizer = pre_tokenizers.Whitespace()
    coder.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=coder, bos_token="<start>", eos_token="<end>", unk_token="<unk>", pad_token="<end>",
        model_max_length=8,
    )  # fmt: skip
