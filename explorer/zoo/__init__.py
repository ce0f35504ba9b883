"""Which ready models exist, and how a ref becomes a model that everybody shares. Importing this imports no torch."""

import functools
from typing import TYPE_CHECKING

from explorer.settings import settings
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref, parse
from explorer.zoo.store import Store

if TYPE_CHECKING:
    from explorer.zoo.model import Model

__all__ = ["Card", "Ref", "cards", "held", "load", "parse"]


def load(ref: str) -> "Model":
    """The model that a ref names, opened once for everybody; raises ExplorerError when it can't be had.

    ref: `zoo:<name>`, `run:<id>`, `run:<id>@<step>`, `torchvision:<name>`, `hf:<owner>/<name>`, `file:<folder>`.
    """
    from explorer.zoo.sources import SOURCES

    parsed = parse(ref)
    source = SOURCES[parsed.source]
    settle = source.facts.get("settle")
    return _store().get(settle(parsed) if settle else parsed, source.make)


def cards(task: str | None = None) -> list[Card]:
    """The card of every shipped model, of one task where one is given: they open without a network."""
    from explorer.zoo.sources.zoo import shipped

    return [card for card in shipped() if task in (None, card.task)]


def held() -> list[tuple[str, int]]:
    """The models held open now and their bytes, the least recently used first."""
    return _store().held()


@functools.cache
def _store() -> Store:
    return Store(settings().limits.store)
