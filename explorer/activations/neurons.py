"""The neurons of a transformer's perceptrons: where in texts they fire, and which words they speak for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from explorer.activations.base import CALL
from explorer.activations.capture import Call, array, calm, plain, watched
from explorer.activations.feed import Feed, feed, opened
from explorer.activations.tokens import ATTENTION, Corpus, batched, chains, corpus, found, kept, tokens_of
from explorer.errors import ExplorerError
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

TOP = 10
FEW = 20  # tokens of a part of speech, and of all others, below which nothing is said of it


@dataclass(frozen=True, eq=False)
class Firing:
    """What F neurons of one block gave on T tokens of one text: what the last layer of its perceptron is given."""

    tokens: tuple[str, ...]  # (T,)
    values: np.ndarray  # (T, F) float32, after the activation function, and times the gate where there is one
    layer: str  # the last layer of the perceptron, as in named_modules()

    @property
    def strongest(self) -> np.ndarray:
        """The neurons by the largest absolute value on this text, the strongest first: (F,)."""
        return np.argsort(-np.abs(self.values).max(0), kind="stable")

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.values.nbytes


@dataclass(frozen=True, eq=False)
class Survey:
    """What F neurons of one block did on M tokens of N test texts."""

    corpus: str  # the name of the data set
    own: bool  # whether the network learned it
    tokens: tuple[tuple[str, ...], ...]  # (N,) the texts
    text: np.ndarray  # (F, K) int64, the texts with the largest absolute values, the largest first
    place: np.ndarray  # (F, K) int64, where in each
    values: np.ndarray  # (F, K) float32
    spread: np.ndarray  # (3, F) float32: the least, the mean and the largest of all M
    count: int  # M
    parts: tuple[str, ...]  # P parts of speech that are known of enough tokens
    areas: (
        np.ndarray
    )  # (P, F) share of pairs of tokens, one of the part and one of another, in which the first is higher
    chance: np.ndarray  # (P,) the best of all neurons by that measure where the parts of speech are shuffled

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(one.nbytes for one in (self.text, self.place, self.values, self.spread, self.areas))

    def selective(self, part: str) -> np.ndarray:
        """The neurons by how well they tell tokens of a part of speech from all others, the best first: (F,)."""
        return np.argsort(-self.areas[self.parts.index(part)], kind="stable")


@dataclass(frozen=True, eq=False)
class Effect:
    """What one neuron adds to the logits of the vocabulary, for each 1 that it fires."""

    promoted: tuple[str, ...]  # (K,) the words that it adds most to
    gains: np.ndarray  # (K,) float32, by how much
    suppressed: tuple[str, ...]  # (K,) the words that it takes most from
    losses: np.ndarray  # (K,) float32, negative
    scores: np.ndarray  # (words of the vocabulary,) float32

    @property
    def nbytes(self) -> int:
        """Bytes of the scores."""
        return self.scores.nbytes


def firing(ref: str | Model, x: object = None, block: int = 0, part: str = "") -> Firing:
    """What the neurons of one block give on one text.

    block: its number in the half `part`, from 0. Raises ExplorerError where there is no such block, or no perceptron in
    it whose last layer can be found.
    """
    model = opened(ref)
    given = feed(model, x).rows(0, 1)
    with model.borrow() as net, calm(net):
        layer, values = _fired(model, net, given, block, part)
        return Firing(tokens_of(given, part, values.shape[1]), array(values[0]), layer.partition(CALL)[0])


def survey(
    ref: str | Model, block: int = 0, part: str = "", on_step: Callable[[float], None] = lambda share: None,
    seed: int = 0,
) -> Survey | None:  # fmt: skip
    """Where in the test texts the neurons of one block fire most, and which part of speech each tells from the others.

    A text counts once for a neuron, by its token with the largest absolute value. The measure of a part of speech is
    the area under the ROC curve: 0.5 is chance, 1 where every such token fires it more than any other. seed: shuffles
    the parts of speech for the measure of chance. None where there are no texts to compare with.
    """
    model = opened(ref)
    beside = corpus(model) if isinstance(model, TextModel) else None
    if beside is None:
        return None
    held: list[np.ndarray] = []  # of each text (T, F)
    layer, values = "", None
    for _, given in batched(beside, on_step):
        with model.borrow() as net, calm(net):
            if layer:
                values = _again(net, given, layer, values.shape[1])
            else:
                layer, values = _fired(model, net, given, block, part)
            rows = zip(values, kept(given, part, values.shape[1]).to(values.device), strict=True)
            held += [array(row[keep]) for row, keep in rows]
    highest = np.stack([_peaks(one) for one in held])  # (N, F) where in each text
    peaks = np.stack([one[at, np.arange(one.shape[1])] for one, at in zip(held, highest, strict=True)])  # (N, F)
    text = np.argsort(-np.abs(peaks), 0, kind="stable")[:TOP]
    every = np.concatenate(held)  # (M, F)
    parts, areas, chance = _selectivity(every, beside, part, np.random.default_rng(seed))
    return Survey(
        beside.name, beside.own, beside.read(part), text.T, np.take_along_axis(highest, text, 0).T,
        np.take_along_axis(peaks, text, 0).T, np.stack([every.min(0), every.mean(0), every.max(0)]), len(every),
        parts, areas, chance,
    )  # fmt: skip


def effect(ref: str | Model, layer: str, neuron: int, top: int = TOP) -> Effect:
    """What a neuron says to the vocabulary directly: the row of its weights times the unembedding.

    layer: the last layer of its perceptron, as in `Firing`. What later blocks, a final norm and an encoder's prediction
    head make of it is left out. Raises ExplorerError for a neuron that there isn't, and where no vocabulary follows.
    Source: Geva et al. 2022, "Transformer feed-forward layers build predictions by promoting concepts in the vocabulary
    space", section 3.
    """
    model = opened(ref)
    asked = f"What neuron {neuron} of {layer} says to the vocabulary of {model.card.ref}"
    with model.borrow() as net, torch.no_grad():
        head = net.get_output_embeddings() if isinstance(model, TextModel) else None
        if head is None:
            raise ExplorerError(asked, "it has no vocabulary to answer with", "Open a language model with a head")
        if model.kind == "encoder-decoder" and any(
            part is net.get_submodule(layer) for part in net.get_encoder().modules()
        ):
            raise ExplorerError(asked, "the encoder answers nothing itself", "Choose the decoder")
        out = _out(net.get_submodule(layer))  # (F, W)
        if not 0 <= neuron < len(out):
            raise ExplorerError(asked, "there is none of that number", f"Choose 0 to {len(out) - 1}")
        if head.weight.shape[-1] != out.shape[1]:
            raise ExplorerError(asked, "its head reads vectors of another width", "Look at where it fires")
        scores = (head.weight @ out[neuron]).float()
    scores = scores[: _words(model, len(scores))]
    high, low = scores.topk(min(top, len(scores))), (-scores).topk(min(top, len(scores)))
    return Effect(
        _read(model, high.indices), array(high.values), _read(model, low.indices), array(-low.values), array(scores)
    )


def _fired(model: Model, net: nn.Module, given: Feed, block: int, part: str) -> tuple[str, Tensor]:
    """The last layer of a block's perceptron, with the number of its call, and what it was given, (N, T, F)."""
    chain = found(chains(given, net)[0], part, model.card.ref)
    asked = f"The neurons of block {block + 1} of {model.card.ref}"
    if not 0 <= block < len(chain.calls):
        raise ExplorerError(asked, "there is none of that number", f"Choose 1 to {len(chain.calls)}")
    one = chain.calls[block]
    rows, tokens, width = one.tensors[0].shape
    ran = sum(other.part is one.part for other in chain.calls[: block + 1])  # blocks may share their layers
    names = {part: name for name, part in net.named_modules()}
    calls = _watched(net, given, [names[part] for part in _linears(one.part) if _out(part).shape[1] == width])
    mine = [call for call in calls if call.name.partition(CALL)[2] == (str(ran) if ran > 1 else "")]
    mine = [call for call in mine if call.tensors[1].numel() == rows * tokens * call.tensors[1].shape[-1]]
    if not mine:
        raise ExplorerError(asked, "no perceptron with a last layer of its own was found in it", "Look at its states")
    return mine[-1].name, mine[-1].tensors[1].reshape(rows, tokens, -1)


