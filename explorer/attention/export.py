"""Attention to take away: figures fit for a paper, and the weights with all that is needed to draw them again."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import PurePath

import numpy as np
from PIL import ImageColor

from explorer.attention.base import AttentionPatterns, Detail, Part
from explorer.charts.figure import (
    FRAME,
    GREY,
    INK,
    Box,
    Cells,
    Figure,
    Picture,
    Primitive,
    Strokes,
    Text,
    embedded,
    paint,
    png,
    shortened,
    svg,
    wide,
    wrapped,
)
from explorer.charts.theme import LIGHT
from explorer.errors import ExplorerError

__all__ = ["grid", "links", "matrix", "npz", "picture", "png", "svg", "to_json"]

FIRST = 1  # layers and heads are counted from 1 for people
SHOWN = 128  # tokens on a side that a matrix, or the lines, show at the most
MASS = 0.75  # of a query's attention that its lines hold, as the page begins with
SHADES = 10  # of lines
JSON_MOST = 4_000_000  # weights, beyond which JSON is no good form: 28 MB
AMOUNTS = ("#FFFFFF", *LIGHT.sequential[1:])  # nothing is white
BOLD = 1.15  # letters that are bold are so much wider
PAD, TITLE, SMALL, LONGEST = 20, 15, 10.5, 150  # pixels: round a figure, of its title, its notes, the longest token
SIDE, GAP, ACROSS = 190, 16, 4  # of the panels of a picture: pixels of one, between two, and how many stand in a row


def matrix(found: AttentionPatterns, part: str, layer: int, heads: Sequence[int]) -> Figure:
    """Tokens × tokens: how much each query, a row, looks at each key; of several heads the mean.

    Coloured by the root of the weight, from zero to the largest of the part, as on the page. What a causal head may not
    see lies outside the frame. Of more than 128 tokens it shows the first, and says so.
    """
    one = found.part(part)
    weights = one.weights[layer, list(heads)].mean(0)[:SHOWN, :SHOWN]  # (Q, K)
    rows, columns = weights.shape
    cell = float(np.clip(round(760 / max(rows, columns)), 10, 22))
    size = min(12.0, 0.82 * cell)
    beside, above = _names(one.queries[:rows], size), _names(one.keys[:columns], size)
    x = PAD + max(56, *(wide(name, size) for name in beside)) + 8
    y = PAD + TITLE + 14 + max(34, *(wide(name, size) for name in above)) + 8
    right, bottom = x + columns * cell, y + rows * cell
    middles = (np.arange(max(rows, columns)) + 0.5) * cell + 0.35 * size  # of a cell, as baseline of its token
    parts = [
        Text("key →", x - 8, y - 20, SMALL, GREY, "end"),
        Text("query ↓", x - 8, y - 6, SMALL, GREY, "end"),
        *(Text(name, x + at, y - 7, size, upright=True) for name, at in zip(above, middles, strict=False)),
        *(Text(name, x - 8, y + at, size, anchor="end") for name, at in zip(beside, middles, strict=False)),
        Cells(x, y, columns * cell, rows * cell, _shares(weights, one), AMOUNTS),
        Strokes(_frame(rows, columns, one.causal) * cell + [x, y, x, y], FRAME),
        *_scale(x, bottom + 14, float(one.weights.max())),
    ]
    notes = _cut(one, 0, 0)
    return _page(f"{_name(found.ref)} · {_where(one, layer, heads, 'mean of ')}", parts, right, bottom + 44, notes)


def links(
    found: AttentionPatterns, part: str, layer: int, heads: Sequence[int], token: int | None = None, mass: float = MASS
) -> Figure:
    """Two columns of tokens, joined by lines from each query to the keys that it looks at, in a colour for each head.

    token: the query whose lines alone are drawn. mass: of each query and head the strongest lines are drawn until they
    hold this share of its attention. Darker is stronger. Of more than 128 tokens it shows so many, and says so.
    """
    one = found.part(part)
    first = max(0, token - SHOWN + 1) if token is not None else 0  # query in sight
    key = first if one.queries == one.keys else 0
    before, after = one.queries[first : first + SHOWN], one.keys[key : key + SHOWN]
    high = float(np.clip(round(900 / max(len(before), len(after))), 12, 22))
    size = min(13.0, 0.8 * high)
    before, after = _names(before, size), _names(after, size)
    drawn = _strongest(one.weights[layer], heads, mass) - [0, first, key, 0]  # (N, 4) head, query, key, weight
    drawn = drawn[(drawn[:, 1:3] >= 0).all(1) & (drawn[:, 1] < len(before)) & (drawn[:, 2] < len(after))]
    strong: tuple[set[int], set[int]] = set(range(len(before))), set(range(len(after)))
    if token is not None:
        drawn = drawn[drawn[:, 1] == token - first]
        strong = {token - first}, set(drawn[:, 2].astype(int))
    left = PAD + max(44, *(wide(name, size) for name in before)) + 12
    right = left + 280
    edge = right + 12 + max(44, *(wide(name, size) for name in after))
    legend, y = _legend(heads, edge, PAD + TITLE + 22)
    parts = [
        *legend,
        Text("query", left - 12, y - 6, SMALL, GREY, "end"),
        Text("key", right + 12, y - 6, SMALL, GREY),
        *_lines(drawn, left - 6, right + 6, y, high),
    ]
    for names, x, anchor, dark in zip((before, after), (left - 12, right + 12), ("end", "start"), strong, strict=True):
        for row, name in enumerate(names):
            colour = INK if row in dark else GREY
            parts.append(Text(name, x, y + (row + 0.5) * high + 0.35 * size, size, colour, anchor))
    notes = [f"Of each query, the strongest lines that hold {mass:.0%} of its attention; darker is stronger."]
    bottom = y + high * max(len(before), len(after))
    title = f"{_name(found.ref)} · {_where(one, layer, heads)}"
    return _page(title, parts, edge, bottom + 6, notes + _cut(one, first, key))


def grid(found: AttentionPatterns, part: str, roles: Sequence[Sequence[str]] | None = None) -> Figure:
    """Layers × heads, each a small matrix, queries down and keys across, all on one scale.

    roles: by layer and head what stands below each, such as "previous token 0.93".
    """
    one = found.part(part)
    queries, keys = one.weights.shape[2:]
    side = float(np.clip(1040 / one.heads - 12, 64, 130))
    across, down = side * keys / max(queries, keys), side * queries / max(queries, keys)
    wider = max(across, 52.0)
    step = wider + 12, down + (36 if roles else 12)
    x, y = PAD + wide("Layer 10", 12) + 10, PAD + TITLE + 38
    parts: list[Primitive] = [
        Text(f"Head {head + FIRST}", x + head * step[0] + across / 2, y - 8, 12, anchor="middle")
        for head in range(one.heads)
    ]
    for layer in range(one.layers):
        top = y + layer * step[1]
        parts.append(Text(f"Layer {layer + FIRST}", x - 10, top + down / 2 + 4, 12, anchor="end"))
        for head in range(one.heads):
            left = x + head * step[0]
            parts.append(Cells(left, top, across, down, _shares(one.weights[layer, head], one), AMOUNTS))
            parts.append(Box(left - 1, top - 1, across + 2, down + 2, line=FRAME))
            words, _, score = roles[layer][head].rpartition(" ") if roles else ("", "", "")
            for row, line in enumerate(filter(None, (words, score))):
                parts.append(Text(shortened(line, 9, wider + 8), left, top + down + 12 + 11 * row, 9, GREY))
    bottom = y + one.layers * step[1] + 4
    parts += _scale(x, bottom, float(one.weights.max()))
    notes = ["Queries run down, keys across; one scale for all."]
    return _page(f"{_name(found.ref)} · {_kind(one)}all heads", parts, x + one.heads * step[0], bottom + 30, notes)


def picture(found: AttentionPatterns, layer: int, heads: Sequence[int], token: int | None = None) -> Figure:
    """Where in the picture a patch, or the class token, looks: the picture, and a panel for each head, on one scale.

    token: the query; None: the first, a class token as a rule. ValueError where there is no picture.
    """
    if found.patches is None:
        raise ValueError("a text has no picture")
    patches, one, token = found.patches, found.parts[0], token or 0
    rows = one.weights[layer, list(heads), token]  # (heads, K)
    over = rows[:, patches.before :].reshape(len(rows), patches.rows, patches.columns)
    high = float(over.max()) or 1.0
    tall, broad = patches.picture.shape[:2]
    across, down = SIDE * broad / max(tall, broad), SIDE * tall / max(tall, broad)
    step = max(across, 120.0) + GAP, down + 40
    columns = min(ACROSS, len(rows) + 1)
    top = PAD + TITLE + 34
    parts: list[Primitive] = []
    for number in range(len(rows) + 1):
        x, y = PAD + number % columns * step[0], top + number // columns * step[1]
        pixels = patches.picture if not number else _over(patches.picture, over[number - 1] / high)
        caption = f"Head {heads[number - 1] + FIRST}" if number else "What it sees"
        parts += [Text(caption, x, y - 7, 12), Picture(x, y, across, down, pixels)]
        parts.append(Box(x, y, across, down, line=FRAME))
        if token >= patches.before:
            row, column = divmod(token - patches.before, patches.columns)
            place = across / patches.columns, down / patches.rows
            corner = x + column * place[0], y + row * place[1]
            parts.append(Box(corner[0] - 3, corner[1] - 3, place[0] + 6, place[1] + 6, line="#FFFFFF", thick=4))
            parts.append(
                Box(corner[0] - 2, corner[1] - 2, place[0] + 4, place[1] + 4, line=LIGHT.categorical[1], thick=2)
            )
        if number and patches.before:
            rest = float(rows[number - 1, : patches.before].sum())
            outside = "the class token" if patches.before == 1 else f"the {patches.before} tokens before"
            parts.append(Text(f"{rest:.0%} on {outside}", x, y + down + 14, SMALL, GREY))
    bottom = top + -(-(len(rows) + 1) // columns) * step[1] - 8
    parts += _scale(PAD, bottom, high, linear=True)
    query = one.queries[token] if token < patches.before else f"patch in {one.queries[token]}"
    title = f"{_name(found.ref)} · layer {layer + FIRST} · {query}"
    return _page(title, parts, PAD + columns * step[0] - GAP, bottom + 30, [])


def to_json(found: AttentionPatterns, digits: int = 4) -> bytes:
    """All that is needed to draw the attention again: ref, parts with tokens and weights, and the picture if it is one.

    digits: decimals of each weight. Raises ExplorerError for more than four million weights.
    """
    total = sum(part.weights.size for part in found.parts)
    if total > JSON_MOST:
        raise ExplorerError("The weights as JSON", f"there are {total:,} of them", "Take them as NPZ")
    patches = found.patches
    whole = {
        "ref": found.ref,
        "parts": [
            {
                "name": part.name, "queries": part.queries, "keys": part.keys, "causal": part.causal,
                "weights": part.weights.astype(float).round(digits).tolist(),
            }
            for part in found.parts
        ],
        "segments": found.segments,
        "words": found.words,
        "patches": patches
        and {
            "before": patches.before, "rows": patches.rows, "columns": patches.columns,
            "picture": embedded(patches.picture),
        },
    }  # fmt: skip
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def npz(found: AttentionPatterns) -> bytes:
    """The weights as they are, with their tokens, as NumPy arrays in one file: `self.weights`, `self.keys` and so on.

    What the weights were computed from is in it where it is known, as `self.detail.query` and so on.
    """
    arrays = {"ref": np.array(found.ref)}
    for part in found.parts:
        for name in ("weights", "queries", "keys", "causal"):
            arrays[f"{part.name}.{name}"] = np.array(getattr(part, name))
        for field in fields(Detail) if part.detail else ():
            value = getattr(part.detail, field.name)
            if value is not None:
                arrays[f"{part.name}.detail.{field.name}"] = np.array(value)
    if found.segments:
        arrays["segments"] = np.array(found.segments)
    if found.words:
        arrays["words"] = np.array([-1 if word is None else word for word in found.words])  # -1: of no word
    if found.patches:
        arrays["picture"] = found.patches.picture
        arrays["patches"] = np.array([found.patches.before, found.patches.rows, found.patches.columns])
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


# ---- what the figures are made of ----


def _page(title: str, parts: Iterable[Primitive], right: float, bottom: float, notes: Iterable[str]) -> Figure:
    """A figure with its title above and its notes below."""
    right = max(right, PAD + BOLD * wide(title, TITLE))
    lines = [line for note in notes for line in wrapped(note, SMALL, right - PAD)]
    below = [Text(line, PAD, bottom + 10 + 15 * row, SMALL, GREY) for row, line in enumerate(lines)]
    heading = Text(title, PAD, PAD + TITLE - 3, TITLE, bold=True)
    return Figure(title, right + PAD, bottom + 15 * len(lines) + PAD, (heading, *parts, *below))


def _scale(x: float, y: float, high: float, linear: bool = False) -> list[Primitive]:
    """What the colours mean: a bar along which weights grow evenly, with its numbers."""
    even = np.linspace(0, 1, 48)[None]
    ends = [Text(f"{share * high:.2g}", x + 180 * share, y + 22, SMALL, GREY, anchor)
            for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))]  # fmt: skip
    bar = Cells(x, y, 180, 9, even if linear else np.sqrt(even), AMOUNTS)
    return [bar, Box(x - 1, y - 1, 182, 11, line=FRAME), *ends, Text("attention", x + 190, y + 9, SMALL, GREY)]


def _legend(heads: Sequence[int], right: float, y: float) -> tuple[list[Primitive], float]:
    """The colours of the heads in rows, and where the rows end."""
    parts: list[Primitive] = []
    x = float(PAD)
    for head in sorted(heads):
        words = f"Head {head + FIRST}"
        if x > PAD and x + 14 + wide(words, 12) > right:
            x, y = PAD, y + 18
        parts += [Box(x, y - 9, 10, 10, _colour(head)), Text(words, x + 14, y, 12)]
        x += 14 + wide(words, 12) + 14
    return parts, y + 28


def _lines(drawn: np.ndarray, left: float, right: float, top: float, high: float) -> list[Strokes]:
    """Lines (N, 4), each of a head, a query, a key and a weight; the strong ones lie on top."""
    shades = np.clip(np.ceil(SHADES * drawn[:, 3] ** 0.7), 1, SHADES).astype(int)
    found = []
    for shade in range(1, SHADES + 1):
        for head in np.unique(drawn[shades == shade, 0]).astype(int):
            some = drawn[(shades == shade) & (drawn[:, 0] == head)]
            ends = [np.full(len(some), left), top + (some[:, 1] + 0.5) * high,
                    np.full(len(some), right), top + (some[:, 2] + 0.5) * high]  # fmt: skip
            share = shade / SHADES
            found.append(Strokes(np.stack(ends, 1), _colour(head), 1 + 1.6 * share, 0.06 + 0.9 * share, 0.45))
    return found


def _strongest(weights: np.ndarray, heads: Sequence[int], mass: float) -> np.ndarray:
    """Of each head and query of a layer (H, Q, K) the strongest keys that together hold a share: (N, 4).

    Each row is head, query, key and weight.
    """
    found = [np.zeros((0, 4))]
    for head in sorted(heads):
        order = np.argsort(-weights[head], 1, kind="stable")
        sorted_ = np.take_along_axis(weights[head], order, 1).astype(float)
        kept = (sorted_.cumsum(1) - sorted_ < mass * sorted_.sum(1, keepdims=True) - 1e-6) & (sorted_ > 0)
        query, place = np.nonzero(kept)
        found.append(np.stack([np.full(len(query), head), query, order[query, place], sorted_[query, place]], 1))
    return np.concatenate(found)


def _frame(rows: int, columns: int, causal: bool) -> np.ndarray:
    """The outline of the cells that a query may look at, as lines (N, 4) in units of a cell."""
    if not causal:
        return np.array(
            [(0, 0, columns, 0), (columns, 0, columns, rows), (columns, rows, 0, rows), (0, rows, 0, 0)], float
        )
    steps = [line for at in range(rows) for line in ((at, at, at + 1, at), (at + 1, at, at + 1, at + 1))]
    return np.array([(0, 0, 0, rows), (0, rows, columns, rows), *steps], float)


def _over(pixels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Shares of the attention (rows, columns), 0 to 1, over a picture that was made pale and grey: (H, W, 3) uint8."""
    grey = 0.9 * pixels.mean(2, keepdims=True) + 0.1 * pixels
    pale = grey + (255 - grey) * 0.4
    height, width = pixels.shape[:2]
    row = np.arange(height) * shares.shape[0] // height
    column = np.arange(width) * shares.shape[1] // width
    spread = shares[np.ix_(row, column)]  # (H, W)
    strength = 0.9 * spread[..., None] ** 0.7
    return (pale * (1 - strength) + paint(0.27 + 0.73 * spread, AMOUNTS) * strength).round().astype(np.uint8)


