"""Operate on a network: change what some of its units say in the middle of a pass, and see what it then answers."""

import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer import zoo
from explorer.activations.base import CALL
from explorer.activations.capture import array, calm, first_tensor
from explorer.activations.feed import TIME, Feed, dataset, feed, opened, sample
from explorer.attention.predict import Predictions, Question, ask, told
from explorer.attention.reading import Reading
from explorer.diffusion.base import factor, meaning
from explorer.errors import ExplorerError
from explorer.heads import watch
from explorer.models.noise import FLOW, alphas_bar, question
from explorer.training.objectives import MASKED
from explorer.turns import TURNS
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

HOW = {  # what can be done → in words
    "zero": "zero",
    "mean": "its mean over test examples",
    "scale": "itself times a factor",
    "patch": "what it is elsewhere",
}
OF = {"unit": "", "token": "t", "head": "h"}  # what can be changed → its letter in a link
WHOLE = "all"  # in a link: the whole block
TEST, TEXT = "test:", "text:"  # sources of a patch: a test example by its number, a text of one's own
MOST = 40  # interventions at once
SAMPLE = 200  # test examples that a mean, and the damage, is taken over unless one says how many
BATCH = 100  # examples that pass at once
Z = 1.96  # standard errors to either side of a mean: 95 %

Place = tuple[str, bool]  # the name of a call of a layer, and whether its heads are meant
Change = Callable[[Tensor], Tensor]  # what is there → what goes on from there


@dataclass(frozen=True)
class Cut:
    """One intervention on one layer."""

    layer: str  # as in `capture(…).names`, "#2" for a second call; for heads, that of the attention layer
    units: tuple[int, ...] = ()  # numbers of channels, units, tokens or heads; () is all of the layer
    how: str = "zero"  # one of HOW
    value: float = 1.0  # of "scale": the factor
    source: str = ""  # of "patch": "test:<number>", "text:<a text>" or the ref of a network; "" is the input itself
    of: str = "unit"  # one of OF: unit (of maps a channel) | token | head

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise ExplorerError(
                f"The intervention {self.how!r}", "there is none of that name", f"Use one of: {', '.join(HOW)}"
            )
        if self.of not in OF:
            raise ExplorerError(f"Changing a {self.of!r}", "there is no such part", f"Use one of: {', '.join(OF)}")
        if not math.isfinite(self.value):
            raise ExplorerError(f"The factor {self.value}", "it is no finite number", "Give 0.5, say")
        if any(unit < 0 for unit in self.units):
            raise ExplorerError(f"Number {min(self.units)}", "they are counted from 0", "Give 0 or more")

    @property
    def place(self) -> Place:
        """Where it acts."""
        return self.layer, self.of == "head"


def written(cut: Cut) -> str:
    """An intervention as it stands in a link: layer:units:how[:value]."""
    units = f"{OF[cut.of]}{_ranges(cut.units)}" if cut.units else f"{OF[cut.of]}{WHOLE}"
    value = {"scale": f":{cut.value:g}", "patch": f":{cut.source}" if cut.source else ""}.get(cut.how, "")
    return f"{cut.layer}:{units}:{cut.how}{value}"


def read_cut(text: str) -> Cut:
    """An intervention from a link, as `written` puts it; raises ExplorerError for what is none."""
    asked, parts = f"The intervention {text[:60]!r}", text.strip().split(":", 3)
    if len(parts) < 3 or not parts[0]:
        raise ExplorerError(asked, "it is not of the form layer:units:how", "Write stem.relu:3,5-7:zero, say")
    layer, units, how = parts[:3]
    letters = {letter: of for of, letter in OF.items() if letter}
    of, units = (letters[units[0]], units[1:]) if units[:1] in letters else ("unit", units)
    value = parts[3] if len(parts) == 4 else ""
    if how == "scale":
        try:
            factor = float(value)
        except ValueError:
            raise ExplorerError(asked, f"{value[:20]!r} is no factor", "Write stem.relu:3:scale:0.5, say") from None
    return Cut(layer, numbers(units), how, factor if how == "scale" else 1.0, value if how == "patch" else "", of)


