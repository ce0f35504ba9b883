"""Who looks at whom: the attention weights of every head, and on request what they were computed from."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.attention.base import AttentionPatterns, Detail, Part, Patches
from explorer.attention.reading import Reading, keywords, order, read, through
from explorer.errors import ExplorerError
from explorer.heads import Call, watch
from explorer.settings import settings
from explorer.zoo.model import Model


def attend(
    ref: str | Model,
    text_or_image: Any,
    text_b: str | None = None,
    detail: bool = False,
    target: str | None = None,
) -> AttentionPatterns:
    """The attention of every head of every layer, as a network reads a text, a pair of texts, or a picture.

    ref: a language model, or a classifier of pictures with attention. text_b: a second text.
    target: what the decoder of an encoder-decoder reads; its own greedy answer otherwise (`text_b` means the same).
    It reads the token of each query when it says the next one. detail: queries, keys, values, scores and outputs too,
    where the network's heads can be watched.
    Raises ExplorerError for what this network does not read, and where its attention can't be read or shown.
    """
    with read(ref, text_or_image, text_b, target) as reading:
        return patterns(reading, detail)


def patterns(reading: Reading, detail: bool = False, hidden: dict[int, Tensor] | None = None) -> AttentionPatterns:
    """The attention of every head in one pass over a reading; `hidden` as of `heads.watch`."""
    with watch(reading.net, hidden=hidden) as calls, _projections(reading.net, calls, detail) as mixers:
        through(reading)
    numbers = order(reading, calls)
    weights = {name: [calls[number].weights for number in part] for name, part in numbers.items()}
    arrays = {name: _stacked(reading, layers) for name, layers in (weights or _unwatched(reading)).items()}
    details = {
        name: _detail([calls[number] for number in part], [mixers.get(number) for number in part])
        for name, part in (numbers.items() if detail else ())
    }
    return _labelled(reading, arrays, details)


def _unwatched(reading: Reading) -> dict[str, list[Tensor]]:
    """The weights of a network whose heads can't be watched: those that it gives out when asked."""
    if not reading.tokens:
        from explorer.attribution.rollout import weights

        return {"self": weights(reading.net, reading.inputs["x"])}
    names = {"self": "attentions"}
    if reading.decoder_ids:
        names = {name: f"{name}_attentions" for name in ("encoder", "decoder", "cross")}
    try:
        out = reading.net(**keywords(reading), output_attentions=True)
    except (TypeError, ValueError) as error:  # it does not know what was asked for
        raise _none(reading) from error
    found = {part: [layer for layer in getattr(out, name, None) or () if layer is not None]
             for part, name in names.items()}  # fmt: skip
    return {part: layers for part, layers in found.items() if layers}


def _stacked(reading: Reading, layers: list[Tensor]) -> np.ndarray:
    """(L, H, Q, K) float32 of layers (1, H, Q, K); raises ExplorerError where they don't fit together."""
    if not layers:
        raise _none(reading)
    if any(layer.ndim != 4 or len(layer) != 1 for layer in layers):
        raise _refuse(reading, "it looks at one window of the picture at a time, so that no token sees all others")
    if len({layer.shape for layer in layers}) > 1:
        raise _refuse(reading, "its layers have different numbers of heads, or of tokens")
    if sum(layer.numel() for layer in layers) * 4 > settings().limits.cache:
        raise _refuse(reading, f"{layers[0].shape[-1]} tokens make more weights than this server holds")
    stacked = np.empty((len(layers), *layers[0].shape[1:]), np.float32)
    for index, layer in enumerate(layers):
        stacked[index] = layer[0].float().cpu().numpy()
    return stacked


def _none(reading: Reading) -> ExplorerError:
    return _refuse(reading, "it has no attention weights that can be read")


def _refuse(reading: Reading, wrong: str) -> ExplorerError:
    do = "Choose a transformer that reads text" if reading.tokens else "Choose a vision transformer: zoo:shapes-vit"
    return ExplorerError(f"The attention of {reading.model.card.ref}", wrong, do)


def _labelled(reading: Reading, arrays: dict[str, np.ndarray], details: dict[str, Detail | None]) -> AttentionPatterns:
    """Arrays with the names of their tokens."""
    if not arrays:
        raise _none(reading)
    patches, tokens = None, reading.tokens
    if not tokens:
        patches, tokens = _patches(reading, arrays["self"])
    sides = {"self": (tokens, tokens), "encoder": (tokens, tokens)}
    if reading.decoder_ids:
        answer = reading.decoder_tokens
        sides |= {"decoder": (answer, answer), "cross": (answer, tokens)}
    decodes = bool(reading.tokens) and reading.model.kind != "encoder"
    return AttentionPatterns(
        ref=reading.model.card.ref,
        parts=tuple(
            Part(name, *sides[name], array, name == "decoder" or (name == "self" and decodes), details.get(name))
            for name, array in arrays.items()
        ),
        segments=reading.encoded.segments if reading.pair else (),
        words=reading.encoded.words if reading.encoded else (),
        patches=patches,
    )


