"""`zoo:<name>`: the models that ship with the explorer."""

import contextlib
import functools
import re
from dataclasses import replace
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.zoo import own, saved
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref
from explorer.zoo.sources.base import SOURCES, unavailable
from explorer.zoo.store import Found

SHIPPED = Path(__file__).parents[1] / "shipped"
PRETRAINED = "pretrained"  # beside the card: a language model as transformers saves it


def shipped() -> list[Card]:
    """The cards of the shipped models, in order of their names; a damaged one is told when that model is opened."""
    found = []
    for path in sorted(SHIPPED.glob("*/card.json")):
        with contextlib.suppress(ExplorerError):
            found.append(_card(path))
    return found


def recorded(ref: str) -> bool:
    """Whether the run that made a shipped model ships with it."""
    return (SHIPPED / ref.removeprefix("zoo:") / "config.json").is_file()


@SOURCES.register("zoo", form="zoo:<name>", pattern=re.compile(r"(?P<name>(?=.{1,60}\Z)[a-z0-9]+(-[a-z0-9]+)*)"))
def find(ref: Ref) -> Found:
    """A small model that ships with the explorer."""
    folder = SHIPPED / ref.name
    if not (folder / "card.json").is_file():
        raise unavailable(ref, "no model of that name ships with the explorer")
    card = _card(folder / "card.json")
    if (folder / PRETRAINED).is_dir():
        return Found(card.bytes, lambda: saved.load(ref, folder / PRETRAINED, card.made, card))
    return own.find(card, folder / "model.safetensors")


def _card(path: Path) -> Card:
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read(path: Path, written: int) -> Card:
    """The card as it was written then: pages with a picker read all of them at each move."""
    return replace(Card.read(path), ref=f"zoo:{path.parent.name}")
