"""The sources by name, and the sentences they share.

A source is a function `find(ref) -> Found`, registered with
    form: what its refs look like, for a sentence;
    pattern: what may follow the colon, with the groups of `Ref`;
    settle (optional): fills in what a ref leaves open, so that two names of one model become one.
"""

from dataclasses import dataclass

from explorer.errors import ExplorerError
from explorer.registry import Registry
from explorer.settings import settings
from explorer.zoo.refs import Ref, asked, instead
from explorer.zoo.store import Found

SOURCES = Registry("source of models")


@dataclass(frozen=True)
class Remote(Found):
    """A model that is known to exist elsewhere, and how much of it is not on this computer yet."""

    download: int  # bytes


def unavailable(ref: Ref, wrong: str) -> ExplorerError:
    """The refusal of a ref, which ends with what can be opened instead."""
    return ExplorerError(asked(ref), wrong, instead())


def check_parameters(ref: Ref, parameters: int) -> None:
    """Refuse a network that is too large for this server's mode."""
    most = settings().limits.parameters
    if parameters > most:
        raise unavailable(ref, f"it has {parameters:,} parameters, and this server opens up to {most:,}")
