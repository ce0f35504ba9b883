"""What a network makes of each example of a data set: one vector each, read at any layer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from explorer import data, models
from explorer.activations.base import CALL
from explorer.activations.capture import array, calm, passed
from explorer.activations.feed import TIME, Feed, dataset, feed, kind_of, opened, sample
from explorer.data.text import PAD
from explorer.errors import ExplorerError
from explorer.models.base import MODELS
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

USUAL = "before-the-answer"  # in place of a layer's name: what the last layer makes its answer of
FEWEST, MOST = 3, 2000  # examples
SMALL = 4096  # numbers of one example up to which a layer may be read position by position
BATCH = 256  # examples that pass at once, at most
VALUES = 2_000_000  # numbers that go in at once
LOGITS = 16_000_000  # numbers that come out at once, of networks that name a word at each token


@dataclass(frozen=True)
class Selection:
    """Which examples pass through which network, and where they are read."""

    ref: str
    count: int = 500
    layer: str = USUAL  # or a name as `capture` gives it, "#2" for a second call
    flat: bool = False  # every position of a map as a number of its own; else their mean
    time: float = TIME  # of a denoiser: how far examples are noised
    dataset: str = ""  # whose test split it is; "" the network's own


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples as a person sees them, with what is known of them."""

    pixels: np.ndarray | None  # (N, H, W, C) uint8, or (N, 2) points
    texts: tuple[str, ...]  # (N,) or none
    sizes: np.ndarray | None  # (N,) of texts: their tokens
    y: np.ndarray | None  # (N,) int64 true classes
    labels: tuple[str, ...]  # y indexes it

    def __len__(self) -> int:
        return len(self.texts) if self.pixels is None else len(self.pixels)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.pixels, self.sizes, self.y)
        return sum(held.nbytes for held in arrays if held is not None) + sum(map(len, self.texts))


@dataclass(frozen=True, eq=False)
class Embedded:
    """One vector for each of N examples."""

    ref: str
    layer: str  # where they were read, in words
    vectors: np.ndarray  # (N, D) float32
    answers: np.ndarray | None  # (N,) int64, the class that the network names; None where it names none
    names: tuple[str, ...]  # of the classes that it names

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.vectors.nbytes + (0 if self.answers is None else self.answers.nbytes)


def embed(
    selection: Selection, model: Model | None = None, on_step: Callable[[float], None] = lambda share: None
) -> Embedded:
    """The vector of every example at one layer, and the class that the network names.

    model: the opened network, or another of the same kind in its place. on_step: is told the share that is done; what
    it raises ends it. Raises ExplorerError for too few or too many examples, data of another kind, and a layer that
    gives no vector for each example. The shared network is never touched.
    """
    model = model or opened(selection.ref)
    vectors, answers, done = [], [], 0
    total = size(model, selection)
    with model.borrow() as net, calm(net):
        for given in _batches(model, selection):
            found, answer = _read(given, net, selection)
            vectors.append(found)
            answers.append(answer)
            done += len(given)
            on_step(done / total)
    named = answers[0] is not None
    names = model.labels if named and len(model.labels) == answers[0].shape[1] else ()
    said = np.concatenate([one.argmax(1) for one in answers]) if named else None
    told = told_place(model, selection)
    return Embedded(model.card.ref, told, np.concatenate(vectors), said, names)


def examples(selection: Selection, model: Model | None = None) -> Examples:
    """The examples themselves, in the order of their vectors."""
    model = model or opened(selection.ref)
    found, count = source(model, selection), size(model, selection)
    y = found.y[:count] if found.y.ndim == 1 else None
    if found.task.startswith("text"):
        texts = found.texts[:count]
        if found.answers is not None:
            texts = [f"{text} → {answer}" for text, answer in zip(texts, found.answers, strict=False)]
        return Examples(None, tuple(texts), (found.x[:count] != PAD).sum(1), y, found.labels if y is not None else ())
    return Examples(found.x[:count], (), None, y, found.labels)


