"""Attention in the browser: grid, lines, matrix, arithmetic and picture of one selection, with no round trip.

selection = attention_views(patterns, key="heads")
"""

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np
import streamlit as st
from PIL import Image

from explorer.attention.base import AttentionPatterns, Detail, Part, Patches
from explorer.charts.theme import DARK, LIGHT
from explorer.ui.component import component

VIEWS = ("grid", "heads", "matrix", "arithmetic", "image")
FINE = 75_000  # codes of all parts, up to which each is of 16 bits: 200 KB in base64
WHOLE = 3_000_000  # codes of all parts, beyond which only one layer is sent, and small pictures of all others
LAYER = 4_200_000  # codes of that layer, beyond which only a window of it is sent: 577 patches in 12 heads still fit
WINDOW = 128  # tokens that are drawn at once
THUMBNAIL = 40  # codes on a side of a small picture
DETAIL = 300_000  # bytes of base64, up to which the arithmetic of all heads is sent
MASKED = -1e30  # a score this low is one where a query may not look
MARKED = (
    "[START]", "[END]", "[CLS]", "[SEP]", "[PAD]", "<s>", "</s>", "<pad>", "<bos>", "<eos>", "<|endoftext|>",
    "<|begin_of_text|>",
)  # fmt: skip

Roles = Mapping[str, Sequence[Sequence[str]]]  # part → layer → head → "previous token 0.93"
_PARTS = ("attention", "attention_text", "attention_arithmetic", "attention_image")


@dataclass(frozen=True)
class Selection:
    """What the person looks at, in all views alike."""

    view: str = "grid"  # one of VIEWS
    part: str = ""  # the name of a part; "": the first
    layer: int = 0
    heads: tuple[int, ...] = (0,)  # of that layer, isolated; the first is the one whose arithmetic is shown
    token: int | None = None  # the query that is held
    key: int | None = None  # the key that is held

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise ValueError(f"no such view: {self.view}. There are {', '.join(VIEWS)}")
        if self.layer < 0 or not self.heads or min(self.heads) < 0:
            raise ValueError(f"no such layer or head: {self.layer}, {self.heads}")


USUAL = Selection()


def attention_views(
    patterns: AttentionPatterns,
    key: str,
    selection: Selection = USUAL,
    roles: Roles | None = None,
    compare: AttentionPatterns | None = None,
    height: int = 620,
) -> Selection:
    """Draw all views of the patterns, boxes at most `height` pixels high; gives what the person clicked last.

    selection: how it starts; to change it later, call `choose`. roles: short names under the heads.
    compare: the same network on another input (B); views then show A, B or, where the tokens are as many, B − A.
    A click reruns the page, or the fragment that it is in; hovering does not. ValueError where shapes do not fit.
    """
    at = f"{key}-seed"
    seed = st.session_state.get(at)
    if seed is None or (key not in st.session_state and seed["drawn"]):  # first drawn, or drawn again
        seed = _seed(selection)
    st.session_state[at] = seed | {"drawn": True}
    before = st.session_state.get(key) or {}
    chosen = _read(before.get("selection"), seed, patterns)
    data = encode(patterns, chosen, roles, compare, _window(before.get("window")))
    state = component("attention", *_PARTS)(
        key=key,
        data={"key": key, "seed": {"id": seed["id"], "selection": asdict(chosen)}, "height": height, **data},
        default={"selection": {"seed": seed["id"], **asdict(chosen)}, "window": [0, 0]},
        on_selection_change=lambda: None,
        on_window_change=lambda: None,
    )
    return _read(state.get("selection"), seed, patterns)


def choose(key: str, selection: Selection) -> None:
    """Show this selection when the views of that key are drawn next, whatever was clicked in them."""
    st.session_state[f"{key}-seed"] = _seed(selection)


def _seed(selection: Selection) -> dict[str, Any]:
    return {"id": uuid4().hex, "selection": selection, "drawn": False}