def numbers(text: str) -> tuple[int, ...]:
    """The numbers in "3, 5-7"; () for "all". Raises ExplorerError for anything else."""
    if text.strip() == WHOLE:
        return ()
    found: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", piece)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if high < low:
            raise ExplorerError(f"The numbers {text[:60]!r}", f"{piece.strip()!r} is none", f"Write 3, 5-7 or {WHOLE}")
        if high - low > 100_000:
            raise ExplorerError(f"The numbers {text[:60]!r}", "they are too many", f"Write {WHOLE}")
        found |= set(range(low, high + 1))
    return tuple(sorted(found))


def _ranges(units: Sequence[int]) -> str:
    """3, 5, 6, 7 → "3,5-7"."""
    runs: list[list[int]] = []
    for unit in sorted(units):
        if runs and unit == runs[-1][1] + 1:
            runs[-1][1] = unit
        else:
            runs.append([unit, unit])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in runs)


@dataclass(frozen=True, eq=False)
class Operation:
    """What a network answers to the same input intact, and with the interventions."""

    ref: str
    cuts: tuple[Cut, ...]
    kind: str  # class | next | masked | answer, as of Predictions; noise of a denoiser; states of what answers nothing
    before: np.ndarray  # (N, …) logits, (P, vocabulary) at the places asked of one text, or what a denoiser says
    after: np.ndarray  # as `before`
    told_before: Predictions | None  # of one text, in words; both have all tokens that either would show
    told_after: Predictions | None
    seconds: float  # of both passes

    @property
    def nbytes(self) -> int:
        """Bytes of both answers."""
        return self.before.nbytes + self.after.nbytes

    @property
    def moved(self) -> np.ndarray:
        """(N,) or (P,) how far each answer has moved: the root of its mean squared change."""
        axes = tuple(range(1, self.before.ndim))
        return np.sqrt(np.square(self.after - self.before).mean(axes))


@dataclass(frozen=True, eq=False)
class Scores:
    """How well a network does on N test examples."""

    loss: np.ndarray  # (N,) -ln p of the truth in nats, of texts the mean over its tokens; of denoisers mean squares
    right: np.ndarray  # (N,) 1 where it is right, of texts the share of tokens; NaN of denoisers
    said: np.ndarray  # (N,) the class, or (N, T) the tokens that it takes for likeliest; (N, 0) of denoisers
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.loss.nbytes + self.right.nbytes + self.said.nbytes

    @property
    def accuracy(self) -> float:
        """The share that is right; NaN of denoisers."""
        return float(self.right.mean())


@dataclass(frozen=True, eq=False)
class Damage:
    """What interventions cost over N test examples."""

    cuts: tuple[Cut, ...]
    before: Scores
    after: Scores
    truth: np.ndarray | None  # (N,) or (N, T), -100 where nothing is asked; None of denoisers

    @property
    def rise(self) -> float:
        """By how much the mean loss rises."""
        return float((self.after.loss - self.before.loss).mean())

    @property
    def margin(self) -> float:
        """Half of the 95 % confidence interval of the rise, over examples."""
        change = self.after.loss - self.before.loss
        return float(Z * change.std(ddof=1) / math.sqrt(len(change))) if len(change) > 1 else math.nan

    @property
    def changed(self) -> np.ndarray:
        """(K, 1) the examples, or (K, 2) the texts and their places, where the answer is another."""
        other = self.before.said != self.after.said
        return np.argwhere(other if self.truth is None or other.ndim == 1 else other & (self.truth != -100))


@dataclass(frozen=True, eq=False)
class Trial:
    """Examples with what a network should answer to them."""

    given: Feed
    target: Tensor  # (N,) classes or (N, T) tokens, -100 where nothing is asked; or (N, …) floats as the answer itself

    def batches(self, size: int = BATCH) -> Iterator["Trial"]:
        """The examples, so many at a time."""
        for start in range(0, len(self.given), size):
            yield Trial(self.given.rows(start, start + size), self.target[start : start + size])

    def losses(self, answer: Tensor) -> Tensor:
        """(N,) the loss of each example."""
        target, answer = self.target, answer.float()
        if target.is_floating_point():
            return (answer - target).square().flatten(1).mean(1)
        if target.ndim == 1:
            return functional.cross_entropy(answer, target, reduction="none")
        each = functional.cross_entropy(answer.transpose(1, 2), target, reduction="none", ignore_index=-100)  # (N, T)
        return each.sum(1) / (target != -100).sum(1).clamp(min=1)

    def right(self, answer: Tensor) -> Tensor:
        """(N,) whether, or of texts how often, it is right."""
        if self.target.is_floating_point():
            return answer.new_full((len(answer),), math.nan)
        hit = (answer.argmax(-1) == self.target).float()
        return hit if hit.ndim == 1 else hit.sum(1) / (self.target != -100).sum(1).clamp(min=1)