def size(model: Model, selection: Selection) -> int:
    """How many examples there are: as many as are asked for, or all; raises ExplorerError for too few or too many."""
    if not FEWEST <= selection.count <= MOST:
        raise ExplorerError(
            f"{selection.count} examples", f"there can be {FEWEST} to {MOST:,}", "Choose a number between"
        )
    count = min(selection.count, len(source(model, selection)))
    if count < FEWEST:
        raise ExplorerError(f"The test split of {selection.dataset or model.card.dataset}",
                            f"it has {count} examples, and {FEWEST} are needed", "Choose other data")  # fmt: skip
    return count


def source(model: Model, selection: Selection) -> data.Dataset:
    """The test split that is read; raises ExplorerError where there is none, or the network can't read it."""
    found = data.load(selection.dataset, "test") if selection.dataset else dataset(model)
    if found is None:
        raise ExplorerError(f"The data of {model.card.ref}", "what it learned from is not known or not here",
                            "Choose a data set")  # fmt: skip
    if not found.task.startswith(reads(model)):
        raise ExplorerError(
            f"The data set {found.name!r}", f"it is of the kind {found.task}", f"Choose one of the kind {reads(model)}"
        )
    return found


def reads(model: Model) -> str:
    """image | points | text: the kind of data that a network takes, noised or not."""
    kind = kind_of(model)
    return kind if kind != "noise" else "points" if len(model.card.shape) == 1 else "image"


def told_place(model: Model, selection: Selection) -> str:
    """Where vectors are read, in words."""
    if selection.layer != USUAL:
        return selection.layer
    with model.borrow() as net:
        name, side = usual_place(model, net)
    if not name:
        return "the last hidden state"
    if isinstance(model, TextModel):
        return f"the last hidden state, {name}"
    return f"what {name} reads" if side else name


def usual_place(model: Model, net: nn.Module) -> tuple[str, int]:
    """The layer whose output (0) or input (1) the answer is made of; "" where it is the answer itself.

    Of classifiers the input of the last linear layer, of language models the last hidden state, of denoisers the middle
    block.
    """
    names = {part: name for name, part in net.named_modules()}
    if isinstance(model, TextModel):
        return names.get(net.base_model, ""), 0
    if isinstance(model, Denoiser) and "unet.mid_block" in names.values():
        return "unet.mid_block", 0
    linear = [part for part in names if isinstance(part, nn.Linear)]
    heads = [part for part in linear if part.out_features == len(model.labels)] or linear
    heads = heads or [part for part in names if isinstance(part, nn.Conv2d)] or list(names)[1:]
    return names[heads[-1]], 1


def untrained(model: Model, seed: int = 0) -> Model | None:
    """A network of the same architecture that has learned nothing; None where it is none of ours."""
    card = model.card
    if card.architecture not in MODELS or "vae" in card.settings:
        return None
    net = models.build(card.architecture, card.shape, len(card.labels), seed, **dict(card.settings)).to(model.device)
    if isinstance(model, TextModel):
        return TextModel(card, net.net, model.tokenizer)
    return Denoiser(card, {"unet": net}, net.plan) if isinstance(model, Denoiser) else Model(card, net)


def raw(shown: Examples) -> np.ndarray | None:
    """The examples as vectors of their own numbers, (N, D) float32: what a network has to be better than."""
    return None if shown.pixels is None else shown.pixels.reshape(len(shown.pixels), -1).astype(np.float32)


def _batches(model: Model, selection: Selection) -> Iterator[Feed]:
    """The examples as the network takes them, as many at a time as fit."""
    found, count = source(model, selection), size(model, selection)
    if not selection.dataset and (isinstance(model, Denoiser | TextModel) or reads(model) == "points"):
        given = sample(model, count, time=selection.time)
        yield from given.batches(_at_once(model, given))
        return
    if isinstance(model, TextModel):
        given = feed(model, list(found.texts[:count]))
        yield from given.batches(_at_once(model, given))
        return
    several = _at_once(model, None)
    for start in range(0, count, several):
        stop = min(start + several, count)
        yield feed(model, found.x[start:stop], time=selection.time, seed=start)


