"""The optimisers, made from a recipe: each is PyTorch's own."""

import torch
from torch import nn

from explorer.training.config import TrainConfig


def optimiser(config: TrainConfig, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """PyTorch's optimiser of that name, with one kernel for all weights where it has one."""
    weights, rate, decay = model.parameters(), config.lr, config.weight_decay
    fused = device.type in ("cpu", "cuda")
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(weights, rate, weight_decay=decay, fused=fused)
        case "adam":
            return torch.optim.Adam(weights, rate, weight_decay=decay, fused=fused)
        case "rmsprop":
            return torch.optim.RMSprop(weights, rate, momentum=config.momentum, weight_decay=decay, foreach=True)
        case _:
            return torch.optim.SGD(
                weights, rate, momentum=config.momentum, nesterov=config.nesterov, weight_decay=decay, fused=fused
            )
