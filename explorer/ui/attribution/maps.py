"""Answers as tiles of heat maps, with what the person chose to see of them in the URL."""

from collections.abc import Sequence

import numpy as np

from explorer.attribution.arena import Answer
from explorer.attribution.base import METHODS, Attribution
from explorer.ui.heatmaps import Tile, View, heatmaps


def tiles(answers: Sequence[Answer], mask: np.ndarray | None = None) -> list[Tile]:
    """One tile for each answer; a refusal is a tile that says why."""
    return [tile(answer.found, mask) if answer.found else _refused(answer, answers) for answer in answers]


def tile(found: Attribution, mask: np.ndarray | None = None, title: str = "", note: str = "") -> Tile:
    """One map."""
    facts = METHODS[found.method].facts
    passes = f"{found.evaluations:,} {'pass' if found.evaluations == 1 else 'passes'}"
    where = f" · {found.layer}" if found.layer else ""
    told = note or f"{1000 * found.seconds:.0f} ms · {passes}{where}" + ("" if found.complete else " · cut off")
    return Tile(title or facts["title"], told, found.scores, found.picture, mask)


def _refused(answer: Answer, answers: Sequence[Answer]) -> Tile:
    known = [other.found.picture for other in answers if other.found]
    picture = known[0] if known else np.full((8, 8, 1), 128, np.uint8)
    told = f"{answer.refusal.wrong}. {answer.refusal.do}." if answer.refusal else ""
    return Tile(answer.title, "", None, picture, warning=told)


def show(drawn: Sequence[Tile], key: str, side: int = 200) -> View:
    """Draw tiles; how they are seen is `?show=`, `?opacity=`, `?scale=` and `?outline=` in the URL of every view."""
    return heatmaps(drawn, key, side=side, prefix="")