def valid(patterns: AttentionPatterns) -> tuple[str, ...]:
    """The views that these patterns have."""
    return VIEWS if patterns.patches else VIEWS[:-1]


def fit(selection: Selection, patterns: AttentionPatterns) -> Selection:
    """The selection as far as these patterns have it: the rest falls back to what comes first."""
    part = next((part for part in patterns.parts if part.name == selection.part), patterns.parts[0])
    token, key = selection.token, selection.key
    return replace(
        selection,
        view=selection.view if selection.view in valid(patterns) else VIEWS[0],
        part=part.name,
        layer=min(selection.layer, part.layers - 1),
        heads=tuple(dict.fromkeys(head for head in selection.heads if head < part.heads)) or (0,),
        token=token if token is not None and 0 <= token < len(part.queries) else None,
        key=key if key is not None and 0 <= key < len(part.keys) else None,
    )


def _read(reported: Any, seed: Mapping[str, Any], patterns: AttentionPatterns) -> Selection:
    """What the browser reported, which may be anything, or of a selection that was replaced since."""
    try:
        if reported["seed"] != seed["id"]:
            raise KeyError
        whole = {name: None if reported[name] is None else int(reported[name]) for name in ("token", "key")}
        heads = tuple(int(head) for head in reported["heads"])
        said = Selection(reported["view"], str(reported["part"]), int(reported["layer"]), heads, **whole)
    except (TypeError, KeyError, ValueError, OverflowError):
        said = seed["selection"]
    return fit(said, patterns)


def _window(reported: Any) -> tuple[int, int]:
    try:
        query, key = (max(0, int(start)) for start in reported)
    except (TypeError, ValueError, OverflowError):
        return 0, 0
    return query, key


# ---- what is sent ----


def encode(
    patterns: AttentionPatterns,
    selection: Selection = USUAL,
    roles: Roles | None = None,
    compare: AttentionPatterns | None = None,
    window: tuple[int, int] = (0, 0),
) -> dict[str, Any]:
    """Patterns as the browser takes them. Raises ValueError where shapes do not fit together.

    Weights are sent as codes of their roots, weight = (code / most)², so that small ones stay readable: a weight w is
    known to √w / most, most being 255 or 65,535. All of them while they are few, else those of the selected layer.
    """
    both = (patterns,) if compare is None else (patterns, compare)
    for side in both:
        _check(side)
    if compare is not None and [_shape(part) for part in compare.parts] != [_shape(part) for part in patterns.parts]:
        raise ValueError("what is compared is not of the same network: its parts, layers or heads differ")
    if roles is not None:
        for part in patterns.parts:
            named = roles.get(part.name)
            if named is not None and [len(layer) for layer in named] != [part.heads] * part.layers:
                raise ValueError(f"roles of {part.name}: {part.layers} layers of {part.heads} heads are needed")
    selection = fit(selection, patterns)
    codes = sum(_count(part) for side in both for part in side.parts)
    details = sum(_weight(part.detail) for side in both for part in side.parts if part.detail)
    sides = [
        [_part(side, part, selection, codes, details, window) for part in side.parts]
        for side in both
    ]  # fmt: skip
    sent = {
        "sides": sides,
        "roles": {name: [list(layer) for layer in named] for name, named in (roles or {}).items()},
        "patches": [_patches(side.patches) for side in both] if patterns.patches else None,
        "views": valid(patterns),
        "palettes": {
            name: {"heads": palette.categorical, "size": palette.sequential, "signed": palette.diverging}
            for name, palette in (("light", LIGHT), ("dark", DARK))
        },
    }
    return {"print": hashlib.blake2b(json.dumps(sent).encode(), digest_size=8).hexdigest(), **sent}


def _shape(part: Part) -> tuple[str, int, int]:
    return part.name, part.layers, part.heads


