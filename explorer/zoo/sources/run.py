"""`run:<id>` and `run:<id>@<step>`: what somebody trained here, at any checkpoint that was kept."""

import re
from dataclasses import replace

from explorer import belongings, runs
from explorer.zoo import own
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref
from explorer.zoo.sources.base import SOURCES, unavailable
from explorer.zoo.store import Found


def settle(ref: Ref) -> Ref:
    """Name the checkpoint to open: the best one unless the ref says which."""
    folder = runs.folder(ref.name)
    belongings.use(folder.parent)
    step = runs.best(folder) if ref.step is None else ref.step
    kept = runs.checkpoints(folder)
    if step is None or not kept:
        raise unavailable(ref, "this run has kept no checkpoint yet")
    if step not in kept:
        raise unavailable(ref, f"this run kept its weights after the steps {', '.join(map(str, kept))}")
    return replace(ref, step=step)


@SOURCES.register(
    "run",
    form="run:<id> or run:<id>@<step>",
    pattern=re.compile(r"(?P<name>[0-9a-f]{32})(@(?P<step>[0-9]{1,8}))?"),
    settle=settle,
)
def find(ref: Ref) -> Found:
    """A network that was trained here."""
    folder = runs.folder(ref.name)
    card = replace(Card.read(folder / "card.json"), ref=str(ref))
    return own.find(card, runs.checkpoint(folder, ref.step))
