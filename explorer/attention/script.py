"""The code panel: one reading as a script of its own, in torch and transformers, that leaves the very same weights."""

import textwrap
from collections.abc import Sequence
from typing import Any

import torch

from explorer import zoo
from explorer.attention.reading import ANSWER, opened
from explorer.attribution import rollout
from explorer.attribution.explain import seen
from explorer.errors import ExplorerError
from explorer.source import UNHARMED, Parts, beside, imports, own_network, picture
from explorer.zoo.model import Model
from explorer.zoo.saved_text import AUTO
from explorer.zoo.text import Encoded, TextModel

EAGER = 'attn_implementation="eager"'  # the attention of transformers that gives its weights


def script(ref: str | Model, text_or_image: Any, text_b: str | None = None) -> str:
    """A Python script that reads the same as `attend` with these arguments, and saves the weights as `weights.npz`.

    There they are `self.weights`, or `encoder.weights`, `decoder.weights` and `cross.weights`, each (L, H, Q, K). It
    wants the files of `beside`, and for a picture `picture.png`: what the network saw. It needs torch, transformers or
    torchvision, and nothing of the explorer.
    Raises ExplorerError for a text or a picture that the network does not take, and where no script can do the same.
    """
    model = opened(ref)
    if isinstance(model, TextModel):
        return _of_text(model, text_or_image, text_b)
    return _of_picture(model, text_or_image)


def _of_text(model: TextModel, text: str, second: str | None) -> str:
    encoded = model.encode(text, second)
    kind, both = auto(model), model.kind == "encoder-decoder"
    name, revision = address(model)
    packed = bool(beside(model))
    given = {"decoder_input_ids": "torch.tensor([decoder_ids])"} if both else {}
    given |= {"output_attentions": "True"} | ({} if model.kind == "encoder" else {"use_cache": "False"})
    parts = {part: f"out.{part}_attentions" for part in ("encoder", "decoder", "cross")} if both else {}
    return _script(
        {"import numpy as np", "import torch", f"from transformers import {kind}, AutoTokenizer"},
        [
            "# 1. The network",
            *([f'ZipFile("model.zip").extractall({name})  # {model.card.ref}'] if packed else []),
            f"tokenizer = AutoTokenizer.from_pretrained({name}{revision})",
            f"net = {kind}.from_pretrained({name}{revision}, {EAGER}, dtype=torch.float32).eval()",
            "",
            "# 2. What it reads",
            *_inputs(model, encoded, text, None if both else second),
            *(_decoder_ids(model, encoded.target, second) if both else []),
            "",
            "# 3. Who looks at whom",
            "with torch.inference_mode():",
            f"    out = net(**inputs, {', '.join(f'{key}={value}' for key, value in given.items())})",
        ],
        parts or {"self": "out.attentions"},
        ["from zipfile import ZipFile"] if packed else [],
    )


def _of_picture(model: Model, image: Any) -> str:
    x = model.preprocess(image).cpu()
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (model.card.mean, model.card.std))
    again = (torch.from_numpy(seen(model, x).copy()).permute(2, 0, 1)[None].float() / 255 - mean) / std
    if not torch.allclose(again, x, atol=1e-5):
        raise ExplorerError(
            f"A script for {model.card.ref}", "its image processor does more to pixels than to scale and to shift them",
            "Open another model",
        )  # fmt: skip
    parts, source = Parts(), zoo.parse(model.card.ref).source
    if source in ("hf", "file"):
        name, revision = address(model)
        parts.imports.add("from transformers import AutoModelForImageClassification")
        net = [f"net = AutoModelForImageClassification.from_pretrained({name}{revision}, {EAGER}).eval()"]
        look = ["    layers = net(pixel_values=x, output_attentions=True).attentions"]
    elif source == "torchvision":
        parts.imports.add("import torchvision")
        parts.add(rollout.weights)
        net = [f'net = torchvision.models.get_model("{zoo.parse(model.card.ref).name}", weights="DEFAULT").eval()']
        look = ["    layers = weights(net, x)"]
    else:
        net = [
            *own_network(model, parts),
            "layers = []  # what each softmax gives, (1, H, Q, K): the attention weights",
            "for part in net.modules():",
            "    if isinstance(part, nn.Softmax):",
            "        part.register_forward_hook(lambda module, inputs, output: layers.append(output))",
        ]
        look = ["    net(x)"]
    return _script(
        {"import numpy as np", "import torch", "from PIL import Image"}
        | parts.imports
        | ({"from __future__ import annotations"} if parts.sources else set()),
        [
            *(line for source in parts.sources for line in ("", source)),
            "# 1. The network",
            *net,
            "",
            "# 2. What it sees",
            *picture(model),
            "",
            "# 3. Who looks at whom",
            "with torch.inference_mode():",
            *look,
        ],
        {"self": "layers"},
    )