def _check(patterns: AttentionPatterns) -> None:
    if not patterns.parts:
        raise ValueError("patterns of no part")
    for part in patterns.parts:
        weights = part.weights
        if weights.ndim != 4 or weights.shape[2:] != (len(part.queries), len(part.keys)) or not weights.size:
            raise ValueError(f"{part.name}: weights {weights.shape} of {len(part.queries)} queries and "
                             f"{len(part.keys)} keys")  # fmt: skip
        if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() > 1 + 1e-3:
            raise ValueError(f"{part.name}: weights lie between 0 and 1")
        if part.detail:
            _check_detail(part, part.detail)
    count = len(patterns.tokens)
    for name in ("segments", "words"):
        if len(getattr(patterns, name)) not in (0, count):
            raise ValueError(f"{name}: {len(getattr(patterns, name))} of {count} tokens")
    if patches := patterns.patches:
        picture = patches.picture
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or not picture.size:
            raise ValueError(f"a picture is (H, W, 1 or 3) uint8, not {picture.shape} {picture.dtype}")
        if patches.before + patches.rows * patches.columns != count:
            raise ValueError(f"{patches.before} + {patches.rows} × {patches.columns} patches, but {count} tokens")


def _check_detail(part: Part, detail: Detail) -> None:
    layers, heads, queries, keys = part.weights.shape
    size = detail.query.shape[-1]
    wanted = {
        "query": (layers, heads, queries, size),
        "key": (layers, heads, keys, size),
        "value": (layers, heads, keys, detail.value.shape[-1]),
        "scores": part.weights.shape,
        "norms": (layers, heads, keys),
    } | ({} if detail.bias is None else {"bias": part.weights.shape})
    for name, shape in wanted.items():
        if getattr(detail, name).shape != shape:
            raise ValueError(f"{part.name}: {name} {getattr(detail, name).shape}, not {shape}")
    if len(detail.scaling) != layers:
        raise ValueError(f"{part.name}: {len(detail.scaling)} scalings of {layers} layers")


def _triangle(part: Part) -> bool:
    """No query sees a later key: the lower triangle says it all."""
    return part.causal and len(part.queries) == len(part.keys) and not np.triu(part.weights, 1).any()


