"""A text or a picture as one network takes it, and which of its attention layers is which."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from explorer import zoo
from explorer.errors import ExplorerError
from explorer.heads import Call, Change, watch
from explorer.settings import settings
from explorer.zoo.model import Model
from explorer.zoo.text import Encoded, TextModel

READS = {"image-classification": "pictures", "points-classification": "points"}  # by task
ANSWER = 128  # tokens after which an encoder-decoder is told to stop


@dataclass(frozen=True, eq=False)
class Reading:
    """One input of one network, for the length of a `with`: T tokens, or a picture."""

    model: Model
    net: nn.Module  # borrowed
    inputs: dict[str, Tensor]  # each (1, …); of a picture only `x`
    tokens: tuple[str, ...] = ()  # (T,) of a text
    encoded: Encoded | None = None  # of a text
    pair: bool = False  # of two texts
    answer: tuple[int, ...] = ()  # of an encoder-decoder: the tokens that its decoder says, the end included
    decoder_ids: tuple[int, ...] = ()  # what its decoder reads: the start, then all of these but the last

    @property
    def decoder_tokens(self) -> tuple[str, ...]:
        """What the decoder of an encoder-decoder reads, as a person does."""
        return spell(self.model, self.decoder_ids)


def opened(ref: str | Model) -> Model:
    """The model of a ref, or the opened model itself."""
    return zoo.load(ref) if isinstance(ref, str) else ref


@contextmanager
def read(ref: str | Model, given: Any, text_b: str | None = None, target: str | None = None) -> Iterator[Reading]:
    """A text, a pair of texts or a picture before a network of one's own, gradients off.

    text_b: a second text; of an encoder-decoder the same as `target`, what its decoder reads instead of its own answer.
    Raises ExplorerError for what this network does not read, and for more tokens than this server takes.
    """
    model = opened(ref)
    text = isinstance(model, TextModel)
    if text != isinstance(given, str) or not (text or model.card.task == "image-classification"):
        reads = "texts" if text else READS.get(model.card.task, "noise")
        raise ExplorerError(
            f"A {type(given).__name__} for {model.card.ref}", f"this model reads {reads}", "Give what it reads"
        )
    with model.borrow() as net, torch.inference_mode():
        yield _text(model, net, given, text_b, target) if text else _picture(model, net, given)


def _text(model: TextModel, net: nn.Module, text: str, text_b: str | None, target: str | None) -> Reading:
    if model.kind != "encoder-decoder":
        encoded = model.encode(text, text_b)
        _check(len(encoded.tokens))
        return Reading(model, net, encoded.inputs, encoded.tokens, encoded, 1 in encoded.segments)
    encoded = model.encode(text, text_b if target is None else target)
    reading = Reading(model, net, encoded.inputs, encoded.tokens, encoded)
    _check(len(encoded.tokens))
    answer = write(reading) if encoded.target is None else _ended(model, encoded.target.ids)
    _check(len(answer))
    return replace(reading, answer=answer, decoder_ids=(model.start_id, *answer[:-1]))


def _ended(model: TextModel, ids: list[int]) -> tuple[int, ...]:
    """What a decoder is to say, its end included."""
    return tuple(ids) if ids[-1] == model.end_id or model.end_id is None else (*ids, model.end_id)


def _check(tokens: int) -> None:
    most = settings().limits.tokens
    if tokens > most:
        raise ExplorerError("The text", f"it has {tokens} tokens, and this server takes up to {most}", "Shorten it")


def _picture(model: Model, net: nn.Module, image: Any) -> Reading:
    x = model.preprocess(image)
    if len(x) != 1:
        raise ExplorerError("The picture", f"there are {len(x)} of them", "Give one")
    return Reading(model, net, {"x": x})


def spell(model: TextModel, ids: Iterable[int]) -> tuple[str, ...]:
    """Tokens by their numbers, as a person reads them."""
    return tuple(model.token(number) for number in ids)


def forward(
    reading: Reading,
    inputs: Mapping[str, Tensor] | None = None,
    changes: Mapping[int, Change] | None = None,
    hidden: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """What the network answers, (N, positions, choices): of a classifier at one position, of a decoder at each.

    inputs: N rows of inputs; None takes those of the reading. changes, hidden: as of `heads.watch`.
    """
    given = keywords(reading, inputs)
    with watch(reading.net, changes, hidden, keep=False):
        logits = reading.net(**given).logits if reading.tokens else reading.net(given["x"])
    return logits[:, None] if logits.ndim == 2 else logits


def through(reading: Reading) -> None:
    """One pass, up to where words would be made of it."""
    if reading.tokens:
        reading.net.base_model(**keywords(reading))
    else:
        reading.net(reading.inputs["x"])


def keywords(reading: Reading, inputs: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """What the network's forward is called with: N rows of inputs, and nothing kept for a next pass."""
    given: dict[str, Any] = dict(inputs or reading.inputs)
    if reading.decoder_ids:
        rows = len(given["input_ids"])
        given["decoder_input_ids"] = torch.tensor([reading.decoder_ids], device=reading.model.device).expand(rows, -1)
    if reading.tokens and reading.model.kind != "encoder":
        given["use_cache"] = False
    return given


def order(reading: Reading, calls: list[Call]) -> dict[str, list[int]]:
    """The numbers of the calls by part; a decoder that reads an encoder calls self, cross, self, cross…"""
    if not calls:
        return {}
    if not reading.decoder_ids:
        return {"self": list(range(len(calls)))}
    encoder = set(reading.net.get_encoder().modules())
    first = sum(call.module in encoder for call in calls)
    return {
        "encoder": list(range(first)),
        "decoder": list(range(first, len(calls), 2)),
        "cross": list(range(first + 1, len(calls), 2)),
    }


def write(
    reading: Reading,
    tokens: int = ANSWER,
    choose: Callable[[Tensor], int] = lambda logits: int(logits.argmax()),
    changes: Mapping[int, Change] | None = None,
) -> tuple[int, ...]:
    """The tokens that a network writes, one after the other, until it ends or has written so many.

    choose: the next token from the logits (vocabulary,); the likeliest as a rule. An end token, where it came to that,
    is the last. changes: as of `heads.watch`. What was computed of earlier tokens is kept.
    """
    net, changes, config = reading.net, dict(changes or {}), reading.net.generation_config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    read: dict[str, Any] = {}
    if reading.model.kind == "encoder-decoder":
        with watch(net, changes) as calls:
            read["encoder_outputs"] = net.get_encoder()(**reading.inputs)
        changes = {number - len(calls): change for number, change in changes.items()}  # the decoder's alone from here
        if "attention_mask" in reading.inputs:
            read["attention_mask"] = reading.inputs["attention_mask"]
        name, first, forced = "decoder_input_ids", [reading.model.start_id], config.forced_bos_token_id
    else:
        name, first, forced = "input_ids", reading.inputs["input_ids"][0].tolist(), None
    barred = [words[0] for words in config.bad_words_ids or () if len(words) == 1] + (config.suppress_tokens or [])
    written: list[int] = []
    new, past = first, None
    while len(written) < min(tokens, reading.model.longest - len(first)):
        with watch(net, changes, keep=False):
            ids = torch.tensor([new], device=reading.model.device)
            out = net(**read, **{name: ids}, past_key_values=past, use_cache=True)
        logits = out.logits[0, -1].float()
        logits[barred] = -torch.inf
        written.append(choose(logits) if written or forced is None else forced)
        if written[-1] in ends:
            break
        past = out.past_key_values
        new = [*first, *written] if past is None else written[-1:]
    return tuple(written)
