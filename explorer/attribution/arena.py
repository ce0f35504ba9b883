"""The arena: one question put to any number of methods, and every answer measured; what was computed once is kept."""

import functools
import statistics
import time
import weakref
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from explorer import zoo
from explorer.attribution.base import METHODS, Attribution, Case
from explorer.attribution.explain import SECONDS, explain, open_case, price, unfit
from explorer.attribution.measures import Measured, covered, measure
from explorer.errors import ExplorerError
from explorer.params import check
from explorer.store import ANSWERS
from explorer.turns import TURNS
from explorer.zoo.model import Model

DEFAULT = (
    "grad_cam", "integrated_gradients", "deeplift", "smoothgrad", "saliency", "guided_backprop", "sobel", "random",
)  # fmt: skip

SAME = 0  # seed of all that measures draw: every map is measured on the same squares and noise, whatever it drew itself

_paces: weakref.WeakKeyDictionary[Model, float] = weakref.WeakKeyDictionary()

Settings = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Example:
    """A picture with what is known of it; two of the same key are the same."""

    key: str  # "shapes/test/12", or the digest of an upload
    pixels: Any = field(compare=False)  # as `Model.preprocess` takes it, one picture
    y: int | None = field(default=None, compare=False)  # its true class
    mask: np.ndarray | None = field(default=None, compare=False)  # (H, W) bool, the object's pixels


@dataclass(frozen=True)
class Question:
    """Why does this network answer so to this picture?"""

    ref: str
    example: Example
    target: int | None = None  # None: the predicted class
    versus: int | None = None  # the class to compare with
    layer: str = ""  # "": the automatic one
    seed: int = 0

    @property
    def key(self) -> tuple[Hashable, ...]:
        """What stands for it, without its pixels."""
        return self.ref, self.example.key, self.target, self.versus, self.layer, self.seed


@dataclass(frozen=True, eq=False)
class Answer:
    """What one method said to a question: a map, or why there is none."""

    method: str
    found: Attribution | None
    refusal: ExplorerError | None = None

    @property
    def title(self) -> str:
        """The method's name for people."""
        return METHODS[self.method].facts["title"]

    @property
    def nbytes(self) -> int:
        """Bytes held, near enough."""
        return 1000 + (self.found.scores.nbytes + self.found.picture.nbytes if self.found else 0)


def ask(question: Question, methods: Mapping[str, Settings], seconds: float = SECONDS) -> tuple[Answer, ...]:
    """Every method's answer, in order; one that refuses, or fails for want of time or memory, stops no other.

    methods: each with its settings, where they differ from the defaults. seconds: for each method.
    """
    with ExitStack() as stack:
        case = functools.cache(lambda: stack.enter_context(_open(question)))  # once for all
        return tuple(_ask(question, method, values, seconds, case) for method, values in methods.items())


def marks(question: Question, methods: Mapping[str, Settings], repeats: int = 0) -> list[Measured | None]:
    """The measures of every method's answer, all in one turn; None where it has none."""
    keys = [_marked_at(question, method, values, repeats) for method, values in methods.items()]
    with nullcontext() if all(map(ANSWERS.holds, keys)) else TURNS.take():
        return [
            None if answer.found is None else ANSWERS.get(key, lambda answer=answer: _marked(question, answer, repeats))
            for key, answer in zip(keys, ask(question, methods), strict=True)
        ]


def unanswered(question: Question, methods: Mapping[str, Settings]) -> dict[str, Settings]:
    """The methods whose answers are not kept."""
    return {
        method: values for method, values in methods.items() if not ANSWERS.holds(_kept_at(question, method, values))
    }


def _kept_at(question: Question, method: str, values: Settings) -> Hashable:
    """Where an answer is kept."""
    return "answer", _of(question, method).key, method, values


def unmarked(question: Question, methods: Mapping[str, Settings], repeats: int = 0) -> dict[str, Settings]:
    """The methods whose answers' measures are not kept."""
    return {
        method: values for method, values in methods.items()
        if not ANSWERS.holds(_marked_at(question, method, values, repeats))
    }  # fmt: skip


def _marked_at(question: Question, method: str, values: Settings, repeats: int) -> Hashable:
    """Where the measures of an answer are kept."""
    return "marks", _of(question, method).key, method, values, repeats


def _marked(question: Question, answer: Answer, repeats: int) -> Measured:
    with _open(question) as case:
        answers = ANSWERS.get(("covered", replace(question, layer="", seed=SAME).key), lambda: covered(case, SAME))
        return measure(case, answer.found, question.example.mask, SAME, repeats, answers)


def _ask(question: Question, method: str, values: Settings, seconds: float, case: Callable[[], Case]) -> Answer:
    asked = _of(question, method)

    def make() -> Answer:
        seeded = replace(case(), generator=torch.Generator().manual_seed(asked.seed))
        return Answer(method, explain(seeded, method, seconds, **dict(values)))

    try:
        return ANSWERS.get(_kept_at(question, method, values), make)
    except ExplorerError as error:  # not kept: there may be time or memory the next time
        return Answer(method, None, error)


def _of(question: Question, method: str) -> Question:
    """The question as far as it matters to a method: most read no layer, and draw nothing."""
    reads, draws = METHODS[method].facts["layer"], METHODS[method].facts["random"]
    return replace(question, layer=question.layer if reads else "", seed=question.seed if draws else 0)


def _open(question: Question) -> Any:
    return open_case(
        zoo.load(question.ref), question.example.pixels, question.target, question.versus, question.layer, question.seed
    )


def settled(method: str, values: Mapping[str, Any]) -> Settings:
    """The settings that differ from the method's defaults, sorted."""
    defaults = check(METHODS[method].make, {}, method)
    return tuple(sorted((name, value) for name, value in values.items() if value != defaults[name]))


def fitting(model: Model) -> tuple[str, ...]:
    """The methods that can explain a model, by family and title."""
    from explorer.attribution.base import FAMILIES

    def place(name: str) -> tuple[int, str]:
        facts = METHODS[name].facts
        return FAMILIES.index(facts["family"]), facts["title"]

    return tuple(sorted((name for name in METHODS if not unfit(model, name)), key=place))


def estimate(model: Model, methods: Mapping[str, Settings]) -> tuple[int, float]:
    """Passes through the network that the methods need at the most, and about how many seconds that is here."""
    passes = sum(price(model, name, **dict(values)) for name, values in methods.items())
    return passes, passes * pace(model)


def pace(model: Model) -> float:
    """Seconds that one example takes there and back, measured once for each model."""
    if model not in _paces:
        x = torch.rand(4, *model.card.shape, generator=torch.Generator().manual_seed(0)).to(model.device)
        times = []
        with model.borrow() as net, torch.inference_mode(False), torch.enable_grad():
            for _ in range(3):
                start = time.perf_counter()
                inputs = x.clone().requires_grad_()
                torch.autograd.grad(net(inputs).sum(), inputs)
                times.append((time.perf_counter() - start) / len(x))
        _paces[model] = statistics.median(times)
    return _paces[model]