class Table:
    """A borrowed network on which one operates; see `table`."""

    def __init__(self, model: Model, net: nn.Module) -> None:
        self.model, self.net = model, net
        self.parts = {name: part for name, part in net.named_modules() if name}
        self._calls: dict[str, tuple[int, int]] | None = None  # attention layer → number of its call, heads

    def run(self, given: Feed, changes: Mapping[Place, Change]) -> Tensor:
        """What the network answers where `changes` say what goes on from a place; every hook is gone afterwards.

        A layer that gives several tensors has its first one changed. Raises ExplorerError for a place that there isn't.
        """
        met: set[Place] = set()
        by_module: dict[str, dict[str, Change]] = {}
        by_number: dict[int, Change] = {}
        with ExitStack() as stack:
            for (layer, of_heads), change in changes.items():
                module = layer.partition(CALL)[0]
                if module not in self.parts:
                    raise self.unknown(layer)
                if not of_heads:
                    by_module.setdefault(module, {})[layer] = change
                elif layer in (known := self.heads(given)):
                    tell = _noting(change, met, (layer, True))
                    if known[layer][0] >= 0:
                        by_number[known[layer][0]] = tell
                    else:
                        out, several = self.parts[module].to_out[0], known[layer][1]
                        stack.callback(out.register_forward_pre_hook(_sliced(tell, several)).remove)
                else:
                    some = ", ".join(list(known)[:20]) or "none of this network's layers"
                    raise ExplorerError(f"The heads of {layer!r}", "none can be reached there", f"There are: {some}")
            for module, mine in by_module.items():
                stack.callback(self.parts[module].register_forward_hook(_hook(module, mine, met)).remove)
            if by_number:
                stack.enter_context(watch(self.net, by_number, keep=False))
            answer = given.run(self.net)
        for layer, _ in changes.keys() - met:
            raise ExplorerError(f"The layer {layer!r}", "it did not run in this pass", "Choose one that the map shows")
        return answer

    def heads(self, given: Feed) -> dict[str, tuple[int, int]]:
        """The attention layers whose heads can be reached: the number of the call, or -1, and how many heads."""
        if self._calls is None:
            names = {part: name for name, part in self.parts.items()}
            self._calls, seen = {}, {}
            with watch(self.net) as calls:
                given.rows(0, 1).run(self.net)
            for number, call in enumerate(calls):
                name = names[call.module]
                seen[name] = seen.get(name, 0) + 1
                called = name if seen[name] == 1 else f"{name}{CALL}{seen[name]}"
                self._calls[called] = (number, call.output.shape[1])
            for name, part in self.parts.items():
                theirs = type(part).__module__.startswith("diffusers.")
                if theirs and hasattr(part, "to_out") and hasattr(part, "heads"):
                    self._calls[name] = (-1, part.heads)
        return self._calls

    def unknown(self, layer: str) -> ExplorerError:
        """Why a layer can't be operated on."""
        some = ", ".join([*self.parts][:40])
        return ExplorerError(f"The layer {layer!r}", "this model has none of that name", f"Choose of: {some}")

    def seen(self, given: Feed, places: Sequence[Place]) -> dict[Place, Tensor]:
        """What is at some places in an intact pass."""
        found: dict[Place, Tensor] = {}

        def keep(place: Place) -> Change:
            def look(x: Tensor) -> Tensor:
                found[place] = x.clone()
                return x

            return look

        self.run(given, {place: keep(place) for place in places})
        return found

    def changes(self, cuts: Sequence[Cut], given: Feed, over: int | Feed = SAMPLE) -> dict[Place, Change]:
        """What interventions do to a pass of these examples, in their order."""
        put = self._replacements(cuts, given, over)
        mine: dict[Place, list[Cut]] = {}
        for cut in cuts:
            mine.setdefault(cut.place, []).append(cut)

        def all_of(some: list[Cut]) -> Change:
            def change(x: Tensor) -> Tensor:
                for cut in some:
                    x = changed(x, cut, put.get(cut))
                return x

            return change

        return {place: all_of(some) for place, some in mine.items()}

    def _replacements(self, cuts: Sequence[Cut], given: Feed, over: int | Feed) -> dict[Cut, Tensor]:
        """What is put in place: means (C,), for heads (H, d), and activations from elsewhere (1 or N, …)."""
        put: dict[Cut, Tensor] = {}
        averaged = [cut for cut in cuts if cut.how == "mean"]
        if averaged:
            found = means(self, [cut.place for cut in averaged], given, over)
            put |= {cut: found[cut.place] for cut in averaged}
        sources: dict[str, list[Cut]] = {}
        for cut in cuts:
            if cut.how == "patch":
                sources.setdefault(cut.source, []).append(cut)
        for source, some in sources.items():
            places = list(dict.fromkeys(cut.place for cut in some))
            found = self._elsewhere(source, given, places)
            put |= {cut: found[cut.place] for cut in some}
        return put

    def _elsewhere(self, source: str, given: Feed, places: Sequence[Place]) -> dict[Place, Tensor]:
        """What is at some places for another input, or in another network."""
        model = self.model
        if not source:
            return self.seen(given, places)
        if source.startswith(TEST):
            return self.seen(test_example(model, source.removeprefix(TEST), given), places)
        if source.startswith(TEXT):
            return self.seen(_alike(given, feed(model, source.removeprefix(TEXT))), places)
        other = zoo.load(source)
        if (other.card.architecture, other.card.task, other.card.shape) != (
            model.card.architecture, model.card.task, model.card.shape,
        ):  # fmt: skip
            raise ExplorerError(
                f"A patch from {source}", f"it is not built like {model.card.ref}",
                "Choose another checkpoint of the same run, or a network of the same architecture",
            )  # fmt: skip
        with table(other) as its:
            return its.seen(_for(other, given), places)