def _at_once(model: Model, given: Feed | None) -> int:
    """Examples that pass at once: fewer where they are large, or where a word is named at each token."""
    if isinstance(model, TextModel):
        words = max(1, getattr(model.config, "vocab_size", 1))
        return max(1, min(BATCH, LOGITS // (given.inputs["input_ids"].shape[1] * words)))
    return max(1, min(BATCH, VALUES // int(np.prod(model.card.shape))))


def _read(given: Feed, net: nn.Module, selection: Selection) -> tuple[np.ndarray, np.ndarray | None]:
    """(n, D) vectors of some examples, and their logits (n, classes) where the network has any."""
    layer, side = selection.layer, 0
    if layer == USUAL:
        layer, side = usual_place(given.model, net)
    module = layer.partition(CALL)[0]
    if layer and module not in dict(net.named_modules()):
        raise ExplorerError(f"The layer {layer!r}", "this model has none of that name", "Choose another one")
    calls, answer = passed(given, net, [module] if layer else [])
    tensor = answer if not layer else next((call.tensors[side] for call in calls if call.name == layer), None)
    if tensor is None:
        raise ExplorerError(f"The layer {layer!r}", "it gave out no numbers in this pass", "Choose another one")
    said = array(answer) if kind_of(given.model) != "noise" and answer.ndim == 2 else None
    return array(_one_each(tensor.float(), given, layer, selection.flat)), said


def _one_each(tensor: Tensor, given: Feed, layer: str, flat: bool) -> Tensor:
    """(n, …) → (n, D): positions are averaged, of texts those that are no filling, or stand one behind the other."""
    if tensor.ndim < 2 or len(tensor) != len(given):
        raise ExplorerError(f"The layer {layer!r}", "it gives out no numbers of its own for each example",
                            "Choose another one")  # fmt: skip
    if tensor.ndim == 2:
        return tensor
    if flat and isinstance(given.model, TextModel):
        raise ExplorerError("Every position on its own", "texts are of unequal length", "Take the mean of the tokens")
    if flat:
        numbers = tensor[0].numel()
        if numbers > SMALL:
            raise ExplorerError(f"Every position of {layer!r} on its own",
                                f"it gives {numbers:,} numbers for an example, and {SMALL:,} is the most",
                                "Take the mean of its positions")  # fmt: skip
        return tensor.flatten(1)
    if tensor.ndim > 3:
        return tensor.flatten(2).mean(2)  # (n, C, …): maps
    keep = _kept(tensor, given, layer)
    if keep is None:
        return tensor.mean(1)  # (n, T, W): patches
    share = keep.to(tensor)[:, :, None]
    return (tensor * share).sum(1) / share.sum(1)


def _kept(tensor: Tensor, given: Feed, layer: str) -> Tensor | None:
    """(n, T) of texts, the tokens that are no filling: those of the side, encoder or decoder, that the layer reads."""
    mask = given.inputs.get("attention_mask")
    masks = [given.keep, mask] if "encoder" not in layer.split(".") else [mask, given.keep]
    return next((one for one in masks if one is not None and one.shape == tensor.shape[:2]), None)


def numbers_of(shape: tuple[int, ...], flat: bool) -> int:
    """The length of the vector that a layer of this shape, of one example, gives."""
    return int(np.prod(shape)) if flat or len(shape) == 1 else shape[-1] if len(shape) == 2 else shape[0]


def may_be_flat(shape: tuple[int, ...]) -> bool:
    """Whether a layer of this shape, of one example, may be read position by position."""
    return len(shape) > 1 and int(np.prod(shape)) <= SMALL


def checkpoints_shown(kept: list[int], most: int) -> tuple[int, ...]:
    """Some of the checkpoints, evenly chosen, the first and the last among them."""
    if len(kept) <= most:
        return tuple(kept)
    return tuple(kept[round(at)] for at in np.linspace(0, len(kept) - 1, most))
