"""The architectures by name, and how one is built and initialised from a seed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.params import check, params
from explorer.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn

MODELS = Registry("architecture")


def build(name: str, shape: tuple[int, ...], classes: int, seed: int = 0, **settings: Any) -> "nn.Module":
    """A new network with weights drawn from `seed`.

    shape: of one example as torch sees it: (C, H, W) for pictures, (2,) for points.
    The module maps (N, *shape) to logits (N, classes), but for denoisers. It is on the CPU, in training mode.
    Raises ExplorerError where a setting is out of range or the architecture can't take that shape.
    """
    import torch

    model = outline(name, shape, classes, **settings)
    model.to_empty(device="cpu")
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def count(name: str, shape: tuple[int, ...], classes: int, **settings: Any) -> int:
    """How many parameters `build` would give, without taking memory for them."""
    return sum(parameter.numel() for parameter in outline(name, shape, classes, **settings).parameters())


def outline(name: str, shape: tuple[int, ...], classes: int, **settings: Any) -> "nn.Module":
    """The network without memory for its weights, so that none of the process-wide randomness is used."""
    import torch

    entry, asked = MODELS[name], f"The model {name!r}"
    settings = check(entry.make, settings, asked)
    reason = unfit(name, shape, **settings)
    if reason:
        raise ExplorerError(asked, reason, _other(name, shape, settings))
    with torch.device("meta"):
        return entry.make(shape, classes, **settings)


def _other(name: str, shape: tuple[int, ...], settings: Mapping[str, Any]) -> str:
    """What to choose where an architecture can't take a shape: settings of which one is enough, or an architecture."""
    found = []
    for key, param in params(MODELS[name].make).items():
        options, now = list(getattr(param.control, "options", ())), settings[key]
        near = sorted(options, key=lambda one: abs(options.index(one) - options.index(now))) if now in options else ()
        values = (param.default, *near)
        found += [f"{key} {one}" for one in values if not unfit(name, shape, **{**settings, key: one})][:1]
    if found:
        return f"Choose {', or '.join(found)}"
    return f"Choose one of: {', '.join(fitting(shape))}" if unfit(name, shape) else "Choose other settings"


def unfit(name: str, shape: tuple[int, ...], **settings: Any) -> str | None:
    """Why an architecture can't take examples of this shape, as a clause; None when it can."""
    reason = MODELS[name].facts.get("unfit")
    return reason(shape, **settings) if reason else None


def fitting(shape: tuple[int, ...], task: str = "") -> list[str]:
    """The architectures that take examples of this shape with their default settings.

    task: of the data set: image | points | text | text-pairs; what is left out is told by the shape.
    """
    task = task or ("image" if len(shape) == 3 else "points")
    return [name for name in MODELS if task in reads(name) and unfit(name, shape) is None]


def reads(name: str) -> tuple[str, ...]:
    """The tasks of the data sets that an architecture can learn."""
    return MODELS[name].facts.get("reads", ("image", "points"))


def check_reads(name: str, dataset: str, task: str) -> None:
    """Raise ExplorerError where an architecture can't learn a data set of this task at all."""
    if task not in reads(name):
        others = ", ".join(other for other in MODELS if task in reads(other))
        raise ExplorerError(
            f"The model {name!r}", f"it can't learn {dataset}, which is of another kind", f"Choose one of: {others}"
        )


def initialise(model: "nn.Module", generator: "torch.Generator") -> None:
    """Draw every weight anew from the generator, in place, in the order of `model.modules()`.

    Linear and convolution: uniform within ±1/√(fan in), PyTorch's own default; weights of a module with a `gain`,
    within so many times that. Normalisation: scale 1, shift 0.
    Embeddings and other matrices of language models: normal with deviation 0.02, their biases 0 (Radford et al. 2019).
    A module of ours that owns bare parameters says how in its `draw_weights(generator)`.
    """
    import torch
    from torch import nn

    normalisations = nn.BatchNorm1d | nn.BatchNorm2d | nn.InstanceNorm2d | nn.LayerNorm | nn.GroupNorm
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "draw_weights"):
                module.draw_weights(generator)
            elif isinstance(module, nn.Linear | nn.Conv2d):
                bound = module.weight[0].numel() ** -0.5
                for parameter in module.parameters(recurse=False):
                    parameter.uniform_(-bound, bound, generator=generator)
                module.weight.mul_(getattr(module, "gain", 1.0))
            elif isinstance(module, normalisations):
                module.reset_parameters()  # draws nothing
            elif isinstance(module, nn.Embedding) or type(module).__module__.startswith("transformers."):
                for name, parameter in module.named_parameters(recurse=False):
                    if parameter.ndim > 1:
                        parameter.normal_(std=0.02, generator=generator)
                    else:
                        parameter.fill_(0 if "bias" in name else 1)  # what is no bias is the scale of a normalisation
            elif next(module.parameters(recurse=False), None) is not None:
                raise TypeError(f"no rule for the weights of {type(module).__name__}: give it draw_weights(generator)")


def needs_image(shape: tuple[int, ...], **settings: Any) -> str | None:
    """Why a convolutional network can't take this shape."""
    return None if len(shape) == 3 else "it takes pictures, and these examples are not"
