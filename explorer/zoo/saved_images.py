"""An image classifier from a folder that transformers' `save_pretrained` wrote, with its own image processor."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.settings import settings
from explorer.zoo import saved
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref

if TYPE_CHECKING:
    from explorer.zoo.model import Model


def load(ref: Ref, folder: Path, made: str) -> "Model":
    """The classifier in a folder that `saved.check` passed; raises ExplorerError when it can't be opened."""
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    from explorer.zoo.model import Logits, Model

    try:
        with saved.one_at_a_time:
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        sample = processor(torch.zeros(3, 200, 300, dtype=torch.uint8), return_tensors="pt")["pixel_values"]
    except (*saved.UNREADABLE, RuntimeError, StrictDataclassError) as error:
        raise saved.refuse(ref, saved.in_words(error)) from error
    shape = tuple(sample.shape[1:])
    most = settings().limits.image_side
    if max(shape[1:]) > most:
        raise saved.refuse(ref, f"its pictures are {shape[2]}×{shape[1]}, and this server takes up to {most} a side")

    net = saved.network(ref, AutoModelForImageClassification, folder, lambda net: {"pixel_values": sample})
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
