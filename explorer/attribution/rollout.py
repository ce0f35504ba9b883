"""Attention weights, read out of whatever network has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def weights(net: nn.Module, x: Tensor) -> list[Tensor]:
    """The attention weights of every layer that has some, in order, each (N, heads, T, T); rows sum to 1.

    net: a borrowed network. Whatever a module gives out, alone or in a tuple, that has this form is one; PyTorch's own
    attention is asked to give them. A network whose attention is one fused kernel gives none.
    """
    found: list[Tensor] = []

    def watch(part: nn.Module, inputs: Any, output: Any) -> None:
        for value in output if isinstance(output, tuple) else (output,):
            if are_weights(value) and not any(value is known for known in found):
                found.append(value)

    handles = [part.register_forward_hook(watch) for part in net.modules()]
    try:
        with _asked(net), torch.inference_mode():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return found


@contextmanager
def _asked(net: nn.Module) -> Iterator[None]:
    """PyTorch's MultiheadAttention gives out its weights, head by head."""

    def ask(part: nn.Module, inputs: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, keywords | {"need_weights": True, "average_attn_weights": False}

    parts = [part for part in net.modules() if isinstance(part, nn.MultiheadAttention)]
    handles = [part.register_forward_pre_hook(ask, with_kwargs=True) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def are_weights(value: Any) -> bool:
    """Square in the last two of four dimensions, not negative, each row a distribution over more than one token."""
    if not isinstance(value, Tensor) or value.ndim != 4 or value.shape[-1] != value.shape[-2] or value.shape[-1] < 2:
        return False
    return bool((value >= 0).all()) and torch.allclose(value.sum(-1), value.new_ones(()), atol=1e-3)
