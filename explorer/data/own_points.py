"""Reads points and their labels from a CSV that somebody else wrote."""

import csv
import io
import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from explorer.data.base import one_line
from explorer.errors import ExplorerError
from explorer.settings import MB, settings

LABEL = 60  # characters


def read_points(source: Path | BinaryIO, asked: str) -> tuple[np.ndarray, list[str]]:
    """The places, (N, 2) float64, and the label of each.

    Columns are divided by comma, semicolon or tab; beside semicolons a number may have a decimal comma. A first line
    whose first two cells are words is a header. Raises ExplorerError that names the line that is wrong.
    """
    text = _text(source, asked)
    first = text.split("\n", 1)[0]
    delimiter = max((";", "\t", ","), key=first.count)
    places: list[tuple[float, float]] = []
    labels: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            cells = [one_line(cell) for cell in row]
            if not any(cells):
                continue
            wrong = _wrong(cells, delimiter)
            if wrong and not places and reader.line_num == 1 and _is_header(cells, delimiter):
                continue
            if not wrong and len(places) == settings().limits.examples:
                wrong = f"there are more than {len(places):,} points"
            if wrong:
                raise _at(asked, reader.line_num, wrong)
            places.append((_number(cells[0], delimiter), _number(cells[1], delimiter)))
            labels.append(cells[2])
    except csv.Error as error:
        raise _at(asked, reader.line_num, str(error)) from error
    if not places:
        raise ExplorerError(asked, "there are no points in it", "Bring lines such as 0.5,-1.2,A")
    return np.array(places), labels


def _text(source: Path | BinaryIO, asked: str) -> str:
    limit = settings().limits.upload
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                content = file.read(limit + 1)
        else:
            content = source.read(limit + 1)
    except (OSError, ValueError) as error:
        raise ExplorerError(asked, f"the file can't be read ({error})", "Choose another") from error
    if len(content) > limit:
        raise ExplorerError(asked, f"the file is larger than {limit // MB} MB", "Bring fewer points")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _at(asked, line, "it is not text in UTF-8") from error
    if "\0" in text:
        raise _at(asked, text[: text.index("\0")].count("\n") + 1, "it is not text")
    return text


def _wrong(cells: list[str], delimiter: str) -> str | None:
    """Why a line is not a point, as a clause; None when it is."""
    if len(cells) != 3:
        return f"it has {len(cells)} columns, not two of numbers and one of labels"
    for cell in cells[:2]:
        number = _number(cell, delimiter)
        if number is None:
            return f"{cell[:LABEL]!r} is not a number"
        if not math.isfinite(number):
            return f"{cell!r} is not a finite number"
    if not 0 < len(cells[2]) <= LABEL:
        return f"its label has {len(cells[2])} characters, not 1 to {LABEL}"
    return None


def _is_header(cells: list[str], delimiter: str) -> bool:
    return len(cells) == 3 and all(_number(cell, delimiter) is None for cell in cells[:2])


def _number(cell: str, delimiter: str) -> float | None:
    try:
        return float(cell.replace(",", ".") if delimiter == ";" else cell)
    except ValueError:
        return None


def _at(asked: str, line: int, wrong: str) -> ExplorerError:
    return ExplorerError(asked, f"line {line}: {wrong}", "Write lines such as 0.5,-1.2,A")
