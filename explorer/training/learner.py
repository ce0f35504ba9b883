"""A network on its way, with all that moves as it learns; it can be put down and taken up again."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from explorer import data, models
from explorer.errors import ExplorerError
from explorer.training.augment import Augment
from explorer.training.batches import Batches, orders, statistics, steps_of_epoch
from explorer.training.config import TrainConfig, check_levers
from explorer.training.objectives import denoises
from explorer.training.optimisers import optimiser
from explorer.training.schedules import lr_factor

RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)  # and torchvision's, which are known by name
RANDOM_NAMES = ("StochasticDepth", "DropBlock2d", "DropBlock3d")


@dataclass(eq=False)
class Learner:
    """A network on its way: everything that `steps` moves."""

    config: TrainConfig
    device: torch.device
    model: nn.Module
    train: Batches
    validation: Batches
    optimizer: torch.optim.Optimizer
    mean: tuple[float, ...]  # per channel of pictures scaled to 0…1, or per coordinate of points
    std: tuple[float, ...]
    average: AveragedModel | None  # the running mean of its weights
    scaler: torch.amp.GradScaler  # of losses, which only float16 needs
    augment: Augment
    draws: bool  # whether a step draws from torch's process-wide generator
    chance: torch.Generator  # what is masked, or how much noise is put on
    step: int = 0  # steps taken
    seconds: float = 0.0  # that they took, validation included
    plateau: ReduceLROnPlateau | None = None
    best: tuple[float, float] = (-1.0, -float("inf"))  # validation accuracy and minus the loss, at an epoch's end
    worse: int = 0  # epochs since
    pending: list[Any] = field(default_factory=list)  # steps that are taken, and whose numbers are still on the device
    share: Callable[[TrainConfig, int, int], float] = lr_factor  # of the full rate, at a step of so many
    forward: Callable[..., Any] = field(init=False)  # the network as it is called: compiled, where it is to be

    def __post_init__(self) -> None:
        self.forward = torch.compile(self.model) if self.config.compile else self.model

    @property
    def kept(self) -> nn.Module:
        """The network that is tried and kept: the running mean, where there is one."""
        return self.average.module if self.average else self.model

    @property
    def steps_per_epoch(self) -> int:
        """Whole steps only: what is left over takes its turn in another epoch's order."""
        return steps_of_epoch(self.config, len(self.train))

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        dropped = self.plateau.optimizer.param_groups[0]["lr"] if self.plateau else 1.0
        return self.config.lr * self.share(self.config, self.step, self.total) * dropped

    def orders(self) -> Iterator[Tensor]:
        """The order in which examples are seen, one epoch after another, from the seed: (steps · batch,) each."""
        return orders(self.config, self.train.y)

    def ended_epoch(self, accuracy: float | None, loss: float) -> bool:
        """Take note of how an epoch ended; whether that was one too many without getting better."""
        if self.plateau:
            self.plateau.step(loss)
        score = (accuracy or 0.0, -loss)
        if score > self.best:
            self.best, self.worse = score, 0
        else:
            self.worse += 1
        return 0 < self.config.early_stopping <= self.worse

    def autocast(self) -> contextlib.AbstractContextManager:
        """What the forward pass runs in: half precision, where it is asked for and the device has it."""
        kind = precision(self.config, self.device)
        return torch.autocast(self.device.type, kind) if kind else contextlib.nullcontext()


def prepare(config: TrainConfig, device: str = "cpu") -> Learner:
    """Load the data, build the network from the seed, and make its optimiser.

    Raises ExplorerError where data, model and recipe don't go together.
    """
    where = torch.device(device)
    train, validation = (
        data.load(config.dataset, split, **dict(config.dataset_settings)) for split in ("train", "validation")
    )
    check(config, train)
    _check_compiler(config, where)
    mean, std = statistics(config.model, train)
    model = models.build(config.model, train.shape, len(train.labels), config.seed, **dict(config.model_settings))
    if config.batch_size == 1 and any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        raise ExplorerError(
            "Batches of one example",
            "batch normalisation takes its mean over a batch, and one example has no spread",
            "Choose larger batches, or another normalisation",
        )
    model.to(where, memory_format=torch.channels_last)  # up to 1.8 times faster for a ResNet on two cores
    augment = Augment(config, len(train.labels))
    learner = Learner(
        config, where, model, Batches(train, where, mean, std), Batches(validation, where, mean, std),
        optimiser(config, model, where), mean, std, None,
        torch.amp.GradScaler(where.type, enabled=precision(config, where) is torch.float16),
        augment, augment.acts or draws(model),
        torch.Generator().manual_seed(config.seed), plateau=_plateau(config),
    )  # fmt: skip
    if config.ema:
        learner.average = AveragedModel(model, multi_avg_fn=_running(config.ema, learner), use_buffers=True)
    return learner


