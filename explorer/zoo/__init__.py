"""Which ready models exist, and how a ref becomes a model that everybody shares. Importing this imports no torch."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.settings import settings
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref, parse
from explorer.zoo.store import Store

if TYPE_CHECKING:
    from explorer.zoo.model import Model

__all__ = ["Card", "Price", "Ref", "cards", "held", "load", "parse", "price"]


def load(ref: str) -> "Model":
    """The model that a ref names, opened once for everybody; raises ExplorerError when it can't be had.

    ref: `zoo:<name>`, `run:<id>`, `run:<id>@<step>`, `torchvision:<name>`, `hf:<owner>/<name>`, `file:<folder>`.
    """
    from explorer.zoo.sources import SOURCES

    settled = _settled(ref)
    return _store().get(settled, SOURCES[settled.source].make)


@dataclass(frozen=True)
class Price:
    """What opening a model takes, in bytes."""

    download: int  # from the Hugging Face Hub; 0 where it is here already
    memory: int  # of its weights


def price(ref: str) -> Price:
    """What opening a model will take; raises ExplorerError when it can't be had. It asks the Hub, and opens nothing.

    Downloads from torchvision are not counted.
    """
    from explorer.zoo.sources import SOURCES
    from explorer.zoo.sources.base import Remote

    settled = _settled(ref)
    size = dict(held()).get(str(settled))
    if size is not None:
        return Price(0, size)
    found = SOURCES[settled.source].make(settled)
    return Price(found.download if isinstance(found, Remote) else 0, found.bytes)


def cards(task: str | None = None) -> list[Card]:
    """The card of every shipped model, of one task where one is given: they open without a network."""
    from explorer.zoo.sources.zoo import shipped

    return [card for card in shipped() if task in (None, card.task)]


def held() -> list[tuple[str, int]]:
    """The models held open now and their bytes, the least recently used first."""
    return _store().held()


def _settled(ref: str) -> Ref:
    """The parts of a ref, with what it leaves open filled in."""
    from explorer.zoo.sources import SOURCES

    parsed = parse(ref)
    settle = SOURCES[parsed.source].facts.get("settle")
    return settle(parsed) if settle else parsed


@functools.cache
def _store() -> Store:
    return Store(settings().limits.store)
