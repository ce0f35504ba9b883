"""Default, range and widget of a setting, written once, on the argument itself.

    def resnet(shape, classes, width: Annotated[int, Slider(8, 64, step=8, help="…")] = 16): …

The page draws its widgets from these lines, the API checks its arguments against them, and the
contract tests walk over them.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from explorer.errors import ExplorerError

SHOWN = 100  # letters of a value in a sentence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    """What every control has: a label, one line of help, the paper behind it, the group it is shown in.

    Each kind adds `wrong(value)`: why a value is not allowed, as a clause, or None when it is.
    """

    label: str = ""  # "" shows the argument's own name
    help: str = ""  # one sentence on what the setting does
    paper: str = ""  # address of the paper that the setting comes from
    group: str = ""
    when: tuple[str, tuple[Any, ...]] | None = None  # it acts only where that earlier setting has one of these values


@dataclasses.dataclass(frozen=True)
class Slider(Control):
    """A number between two bounds, both allowed."""

    low: float
    high: float
    step: float = 1

    def wrong(self, value: Any) -> str | None:
        return _outside(value, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class LogSlider(Control):
    """A positive number whose order of magnitude matters, offered as 1, 2, 3 and 5 times the powers of ten."""

    low: float
    high: float
    zero: bool = False  # 0, "off", is offered too

    def wrong(self, value: Any) -> str | None:
        return None if self.zero and value == 0 else _outside(value, self.low, self.high)

    @property
    def options(self) -> tuple[float, ...]:
        """The values offered, both bounds among them."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        series = {float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 3, 5)}
        inside = sorted({x for x in series if self.low <= x <= self.high} | {self.low, self.high})
        return (0.0, *inside) if self.zero else tuple(inside)


@dataclasses.dataclass(frozen=True)
class Number(Control):
    """A whole number that is typed, not slid: a seed, say."""

    low: int
    high: int

    def wrong(self, value: Any) -> str | None:
        return _outside(value, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Choice(Control):
    """One of a few names."""

    options: tuple[Any, ...]

    def wrong(self, value: Any) -> str | None:
        if value in self.options:
            return None
        return f"{shown(value)} is not one of {', '.join(map(str, self.options))}"


@dataclasses.dataclass(frozen=True)
class Toggle(Control):
    """On or off."""

    def wrong(self, value: Any) -> str | None:
        return None if isinstance(value, bool) else f"{shown(value)} is neither True nor False"


@dataclasses.dataclass(frozen=True)
class Param:
    """One setting: its name, type, default and control."""

    name: str
    type: type
    default: Any
    control: Control


@functools.cache
def params(target: Callable[..., Any]) -> Mapping[str, Param]:
    """The settings of a function or dataclass: its arguments annotated with a `Control`."""
    hints = get_type_hints(target, include_extras=True)
    found = {}
    for name, argument in inspect.signature(target).parameters.items():
        hint = hints.get(name)
        if get_origin(hint) is not Annotated:
            continue
        kind, *notes = get_args(hint)
        for control in (note for note in notes if isinstance(note, Control)):
            found[name] = Param(name, kind, argument.default, control)
    return MappingProxyType(found)


def acts(param: Param, values: Mapping[str, Any]) -> bool:
    """Whether a setting does anything beside the other `values`: a momentum is nothing to AdamW."""
    if param.control.when is None:
        return True
    name, wanted = param.control.when
    return values[name] in wanted


def check(target: Callable[..., Any], values: Mapping[str, Any], asked: str) -> dict[str, Any]:
    """`values` with the defaults filled in; raises ExplorerError for an unknown name or a value out of range."""
    known = params(target)
    for name in values:
        if name not in known:
            raise ExplorerError(
                asked, f"it has no setting {shown(name)}", f"Its settings are: {', '.join(known) or 'none'}"
            )
    full = {name: values.get(name, param.default) for name, param in known.items()}
    for name, param in known.items():
        value = full[name]
        if param.type is int and (isinstance(value, bool) or not isinstance(value, int)):
            raise ExplorerError(asked, f"{name} is {shown(value)}, not a whole number", f"Use one like {param.default}")
        wrong = param.control.wrong(value)
        if wrong:
            raise ExplorerError(asked, f"{name}: {wrong}", f"The default is {param.default}")
    return full


def _outside(value: Any, low: float, high: float) -> str | None:
    """Why a number is not between the bounds; None when it is."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (isinstance(value, float) and not math.isfinite(value)):
        return f"{shown(value)} is not a number"
    if not low <= value <= high:
        return f"{shown(value)} is not between {low:.10g} and {high:.10g}"
    return None


def shown(value: Any) -> str:
    """Any value in a few letters: it may be a whole number of more digits than Python writes, or a list in lists."""
    try:
        text = f"{value:.10g}" if isinstance(value, float) else repr(value)
    except (ValueError, RecursionError):
        return "what can't be written down"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
