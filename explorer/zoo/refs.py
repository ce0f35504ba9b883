"""A ref: the string that names a model everywhere, in the API, in pickers and in links."""

from dataclasses import dataclass

from explorer.errors import ExplorerError


@dataclass(frozen=True)
class Ref:
    """A model's name, taken apart: `run:<id>@<step>`, `hf:<owner>/<name>@<revision>`."""

    source: str  # zoo | run | torchvision | file | hf
    name: str
    step: int | None = None  # of a run; None: its best checkpoint
    revision: str | None = None  # hf: branch, tag or commit; file: when its weights were written

    def __str__(self) -> str:
        at = self.step if self.step is not None else self.revision
        return f"{self.source}:{self.name}" + ("" if at is None else f"@{at}")


def parse(text: str) -> Ref:
    """The parts of a ref; raises ExplorerError for what is none, and says what one looks like."""
    from explorer.zoo.sources import SOURCES

    name, _, rest = text.partition(":")
    if name not in SOURCES:
        forms = ", ".join(entry.facts["form"] for entry in SOURCES.entries())
        raise ExplorerError(asked(text), f"a model is named in one of these forms: {forms}", instead())
    source = SOURCES[name]
    match = source.facts["pattern"].fullmatch(rest)
    if not match:
        raise ExplorerError(asked(text), f"a model of this kind is named {source.facts['form']}", instead())
    parts = match.groupdict()
    step = parts.get("step")
    return Ref(name, parts["name"], None if step is None else int(step), parts.get("revision"))


def asked(ref: Ref | str) -> str:
    """How a sentence about a ref begins."""
    text = str(ref)
    return f"The model {text[:100] + '…' if len(text) > 100 else text!r}"


def instead() -> str:
    """What can be opened for certain, as the last sentence of an error."""
    from explorer.zoo.sources.zoo import shipped

    names = ", ".join(card.ref for card in shipped())
    return f"Open one of: {names}" if names else "Train one on the Training page"
