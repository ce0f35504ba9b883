"""Which layers of a network still know where things are, and how their outputs become maps."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explorer.attribution.rollout import are_weights

PREFIXES = (1, 0, 2, 5)  # tokens before the patches: a class token, none, one more for distillation, registers
POOLING = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.LPPool2d, nn.FractionalMaxPool2d,
)  # fmt: skip


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output can be read as maps."""

    name: str  # as in named_modules()
    channels: int
    height: int
    width: int
    prefix: int | None = None  # tokens before the patches; None where the output is maps already

    @property
    def size(self) -> str:
        """The grid, in words."""
        return f"{self.height}×{self.width}"


class Maps(nn.Module):
    """A layer's output as maps: as it is, or its patch tokens put back on their grid."""

    def __init__(self, layer: MapLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, output: Tensor) -> Tensor:  # (N, K, h, w), or (N, T, K)
        if self.layer.prefix is None:
            return output.view_as(output)
        patches = output[:, self.layer.prefix :]  # (N, h·w, K)
        return patches.transpose(1, 2).unflatten(2, (self.layer.height, self.layer.width))  # (N, K, h, w)

    def back(self, maps: Tensor, output: Tensor) -> Tensor:
        """The layer's output again, made from its maps so that gradients reach them."""
        if self.layer.prefix is None:
            return maps.clone()  # what follows may work in place
        return torch.cat([output[:, : self.layer.prefix], maps.flatten(2).transpose(1, 2)], dim=1)


@contextmanager
def read_as_maps(net: nn.Module, layer: MapLayer) -> Iterator[Maps]:
    """A module that every forward pass of a borrowed net now leads through: it gives `layer` as maps (N, K, h, w)."""
    maps = Maps(layer)
    part = dict(net.named_modules())[layer.name]

    def through(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return maps.back(maps(output), output)

    handle = part.register_forward_hook(through)
    try:
        yield maps
    finally:
        handle.remove()


@dataclass(frozen=True)
class Found:
    """The layers that can be read as maps, in the order in which they finish, and the one to start from."""

    layers: tuple[MapLayer, ...] = ()
    chosen: MapLayer | None = None
    reason: str = ""  # why that one, as a clause


def find(net: nn.Module, x: Tensor) -> Found:
    """Let one example (1, C, H, W) pass through a borrowed net and see what comes out where."""
    outputs: list[tuple[str, nn.Module, Tensor]] = []
    names = {part: name for name, part in net.named_modules() if name}

    def watch(part: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.append((names[part], part, output))

    handles = [part.register_forward_hook(watch) for part in names]
    try:
        with torch.enable_grad():
            logits = net(x.detach().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    shape = tuple(x.shape[-2:])
    spatial, tokens = _spatial(outputs, shape), _tokens(outputs, shape, logits)
    if tokens and (not spatial or max(tokens) > max(spatial)):
        last = tokens[max(tokens)]
        reader = "that the class token still reads" if last.prefix else "before they are averaged"
        return Found(tuple(tokens.values()), last, f"the last patch tokens {reader}, {last.size}")
    if spatial:
        last = spatial[max(spatial)]
        return Found(tuple(spatial.values()), last, f"the last layer before pooling, {last.size}")
    return Found()


def _spatial(outputs: list[tuple[str, nn.Module, Tensor]], shape: tuple[int, int]) -> dict[int, MapLayer]:
    """Maps (1, K, h, w) of more than one cell in the picture's proportions, by their place in the order.

    What a pooling gives out is left out: it only repeats the layer before it, more coarsely; and attention weights are.
    """
    barred = {id(output) for _, part, output in outputs if isinstance(part, POOLING)}
    barred |= {id(output) for _, _, output in outputs if are_weights(output)}  # square, but not of this world
    names: dict[int, str] = {}  # by output: a container gives the very output of its last part
    places: dict[int, int] = {}
    for place, (name, _, output) in enumerate(outputs):
        if output.ndim == 4 and id(output) not in barred and _in_proportion(output.shape[2:], shape):
            names[id(output)] = min(name, names.get(id(output), name), key=len)
            places.setdefault(id(output), place)
    return {place: MapLayer(names[key], *outputs[place][2].shape[1:]) for key, place in places.items()}


def _tokens(
    outputs: list[tuple[str, nn.Module, Tensor]], shape: tuple[int, int], logits: Tensor
) -> dict[int, MapLayer]:
    """Patch tokens (1, T, K) that a normalisation or a block gives out and that the answer depends on, by place."""
    found = {
        place: (name, output, grid(output.shape[1], shape))
        for place, (name, part, output) in enumerate(outputs)
        if output.ndim == 3 and output.requires_grad and (isinstance(part, nn.LayerNorm) or any(part.children()))
        if output.shape[1] > 1
    }
    found = {place: (name, output, size) for place, (name, output, size) in found.items() if size}
    if not found:
        return {}
    gradients = torch.autograd.grad(logits.amax(), [output for _, output, _ in found.values()], allow_unused=True)
    layers, seen = {}, set()
    for (place, (name, output, size)), gradient in zip(found.items(), gradients, strict=True):
        prefix, height, width = size
        read = gradient is not None and bool(gradient[:, prefix:].any())  # else only the class token is read on
        if read and id(output) not in seen:
            seen.add(id(output))
            layers[place] = MapLayer(name, output.shape[2], height, width, prefix)
    return layers


def grid(tokens: int, shape: tuple[int, int]) -> tuple[int, int, int] | None:
    """(prefix, height, width) of a sequence of patches in the picture's proportions; None where it is none."""
    for prefix in PREFIXES:
        patches = tokens - prefix
        height = round(math.sqrt(max(patches, 0) * shape[0] / shape[1]))
        if height > 1 and patches % height == 0 and _in_proportion((height, patches // height), shape):
            return prefix, height, patches // height
    return None


def _in_proportion(size: Any, shape: tuple[int, int]) -> bool:
    """Whether a grid of more than one cell has the picture's proportions, give or take a cell."""
    height, width = size
    return min(height, width) > 1 and abs(height * shape[1] - width * shape[0]) <= max(shape)