@contextmanager
def table(model: Model) -> Iterator[Table]:
    """A network laid open for the length of a `with`; the shared one is never touched."""
    with model.borrow() as net, calm(net), torch.inference_mode():
        yield Table(model, net)


def changed(x: Tensor, cut: Cut, put: Tensor | None = None) -> Tensor:
    """What is at a place after an intervention, a new tensor; `put` is what comes in its stead, see `Table.changes`.

    x: (N, C, H, W) maps, (N, T, C) tokens, (N, C) vectors, or (N, H, T, d) heads. Raises ExplorerError for numbers that
    there aren't.
    """
    if x.ndim < 2 or not x.is_floating_point():
        raise ExplorerError(f"The layer {cut.layer!r}", "it gives out no units that can be changed", "Choose another")
    if cut.of == "token" and x.ndim != 3:
        raise ExplorerError(f"Tokens of {cut.layer!r}", "it gives out none", "Choose channels, or another layer")
    axis = axis_of(x, cut.of)
    if cut.units and max(cut.units) >= x.shape[axis]:
        raise ExplorerError(
            f"{cut.of.capitalize()} {max(cut.units)} of {cut.layer!r}",
            f"it has {x.shape[axis]}, counted from 0", f"Choose 0 to {x.shape[axis] - 1}",
        )  # fmt: skip
    where = (slice(None),) * axis + (torch.tensor(cut.units, device=x.device) if cut.units else slice(None),)
    new = x.clone()
    if cut.how == "zero":
        new[where] = 0
    elif cut.how == "scale":
        new[where] = x[where] * cut.value
    else:
        new[where] = _fitted(put.to(x), x, cut)[where]
    return new


def axis_of(x: Any, of: str = "unit") -> int:
    """Along which axis of an output its channels or units lie, or its tokens; heads lie as channels do."""
    return 1 if of in ("token", "head") or x.ndim == 4 else x.ndim - 1