def _patches(reading: Reading, weights: np.ndarray) -> tuple[Patches, tuple[str, ...]]:
    """Where the tokens of a picture lie, and what they are called."""
    from explorer.attribution.explain import seen

    found = _grid(weights.shape[-1], reading.model.card.shape[1:])
    if not found or weights.shape[-1] != weights.shape[-2]:
        raise _refuse(reading, "its tokens are no patches of the picture")
    before, rows, columns = found
    names = [f"extra {number}" if number else "class token" for number in range(before)]
    names += [f"row {row + 1}, column {column + 1}" for row in range(rows) for column in range(columns)]
    return Patches(seen(reading.model, reading.inputs["x"]), before, rows, columns), tuple(names)


def _grid(tokens: int, shape: tuple[int, int]) -> tuple[int, int, int] | None:
    """Tokens before the patches, rows and columns: where possible so that the patches are squares."""
    from explorer.attribution.layers import PREFIXES, grid

    for before in PREFIXES:
        rows = math.isqrt(max(tokens - before, 0) * shape[0] // shape[1])
        columns = rows * shape[1] // shape[0]
        if rows > 1 and rows * columns == tokens - before and rows * shape[1] == columns * shape[0]:
            return before, rows, columns
    return grid(tokens, shape)


@contextmanager
def _projections(net: nn.Module, calls: list[Call], wanted: bool) -> Iterator[dict[int, Tensor | None]]:
    """The output projection (H · d, width) of each call, by its number: the linear layer that runs next.

    None where that one does not take the heads side by side.
    """
    found: dict[int, Tensor | None] = {}

    def look(part: nn.Module, inputs: tuple[Any, ...]) -> None:
        number = len(calls) - 1
        if calls and number not in found:
            weight = part.weight.T if isinstance(part, nn.Linear) else part.weight
            output = calls[number].output  # (N, H, Q, d)
            found[number] = weight if len(weight) == output.shape[1] * output.shape[3] else None

    parts = net.modules() if wanted else ()
    linear = [part for part in parts if isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"]
    handles = [part.register_forward_pre_hook(look) for part in linear]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _detail(calls: list[Call], mixers: list[Tensor | None]) -> Detail | None:
    """What the weights of a part were computed from; None where a layer does not mix its heads by a linear layer."""
    if any(mixer is None for mixer in mixers):
        return None
    barred = [_barred(call) for call in calls]
    biases = [_bias(call, where) for call, where in zip(calls, barred, strict=True)]
    scores = [call.scores if where is None else call.scores.masked_fill(where, -torch.inf)
              for call, where in zip(calls, barred, strict=True)]  # fmt: skip
    some = any(bias is not None for bias in biases)
    return Detail(
        query=_array([call.query for call in calls]),
        key=_array([call.key for call in calls]),
        value=_array([call.value for call in calls]),
        scores=_array(scores),
        bias=_array([torch.zeros_like(call.scores) if bias is None else bias.expand_as(call.scores)
                     for call, bias in zip(calls, biases, strict=True)]) if some else None,
        output=_array([call.output for call in calls]),
        norms=_array([_norms(call.value, mixer) for call, mixer in zip(calls, mixers, strict=True)]),
        scaling=tuple(float(call.scaling) for call in calls),
    )  # fmt: skip


def _array(layers: list[Tensor]) -> np.ndarray:
    """(L, …) float32 of layers (1, …)."""
    return np.stack([layer[0].float().cpu().numpy() for layer in layers])


def _barred(call: Call) -> Tensor | None:
    """Where a query may not look, broadcast to (N, H, Q, K)."""
    return None if call.mask is None else call.mask < torch.finfo(call.mask.dtype).min / 2


def _bias(call: Call, barred: Tensor | None) -> Tensor | None:
    """What is added to the scores beside the mask: some models put their biases into it (Press et al. 2022)."""
    extra = None if call.mask is None else call.mask.masked_fill(barred, 0)
    if extra is None or not extra.any():
        return call.bias
    return extra if call.bias is None else call.bias + extra


def _norms(value: Tensor, mixer: Tensor) -> Tensor:
    """‖value · W‖ with the head's share W of the output projection, (N, H, K).

    The bias of the values is in it; that of the projection, which all heads share, is not.
    Source: Kobayashi et al. 2020, "Attention is not only a weight", equations 3 to 5.
    """
    heads, size = value.shape[1], value.shape[3]
    return (value.float() @ mixer.float().view(heads, size, -1)).norm(dim=-1)
