"""What a network of any kind is given: N examples of its own, ready to pass through it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer import data, zoo
from explorer.attention.reading import read
from explorer.data.text import PAD, START
from explorer.errors import ExplorerError
from explorer.models.noise import alphas_bar, question, told
from explorer.settings import settings
from explorer.turns import TURNS
from explorer.zoo.card import GENERATION_TASKS, TEXT_TASKS
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

ROOM = 4  # of the memory for data sets, one part in this many may be held by one capture
TIME = 0.5  # of its noising: where a denoiser is looked at unless one says when


@dataclass(frozen=True, eq=False)
class Feed:
    """N examples as one network takes them; `run` passes them through a borrowed tree of it."""

    model: Model | None  # none where it is kept: what is kept holds no model
    inputs: dict[str, Tensor]  # each (N, …)
    conditions: tuple[str | None, ...] = ()  # (N,) of a denoiser, what each is to become
    time: Tensor | None = None  # of a denoiser, () its place in the noising
    keep: Tensor | None = (
        None  # (N, T) bool, of texts: the tokens whose states count; those of the decoder if it has one
    )
    y: np.ndarray | None = None  # (N,) the true classes, or (N, T) the true tokens, -100 where none is asked
    pixels: np.ndarray | None = None  # (N, H, W, C) uint8 of pictures, (N, 2) of points, as they were before
    tokens: tuple[str, ...] = ()  # of one text, as a person reads them; the decoder's if it has one

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def run(self, net: nn.Module) -> Tensor:
        """What a borrowed tree answers, (N, …): logits, or what a denoiser says of the noise."""
        TURNS.look()
        if isinstance(self.model, Denoiser):
            asked = self.model.ask(net, list(self.conditions), len(self))
            return self.model.answer(net, self.inputs["x"], self.time, asked.given)
        if isinstance(self.model, TextModel):
            caching = {} if self.model.kind == "encoder" else {"use_cache": False}
            out = net(**self.inputs, **caching)
            return out.logits if hasattr(out, "logits") else out.last_hidden_state
        return net(self.inputs["x"])

    def without_model(self) -> "Feed":
        """The numbers alone."""
        return replace(self, model=None)

    def of(self, model: Model) -> "Feed":
        """With the model that takes them."""
        return replace(self, model=model)

    def rows(self, start: int, stop: int) -> "Feed":
        """Some of the examples, those from `start` up to `stop`."""
        return replace(
            self,
            inputs={name: value[start:stop] for name, value in self.inputs.items()},
            conditions=self.conditions[start:stop],
            keep=None if self.keep is None else self.keep[start:stop],
            y=None if self.y is None else self.y[start:stop],
            pixels=None if self.pixels is None else self.pixels[start:stop],
        )

    def batches(self, size: int) -> Iterator["Feed"]:
        """The examples, so many at a time."""
        for start in range(0, len(self), size):
            yield self.rows(start, start + size)


def opened(ref: str | Model) -> Model:
    """The model of a ref, or the opened model itself."""
    return zoo.load(ref) if isinstance(ref, str) else ref


def feed(
    model: Model,
    x: Any = None,
    condition: str | None = None,
    time: float = TIME,
    seed: int = 0,
    text_b: str | None = None,
) -> Feed:
    """Inputs as this network takes them.

    x: pictures or points as `Model.preprocess` takes them; a text or a list of texts; of a denoiser clean pictures or
    points, which are noised up to `time` (0 nothing, 1 all noise) with noise drawn from `seed`. None: the first test
    example of its own data, or soft noise where these are not here. A `Feed` is given back as it is.
    condition: of a denoiser, what they are to become; None asks for nothing, or for the first class where it must.
    text_b: of one text to an encoder a second one; to an encoder-decoder what its decoder is to say.
    Raises ExplorerError for what this network does not take.
    """
    if isinstance(x, Feed):
        return x
    if x is None:
        return sample(model, 1)
    if isinstance(model, Denoiser):
        return _noised(model, x, (condition,), time, seed)
    if isinstance(model, TextModel):
        return _text(model, x, text_b) if isinstance(x, str) else _texts(model, x)
    if isinstance(x, str):
        read(model, x).__enter__()  # refuses with the reason
    prepared = model.preprocess(x)
    return Feed(model, {"x": prepared}, pixels=_pixels(x, prepared))


def sample(model: Model, count: int, split: str = "test", seed: int = 0, time: float = TIME, first: int = 0) -> Feed:
    """The first `count` examples of the network's own data, with the truth; soft noise where there are none.

    first: of them, the first that is wanted; those before it are left out, and change nothing.
    """
    found = dataset(model, split)
    if found is None:
        return _soft(model, count, seed).rows(first, count)
    count = min(count, len(found))
    if isinstance(model, Denoiser):
        some = slice(first, count)
        given = found.captions[some] if model.kind == "text" else [found.labels[y] for y in found.y[some]]
        conditions = tuple(given) if model.kind != "free" else (None,) * (count - first)
        noised = _noised(model, found.x[some], conditions, time, seed, first)
        return replace(noised, y=_classes(found, count, first))
    if isinstance(model, TextModel):
        return _rows(model, found, count).rows(first, count)
    x = found.x[first:count]
    return replace(feed(model, x), y=_classes(found, count, first), pixels=x)


def dataset(model: Model, split: str = "test") -> data.Dataset | None:
    """The data that a network learned, where they are known and can be had."""
    if not model.card.dataset:
        return None
    try:
        return data.load(model.card.dataset, split, **model.card.dataset_settings)
    except ExplorerError:
        return None


def _classes(found: data.Dataset, count: int, first: int = 0) -> np.ndarray | None:
    return found.y[first:count] if found.y.ndim == 1 else None


def _pixels(x: Any, prepared: Tensor) -> np.ndarray | None:
    """The pictures as they were, where all have one size."""
    array = np.asarray(x) if not isinstance(x, list | tuple) else None
    if array is None or array.dtype == object:
        return None
    if prepared.ndim == 4:
        array = array[None] if array.ndim < 4 else array
        return array if array.ndim == 4 else array[..., None]
    return np.atleast_2d(array)


def _soft(model: Model, count: int, seed: int) -> Feed:
    """Something that every network answers somehow, where nothing better is known."""
    if model.card.task in TEXT_TASKS:
        return _text(model, "The keys that lay beside the cabinet were lost.")
    dice = np.random.default_rng(seed)
    shape = model.card.shape
    if len(shape) == 1:
        x = dice.uniform(-1, 1, (count, *shape)).astype(np.float32)
    else:
        x = dice.normal(128, 40, (count, *shape[1:], shape[0])).clip(0, 255).astype(np.uint8)
        x = x if shape[0] in (1, 3) else x[..., :1]
    return feed(model, x)


def _noised(model: Denoiser, x: Any, conditions: Sequence[str | None], time: float, seed: int, before: int = 0) -> Feed:
    """Clean pictures or points on their way into noise, at one time for all; each has its own noise.

    before: how many examples, left out here, come before them.
    """
    if not 0 <= time <= 1:
        raise ExplorerError(f"The time {time:g}", "it is not between 0 and 1", "Use 0.5, say")
    with model.borrow() as parts, torch.inference_mode():
        clean = model.encode(parts, x)
    several = (before + len(clean), *clean.shape[1:])
    noise = torch.randn(several, generator=torch.Generator().manual_seed(seed))[before:].to(clean)
    shares = torch.from_numpy(alphas_bar(model.config)).to(clean)
    at = torch.tensor(round(time * (len(shares) - 1)), device=clean.device)
    state, _ = question(model.config, clean, noise, shares[at].expand(len(clean)))
    wanted = tuple(conditions) if len(conditions) == len(clean) else tuple(conditions) * len(clean)
    if model.kind == "class" and not model.avoids:
        wanted = tuple(one or model.labels[0] for one in wanted)
    pixels = np.atleast_2d(np.asarray(x)) if len(model.card.shape) == 1 else _pixels(x, clean[:1].new_zeros(1, 1, 1, 1))
    return Feed(model, {"x": state}, wanted, told(model.config, at), pixels=pixels)


def _text(model: TextModel, text: str, second: str | None = None) -> Feed:
    """One text, or a pair, with its tokens; of an encoder-decoder those of its decoder."""
    with read(model, text, second) as reading:
        inputs, device = dict(reading.inputs), model.device
        if reading.decoder_ids:
            inputs["decoder_input_ids"] = torch.tensor([reading.decoder_ids], device=device)
        tokens = reading.decoder_tokens or reading.tokens
        return Feed(model, inputs, keep=torch.ones(1, len(tokens), dtype=torch.bool, device=device), tokens=tokens)


def _texts(model: TextModel, texts: Any) -> Feed:
    """Several texts, padded to the longest."""
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(one, str) for one in texts):
        raise ExplorerError(f"A {type(texts).__name__} for {model.card.ref}", "this model reads texts", "Give a text")
    rows: list[list[int]] = []
    answers: list[list[int]] = []
    for text in texts:
        with read(model, text) as reading:
            rows.append(reading.encoded.ids)
            answers.append(list(reading.decoder_ids))
    return _padded(model, rows, answers if answers[0] else None)


def _padded(model: TextModel, rows: list[list[int]], answers: list[list[int]] | None) -> Feed:
    ids, keep = _square(rows, model.pad_id, model.device)
    inputs = {"input_ids": ids, "attention_mask": keep.long()}
    if answers is not None:
        inputs["decoder_input_ids"], keep = _square(answers, model.pad_id, model.device)
    return Feed(model, inputs, keep=keep)


def _square(rows: list[list[int]], fill: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of unequal length as a rectangle (N, T), and which of it are theirs."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [fill] * (longest - len(row)) for row in rows], device=device)
    keep = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows], device=device)
    return ids, keep


def _rows(model: TextModel, found: data.Dataset, count: int) -> Feed:
    """Texts of a data set of ours, as the tokens that it has already, and what each token is asked."""
    rows = [[int(token) for token in row if token != PAD] for row in found.x[:count]]
    answers = None
    truth = found.y[:count]
    if model.kind == "encoder-decoder":
        said = [[int(token) for token in row if token >= 0] for row in truth]
        answers = [[START, *one[:-1]] for one in said]
        truth = np.array([one + [-100] * (max(map(len, said)) - len(one)) for one in said])
    made = _padded(model, rows, answers)
    if model.kind == "decoder":  # at each token the next one is asked
        truth = np.concatenate([truth[:, 1:], np.full((len(truth), 1), -100)], 1)
    return replace(made, y=truth[:, : made.keep.shape[1]])


def kind_of(model: Model) -> str:
    """image | points | text | noise: what a network takes."""
    task = model.card.task
    if task in TEXT_TASKS:
        return "text"
    if task in GENERATION_TASKS:
        return "noise"
    return "points" if task == "points-classification" else "image"


def room() -> int:
    """Bytes that one capture may hold here."""
    return settings().limits.cache // ROOM