def _fitted(put: Tensor, x: Tensor, cut: Cut) -> Tensor:
    """What is put in place, as large as what was there."""
    if cut.how == "mean":
        if cut.of == "head":
            return put[None, :, None].expand_as(x)  # (H, d) → (N, H, T, d)
        return (put.view(-1, 1, 1) if x.ndim == 4 else put).expand_as(x)
    if put.shape[1:] != x.shape[1:] or len(put) not in (1, len(x)):
        what = "tokens" if x.ndim == 3 or cut.of == "head" else "places"
        raise ExplorerError(
            f"A patch of {cut.layer!r} from {cut.source[:60] or 'the input itself'}",
            f"it is {_shape(put)} there and {_shape(x)} here",
            f"Choose a source with as many {what}: both must have the same shape",
        )
    return put.expand_as(x)


def _shape(x: Tensor) -> str:
    return "×".join(map(str, x.shape[1:]))


_means: WeakKeyDictionary[Model, dict[tuple[Any, ...], Tensor]] = WeakKeyDictionary()
_lock = threading.Lock()
REMEMBERED = 256  # means of one network


def means(on: Table, places: Sequence[Place], given: Feed, over: int | Feed = SAMPLE) -> dict[Place, Tensor]:
    """The mean of every channel over examples and places, (C,), or of every head's output, (H, d).

    over: examples, or how many of the network's test examples; of texts only their own tokens count.
    """
    model, whole = on.model, isinstance(over, Feed)
    share = share_of(model, given)
    with _lock:
        known = _means.setdefault(model, {})
        found = {} if whole else {place: known[place, over, share] for place in places if (place, over, share) in known}
    wanted = [place for place in dict.fromkeys(places) if place not in found]
    if not wanted:
        return found
    sums: dict[Place, Tensor] = {}
    counts: dict[Place, int] = {}
    for batch in (over if whole else sample(model, over, time=share)).batches(BATCH):
        for place, x in on.seen(batch, wanted).items():
            rows = _rows_of(x, batch, place)  # (rows, C), of heads (rows, H, d)
            sums[place] = sums.get(place, 0) + rows.double().sum(0)
            counts[place] = counts.get(place, 0) + len(rows)
    fresh = {place: (sums[place] / counts[place]).float() for place in wanted}
    if not whole:
        with _lock:
            known |= {(place, over, share): value for place, value in fresh.items()}
            for oldest in [*known][: max(0, len(known) - REMEMBERED)]:
                del known[oldest]
    return found | fresh


def _rows_of(x: Tensor, given: Feed, place: Place) -> Tensor:
    """All vectors that a mean is taken over; tokens that only fill are left out."""
    if place[1]:  # (N, H, T, d)
        x = x.transpose(1, 2)  # (N, T, H, d)
    elif x.ndim == 4:
        return x.movedim(1, -1).flatten(0, 2)
    elif x.ndim == 2:
        return x
    keeps = [keep for keep in (given.keep, given.inputs.get("attention_mask")) if keep is not None]
    if "encoder" in place[0]:
        keeps.reverse()  # of an encoder-decoder: what its encoder reads, and who looks at that
    fitting = [keep.bool() for keep in keeps if keep.shape == x.shape[:2]]
    return x[fitting[0]] if fitting else x.flatten(0, 1) if x.ndim > 2 else x


def share_of(model: Model, given: Feed) -> float:
    """Of a denoiser, how far its examples are on their way into noise, as `sample` is told it."""
    if not isinstance(model, Denoiser) or given.time is None:
        return TIME
    flow = model.config.get("prediction_type") == FLOW
    return (float(given.time) - flow) / (len(alphas_bar(model.config)) - 1)


def test_example(model: Model, number: str, given: Feed) -> Feed:
    """A test example of the network's own data by its number, noised as far as `given`."""
    found = dataset(model)
    if found is None:
        raise ExplorerError(f"Test example {number}", "this network's own test data are not here", "Bring a text, or "
                            "patch from another network")  # fmt: skip
    if not number.isdecimal() or int(number) >= len(found):
        raise ExplorerError(f"Test example {number[:20]!r}", "there is none of that number",
                            f"Choose 0 to {len(found) - 1}")  # fmt: skip
    index = int(number)
    if isinstance(model, Denoiser):
        return sample(model, index + 1, time=share_of(model, given), first=index)
    if isinstance(model, TextModel):
        return _alike(given, feed(model, found.texts[index]))
    return feed(model, found.x[index : index + 1])