def check(config: TrainConfig, train: data.Dataset) -> None:
    """Raise ExplorerError where a network, its data and the levers don't go together."""
    models.check_reads(config.model, config.dataset, train.task)
    check_levers(config, train.task, train.shape, denoises(config.model), len(train))
    if train.task in ("image", "points") and not denoises(config.model) and len(train.labels) < 2:
        raise ExplorerError(
            f"A {config.model} on {data.about(config.dataset).title}",
            f"every example is of the one class {train.labels[0]!r}, so there is nothing to tell apart",
            "Bring or draw a second class",
        )


def precision(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """The type in which products are computed where that is safe; None: float32 throughout.

    Raises ExplorerError where the device can't.
    """
    if config.amp == "off" or (config.amp == "auto" and device.type != "cuda"):
        return None
    has_bf16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if config.amp == "auto":
        return torch.bfloat16 if has_bf16 else torch.float16
    if config.amp == "bf16" and not has_bf16:
        raise ExplorerError("Mixed precision in bf16", "this GPU does not compute in it", "Use fp16, or auto")
    return {"bf16": torch.bfloat16, "fp16": torch.float16}[config.amp]


def save(learner: Learner, path: Path) -> None:
    """Write everything that is needed to go on from here, as safetensors: no code, only numbers and names."""
    from safetensors.torch import save as packed

    from explorer.runs import files

    tensors = {f"model.{name}": value for name, value in learner.model.state_dict().items()}
    if learner.average:
        tensors |= {f"average.{name}": value for name, value in learner.average.state_dict().items()}
    for index, moments in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items() if value is not None}
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    tensors["chance"] = learner.chance.get_state()
    told = {
        "step": learner.step, "seconds": learner.seconds, "best": learner.best, "worse": learner.worse,
        "plateau": _plateau_state(learner.plateau), "scaler": learner.scaler.state_dict(),
    }  # fmt: skip
    files.write(path, packed(tensors, {"told": json.dumps(told)}))


def restore(learner: Learner, path: Path) -> None:
    """Go on where `save` left off, in place; the learner must come from the same config, or one of the same steps.

    Raises ExplorerError where the file is damaged or of another network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            told = json.loads(file.metadata()["told"])
        learner.model.load_state_dict(_under(tensors, "model."))
        if learner.average:
            learner.average.load_state_dict(_under(tensors, "average."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimizer.").items():
            index, _, kind = name.partition(".")
            moments.setdefault(int(index), {})[kind] = value
        learner.optimizer.load_state_dict(learner.optimizer.state_dict() | {"state": moments})
        for weight, state in learner.optimizer.state.items():  # fused kernels walk both in the order of their memory
            like = {name: value for name, value in state.items() if value.shape == weight.shape}
            state.update({name: torch.empty_like(weight).copy_(value) for name, value in like.items()})
        learner.chance.set_state(tensors["chance"])
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ExplorerError(
            "Going on with this run", "what it had put down is damaged", "Open a checkpoint, or train it again"
        ) from error
    learner.step, learner.seconds = told["step"], told["seconds"]
    learner.best, learner.worse = tuple(told["best"]), told["worse"]
    if told["scaler"]:  # nothing where it was put down on a device that scales no losses
        learner.scaler.load_state_dict(told["scaler"])
    if learner.plateau:
        learner.plateau.optimizer.param_groups[0]["lr"] = told["plateau"].pop("lr")
        learner.plateau.load_state_dict(told["plateau"])


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def draws(model: nn.Module) -> bool:
    """Whether a network draws at random while it trains."""
    return any(isinstance(one, RANDOM) or type(one).__name__ in RANDOM_NAMES for one in model.modules())


def _plateau(config: TrainConfig) -> ReduceLROnPlateau | None:
    """What lowers the rate when the validation loss no longer falls, from 1 on: it acts beside the warm-up."""
    if config.schedule != "plateau":
        return None
    share = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    return ReduceLROnPlateau(share, factor=min(config.decay, 0.999), patience=config.patience)


def _plateau_state(plateau: ReduceLROnPlateau | None) -> dict[str, Any] | None:
    if plateau is None:
        return None
    kept = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
    state = {name: value for name, value in plateau.state_dict().items() if name in kept}
    return state | {"lr": plateau.optimizer.param_groups[0]["lr"]}


def _running(decay: float, learner: Learner) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """A running mean that forgets fast at first, when the weights still change a lot.

    How many it has seen is the learner's own count: to ask the tensor that holds it would wait for a GPU.
    """

    def update(mean: list[Tensor], now: list[Tensor], seen: Tensor) -> None:
        keep = min(decay, (1 + learner.step) / (10 + learner.step))
        if mean[0].is_floating_point():
            torch._foreach_lerp_(mean, now, 1 - keep)
        else:  # what counts batches
            torch._foreach_copy_(mean, now)

    return update


def _check_compiler(config: TrainConfig, device: torch.device) -> None:
    """Raise ExplorerError where torch.compile has nothing to compile with."""
    wanted = ("g++", "clang++", "c++", "cl") if device.type == "cpu" else ("gcc", "cc", "clang", "cl")
    if config.compile and not any(map(shutil.which, wanted)):
        raise ExplorerError(
            "torch.compile", "there is no C++ compiler on this machine", "Install one, or train without it"
        )
