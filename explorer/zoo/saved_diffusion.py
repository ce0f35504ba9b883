"""A diffusion model from a folder that diffusers' `save_pretrained` wrote: safetensors and JSON only, never code."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.settings import settings
from explorer.zoo import saved
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref
from explorer.zoo.store import out_of_memory

if TYPE_CHECKING:
    from explorer.zoo.denoiser import Denoiser

INDEX = "model_index.json"
PARTS = {  # part of a pipeline → (library, class) that is opened
    "unet": (("diffusers", "UNet2DModel"), ("diffusers", "UNet2DConditionModel"), ("explorer", "PointsDenoiser")),
    "vae": (("diffusers", "AutoencoderKL"),),
    "text_encoder": (("transformers", "CLIPTextModel"),),
    "tokenizer": (("transformers", "CLIPTokenizer"), ("transformers", "CLIPTokenizerFast"),
                  ("transformers", "PreTrainedTokenizerFast"), ("transformers", "TokenizersBackend")),
    "scheduler": (),  # any: only its config is read
}  # fmt: skip
UNUSED = ("safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker")
UNREADABLE = saved.UNREADABLE


def check(ref: Ref, folder: Path) -> str:
    """The task of the pipeline in a folder; refuses one that can't be opened, before any weight is read."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
        parts = {name: tuple(value) for name, value in index.items() if isinstance(value, list) and any(value)}
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise saved.refuse(ref, f"its {INDEX} is missing or damaged") from error
    for name, kind in parts.items():
        if name in UNUSED:
            continue
        if name not in PARTS:
            raise saved.refuse(ref, f"its pipeline has a part {name[:40]!r}, which is not opened here")
        if PARTS[name] and kind not in PARTS[name]:
            raise saved.refuse(ref, f"its {name} is a {str(kind[-1])[:60]}, which is not opened here")
    for name in ("unet", "scheduler"):
        if name not in parts:
            raise saved.refuse(ref, f"its pipeline has no {name}")
    for name in ("unet", "vae", "text_encoder"):
        if name in parts and not (folder / name / "config.json").is_file():
            raise saved.refuse(ref, f"its {name}/config.json is missing")
        if name in parts and not list((folder / name).glob("*.safetensors")):
            raise saved.refuse(ref, f"its {name} has no weights as safetensors")
    if "text_encoder" in parts:
        if "tokenizer" not in parts:
            raise saved.refuse(ref, "it reads prompts, and its tokenizer is missing")
        return "text-to-image"
    return "points-generation" if parts["unet"][1] == "PointsDenoiser" else "image-generation"


def load(ref: Ref, folder: Path, task: str, made: str, card: Card | None) -> "Denoiser":
    """The diffusion model in a folder that `check` passed; raises ExplorerError when it can't be opened."""
    from explorer.zoo.denoiser import Denoiser

    index = json.loads((folder / INDEX).read_bytes())
    try:
        with saved.one_at_a_time:
            parts = {
                name: _part(tuple(index[name]), folder / name)
                for name in ("unet", "vae", "text_encoder")
                if index.get(name, [None])[0]
            }
            tokenizer = _tokenizer(folder) if task == "text-to-image" else None
        config = json.loads((folder / "scheduler" / "scheduler_config.json").read_bytes())
    except Exception as error:  # damaged files fail in every way there is
        if out_of_memory(error):
            raise
        raise saved.refuse(ref, saved.in_words(error)) from error
    net = parts["unet"]
    card = card or _card(ref, task, parts, index.get("id2label"), config, made)
    if task != card.task:
        raise saved.refuse(ref, f"its card says {card.task}, and its files {task}")
    device = settings().device
    found = Denoiser(card, {name: part.to(device) for name, part in parts.items()}, config, tokenizer)
    _try(ref, found, net)
    return found


def _part(kind: tuple[str, str], folder: Path) -> Any:
    """One network of a pipeline."""
    import torch

    if kind[0] == "explorer":
        from safetensors.torch import load_file

        from explorer.models.points_denoiser import PointsDenoiser

        net = PointsDenoiser(**json.loads((folder / "config.json").read_bytes()))
        net.load_state_dict(load_file(next(folder.glob("*.safetensors"))))
        return net
    library = __import__(kind[0])
    return getattr(library, kind[1]).from_pretrained(
        folder, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
    )


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True, trust_remote_code=False)


def _card(
    ref: Ref, task: str, parts: dict[str, Any], named: dict[str, str] | None, config: dict[str, Any], made: str
) -> Card:
    """What the files say. named: classes by their numbers; where the network has one more, that is for no class."""
    unet = parts["unet"]
    if task == "points-generation":
        shape, mean, std = (2,), (0.0, 0.0), (1.0, 1.0)
    else:
        side, channels = unet.config.sample_size, unet.config.out_channels
        rows, columns = (side, side) if isinstance(side, int) else side
        if "vae" in parts:
            factor = 2 ** (len(parts["vae"].config.block_out_channels) - 1)
            rows, columns, channels = rows * factor, columns * factor, parts["vae"].config.out_channels
        shape, mean, std = (channels, rows, columns), (0.5,) * channels, (0.5,) * channels
    labels = [f"class {number}" for number in range(getattr(unet.config, "num_class_embeds", None) or 0)]
    if named:
        labels = [named[str(number)] for number in range(len(named))]
    return Card(
        ref=str(ref),
        title=ref.name.rpartition("/")[2],
        task=task,
        architecture=type(unet).__name__,
        parameters=sum(weight.numel() for part in parts.values() for weight in part.parameters()),
        shape=shape,
        labels=labels,
        mean=mean,
        std=std,
        settings={"schedule": config.get("beta_schedule"), "predicts": config.get("prediction_type", "epsilon")},
        made=made,
    )


def _try(ref: Ref, model: "Denoiser", net: Any) -> None:
    """Refuse a network that does not answer noise with something of its shape."""
    import torch

    x = torch.zeros(1, *model.x_shape, device=model.device)
    try:
        with model.borrow() as parts, torch.inference_mode():
            asked = model.ask(parts, model.labels[0] if model.kind == "class" else None, 1)
            answer = model.answer(parts, x, torch.tensor(1, device=model.device), asked.given)
    except (*UNREADABLE, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise saved.refuse(ref, f"it fails on a state of its own size: {saved.in_words(error)}") from error
    if answer.shape != x.shape:
        raise saved.refuse(ref, f"it answers a state of {tuple(x.shape[1:])} with {tuple(answer.shape[1:])}")