def _alike(given: Feed, other: Feed) -> Feed:
    """Another text as it is asked beside `given`: with the same places masked, where each row masks one of its own."""
    ids, its = given.inputs["input_ids"], other.inputs["input_ids"]
    if its.shape[1] != ids.shape[1]:
        raise ExplorerError(
            "A patch from another text", f"it has {its.shape[1]} tokens, and this one {ids.shape[1]}",
            "Write one of as many tokens",
        )  # fmt: skip
    if not given.tokens or len(ids) == 1:
        return other
    model, rows = given.model, len(ids)
    inputs = {name: value.expand(rows, -1).clone() for name, value in other.inputs.items()}
    masked = ids == model.tokenizer.mask_token_id
    inputs["input_ids"][masked] = model.tokenizer.mask_token_id
    return replace(other, inputs=inputs, keep=other.keep.expand(rows, -1))


def _for(other: Model, given: Feed) -> Feed:
    """The same examples as another network of the same build takes them."""
    mine, its = given.model.card, other.card
    if given.pixels is not None and not isinstance(other, Denoiser) and (mine.mean, mine.std) != (its.mean, its.std):
        return feed(other, given.pixels)
    if isinstance(other, TextModel) and its.labels != mine.labels:
        raise ExplorerError(f"A patch from {its.ref}", "it has another vocabulary", "Choose one with the same words")
    return replace(given, model=other)


def operate(ref: str | Model, x: Any = None, cuts: Sequence[Cut] = (), over: int | Feed = SAMPLE) -> Operation:
    """What a network answers to examples intact, and with all these interventions at once.

    x: as of `feed`. over: what "mean" is taken over, see `means`. One text is asked as `attention.predict` asks it: a
    masked language model for each of its tokens, masked in turn, unless the text has masks itself.
    Raises ExplorerError for a layer, a unit or a way that there isn't. Without cuts both answers are the same bits.
    Sources: ablation as in Morcos et al. 2018, section 2; patching as in Vig et al. 2020, and Meng et al. 2022,
    section 2.1.
    """
    began, model = TURNS.clock(), opened(ref)
    given = feed(model, x)
    checked(cuts)
    asked = _asked(given)
    if asked is not None and asked.kind == "masked":
        rows = asked.size
        given = replace(given, inputs=asked.inputs, keep=given.keep.expand(rows, -1))
    with table(model) as on:
        before = on.run(given, {})
        after = on.run(given, on.changes(cuts, given, over)) if cuts else before
    return _told(model, tuple(cuts), asked, before, after, TURNS.clock() - began)


def checked(cuts: Sequence[Cut]) -> None:
    """Refuses more interventions than can be meant."""
    if len(cuts) > MOST:
        raise ExplorerError(f"{len(cuts)} interventions", f"there can be {MOST} at once", "Take some of them back")


def _asked(given: Feed) -> Question | None:
    """What one text asks of a network that answers; of an encoder-decoder its last answer is not known yet."""
    model = given.model
    if not isinstance(model, TextModel) or not given.tokens or model.card.task == "feature-extraction":
        return None
    ids: tuple[int, ...] = ()
    if "decoder_input_ids" in given.inputs:
        ids = tuple(given.inputs["decoder_input_ids"][0].tolist())
    reading = Reading(model, None, given.inputs, given.tokens, answer=(*ids[1:], 0) if ids else (), decoder_ids=ids)
    return ask(reading)


