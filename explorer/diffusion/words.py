"""Which word looks where: the cross-attention of every step, as maps over the picture.

Nothing is recorded for it as samples are drawn: the network is asked again along the recorded states.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.diffusion.base import Trajectory
from explorer.diffusion.sample import opened
from explorer.errors import ExplorerError
from explorer.zoo.denoiser import Denoiser


@dataclass(frozen=True, eq=False)
class WordMaps:
    """How much each place of the picture looks at each word of its prompt."""

    words: tuple[str, ...]  # W, in order; tokens of one word are one
    maps: np.ndarray  # (E, W, h, w) share of a place's attention, mean over layers and heads, sum over a word's tokens
    rest: np.ndarray  # (E, h, w) the share on what frames the prompt: start, end and padding

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        return self.maps.nbytes + self.rest.nbytes


def word_maps(
    past: Trajectory, row: int = 0, at: Sequence[int] | None = None, ref: str | Denoiser | None = None
) -> WordMaps:
    """The cross-attention maps of one sample of a trajectory, at every evaluation or at those of `at`.

    Maps of coarser layers are enlarged to the finest one's size. With guidance, the half that knows the prompt is read.
    Raises ExplorerError where the network has no words. Source: Hertz et al. 2022, section 3 (maps); Tang et al. 2023,
    section 3 (their mean over layers and heads).
    """
    model = opened(ref or past.ref)
    if model.kind != "text":
        raise ExplorerError(f"Words of {model.card.ref}", "it reads none", "Choose a network that draws from prompts")
    prompt = past.conditions[row]
    words, places = words_of(model, prompt)
    chosen = range(len(past.answers)) if at is None else at
    found = []
    with model.borrow() as parts, torch.inference_mode():
        given = model.ask(parts, prompt, 1).given
        for step in chosen:
            state = torch.tensor(past.shown[step, row : row + 1], device=model.device)
            time = torch.tensor(past.timesteps[step], device=model.device)
            found.append(looks(model, parts, state, time, given))
    whole = torch.stack(found).float().cpu().numpy()  # (E, T, h, w)
    maps = np.stack([whole[:, tokens].sum(1) for tokens in places], 1) if places else whole[:, :0]
    return WordMaps(words, maps, whole.sum(1) - maps.sum(1))


def words_of(model: Denoiser, prompt: str) -> tuple[tuple[str, ...], list[list[int]]]:
    """The words of a prompt that the network reads, and the tokens that each is made of."""
    encoded = model.read(prompt, truncation=True, max_length=model.tokenizer.model_max_length)
    places: dict[int, list[int]] = {}
    for place, number in enumerate(encoded.word_ids()):
        if number is not None:
            places.setdefault(number, []).append(place)
    return tuple(_spelled(encoded, prompt, number) for number in places), list(places.values())


def looks(model: Denoiser, parts: nn.ModuleDict, state: Tensor, time: Tensor, given: Tensor) -> Tensor:
    """How much each place of one state (1, …) looks at each token, (tokens, h, w)."""
    with crossed(parts["unet"]) as seen:
        model.answer(parts, state, time, given)
    return _mean(seen, state.shape[-2] / state.shape[-1])


@contextmanager
def crossed(unet: nn.Module) -> Iterator[list[Tensor]]:
    """The cross-attention weights (heads, queries, tokens) of each layer as a borrowed UNet runs on one state."""
    from diffusers.models.attention_processor import Attention

    seen: list[Tensor] = []

    def look(part: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        prompt = named.get("encoder_hidden_states", inputs[1] if len(inputs) > 1 else None)
        if prompt is None:
            return
        query = part.head_to_batch_dim(part.to_q(inputs[0] if inputs else named["hidden_states"]))
        seen.append(part.get_attention_scores(query, part.head_to_batch_dim(part.to_k(prompt))))

    parts = [part for part in unet.modules() if isinstance(part, Attention) and part.is_cross_attention]
    handles = [part.register_forward_pre_hook(look, with_kwargs=True) for part in parts]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _mean(layers: list[Tensor], ratio: float) -> Tensor:
    """(tokens, h, w): the mean over layers and heads, at the size of the finest; ratio: height to width."""
    finest = max(layer.shape[1] for layer in layers)
    rows, columns = _grid(finest, ratio)
    pictures = []
    for layer in layers:
        grid = layer.mean(0).T.reshape(1, -1, *_grid(layer.shape[1], ratio))  # (1, tokens, h, w)
        pictures.append(nn.functional.interpolate(grid, (rows, columns), mode="bilinear", align_corners=False)[0])
    return torch.stack(pictures).mean(0)


def _grid(places: int, ratio: float) -> tuple[int, int]:
    rows = round((places * ratio) ** 0.5)
    return rows, places // rows


def _spelled(encoded: Any, prompt: str, number: int) -> str:
    """A word as it stands in the prompt."""
    span = encoded.word_to_chars(number)
    return prompt[span.start : span.end]
