"""A function registers once, under the name that the menu shows."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from explorer.errors import ExplorerError


@dataclass(frozen=True, eq=False)
class Entry:
    """One registered function with what the menu needs to know of it."""

    name: str
    make: Callable[..., Any]
    facts: Mapping[str, Any] = field(default_factory=dict)  # what a topic wants to know before it calls

    @property
    def summary(self) -> str:
        """The first line of the docstring: one sentence that a student could read."""
        return (self.make.__doc__ or "").strip().split("\n")[0]


class Registry:
    """Names to functions, in the order in which they registered."""

    def __init__(self, kind: str) -> None:
        self.kind = kind  # what one entry is called in a sentence: "dataset", "architecture"
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, **facts: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register the decorated function under `name`; a second one of that name raises ValueError."""

        def add(make: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries:
                raise ValueError(f"two {self.kind}s are called {name!r}")
            self._entries[name] = Entry(name, make, facts)
            return make

        return add

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise ExplorerError(
                f"The {self.kind} {name!r}", "there is none of that name", f"Choose one of: {', '.join(self._entries)}"
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> tuple[Entry, ...]:
        """All entries, in order."""
        return tuple(self._entries.values())


def discover(package: ModuleType) -> None:
    """Import every module of `package`, so that whatever registers on import is registered."""
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        importlib.import_module(f"{package.__name__}.{module.name}")
