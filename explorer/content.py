"""What a value holds, in a few letters: equal values have the same."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object


@dataclasses.dataclass(frozen=True)
class Known:
    """A large value that is told from all others by something small."""

    value: Any
    by: tuple[str | int, ...]


def digest(*values: Any) -> str:
    """A digest of numbers, texts, arrays, frames, and of what is made of them: sequences, mappings, dataclasses.

    Raises TypeError for anything else, whose content can't be known.
    """
    found = hashlib.blake2b(digest_size=16)
    for value in values:
        _take(found, value)
    return found.hexdigest()


def _take(found: Any, value: Any) -> None:
    if isinstance(value, Known):
        _take(found, ("known", *value.by))
    elif isinstance(value, np.ndarray) and value.dtype != object:
        found.update(f"array {value.dtype.str} {value.shape} ".encode())
        found.update(np.ascontiguousarray(value).data)
    elif isinstance(value, pd.DataFrame):
        _take(found, [*map(str, value.columns)])
        found.update(hash_pandas_object(value).to_numpy().data)
    elif isinstance(value, np.generic):
        _take(found, value.item())
    elif isinstance(value, bytes):
        found.update(b"bytes %d " % len(value) + value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        found.update(f"{type(value).__qualname__} ".encode())
        for field in dataclasses.fields(value):
            _take(found, getattr(value, field.name))
    elif isinstance(value, Mapping | list | tuple | set | frozenset | str | int | float | bool | None):
        try:  # the quick way, for what holds no array
            found.update(json.dumps(value).encode() + b" ")
        except (TypeError, ValueError):
            _parts(found, value)
    else:
        raise TypeError(f"the content of {type(value).__name__} can't be known")


def _parts(found: Any, value: Any) -> None:
    parts = (
        [*value.items()]
        if isinstance(value, Mapping)
        else sorted(value)
        if isinstance(value, set | frozenset)
        else [*value]
    )
    found.update(f"{len(parts)} parts ".encode())
    for part in parts:
        _take(found, part)