def _count(part: Part) -> int:
    queries, keys = len(part.queries), len(part.keys)
    return part.layers * part.heads * (queries * (queries + 1) // 2 if _triangle(part) else queries * keys)


def _weight(detail: Detail) -> int:
    arrays = (detail.query, detail.key, detail.value, detail.bias, detail.norms)
    return sum(4 * array.size * 4 // 3 for array in arrays if array is not None)


def _part(side: AttentionPatterns, part: Part, selection: Selection, codes: int, details: int,
          window: tuple[int, int]) -> dict[str, Any]:  # fmt: skip
    most = 65535 if codes <= FINE else 255
    triangle, block, thumbs, weights = False, None, None, None
    if codes <= WHOLE:
        triangle, block = _triangle(part), (0, part.layers, 0, len(part.queries), 0, len(part.keys))
        rows = np.tril_indices(len(part.queries)) if triangle else (slice(None), slice(None))
        weights = part.weights[:, :, *rows]
    else:
        thumbs = _codes(_thumbnails(part.weights), 255)
        if part.name == selection.part:
            block = _block(part, min(selection.layer, part.layers - 1), window)
            first, last, *where = block
            weights = part.weights[first:last, :, where[0] : where[1], where[2] : where[3]]
    sums = part.weights.sum(-1)
    return {
        "name": part.name,
        "queries": list(part.queries),
        "keys": list(part.keys),
        "causal": part.causal,
        "layers": part.layers,
        "heads": part.heads,
        "special": [_special(side, part.queries), _special(side, part.keys)],
        "segments": [_segments(side, part.queries), _segments(side, part.keys)],
        "most": most,
        "top": float(part.weights.max()),
        "triangle": triangle,
        "block": block,  # first and last layer, query, key; None: this part is not sent
        "codes": None if weights is None else _codes(weights, most),
        "thumbs": thumbs,
        "sums": None if np.abs(sums - 1).max() < 2e-3 else _floats(sums),  # (L, H, Q) where they are not 1
        "detail": _detail(part, selection, details),
    }


def _block(part: Part, layer: int, window: tuple[int, int]) -> tuple[int, ...]:
    """One layer, or of a long text a window of it."""
    sizes = (len(part.queries), len(part.keys))
    if part.heads * sizes[0] * sizes[1] <= LAYER:
        return layer, layer + 1, 0, sizes[0], 0, sizes[1]
    starts = [max(0, min(start, size - WINDOW)) for start, size in zip(window, sizes, strict=True)]
    ends = [min(start + WINDOW, size) for start, size in zip(starts, sizes, strict=True)]
    return layer, layer + 1, starts[0], ends[0], starts[1], ends[1]


def _codes(weights: np.ndarray, most: int) -> str:
    codes = np.rint(np.sqrt(np.clip(weights, 0, 1)) * most)
    return base64.b64encode(codes.astype("<u2" if most > 255 else "u1").tobytes()).decode()


def _thumbnails(weights: np.ndarray) -> np.ndarray:
    """(L, H, Q, K) → (L, H, ≤ THUMBNAIL, ≤ THUMBNAIL): the largest weight of each field, so that lines stay seen."""
    for axis in (2, 3):
        size = weights.shape[axis]
        starts = np.arange(min(size, THUMBNAIL)) * size // min(size, THUMBNAIL)
        weights = np.maximum.reduceat(weights, starts, axis)
    return weights


def _special(side: AttentionPatterns, tokens: tuple[str, ...]) -> list[int]:
    """Where the tokens are that no word is of."""
    if side.patches:
        return []
    if side.words and tokens == side.tokens:
        return [at for at, word in enumerate(side.words) if word is None]
    return [at for at, token in enumerate(tokens) if token in MARKED]


def _segments(side: AttentionPatterns, tokens: tuple[str, ...]) -> list[int] | None:
    return list(side.segments) if len(set(side.segments)) == 2 and tokens == side.tokens else None


def _detail(part: Part, selection: Selection, details: int) -> dict[str, Any] | None:
    """What the arithmetic starts from: of all heads while that is little, else of the selected one when it is seen."""
    detail = part.detail
    if detail is None:
        return None
    told = {
        "size": detail.query.shape[-1],
        "values": detail.value.shape[-1],
        "scaling": [float(scaling) for scaling in detail.scaling],
        "only": None,
    }
    where: tuple[Any, ...] = (slice(None), slice(None))
    if details > DETAIL:
        if selection.part != part.name or selection.view != "arithmetic":
            return told | {"query": None}
        layer, head = min(selection.layer, part.layers - 1), selection.heads[0]
        where, told["only"] = (slice(layer, layer + 1), slice(head, head + 1)), [layer, head]
    masked = detail.scores[where] <= MASKED
    alike = (masked == masked[:1, :1]).all()
    bits = np.packbits(masked[0, 0] if alike else masked).tobytes()
    return told | {
        **{name: _floats(getattr(detail, name)[where]) for name in ("query", "key", "value", "norms")},
        "bias": None if detail.bias is None else _floats(detail.bias[where]),
        "masked": base64.b64encode(bits).decode() if masked.any() else None,
        "alike": bool(alike),  # one mask for all heads
    }


def _floats(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _patches(patches: Patches) -> dict[str, Any]:
    file = io.BytesIO()
    picture = patches.picture
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(file, "PNG")
    return {
        "picture": base64.b64encode(file.getvalue()).decode(),
        "height": picture.shape[0],
        "width": picture.shape[1],
        "before": patches.before,
        "rows": patches.rows,
        "columns": patches.columns,
    }
