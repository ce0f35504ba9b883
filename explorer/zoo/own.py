"""A network of ours from its card and its weights file, and a language model of ours for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.zoo.card import GENERATION_TASKS, Card
from explorer.zoo.store import Found

if TYPE_CHECKING:
    from explorer.zoo.denoiser import Denoiser
    from explorer.zoo.model import Model
    from explorer.zoo.text import TextModel


def find(card: Card, weights: Path) -> Found:
    """The model of a card whose state dict is in a safetensors file, in half or single precision."""
    return Found(card.bytes, lambda: open_weights(card, weights))


def open_weights(card: Card, weights: Path) -> "Model":
    """Build what the card says and fill in every weight.

    Raises ExplorerError, which names the file, when it is missing, damaged, or holds another network's weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from explorer import models
    from explorer.zoo.model import Model
    from explorer.zoo.text import TASKS, TextModel

    module = models.build(card.architecture, card.shape, len(card.labels), **card.settings)
    try:
        module.load_state_dict(load(weights.read_bytes()))  # strict: every name and shape must agree
    except OSError as error:
        raise _broken(weights, f"it can't be read ({error.strerror})") from error
    except SafetensorError as error:
        raise _broken(weights, f"it is damaged ({error})") from error
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        detail = str(error).split("\n\t")[1].strip().rstrip(".")[:200]
        raise _broken(weights, f"it does not fit the network on its card ({detail})") from error
    module.to(settings().device)
    if card.task in GENERATION_TASKS:
        from explorer.zoo.denoiser import Denoiser

        return Denoiser(card, {"unet": module}, module.plan)
    if card.task not in TASKS:
        return Model(card, module)
    return TextModel(card, module.net, tokenizer(weights, TASKS[card.task], card.shape[0]))


def tokenizer(weights: Path, kind: str, longest: int) -> Any:
    """The tokenizer of a run, framed as a model of this kind wants its texts: one of transformers' fast ones.

    weights: where the run's weights are; its tokenizer.json is in the same folder or the one above.
    """
    folder = weights.parent if weights.parent.name != "checkpoints" else weights.parent.parent
    try:
        return framed((folder / "tokenizer.json").read_text(encoding="utf-8"), kind, longest)
    except Exception as error:
        raise _broken(folder / "tokenizer.json", "it is missing or damaged") from error


def framed(text: str, kind: str, longest: int) -> Any:
    """The tokenizer of a JSON text, for a model of this kind."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from explorer.data.text import open_ended, source_only

    frame = {"encoder": str, "decoder": open_ended, "encoder-decoder": source_only}[kind]
    made = Tokenizer.from_str(frame(text))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=longest, pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]",
        bos_token="[START]", eos_token="[END]", cls_token="[START]", sep_token="[END]",
    )  # fmt: skip


def save_pretrained(model: "TextModel", folder: Path, half: bool = False) -> None:
    """Write a language model of ours as transformers does: config.json, model.safetensors, tokenizer files.

    half: the weights in half precision, which takes half the disk.
    """
    with model.borrow() as net:
        state = {
            name: tensor.half() if half and tensor.ndim > 1 else tensor for name, tensor in net.state_dict().items()
        }
        net.save_pretrained(folder, state_dict=state)
    model.tokenizer.save_pretrained(folder)


def save_pipeline(model: "Denoiser", folder: Path, half: bool = False) -> None:
    """Write a diffusion model of ours as diffusers does: model_index.json, unet/ and scheduler/.

    Classes are named in the index. half: the weights in half precision, which takes half the disk.
    """
    import copy

    import diffusers
    from safetensors.torch import save_file

    from explorer.models.noise import FLOW
    from explorer.runs import files

    with model.borrow() as parts:
        unet = copy.deepcopy(parts["unet"]).cpu()
    for weight in unet.parameters():
        weight.data = weight.data.half() if half and weight.ndim > 1 else weight.data
    ours = not hasattr(unet, "save_pretrained")  # points have no network in diffusers
    if ours:
        files.write_json(folder / "unet" / "config.json", vars(unet.config))
        save_file(unet.state_dict(), folder / "unet" / "diffusion_pytorch_model.safetensors")
    else:
        unet.save_pretrained(folder / "unet")
    flow = model.config.get("prediction_type") == FLOW
    plan = "FlowMatchEulerDiscreteScheduler" if flow else "DDPMScheduler"
    files.write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": plan, **model.config})
    index = {
        "_class_name": "DDPMPipeline", "_diffusers_version": diffusers.__version__, "scheduler": ["diffusers", plan],
        "unet": ["explorer" if ours else "diffusers", type(unet).__name__],
        "id2label": {str(number): name for number, name in enumerate(model.labels)},
    }  # fmt: skip
    files.write_json(folder / "model_index.json", index)


def zipped(model: "TextModel | Denoiser") -> bytes:
    """A language or diffusion model of ours as transformers or diffusers writes it, in a zip file."""
    import io
    import tempfile
    from zipfile import ZipFile

    from explorer.zoo.refs import parse
    from explorer.zoo.sources.zoo import PRETRAINED, SHIPPED

    parsed, file = parse(model.card.ref), io.BytesIO()
    with tempfile.TemporaryDirectory() as made, ZipFile(file, "w") as archive:
        folder = SHIPPED / parsed.name / PRETRAINED
        if parsed.source != "zoo" or not folder.is_dir():
            folder = Path(made)
            (save_pipeline if model.card.task in GENERATION_TASKS else save_pretrained)(model, folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder))
    return file.getvalue()


def _broken(weights: Path, wrong: str) -> ExplorerError:
    return ExplorerError(
        f"The weights {weights.parent.name}/{weights.name}", wrong, "Make them again, or open another model"
    )