def _script(needed: set[str], lines: Sequence[str], parts: dict[str, str], standard: Sequence[str] = ()) -> str:
    """Imports, of the standard library first, lines, and what saves the layers of each part."""
    unharmed = ["import sys", *standard, "", UNHARMED] if any("transformers" in line for line in needed) else []
    named = ", ".join(f'"{name}": {layers}' for name, layers in parts.items())
    return "\n".join(
        [
            '"""Who looks at whom: the attention weights of one reading, as weights.npz."""',
            "",
            *unharmed,
            *imports(needed),
            "",
            *lines,
            f"parts = {{{named}}}",
            'weights = {f"{name}.weights": torch.cat(layers).numpy() for name, layers in parts.items()}',
            'np.savez("weights.npz", **weights)  # each [layer, head, query, key]',
            "for name, array in weights.items():",
            "    print(name, array.shape)",
            "",
        ]
    )


def auto(model: TextModel) -> str:
    """The Auto class of transformers that opens the network."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES as ENCODING

    bare = model.card.task == "feature-extraction" and model.config.model_type in ENCODING
    return "AutoModelForTextEncoding" if bare else AUTO[model.card.task]


def address(model: Model) -> tuple[str, str]:
    """Where `from_pretrained` finds the network, and the keyword of its revision, as they are written."""
    parsed = zoo.parse(model.card.ref)
    if parsed.source not in ("hf", "file"):
        return '"model"', ""
    return _quoted(parsed.name), f", revision={_quoted(parsed.revision)}" if parsed.revision else ""


def _quoted(words: str) -> str:
    """A string as it is written, in double quotes where that needs no more backslashes."""
    return repr(words) if {"'", '"'} & set(words) else f'"{repr(words)[1:-1]}"'


def _inputs(model: TextModel, encoded: Encoded, text: str, second: str | None) -> list[str]:
    """The lines that make `inputs`: from the text where the tokenizer alone gives the same, else token by token."""
    types = "token_type_ids" in encoded.inputs
    texts = [text, second] if second and second.strip() else [text]
    if not encoded.cut and _whole(model, encoded, texts, types):
        asked = ", ".join(map(_quoted, texts))
        return [f'inputs = tokenizer({asked}, return_tensors="pt", return_token_type_ids={types})']
    rows = [f'"input_ids": {_row(encoded.ids)}', f'"attention_mask": torch.ones(1, {len(encoded.ids)}).long()']
    if types:
        rows.append(f'"token_type_ids": {_row(encoded.inputs["token_type_ids"][0].tolist())}')
    return ["inputs = {  # the tokens that were read", *(f"    {row}," for row in rows), "}"]


def _whole(model: TextModel, encoded: Encoded, texts: list[str], types: bool) -> bool:
    """Whether the tokenizer makes of the texts what was read: not of halves of characters, for one."""
    try:
        given = model.tokenizer(*texts, return_tensors="pt", return_token_type_ids=types)
    except (TypeError, UnicodeError):
        return False
    read = {name: row.tolist() for name, row in encoded.inputs.items()}
    return {name: row.tolist() for name, row in given.items()} == read


def _decoder_ids(model: TextModel, target: Encoded | None, text: str | None) -> list[str]:
    """The lines that make `decoder_ids`: the start, then all but the last of what the decoder says."""
    start = model.start_id
    if target:
        ended = target.ids[-1] == model.end_id or model.end_id is None
        said = f"tokenizer({_quoted(text)}).input_ids"
        if target.cut or not _whole(model, target, [text], "token_type_ids" in target.inputs):
            said = _row(target.ids, "")
        return [f"decoder_ids = [{start}, *{said}{'[:-1]' if ended else ''}]  # its start; its end is said, not read"]
    with model.borrow() as net:
        config = net.generation_config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    barred = [words[0] for words in config.bad_words_ids or () if len(words) == 1] + (config.suppress_tokens or [])
    forced = [] if config.forced_bos_token_id is None else [config.forced_bos_token_id]
    return [
        f"decoder_ids = {[start, *forced]}  # its start, then its own answer: the likeliest token each time",
        "with torch.inference_mode():",
        f"    for _ in range({min(ANSWER, model.longest - 1) - 1 - len(forced)}):",
        "        logits = net(**inputs, decoder_input_ids=torch.tensor([decoder_ids])).logits[0, -1]",
        *([f"        logits[{barred}] = -torch.inf  # never said"] if barred else []),
        "        likeliest = int(logits.argmax())",
        f"        if likeliest in {ends}:",
        "            break",
        "        decoder_ids.append(likeliest)",
    ]


def _row(ids: Sequence[int], wrap: str = "torch.tensor([{}])") -> str:
    """Token numbers as they are written, in lines of a width that can be read."""
    return (wrap or "{}").format(textwrap.fill(str(list(ids)), 110, subsequent_indent=" " * 8))
