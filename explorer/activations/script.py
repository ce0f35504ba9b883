"""The code panel: one pass as a script of its own, in plain torch, that leaves the very same values of every layer."""

import io
from collections.abc import Sequence

import numpy as np
import torch

from explorer import zoo
from explorer.activations.feed import Feed
from explorer.attention.script import EAGER, address, auto
from explorer.source import UNHARMED, Parts, beside, imports, own_network, told
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

WATCH = '''
def first(value):
    """The first tensor in any nesting."""
    if isinstance(value, torch.Tensor):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return next((found for found in map(first, parts) if found is not None), None)


def watch(name):
    """Keeps what a layer gives out, and "name#2" from its second call on."""

    def keep(module, inputs, output):
        tensor = first(output)
        if tensor is not None:
            calls[name] = calls.get(name, 0) + 1
            outputs[name if calls[name] == 1 else f"{name}#{calls[name]}"] = tensor.clone()  # what follows may write

    return keep
'''


def script(given: Feed, layers: Sequence[str] = ()) -> str:
    """A Python script that passes `inputs.npz` through the network and saves every layer's output, activations.npz.

    layers: names as in named_modules(); none means all. It wants `inputs.npz` (see `inputs`) and the files of
    `source.beside` next to it. It needs torch and what the network's library is, and nothing of the explorer.
    """
    model, parts = given.model, Parts()
    needed, standard = {"import numpy as np", "import torch"}, []
    net, run = _network(model, given, parts, needed)
    if "model.zip" in beside(model):
        standard = ["from zipfile import ZipFile"]
    library = any("transformers" in line or "diffusers" in line for line in needed)
    unharmed = ["import sys", *standard, "", UNHARMED] if library else [*standard, ""] if standard else []
    names = f"{list(layers)!r}" if layers else "[name for name, _ in net.named_modules() if name]"
    needed |= parts.imports | ({"from __future__ import annotations"} if parts.sources else set())
    future = sorted(line for line in needed if "__future__" in line)
    return "\n".join(
        [
            told(f"What the layers of {model.card.ref} give out for inputs.npz, as activations.npz."),
            "",
            *future,
            *unharmed,
            *imports(needed - set(future)),
            *(line for source in parts.sources for line in ("", source)),
            WATCH,
            "",
            "# 1. The network, and what it is given",
            *net,
            'given = {name: torch.from_numpy(array) for name, array in np.load("inputs.npz").items()}',
            "",
            "# 2. One pass",
            "calls, outputs, parts = {}, {}, dict(net.named_modules())",
            f"for name in {names}:",
            "    parts[name].register_forward_hook(watch(name))",
            "with torch.no_grad():",
            *(f"    {line}" for line in run),
            'np.savez("activations.npz", **{name: tensor.numpy() for name, tensor in outputs.items()})',
            "for name, tensor in outputs.items():",
            "    print(name, tuple(tensor.shape))",
            "",
        ]
    )


def inputs(given: Feed) -> bytes:
    """What the script passes through the network, as an NPZ file."""
    model, arrays = given.model, {name: value.cpu().numpy() for name, value in given.inputs.items()}
    if isinstance(model, Denoiser):
        arrays["time"] = given.time.cpu().numpy()
        if model.kind == "text":
            prompts = [one or "" for one in (*given.conditions, None)]
            unique = list(dict.fromkeys(prompts))
            how = {"padding": "max_length", "truncation": True, "max_length": model.tokenizer.model_max_length}
            arrays["prompt_ids"] = model.read(unique, return_tensors="np", **how).input_ids
            arrays["prompt_rows"] = np.array([unique.index(prompt) for prompt in prompts[:-1]])
        elif model.kind == "class":
            with model.borrow() as parts, torch.inference_mode():
                arrays["class_labels"] = model.ask(parts, list(given.conditions), len(given)).given.cpu().numpy()
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _network(model: Model, given: Feed, parts: Parts, needed: set[str]) -> tuple[list[str], list[str]]:
    """The lines that make `net`, and those that run it on `given`."""
    source = zoo.parse(model.card.ref).source
    if isinstance(model, Denoiser):
        return _denoiser(model, parts, needed)
    if isinstance(model, TextModel):
        name, revision = address(model)
        needed.add(f"from transformers import {auto(model)}")
        net = [f'ZipFile("model.zip").extractall({name})'] if beside(model) else []
        net += [f"net = {auto(model)}.from_pretrained({name}{revision}, {EAGER}, dtype=torch.float32).eval()"]
        return net, [f"net(**given{'' if model.kind == 'encoder' else ', use_cache=False'})"]
    if source in ("hf", "file"):
        name, revision = address(model)
        needed.add("from transformers import AutoModelForImageClassification")
        made = f"AutoModelForImageClassification.from_pretrained({name}{revision}, {EAGER}).eval()"
        return [f'net = torch.nn.ModuleDict({{"net": {made}}})'], ['net["net"](pixel_values=given["x"])']
    if source == "torchvision":
        needed.add("import torchvision")
        made = f'torchvision.models.get_model("{zoo.parse(model.card.ref).name}", weights="DEFAULT").eval()'
        return [f"net = {made}"], ['net(given["x"])']
    return own_network(model, parts), ['net(given["x"])']


def _denoiser(model: Denoiser, parts: Parts, needed: set[str]) -> tuple[list[str], list[str]]:
    """A denoiser's part that finds the noise, and its text encoder, under the names that they have here."""
    name, revision = address(model)
    lines = ([f'ZipFile("model.zip").extractall({name})'] if beside(model) else []) + [f"folder = {name}"]
    more = f'subfolder="unet"{revision}'
    if len(model.card.shape) == 1:
        with model.borrow() as net:
            parts.add(type(net["unet"]))
        needed |= {"import json", "from safetensors.torch import load_file"}
        lines += [
            'unet = PointsDenoiser(**json.load(open(f"{folder}/unet/config.json")))',
            'unet.load_state_dict(load_file(f"{folder}/unet/diffusion_pytorch_model.safetensors"))',
            'net = torch.nn.ModuleDict({"unet": unet.eval()})',
        ]
        known = ', given["class_labels"]' if model.kind == "class" else ""
        return lines, [f'net["unet"](given["x"], given["time"]{known})']
    kind = "UNet2DConditionModel" if model.kind == "text" else "UNet2DModel"
    needed.add(f"from diffusers import {kind}")
    lines += [f'net = torch.nn.ModuleDict({{"unet": {kind}.from_pretrained(folder, {more}).eval()}})']
    if model.kind == "text":
        needed.add("from transformers import CLIPTextModel")
        lines += [
            f'encoder = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder"{revision})',
            'net["text_encoder"] = encoder.float().eval()',
        ]
        return lines, [
            'states = net["text_encoder"](given["prompt_ids"])[0][given["prompt_rows"]]',
            'net["unet"](given["x"], given["time"], encoder_hidden_states=states)',
        ]
    known = ', class_labels=given["class_labels"]' if model.kind == "class" else ""
    return lines, [f'net["unet"](given["x"], given["time"]{known})']