def _again(net: nn.Module, given: Feed, name: str, tokens: int) -> Tensor:
    """What one call of a layer is given, (N, T, F)."""
    calls = _watched(net, given, [name.partition(CALL)[0]])
    call = next(call for call in calls if call.name == name)
    return call.tensors[1].reshape(len(given), tokens, -1)


def _watched(net: nn.Module, given: Feed, names: Sequence[str]) -> list[Call]:
    """The calls of some layers in one pass."""
    with torch.inference_mode(False), torch.no_grad(), watched(net, names) as calls:
        plain(given).run(net)
    return calls


def _linears(block: nn.Module) -> list[nn.Module]:
    """The linear layers of a block that are not part of its attention."""
    if ATTENTION in type(block).__name__.lower():
        return []
    if isinstance(block, nn.Linear) or type(block).__name__ == "Conv1D":
        return [block]
    return [part for child in block.children() for part in _linears(child)]


def _out(part: nn.Module) -> Tensor:
    """The weights of a linear layer, a row for each number that it is given: (inputs, outputs)."""
    return part.weight.T if isinstance(part, nn.Linear) else part.weight  # GPT-2's Conv1D keeps them that way


def _peaks(values: np.ndarray) -> np.ndarray:
    """Where in a text each neuron has its largest absolute value: (T, F) → (F,)."""
    return np.abs(values).argmax(0)


def _selectivity(
    every: np.ndarray, beside: Corpus, part: str, rng: np.random.Generator
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The parts of speech, the area under the ROC curve of each neuron for each, and the best of shuffled ones."""
    known = beside.known(part)
    if known is None:
        return (), np.zeros((0, every.shape[1]), np.float32), np.zeros(0, np.float32)
    speech = np.array([one for row in known for one in row])
    names, counts = np.unique(speech, return_counts=True)
    fit = (names != "") & (counts >= FEW) & (len(speech) - counts >= FEW)
    from scipy.stats import rankdata

    ranks = rankdata(every, axis=0)  # (M, F), ties share their mean
    masks = speech == names[fit][:, None]  # (P, M)
    areas = _areas(ranks, masks)
    return tuple(names[fit].tolist()), areas, _areas(ranks, masks[:, rng.permutation(len(speech))]).max(1)


def _areas(ranks: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The area under the ROC curve by ranks (Mann and Whitney 1947): (M, F), (P, M) → (P, F)."""
    inside = masks.sum(1, keepdims=True)
    lowest = inside * (inside + 1) / 2
    return ((masks.astype(float) @ ranks - lowest) / (inside * (len(ranks) - inside))).astype(np.float32)


def _read(model: TextModel, ids: Tensor) -> tuple[str, ...]:
    return tuple(model.token(number) for number in ids.tolist())


def _words(model: TextModel, rows: int) -> int:
    """Rows of the unembedding that are words; some networks have more, so that their number is round."""
    return min(rows, len(model.tokenizer))