def _told(
    model: Model, cuts: tuple[Cut, ...], asked: Question | None, before: Tensor, after: Tensor, seconds: float
) -> Operation:
    if asked is None:
        kind = "noise" if isinstance(model, Denoiser) else "states"
        if not isinstance(model, Denoiser) and model.card.task != "feature-extraction":
            kind = "class"
        return Operation(model.card.ref, cuts, kind, array(before), array(after), None, None, seconds)
    if asked.kind != "class":
        before, after = (one[asked.rows, asked.positions] for one in (before, after))  # (P, vocabulary)
    if asked.kind == "answer":
        asked.labels[-1] = before[-1].argmax().cpu()
    sides = [one.float().log_softmax(-1).cpu() for one in (before, after)]
    return Operation(
        model.card.ref, cuts, asked.kind, array(before), array(after),
        told(asked, sides[0], others=sides[1]), told(asked, sides[1], others=sides[0]), seconds,
    )  # fmt: skip


def trial(model: Model, count: int = SAMPLE, start: int = 0, share: float = TIME) -> Trial:
    """Test examples from number `start` on, with the truth; of a denoiser, `share` noised, with the noise.

    Raises ExplorerError where the network's own data are not here.
    """
    found = dataset(model)
    if found is None:
        raise ExplorerError("The damage over test examples", "this network's own test data are not here",
                            "Look at the one example, or choose a shipped model")  # fmt: skip
    count = max(1, min(count, len(found) - start))
    whole = sample(model, start + count, time=share)
    given = whole.rows(start, start + count)
    if isinstance(model, Denoiser):
        return Trial(given, _noise(model, whole, share)[start:])
    target = torch.from_numpy(np.array(given.y)).long().to(model.device)
    return _masked(given, target, start) if model.card.task == "fill-mask" else Trial(given, target)


def _masked(given: Feed, target: Tensor, start: int) -> Trial:
    """Texts with 15 % of their words masked, always the same ones; only these are asked, as in training.

    Source: Devlin et al. 2019, section 3.1, with every word that is asked hidden.
    """
    model, ids = given.model, given.inputs["input_ids"]
    special = torch.tensor(sorted(set(model.tokenizer.all_special_ids)), device=ids.device)
    words = (target != -100) & ~torch.isin(ids, special)
    draw = np.random.default_rng(0).random((start + len(ids), model.longest))[start:, : ids.shape[1]]
    asked = words & (torch.from_numpy(draw).to(ids.device) < MASKED)
    first = words.float().argmax(1)  # a text of which none was drawn is asked for its first word
    asked[torch.arange(len(ids)), first] |= ~asked.any(1) & words.any(1)
    shown = ids.masked_fill(asked, model.tokenizer.mask_token_id)
    target = target.masked_fill(~asked, -100)
    return Trial(replace(given, inputs=given.inputs | {"input_ids": shown}, y=target.cpu().numpy()), target)


def _noise(model: Denoiser, given: Feed, share: float) -> Tensor:
    """What a denoiser should answer to `sample(model, …)`, whose noise is drawn from the same seed."""
    found = dataset(model)
    with model.borrow() as parts, torch.inference_mode():
        clean = model.encode(parts, found.x[: len(given)])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).to(clean)
    shares = torch.from_numpy(alphas_bar(model.config)).to(clean)
    _, target = question(model.config, clean, noise, shares[round(share * (len(shares) - 1))].expand(len(clean)))
    return target


def believed(model: Denoiser, given: Feed, answer: np.ndarray) -> np.ndarray:
    """The clean pictures (N, H, W, C) uint8, or points (N, 2), that answers (N, …) of a denoiser mean."""
    shares = alphas_bar(model.config)
    share = shares[round(share_of(model, given) * (len(shares) - 1))][None]
    predicts = model.config.get("prediction_type", "epsilon")
    shown = given.inputs["x"].float().cpu().numpy()[None]  # (1, N, …)
    shown = shown * factor(share, "straight") if predicts == FLOW else shown
    clean, _ = meaning(shown, answer[None], predicts, share)
    with model.borrow() as parts, torch.inference_mode():
        return model.decode(parts, torch.from_numpy(clean[0]).float().to(model.device))