def _shares(weights: np.ndarray, part: Part) -> np.ndarray:
    """Weights as shares of the way through the colours: the root, so that weak links are seen."""
    return np.sqrt(weights / part.weights.max())


def _colour(head: int) -> str:
    """The colour of a head; from the eleventh on the same hues, darker, then paler."""
    base = np.array(ImageColor.getrgb(LIGHT.categorical[head % len(LIGHT.categorical)]))
    turn = head // len(LIGHT.categorical)
    share = min(0.55, 0.3 + 0.1 * turn) if turn else 0.0
    mixed = base + ((0 if turn % 2 else 255) - base) * share
    return "#{:02X}{:02X}{:02X}".format(*mixed.round().astype(int))


def _names(tokens: Sequence[str], size: float) -> list[str]:
    return [shortened(token, size, LONGEST) for token in tokens]


def _cut(part: Part, query: int, key: int) -> list[str]:
    """A note on the tokens that are not shown; those that are begin with these."""
    found = []
    for name, count, first in (("queries", len(part.queries), query), ("keys", len(part.keys), key)):
        if count > SHOWN:
            found.append(f"{name} {first + 1} to {min(first + SHOWN, count)} of {count}")
    return [f"Shown are {' and '.join(found)}."] if found else []


def _kind(part: Part) -> str:
    return "" if part.name == "self" else f"{part.name} · "


def _where(part: Part, layer: int, heads: Sequence[int], mean: str = "") -> str:
    """Part, layer and heads in words."""
    numbers = ", ".join(str(head + FIRST) for head in sorted(heads))
    several = f"all {len(heads)} heads" if len(heads) == part.heads else f"heads {numbers}"
    words = f"head {numbers}" if len(heads) == 1 else mean + several
    return f"{_kind(part)}layer {layer + FIRST} · {words}"


def _name(ref: str) -> str:
    """A ref as a title has room for it: of a folder the last name, of a run its first letters."""
    source, _, name = ref.partition(":")
    if source == "file":
        return PurePath(name).name or name
    if source == "run":
        run, at, step = name.partition("@")
        return f"run {run[:8]}{at}{step}"
    return ref
