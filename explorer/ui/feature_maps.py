"""A layer's units as small maps, one of them large over the picture, and the sum behind one of its pixels.

picked = feature_maps(Overview(units, shown, ends), Detail(unit, row, column, …), key="maps")
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from explorer.activations.maps import Box, Units, smaller
from explorer.activations.sums import Step, Sum
from explorer.charts.theme import DARK, LIGHT
from explorer.ui.component import component

ROOM = 118_000  # bytes of all tiles together, 157 KB in base64: with the large map, a layer stays under 200 KB
STEPS = {True: 127, False: 255}  # of a code from zero to a map's own largest size, whether it is signed or not
FINE = 32767  # the same of the large map
LARGE = 65_536  # numbers of the large map, 256 × 256
TERMS = 6  # of a sum that are drawn, the largest
FEATURES = 8  # the same where each is one number
KERNELS = 64  # small pictures of weights
CELLS = 121  # of a window that is drawn number by number: 11 × 11


@dataclass(frozen=True, eq=False)
class Overview:
    """The units that are drawn small."""

    units: Units
    shown: np.ndarray  # (n,) which, in their order
    ends: np.ndarray  # (K,) where each map's colours end
    notes: tuple[str, ...]  # (n,) below each
    rows: tuple[str, ...] = ()  # of tokens, their names


@dataclass(frozen=True, eq=False)
class Detail:
    """The unit that is drawn large, and the pixel whose sum is told."""

    unit: int
    row: int
    column: int
    facts: tuple[tuple[str, str], ...] = ()
    picture: np.ndarray | None = None  # (H, W, C) uint8, what the network sees
    box: Box | None = None  # of the picture, what the pixel depends on
    total: Sum | None = None
    refusal: str = ""  # in place of a sum


def feature_maps(overview: Overview, detail: Detail, key: str, on_pick: Callable[[int, int | None, int], None]) -> None:
    """Draw tiles, the chosen unit and its sum; a click reruns the page, or the fragment that the drawing is in.

    on_pick: is told the unit and the row and column that were clicked, the row None where a unit alone was; it runs
    before the page does.
    """

    def picked() -> None:
        found = read(st.session_state[key].get("pick"), overview.units)
        if found is not None:
            on_pick(*found)

    component("feature_maps")(key=key, data={"key": key, **encode(overview, detail)}, on_pick_change=picked)


def read(reported: Any, units: Units) -> tuple[int, int | None, int] | None:
    """What the browser reported, which may be anything."""
    try:
        unit, row, column = int(reported["unit"]), reported.get("row"), int(reported.get("column") or 0)
        row = None if row is None else int(row)
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return None
    count, height, width = units.values.shape
    inside = 0 <= unit < count and (row is None or (0 <= row < height and 0 <= column < width))
    return (unit, row, column) if inside else None


def encode(overview: Overview, detail: Detail) -> dict[str, Any]:
    """All of it as the browser takes it: tiles as bytes of a map's own scale, what is added up as numbers."""
    units, shown = overview.units, overview.shown
    most = max(1, ROOM // max(1, len(shown)))
    small = smaller(units.values[shown], most)  # (n, h, w)
    palettes = {
        name: {"signed": palette.diverging, "size": palette.sequential}
        for name, palette in (("light", LIGHT), ("dark", DARK))
    }
    return {
        "palettes": palettes,
        "form": units.form,
        "signed": units.signed,
        "rows": overview.rows,
        "height": small.shape[1],
        "width": small.shape[2],
        "tiles": [
            {"unit": int(unit), "note": note, "end": float(overview.ends[unit]), **coded(values, units.signed)}
            for unit, note, values in zip(shown, overview.notes, small, strict=True)
        ],
        "large": _large(overview, detail),
        "kernels": _kernels(detail.total) if detail.total else None,
        "steps": [_step(step, at == detail.total.at) for at, step in enumerate(detail.total.steps)]
        if detail.total
        else [],
        "refusal": detail.refusal,
    }


def coded(values: np.ndarray, signed: bool) -> dict[str, Any]:
    """A map as bytes, to half a step of its own largest size."""
    limit = float(np.abs(values).max())
    codes = np.rint(values.astype(np.float64) / (limit or 1.0) * STEPS[signed])
    return {"codes": _base64(codes.astype(np.int8 if signed else np.uint8)), "limit": limit}


def _large(overview: Overview, detail: Detail) -> dict[str, Any]:
    units = overview.units
    values = smaller(units.values[detail.unit][None], LARGE)[0]
    limit = float(np.abs(values).max())
    codes = np.rint(values.astype(np.float64) / (limit or 1.0) * FINE).astype("<i2")
    picture, box = detail.picture, detail.box
    return {
        "unit": detail.unit,
        "row": detail.row,
        "column": detail.column,
        "full": list(units.values.shape[1:]),  # places, of which fewer may be drawn
        "height": values.shape[0],
        "width": values.shape[1],
        "codes": _base64(codes),
        "limit": limit,
        "end": float(overview.ends[detail.unit]),
        "picture": None if picture is None else _png(picture),
        "size": None if picture is None else list(picture.shape[:2]),
        "box": None if box is None else [box.top, box.left, box.bottom, box.right],
        "facts": detail.facts,
    }


def _kernels(total: Sum) -> dict[str, Any] | None:
    """The weights of the chosen unit: small pictures of a convolution's, one row of a linear layer's."""
    step = next((one for one in total.steps if one.learned), None)
    if step is None:
        return None
    kernel = step.kernel
    flat = kernel.reshape(len(kernel), -1).shape[1] == 1
    if kernel.ndim != 3 and not flat:
        return None
    shown = kernel if flat else kernel[:KERNELS]
    return {
        "layer": step.layer,
        "count": len(kernel),
        "shape": [len(shown), *((1, 1) if flat else kernel.shape[1:])],
        "values": _base64(shown.astype("<f4")),
        "limit": float(np.abs(kernel).max()),
        "names": list(step.names[: len(shown)]),
        "colour": len(kernel) == 3 and not flat,
        "flat": flat,
    }


def _step(step: Step, asked: bool) -> dict[str, Any]:
    """A step with its largest terms as numbers, and what the others add up to."""
    told: dict[str, Any] = {
        "layer": step.layer, "kind": step.kind, "formula": step.formula, "value": step.value,
        "captured": step.captured, "numbers": step.numbers, "bias": step.bias, "note": step.note, "asked": asked,
        "window": list(step.window), "terms": [], "rest": None, "cells": None,
    }  # fmt: skip
    if step.patch is None:
        return told
    products = step.products
    each = step.patch.reshape(len(step.patch), -1).shape[1]
    wide = step.patch.ndim == 3 and 1 < each <= CELLS
    largest = np.argsort(-np.abs(products), kind="stable")[: TERMS if wide else FEATURES]
    told["cells"] = list(step.patch.shape[1:]) if wide else None
    told["terms"] = [
        {
            "name": step.names[at],
            "patch": step.patch[at].ravel().tolist() if wide or each == 1 else [],
            "kernel": step.kernel[at].ravel().tolist() if wide or each == 1 else [],
            "sum": float(products[at]),
        }
        for at in map(int, largest)
    ]
    if len(products) > len(largest):
        told["rest"] = {"count": len(products) - len(largest), "sum": float(products.sum() - products[largest].sum())}
    return told


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _png(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def named(units: Units, shown: Sequence[int]) -> str:
    """What is said of maps that are drawn with fewer pixels than they have; empty where they are whole."""
    height, width = units.values.shape[1:]
    small = smaller(units.values[:1], max(1, ROOM // max(1, len(shown)))).shape[1:]
    if small == (height, width):
        return ""
    return f"drawn at {small[0]}×{small[1]} by the mean of areas"
