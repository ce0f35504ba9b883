"""A diffusion model from a folder that diffusers' `save_pretrained` wrote: safetensors and JSON only, never code."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.memory import out_of_memory
from explorer.settings import settings
from explorer.zoo import saved
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref

if TYPE_CHECKING:
    from explorer.zoo.denoiser import Denoiser

INDEX = "model_index.json"
SCHEDULERS = (  # of networks that learned by steps of β, or by flow matching
    "DDPM", "DDIM", "PNDM", "LMSDiscrete", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete",
    "DPMSolverMultistep", "DPMSolverSinglestep", "KDPM2Discrete", "KDPM2AncestralDiscrete", "DEISMultistep",
    "UniPCMultistep", "LCM", "FlowMatchEulerDiscrete",
)  # fmt: skip
PARTS = {  # part of a pipeline → (library, class) that is opened
    "unet": (("diffusers", "UNet2DModel"), ("diffusers", "UNet2DConditionModel"), ("explorer", "PointsDenoiser")),
    "vae": (("diffusers", "AutoencoderKL"),),
    "text_encoder": (("transformers", "CLIPTextModel"),),
    "tokenizer": (("transformers", "CLIPTokenizer"), ("transformers", "CLIPTokenizerFast"),
                  ("transformers", "PreTrainedTokenizerFast"), ("transformers", "TokenizersBackend")),
    "scheduler": tuple(("diffusers", f"{name}Scheduler") for name in SCHEDULERS),  # only its config is read
}  # fmt: skip
UNUSED = ("safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker")
FILES = {  # part → what is read of it: never a variant (fp16, non_ema), never a checkpoint of all parts in one file
    "unet": ("config.json", "diffusion_pytorch_model.safetensors"),
    "vae": ("config.json", "diffusion_pytorch_model.safetensors"),
    "text_encoder": ("config.json", "model.safetensors"),
    "tokenizer": ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                  "vocab.json", "merges.txt"),
    "scheduler": ("scheduler_config.json",),
}  # fmt: skip
PATTERNS = (INDEX, *(place + file for name in FILES for file in FILES[name] for place in ("", f"{name}/")))
NETWORKS = ("unet", "vae", "text_encoder")
BESIDE = ("unet", "scheduler")  # in the oldest pipelines they have no folder and lie beside the index
UNREADABLE = saved.UNREADABLE


def check(ref: Ref, folder: Path) -> str:
    """The task of the pipeline in a folder; refuses one that can't be opened, before any weight is read."""
    return check_files(ref, read(ref, folder), listing(folder))


def read(ref: Ref, folder: Path) -> Any:
    """What the index of a pipeline says."""
    try:
        return json.loads((folder / INDEX).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise saved.refuse(ref, f"its {INDEX} is missing or damaged") from error


def check_files(ref: Ref, index: Any, names: Collection[str]) -> str:
    """The task that an index speaks of, once the files that it needs are known to be there.

    names: of the files, as paths from the index. Raises ExplorerError for a part that is not opened here or is missing.
    """
    parts = _parts(ref, index)
    for name in ("unet", "scheduler"):
        if name not in parts:
            raise saved.refuse(ref, f"its pipeline has no {name}")
    for name in (*NETWORKS, "scheduler"):
        described = home(name, names) + FILES[name][0]
        if name in parts and described not in names:
            raise saved.refuse(ref, f"its {described} is missing")
    for name in NETWORKS:
        if name in parts and home(name, names) + FILES[name][1] not in names:
            raise saved.refuse(ref, f"its {name} has no weights as safetensors, and pickled ones are not opened")
    if "text_encoder" in parts:
        words = {name.removeprefix("tokenizer/") for name in names if name.startswith("tokenizer/")}
        if "tokenizer" not in parts or not any(needed <= words for needed in saved.TOKENIZERS):
            raise saved.refuse(ref, "it reads prompts, and its tokenizer is missing")
        return "text-to-image"
    return "points-generation" if parts["unet"][1] == "PointsDenoiser" else "image-generation"


def files(ref: Ref, index: Any, names: Collection[str]) -> list[str]:
    """Every file that is read of a pipeline where it is there, as paths from the index; names: those that are there."""
    return [INDEX, *(home(name, names) + file for name in _parts(ref, index) for file in FILES[name])]


def weights(ref: Ref, folder: Path) -> list[Path]:
    """The files that hold the weights of the pipeline in a folder."""
    wanted = files(ref, read(ref, folder), listing(folder))
    return [folder / name for name in wanted if name.endswith(".safetensors")]


def home(name: str, names: Collection[str]) -> str:
    """Where the files of a part lie: `<name>/`, or "" beside the index."""
    apart = any(other.startswith(f"{name}/") for other in names)
    return "" if name in BESIDE and not apart and FILES[name][0] in names else f"{name}/"


def listing(folder: Path) -> set[str]:
    """The names of the files in a folder and in the folders there."""
    return {path.relative_to(folder).as_posix() for pattern in ("*", "*/*") for path in folder.glob(pattern)}


def _parts(ref: Ref, index: Any) -> dict[str, tuple[str, str]]:
    """The parts that are opened, each with its library and its class; refuses a pipeline that has others."""
    try:
        parts = {name: tuple(value) for name, value in index.items() if isinstance(value, list) and any(value)}
    except AttributeError as error:
        raise saved.refuse(ref, f"its {INDEX} is missing or damaged") from error
    parts = {name: kind for name, kind in parts.items() if name not in UNUSED}
    for name, kind in parts.items():
        if name not in PARTS:
            raise saved.refuse(ref, f"its pipeline has a part {name[:40]!r}, which is not opened here")
        if PARTS[name] and kind not in PARTS[name]:
            raise saved.refuse(ref, f"its {name} is a {str(kind[-1])[:60]}, which is not opened here")
    return parts


def load(ref: Ref, folder: Path, task: str, made: str, card: Card | None) -> "Denoiser":
    """The diffusion model in a folder that `check` passed; raises ExplorerError when it can't be opened."""
    from explorer.zoo.denoiser import Denoiser

    index, names = read(ref, folder), listing(folder)
    kinds = _parts(ref, index)
    try:
        with saved.one_at_a_time:
            parts = {name: _part(kinds[name], folder / home(name, names)) for name in NETWORKS if name in kinds}
            tokenizer = _tokenizer(folder) if task == "text-to-image" else None
        config = json.loads((folder / home("scheduler", names) / FILES["scheduler"][0]).read_bytes())
        card = card or _card(ref, task, parts, index.get("id2label"), config, made)
    except Exception as error:  # damaged files fail in every way there is
        if out_of_memory(error):
            raise
        raise saved.refuse(ref, saved.in_words(error)) from error
    if task != card.task:
        raise saved.refuse(ref, f"its card says {card.task}, and its files {task}")
    device = settings().device
    found = Denoiser(card, {name: part.to(device) for name, part in parts.items()}, config, tokenizer)
    _try(ref, found, parts["unet"])
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
    net, report = getattr(library, kind[1]).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        torch_dtype=torch.float32,
        output_loading_info=True,
        **({"low_cpu_mem_usage": False} if kind[0] == "diffusers" else {}),  # else it wants a library more
    )
    if missing := report["missing_keys"]:  # they would be filled with random numbers
        raise ValueError(f"{len(missing)} of its weights are missing, {min(missing)} among them")
    return net.eval()


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
        if len(named) > len(labels):
            raise ValueError(f"{len(named)} classes are named, and the network knows {len(labels)}")
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
