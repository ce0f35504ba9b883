"""An image classifier from a folder that transformers' `save_pretrained` wrote: safetensors and JSON only."""

import json
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref, asked
from explorer.zoo.store import out_of_memory

if TYPE_CHECKING:
    from explorer.zoo.model import Model

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
FILES = ("config.json", "preprocessor_config.json", "model.safetensors.index.json", *WEIGHTS)
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, ArithmeticError)  # odd files

# While it loads, transformers replaces functions of torch.nn.init for the whole process and puts them back after:
# two loads at once could put back each other's replacements.
_one_at_a_time = threading.Lock()


def weights(folder: Path) -> list[Path]:
    """The files that hold the weights."""
    return [path for pattern in WEIGHTS for path in sorted(folder.glob(pattern))]


def parameters(ref: Ref, folder: Path) -> int:
    """How many numbers the weights are, read from the files' headers."""
    from safetensors import SafetensorError, safe_open

    count = 0
    for path in weights(folder):
        try:
            with safe_open(path, "np") as file:
                count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise _refuse(ref, f"its file {path.name} is damaged ({error})") from error
    return count


def check_config(ref: Ref, folder: Path) -> None:
    """Refuse a folder that does not hold an image classifier, before anything else of it is read."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KNOWN

    try:
        config = json.loads((folder / "config.json").read_bytes())
        kind, labels = config["model_type"], config.get("id2label", {})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refuse(ref, "its config.json is missing or damaged") from error
    if kind not in KNOWN or not isinstance(labels, dict):
        raise _refuse(ref, f"it is no image classifier that transformers knows (its type is {str(kind)[:60]!r})")
    if not (folder / "preprocessor_config.json").is_file():
        raise _refuse(ref, "its preprocessor_config.json is missing, so how it wants its pictures is not known")
    if not weights(folder):
        raise _refuse(ref, "it has no weights as safetensors")


def load(ref: Ref, folder: Path, made: str) -> "Model":
    """The classifier in a folder, with its own image processor; raises ExplorerError when the folder is no good."""
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    from explorer.zoo.model import Logits, Model

    check_config(ref, folder)
    try:
        with _one_at_a_time:
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            net, report = AutoModelForImageClassification.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="eager",  # the fast kernels give no attention weights
                dtype=torch.float32,
                output_loading_info=True,
            )
        sample = processor(torch.zeros(3, 200, 300, dtype=torch.uint8), return_tensors="pt")["pixel_values"]
    except (*UNREADABLE, SafetensorError, StrictDataclassError) as error:
        raise _refuse(ref, _in_words(error)) from error
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        mismatch = "mismatch" in str(error)
        wrong = "its weights have other shapes than its config.json says" if mismatch else _in_words(error)
        raise _refuse(ref, wrong) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise _refuse(ref, f"{len(missing)} of its weights are missing, {missing[0]} among them")
    shape = tuple(sample.shape[1:])
    most = settings().limits.image_side
    if max(shape[1:]) > most:
        raise _refuse(ref, f"its pictures are {shape[2]}×{shape[1]}, and this server takes up to {most} a side")
    card = Card(
        ref=str(ref),
        title=ref.name.rpartition("/")[2],
        task="image-classification",
        architecture=net.config.model_type,
        parameters=net.num_parameters(),
        shape=shape,
        labels=[str(net.config.id2label[index]) for index in range(net.config.num_labels)],
        mean=_per_channel(processor, "image_mean", shape[0], 0.0),
        std=_per_channel(processor, "image_std", shape[0], 1.0),
        resize=f"by its own image processor, {type(processor).__name__}",
        made=made,
    )

    def prepare(pixels: torch.Tensor) -> torch.Tensor:  # uint8 (N, C, H, W)
        return processor(list(pixels), return_tensors="pt")["pixel_values"]

    return Model(card, Logits(net).to(settings().device), prepare)


def _per_channel(processor: Any, name: str, channels: int, default: float) -> Any:
    value = getattr(processor, name, None) if getattr(processor, "do_normalize", False) else None
    return [default] * channels if value is None else value


def _refuse(ref: Ref, wrong: str) -> ExplorerError:
    return ExplorerError(asked(ref), wrong, "Choose a classifier saved by save_pretrained with its image processor")


def _in_words(error: Exception) -> str:
    words = str(error).strip().split("\n")[0].rstrip(".")[:300]
    return f"transformers can't open it ({type(error).__name__}: {words})"