def own(on: Table, given: Feed) -> Trial:
    """Examples with the network's own answer as the truth: what is lost is what it would have said.

    A masked language model is asked for the masks of its texts or, where there are none, for 15 % of their words.
    """
    asked = None
    if given.model.card.task == "fill-mask":
        ids = given.inputs["input_ids"]
        asked = ids == given.model.tokenizer.mask_token_id
        if not asked.any():
            hidden = _masked(given, ids, 0)
            given, asked = hidden.given, hidden.target != -100
    answer = on.run(given, {})
    if given.time is not None or given.model.card.task == "feature-extraction":
        return Trial(given, answer)
    best = answer.argmax(-1)
    if asked is None and given.keep is not None and best.ndim == 2:
        asked = given.keep
    return Trial(given, best if asked is None else best.masked_fill(~asked, -100))


def scores(
    ref: str | Model,
    cuts: Sequence[Cut] = (),
    count: int = SAMPLE,
    share: float = TIME,
    on_step: Callable[[float], None] = lambda share: None,
) -> Scores:
    """How well a network does on its first `count` test examples with these interventions."""
    began, model = TURNS.clock(), opened(ref)
    checked(cuts)
    asked = trial(model, count, share=share)
    losses, rights, saids = [], [], []
    with table(model) as on:
        for batch in asked.batches():
            answer = on.run(batch.given, on.changes(cuts, batch.given) if cuts else {})
            losses.append(array(batch.losses(answer)))
            rights.append(array(batch.right(answer)))
            silent = batch.target.is_floating_point()
            saids.append(np.empty((len(answer), 0), np.int64) if silent else array(answer.argmax(-1)))
            on_step(sum(map(len, losses)) / len(asked.given))
    return Scores(*map(np.concatenate, (losses, rights, saids)), TURNS.clock() - began)


def damage(ref: str | Model, cuts: Sequence[Cut], count: int = SAMPLE, share: float = TIME) -> Damage:
    """What interventions cost over the first `count` test examples of a network's own data.

    share: of a denoiser, how far they are noised. Raises ExplorerError as `operate`, and where there are no test data.
    """
    model = opened(ref)
    return joined(model, cuts, scores(model, (), count, share), scores(model, cuts, count, share))


def joined(model: Model, cuts: Sequence[Cut], before: Scores, after: Scores) -> Damage:
    """What two measurements over the same examples say of the interventions between them."""
    truth = None if isinstance(model, Denoiser) else array(trial(model, len(before.loss)).target)
    return Damage(tuple(cuts), before, after, truth)


def _hook(module: str, changes: Mapping[str, Change], met: set[Place]) -> Callable[..., Any]:
    """A forward hook that changes the first tensor of the calls that are named, and leaves the rest as it is."""
    count = 0

    def hook(part: nn.Module, inputs: Any, output: Any) -> Any:
        nonlocal count
        count += 1
        name = module if count == 1 else f"{module}{CALL}{count}"
        if name not in changes:
            return None
        met.add((name, False))
        first = first_tensor(output)
        if first is None:
            raise ExplorerError(f"The layer {name!r}", "it gives out no tensor", "Choose another")
        new = changes[name](first)
        return None if new is first else _with_first(output, first, new)

    return hook


def _with_first(value: Any, first: Tensor, new: Tensor) -> Any:
    """The same nesting of the same types with one tensor in another's place."""
    if isinstance(value, Tensor):
        return new if value is first else value
    if isinstance(value, Mapping):  # transformers' outputs are dicts that know their fields
        made, done = {}, False
        for name, part in value.items():
            made[name] = part if done else _with_first(part, first, new)
            done = done or made[name] is not part
        return type(value)(**made) if all(isinstance(name, str) for name in made) else type(value)(made)
    if isinstance(value, tuple | list):
        parts, done = [], False
        for part in value:
            parts.append(part if done else _with_first(part, first, new))
            done = done or parts[-1] is not part
        if not done:
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _noting(change: Change, met: set[Place], place: Place) -> Change:
    """The same change, which notes that its place was reached."""

    def noted(x: Tensor) -> Tensor:
        met.add(place)
        return change(x)

    return noted


def _sliced(change: Change, heads: int) -> Callable[..., Any]:
    """A hook before an output projection whose input is all heads in a row, (N, T, H · d)."""

    def before(part: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = inputs[0].unflatten(-1, (heads, -1)).transpose(1, 2)  # (N, H, T, d)
        new = change(x)
        return inputs if new is x else (new.transpose(1, 2).flatten(2), *inputs[1:])

    return before
