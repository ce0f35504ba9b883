"""What a transformer carries for each token from block to block, and how alike tokens are there.

The residual stream is found by watching: the blocks are the layers that stand in one list, hold attention, and give out
what has the shape of what they are given, (N, tokens, width). So any network of that kind is read in the same way, with
its own names, and a vision transformer as well, whose tokens are patches.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from explorer import data
from explorer.activations.capture import Call, array, calm, passed
from explorer.activations.feed import Feed, dataset, feed, opened, sample
from explorer.data.base import Dataset, Roles
from explorer.errors import ExplorerError
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

ATTENTION = "attention"  # in the name of the class of every layer of attention
TEXTS, PICTURES, BATCH = 100, 32, 25  # of the test data: how many are read, and how many at once
FEWEST, SMALL = 20, 20_000_000  # texts that are read of any network; parameters up to which all are
NUMBERS = 16_000_000  # logits that are worked out at once: 64 MB
PAIRS = 1000  # of random tokens, whose mean cosine is the baseline (Ethayarajh 2019, section 3.4, takes as many)
HALVES = ("", "decoder", "encoder")  # the one that answers first


@dataclass(frozen=True, eq=False)
class Stream:
    """What one network, or one half of it, carries for T tokens through L blocks, W numbers each."""

    part: str  # "" | decoder | encoder
    tokens: tuple[str, ...]  # (T,)
    blocks: tuple[str, ...]  # (L,) as in named_modules(), and "#2" from the second call of the same
    states: np.ndarray  # (L + 1, T, W) float32: what the first block is given, then what each gives; before a last norm

    @property
    def places(self) -> tuple[str, ...]:
        """What a person calls the L + 1 places."""
        return places(len(self.blocks))

    @property
    def nbytes(self) -> int:
        """Bytes of the states."""
        return self.states.nbytes

    @property
    def norms(self) -> np.ndarray:
        """The length of every token's vector, (L + 1, T)."""
        return np.linalg.norm(self.states, axis=-1)

    @property
    def kept(self) -> np.ndarray:
        """The cosine of every token's vector before and after each block, (L, T): 1 where it was only made longer."""
        before, after = (_units(one) for one in (self.states[:-1], self.states[1:]))
        return (before * after).sum(-1)

    @property
    def cosines(self) -> np.ndarray:
        """How alike the vectors of every two tokens are, (L + 1, T, T) from -1 to 1."""
        units = _units(self.states)
        return units @ units.swapaxes(-1, -2)

    def largest(self, token: int, count: int = 10) -> np.ndarray:
        """The dimensions that carry most of one token's vector at any place, the one that carries most first.

        Measured by the share of the squared length, so that a place with long vectors does not decide alone. A few
        dimensions that outweigh all others are the outlier features of Dettmers et al. 2022, "LLM.int8()", section 4.
        """
        return np.argsort(-self.shares(token).max(0), kind="stable")[:count]

    def shares(self, token: int) -> np.ndarray:
        """Each dimension's share of the squared length of one token's vector, (L + 1, W)."""
        squares = np.square(self.states[:, token], dtype=np.float64)
        return squares / np.maximum(squares.sum(-1, keepdims=True), np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Streams:
    """The streams of one pass: of an encoder-decoder the decoder's first."""

    ref: str
    parts: tuple[Stream, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all states."""
        return sum(one.nbytes for one in self.parts)

    def __getitem__(self, part: str) -> Stream:
        """The stream of one half; raises ExplorerError where there is none."""
        return found(self.parts, part, self.ref)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Test examples that a network reads to be compared with: N of them."""

    name: str  # of the data set
    own: bool  # whether the network learned that data set
    given: Feed
    tokens: tuple[tuple[str, ...], ...]  # (N,) of each its tokens; the decoder's if it has one
    sources: tuple[tuple[str, ...], ...]  # (N,) of an encoder-decoder what its encoder reads
    parts: tuple[tuple[str, ...], ...] | None  # parallel to tokens: parts of speech, "" of special tokens; None unknown

    def read(self, part: str) -> tuple[tuple[str, ...], ...]:
        """What one half reads."""
        return self.sources if part == "encoder" else self.tokens

    def known(self, part: str) -> tuple[tuple[str, ...], ...] | None:
        """The parts of speech of what one half reads."""
        return None if part == "encoder" else self.parts


@dataclass(frozen=True, eq=False)
class Baseline:
    """How alike two random tokens of other examples are."""

    name: str  # of the data set that they are of
    own: bool  # whether the network learned it
    cosines: np.ndarray  # (L + 1,) mean over `pairs`
    pairs: int

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return self.cosines.nbytes


@dataclass(frozen=True, eq=False)
class Chain:
    """The calls of the blocks of one half, in order, while a tree is borrowed."""

    part: str  # "" | decoder | encoder
    calls: tuple[Call, ...]

    @property
    def states(self) -> Tensor:
        """What the first block is given, then what each gives, (L + 1, N, T, W)."""
        return torch.stack([self.calls[0].tensors[1], *(call.tensors[0] for call in self.calls)])


def streams(ref: str | Model, x: object = None) -> Streams:
    """What a transformer carries for each token of one example, before the first block and after each.

    x: as of `feed`: a text, a picture, or a Feed of one example.
    Raises ExplorerError for a network without such blocks.
    """
    model = opened(ref)
    given = feed(model, x)
    with model.borrow() as net, calm(net):
        chained, _ = chains(given, net)
        made = [
            Stream(
                one.part,
                tokens_of(given, one.part, one.calls[0].tensors[1].shape[1]),
                tuple(call.name for call in one.calls),
                array(one.states[:, 0]),
            )
            for one in chained
        ]
    return Streams(model.card.ref, tuple(made))


def chains(given: Feed, net: nn.Module) -> tuple[tuple[Chain, ...], Tensor]:
    """The blocks of a borrowed tree at work, the decoder's first, and what the network answers.

    Raises ExplorerError where there are none.
    """
    lists = _lists(net)
    names = [f"{name}.{one}" for name in lists for one, _ in net.get_submodule(name).named_children()]
    if not names:
        raise _blockless(given.model)
    calls, answer = passed(given, net, names)
    chosen: list[tuple[str, list[Call]]] = []
    for name in lists:
        if any(name.startswith(f"{outer}.") for outer, _ in chosen):
            continue
        mine = [call for call in calls if call.name.rpartition(".")[0] == name]
        if (
            mine
            and len({_shape(tensor) for call in mine for tensor in call.tensors}) == 1
            and _shape(mine[0].tensors[0])
        ):
            chosen.append((name, mine))
    if not chosen:
        raise _blockless(given.model)
    halves: dict[str, Chain] = {}
    for name, mine in chosen:
        part = _part(given.model, net, name)
        if part not in halves or len(halves[part].calls) < len(mine):
            halves[part] = Chain(part, tuple(mine))
    return tuple(halves[part] for part in HALVES if part in halves), answer


def found(parts: Sequence, part: str, ref: str):
    """The one of several that is of a half; raises ExplorerError where there is none."""
    for one in parts:
        if one.part == part:
            return one
    some = ", ".join(repr(one.part) for one in parts)
    raise ExplorerError(f"The half {part!r} of {ref}", "it has none of that name", f"Choose one of: {some}")


def answering(chained: Sequence[Chain]) -> Chain:
    """The half whose last state becomes the answer."""
    return chained[0]


def places(blocks: int) -> tuple[str, ...]:
    """What a person calls the states between the blocks."""
    return ("start", *(str(number + 1) for number in range(blocks)))


def tokens_of(given: Feed, part: str, count: int) -> tuple[str, ...]:
    """What the tokens of the first example of one half are called; patches by row and column."""
    model = given.model
    if isinstance(model, TextModel):
        ids = given.inputs["decoder_input_ids" if part == "decoder" else "input_ids"]
        return tuple(model.token(number) for number in ids[0].tolist())
    side = math.isqrt(count)
    extra = count - side * side  # a class token, and perhaps a few more
    if extra > 8:
        return tuple(f"token {number + 1}" for number in range(count))
    first = ("[class]", *(f"[extra {number + 1}]" for number in range(extra - 1)))[:extra]
    return (*first, *(f"row {row + 1}, column {column + 1}" for row in range(side) for column in range(side)))


def corpus(model: Model) -> Corpus | None:
    """Test examples for this network: its own where they are known, else stories for whoever reads one text.

    Texts: the first 100; of networks over 20 million parameters fewer, down to 20, as they take long to read. Pictures:
    the first 32 of its own. None where there are none that it could read.
    """
    own, texts = dataset(model), max(FEWEST, min(TEXTS, TEXTS * SMALL // max(1, model.card.parameters)))
    if not isinstance(model, TextModel):
        if own is None or own.task != "image":
            return None
        given = sample(model, PICTURES)
        return Corpus(own.name, True, given, (), (), None)
    if model.kind == "encoder-decoder":
        if own is None or own.texts is None:
            return None
        given = sample(model, texts)
        return Corpus(own.name, True, given, _spelled(given, "decoder_input_ids", given.keep),
                      _spelled(given, "input_ids", given.inputs["attention_mask"].bool()), None)  # fmt: skip
    known = own if own is not None and own.texts else data.load("story", "test")
    read = known.texts[:texts]
    given = feed(model, list(read))
    return Corpus(
        known.name, known is own, given, _spelled(given, "input_ids", given.keep), (), _speech(model, known, read)
    )


def baseline(ref: str | Model, part: str = "", on_step: Callable[[float], None] = lambda share: None,
             seed: int = 0) -> Baseline | None:  # fmt: skip
    """The mean cosine of random pairs of tokens that are of different test examples, at every place of one half.

    What two tokens of one text have beyond that, they have in common. Where it is far above 0 the vectors fill a narrow
    cone (Ethayarajh 2019, "How contextual are contextualized word representations?", section 3.4). None where there are
    no examples to compare with.
    """
    model = opened(ref)
    beside = corpus(model)
    if beside is None:
        return None
    held, owners = [], []
    for number, given in batched(beside, on_step):
        with model.borrow() as net, calm(net):
            chain = found(chains(given, net)[0], part, model.card.ref)
            keep = kept(given, part, chain.states.shape[2])  # (N, T)
            held.append(array(chain.states[:, keep.to(chain.states.device)]))  # (L + 1, M, W)
            owners.append(number + keep.nonzero()[:, 0].cpu().numpy())
    states, owner = np.concatenate(held, 1), np.concatenate(owners)
    dice = np.random.default_rng(seed)
    first, second = dice.integers(0, len(owner), (2, 2 * PAIRS))
    apart = np.flatnonzero(owner[first] != owner[second])[:PAIRS]
    units = [_units(states[:, one[apart]]) for one in (first, second)]
    return Baseline(beside.name, beside.own, (units[0] * units[1]).sum(-1).mean(-1), len(apart))


def batched(beside: Corpus, on_step: Callable[[float], None]) -> Iterator[tuple[int, Feed]]:
    """The examples a few at a time, each time with the number of the first, telling the share that is done."""
    model, size = beside.given.model, BATCH
    if isinstance(model, TextModel):
        longest = max(value.shape[1] for value in beside.given.inputs.values())
        size = max(1, min(size, NUMBERS // (longest * model.config.get_text_config().vocab_size)))
    for number, given in enumerate(beside.given.batches(size)):
        on_step(number * size / len(beside.given))
        yield number * size, given


def kept(given: Feed, part: str, count: int) -> Tensor:
    """Which tokens of one half are none that only fill, (N, T) bool."""
    if part == "encoder":
        return given.inputs["attention_mask"].bool()
    return torch.ones(len(given), count, dtype=torch.bool) if given.keep is None else given.keep


@contextmanager
def instead(chained: Sequence[Chain], states: Tensor, at: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A borrowed tree whose answering blocks all give these states, (N, T, W), and whose others give back their input.

    So what the network makes of its last state is made of any, by its own layers, whatever these are, and no block is
    worked out. at: called whenever a block would have run. The blocks are themselves again when the `with` ends.
    """
    last = {call.part: call.output for call in answering(chained).calls}
    others = {call.part: call.output for chain in chained[1:] for call in chain.calls}

    def stands(output: object, given: Tensor | None) -> Callable:
        def forward(hidden: Tensor, *rest: object, **named: object) -> object:
            at()
            return _put(output, hidden if given is None else given)

        return forward

    try:
        for part, output in last.items():
            part.forward = stands(output, states)
        for part, output in others.items():
            part.forward = stands(output, None)
        yield
    finally:
        for part in (*last, *others):
            vars(part).pop("forward", None)


def repeated(given: Feed, count: int) -> Feed:
    """One example so many times over."""
    inputs = {name: value[:1].expand(count, *value.shape[1:]) for name, value in given.inputs.items()}
    keep = None if given.keep is None else given.keep[:1].expand(count, -1)
    return replace(given, inputs=inputs, keep=keep)


def _put(output: object, state: Tensor) -> object:
    """What a block gave out, with another state in the place of the first tensor."""
    if isinstance(output, Tensor):
        return state
    if isinstance(output, tuple | list):
        return type(output)([state, *output[1:]])
    raise TypeError(f"a block gave a {type(output).__name__}")


def _lists(net: nn.Module) -> list[str]:
    """The lists of layers of which some hold attention, the outer ones first."""
    return [
        name
        for name, part in net.named_modules()
        if name and isinstance(part, nn.ModuleList | nn.Sequential) and any(_attends(one) for one in part)
    ]


def _attends(part: nn.Module) -> bool:
    return any(ATTENTION in type(one).__name__.lower() for one in part.modules())


def _part(model: Model, net: nn.Module, name: str) -> str:
    """The half of the network that a list of blocks is of."""
    if not isinstance(model, TextModel) or model.kind != "encoder-decoder":
        return ""
    blocks = net.get_submodule(name)
    return "encoder" if any(part is blocks for part in net.get_encoder().modules()) else "decoder"


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return tuple(tensor.shape) if tensor is not None and tensor.ndim == 3 and tensor.is_floating_point() else None


def _blockless(model: Model) -> ExplorerError:
    return ExplorerError(
        f"The tokens of {model.card.ref}", "it has no row of transformer blocks that carry tokens",
        "Open a transformer, such as zoo:story-gpt or zoo:shapes-vit",
    )  # fmt: skip


def _units(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 in the same directions; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)


def _spelled(given: Feed, name: str, keep: Tensor) -> tuple[tuple[str, ...], ...]:
    """The tokens of each example as a person reads them."""
    rows = zip(given.inputs[name].tolist(), keep.sum(1).tolist(), strict=True)
    return tuple(tuple(given.model.token(number) for number in row[:count]) for row, count in rows)


def _speech(model: TextModel, known: Dataset, read: Sequence[str]) -> tuple[tuple[str, ...], ...] | None:
    """The part of speech of every token, where the data set knows it of its words."""
    if known.roles is None or not known.roles[0].parts:
        return None
    rows = zip(read, known.roles, strict=False)
    return tuple(_of_words(model.encode(text).words, text, roles) for text, roles in rows)


def _of_words(words: Sequence[int | None], text: str, roles: Roles) -> tuple[str, ...]:
    return tuple("" if word is None or word >= len(roles.parts) else roles.parts[word] for word in words)
