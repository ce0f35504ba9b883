"""Networks from a folder that transformers' `save_pretrained` wrote: safetensors and JSON only, never code.

What is common to all of them; `saved_images` and `saved_text` open the two kinds, `saved_diffusion` pipelines.
"""

import fnmatch
import json
import math
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.memory import out_of_memory
from explorer.zoo.card import GENERATION_TASKS, TEXT_TASKS, Card
from explorer.zoo.refs import Ref, asked

if TYPE_CHECKING:
    from explorer.zoo.model import Model

WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
TOKENIZERS = ({"tokenizer.json"}, {"vocab.txt"}, {"vocab.json", "merges.txt"})  # each is enough for a fast one
SENTENCEPIECE = ("spiece.model", "source.spm", "target.spm", "tokenizer.model", "sentencepiece.bpe.model")
FILES = (
    "config.json", "generation_config.json", "preprocessor_config.json", "model.safetensors.index.json", *WEIGHTS,
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "vocab.txt", *SENTENCEPIECE,
)  # fmt: skip
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, ArithmeticError)  # odd files
HEADS = {  # how the name of an architecture ends → its task
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "Seq2SeqLM": "text2text-generation",
    "MTModel": "text2text-generation",
    "ForSequenceClassification": "text-classification",
}
UNATTENDING = ("falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm")  # language models of another kind
HEADLESS = ("Model", "ForPreTraining", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")

# While it loads, transformers replaces functions of torch.nn.init for the whole process and puts them back after:
# two loads at once could put back each other's replacements.
one_at_a_time = threading.Lock()


def weights(ref: Ref, folder: Path) -> list[Path]:
    """The files that hold the weights, in a folder that `check` passed."""
    from explorer.zoo import saved_diffusion

    if (folder / saved_diffusion.INDEX).is_file():
        return saved_diffusion.weights(ref, folder)
    return [path for pattern in WEIGHTS for path in sorted(folder.glob(pattern))]


def parameters(ref: Ref, folder: Path) -> int:
    """How many numbers the weights are, read from the files' headers; masks and counters are no weights."""
    from safetensors import SafetensorError, safe_open

    count = 0
    for path in weights(ref, folder):
        try:
            with safe_open(path, "np") as file:
                slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
                count += sum(math.prod(one.get_shape()) for one in slices if is_weight(one.get_dtype()))
        except (SafetensorError, OSError) as error:
            raise refuse(ref, f"its file {path.name} is damaged ({error})") from error
    return count


def is_weight(dtype: str) -> bool:
    """Whether numbers of this kind are weights, as safetensors names the kinds: F32, BF16, …, but BOOL, U8, I64."""
    return dtype.startswith(("F", "BF"))


def check(ref: Ref, folder: Path) -> str:
    """The task of the network in a folder; refuses a folder that can't be opened, before any weight is read."""
    from explorer.zoo import saved_diffusion

    if (folder / saved_diffusion.INDEX).is_file():
        return saved_diffusion.check(ref, folder)
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise refuse(ref, "its config.json is missing or damaged") from error
    return check_files(ref, config, [path.name for path in folder.iterdir()])


def check_files(ref: Ref, config: Any, names: Collection[str]) -> str:
    """The task that a config.json speaks of, once the files that it needs are known to be there.

    Raises ExplorerError for a network that is no image classifier and no language model, and for a missing file.
    """
    task = _task(ref, config)
    if task == "image-classification":
        if "preprocessor_config.json" not in names:
            raise refuse(ref, "its preprocessor_config.json is missing, so how it wants its pictures is not known")
    elif not any(files <= set(names) for files in TOKENIZERS):
        if any(name in SENTENCEPIECE for name in names):
            raise refuse(ref, "its tokenizer is a sentencepiece file only, and the fast tokenizer.json is missing")
        raise refuse(ref, "its tokenizer is missing: there is no tokenizer.json")
    if not any(fnmatch.fnmatch(name, pattern) for name in names for pattern in WEIGHTS):
        raise refuse(ref, "it has no weights as safetensors")
    return task


def _task(ref: Ref, config: Any) -> str:
    """The task of a config.json: what its architecture's name ends on, as far as transformers knows its type."""
    from transformers.models.auto import modeling_auto as known

    try:
        kind, names, labels = config["model_type"], config.get("architectures") or [], config.get("id2label") or {}
        if not (isinstance(kind, str) and isinstance(labels, dict) and all(isinstance(name, str) for name in names)):
            raise TypeError("an entry is of another type")
    except (TypeError, KeyError, AttributeError) as error:
        raise refuse(ref, "its config.json is missing or damaged") from error
    if kind in UNATTENDING:
        raise refuse(ref, f"it has no attention ({kind} works without)")
    masked, causal = known.MODEL_FOR_MASKED_LM_MAPPING_NAMES, known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    both = known.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    classifiers = known.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    types = {
        "fill-mask": masked, "text-generation": causal, "text2text-generation": both,
        "text-classification": classifiers,
    }  # fmt: skip
    writes = kind in both or (kind in causal and kind not in masked)
    head = next((task for name in names for ending, task in HEADS.items() if name.endswith(ending)), None)
    if head == "text-classification" and kind in classifiers and writes:
        raise refuse(ref, f"it is a classifier built on a decoder ({names[0][:60]}); those built on an encoder open")
    if head == "text-generation" and kind in masked and not config.get("is_decoder"):
        head = "fill-mask"  # XLM, for one: its head of that name sees both sides
    if head and kind in types[head]:
        return head
    if kind in known.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        return "image-classification"
    if not names or all(name.endswith(HEADLESS) for name in names):
        if kind in both and not any(name.endswith("EncoderModel") for name in names):
            return "text2text-generation"
        if writes and kind not in both:
            return "text-generation"
        if kind in masked or kind in known.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES:
            return "feature-extraction"
    raise refuse(
        ref, f"it is no image classifier and no language model that transformers knows (its type is {kind[:60]!r})"
    )


def load(ref: Ref, folder: Path, made: str, card: Card | None = None) -> "Model":
    """The network in a folder with its image processor or its tokenizer, whatever its config.json says that it is.

    made: where it is from, for its card. card: what is known of a shipped model; None: only what its files say.
    Raises ExplorerError when the folder is no good.
    """
    from explorer.zoo import saved_diffusion, saved_images, saved_text

    task = check(ref, folder)
    if task in GENERATION_TASKS:
        return saved_diffusion.load(ref, folder, task, made, card)
    if task in TEXT_TASKS:
        return saved_text.load(ref, folder, task, made, card)
    return saved_images.load(ref, folder, made)


def network(ref: Ref, kind: Any, folder: Path, example: Callable[[Any], dict[str, Any]], headless: bool = False) -> Any:
    """The network alone, in a form whose attention can be looked at where it has one.

    kind: an Auto class of transformers. example: inputs that a network takes, by keyword. headless: only its layers
    are wanted, so that the pooler beside them may be missing.
    transformers calls our own attention where the architecture lets it, and its eager one elsewhere: its fast kernels
    give no weights.
    """
    from explorer import heads

    try:
        net = _from_pretrained(ref, kind, folder, heads.implementation(), headless)
        if _watched(net, example(net)):
            return net
        del net
    except (ExplorerError, *UNREADABLE):  # an architecture that knows no other attention fails with a KeyError here
        pass
    except RuntimeError as error:
        if out_of_memory(error):
            raise
    return _from_pretrained(ref, kind, folder, "eager", headless)


def _watched(net: Any, inputs: dict[str, Any]) -> bool:
    """Whether our attention is called, and answers as transformers' eager one does: some have parts of their own."""
    import torch

    from explorer.borrow import private
    from explorer.heads import watch

    tree = private(net)
    with torch.inference_mode():
        with watch(tree) as calls:
            ours = tree(**inputs)[0]
        if not calls:
            return False
        tree.set_attn_implementation("eager")  # of the private tree, which goes when this returns
        return torch.allclose(ours, tree(**inputs)[0], rtol=1e-3, atol=1e-3)


def _from_pretrained(ref: Ref, kind: Any, folder: Path, attention: str, headless: bool) -> Any:
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        with one_at_a_time:
            net, report = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=attention,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (*UNREADABLE, SafetensorError, StrictDataclassError) as error:
        raise refuse(ref, in_words(error)) from error
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        mismatch = "mismatch" in str(error)
        wrong = "its weights have other shapes than its config.json says" if mismatch else in_words(error)
        raise refuse(ref, wrong) from error
    missing = report["missing_keys"]
    if headless and missing and all(name.startswith("pooler.") for name in missing):
        net.pooler = missing = None  # it would be filled with random numbers
    if missing:
        raise refuse(ref, f"{len(missing)} of its weights are missing, {min(missing)} among them")
    return net.eval()


def refuse(ref: Ref, wrong: str) -> ExplorerError:
    """What is wrong with a folder, and what another one must hold."""
    do = "Choose a classifier of pictures with its image processor, a language model with its tokenizer.json"
    return ExplorerError(asked(ref), wrong, f"{do}, or a diffusion pipeline with a UNet, saved by save_pretrained")


def in_words(error: Exception) -> str:
    """What transformers said, in a clause."""
    words = str(error).strip().split("\n")[0].rstrip(".")[:300]
    return f"transformers can't open it ({type(error).__name__}: {words})"
