"""The code panel: one map as a script of its own, in torch and Captum, that leaves the very same numbers.

What it holds is the source that ran here: of the method, of whatever of ours that calls, and of the architecture.
"""

import textwrap
from collections.abc import Iterator
from typing import Any

from explorer import zoo
from explorer.attribution import graph, layers
from explorer.attribution.base import METHODS, Attribution
from explorer.attribution.baselines import baseline
from explorer.attribution.explain import NUMBERS, flat, map_layer
from explorer.attribution.traits import traits
from explorer.source import Parts, imports, keywords, own_network, picture, told
from explorer.zoo.model import Model

SCORE = '''
class Score(nn.Module):
    """One number for each picture: the logit of a class, or by how much it exceeds another's."""

    def __init__(self, net, target, versus=None):
        super().__init__()
        self.net, self.target, self.versus = net, target, versus

    def forward(self, x):
        logits = self.net(x)
        return logits[:, self.target] - (0 if self.versus is None else logits[:, self.versus])
'''
IMPORTS = {
    "from __future__ import annotations", "from types import SimpleNamespace", "import numpy as np", "import torch",
    "from PIL import Image", "from torch import nn",
}  # fmt: skip


def script(found: Attribution) -> str:
    """A Python script that makes the map of `found` from `picture.png` and saves it as `scores.npy`.

    picture.png is `found.picture`; the weights of a network of ours are expected as `model.safetensors` (see
    `weights_file`). It needs torch, captum and what the model's library is, and nothing of the explorer.
    """
    model = zoo.load(found.ref)
    known = traits(model)
    layer = map_layer(model, found.layer) if found.layer else None
    lrp = found.method == "lrp"
    parts = Parts()
    parts.add(METHODS[found.method].make)
    parts.add(flat)
    if _asks(found.method, "baseline"):
        parts.add(baseline)
    if lrp or (known.tangled and _asks(found.method, "unrolled")):
        parts.add(graph._rebuild)
    if layer and layer.prefix is not None:
        parts.add(layers.Maps)
    net = _network(model, parts)
    lines = [
        told(f"{METHODS[found.method].facts['title']} of {found.ref}, class {found.target}, as scores.npy (H, W)."),
        "",
        *imports(IMPORTS | parts.imports),
        "",
        *(source + "\n" for source in parts.sources),
        SCORE.strip("\n"),
        "",
        "# 1. The network, and what it looks at",
        *net,
        "for part in net.modules():",
        "    if getattr(part, 'inplace', False):",
        "        part.inplace = False  # gradients need what came before",
        "score = Score(net, " + ", ".join(str(v) for v in (found.target, found.versus)) + ").eval()",
        *picture(model),
        "",
        "# 2. What the method is given",
        "case = SimpleNamespace(score=score, x=x, picture=picture, out_of_time=False)",
        f"case.batch = max(1, {NUMBERS} // x.numel())",
        f"case.generator = torch.Generator().manual_seed({found.seed})",
        *_given(found, model, layer, lrp, known),
        "",
        "# 3. The map",
        f"raw = {METHODS[found.method].make.__name__}(case{keywords(found.settings)})  # (1, c, h, w)",
        'np.save("scores.npy", flat(raw, x.shape[-2:]))',
        "",
    ]
    return "\n".join(lines)


def _given(found: Attribution, model: Model, layer: layers.MapLayer | None, lrp: bool, known: Any) -> Iterator[str]:
    """The lines that give a case what this method asks it for."""
    if _asks(found.method, "baseline"):
        yield "card = SimpleNamespace(mean=mean.flatten().tolist(), std=std.flatten().tolist())"
        yield "case.model = SimpleNamespace(card=card)"
        yield "case.baseline = lambda name: baseline(case, name)"
    if _asks(found.method, "grid"):
        yield f"case.grid = {known.grid}  # tokens before the patches, and the patches' height and width"
    if _asks(found.method, "unrolled"):
        if lrp or known.tangled:
            yield "calls = torch.fx.Tracer().trace(net)  # every call becomes a module of its own"
            asked = "_rebuild(calls, net, additions), score.target, score.versus"
            yield f"case.unrolled = lambda additions=False: Score({asked})"
        else:
            yield "case.unrolled = lambda additions=False: score"
    if layer is None:
        return
    yield f'layer = dict(net.named_modules())["{layer.name}"]'
    if layer.prefix is None:
        yield "case.maps = layer  # gives maps (1, K, h, w)"
    else:
        size = f"prefix={layer.prefix}, height={layer.height}, width={layer.width}"
        yield f"case.maps = Maps(SimpleNamespace({size}))  # patch tokens back on their grid"
        yield "layer.register_forward_hook(lambda module, inputs, output: case.maps.back(case.maps(output), output))"


def _network(model: Model, parts: Parts) -> list[str]:
    """The lines that make `net`."""
    parsed = zoo.parse(model.card.ref)
    if parsed.source == "torchvision":
        parts.imports.add("import torchvision")
        return [f'net = torchvision.models.get_model("{parsed.name}", weights="DEFAULT").eval().requires_grad_(False)']
    if parsed.source in ("hf", "file"):
        parts.imports.add("from transformers import AutoModelForImageClassification")
        parts.sources.append(
            textwrap.dedent('''
            class Logits(nn.Module):
                """A transformers classifier as a plain network: pixels in, logits out."""

                def __init__(self, net):
                    super().__init__()
                    self.net = net

                def forward(self, x):
                    return self.net(pixel_values=x).logits
            ''')
        )
        return [
            f'net = AutoModelForImageClassification.from_pretrained({parsed.name!r}, attn_implementation="eager")',
            "net = Logits(net).eval().requires_grad_(False)",
        ]
    return own_network(model, parts)


def _asks(method: str, name: str) -> bool:
    """Whether a method's code, or what it calls of ours, asks the case for `name`."""
    parts = Parts()
    parts.add(METHODS[method].make)
    return any(f"case.{name}" in source for source in parts.sources)
