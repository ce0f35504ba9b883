"""Which heads are needed: the sweep of many test texts, as a job in a worker."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from explorer import belongings, data, jobs, zoo
from explorer.attention.ablate import HOW, importance
from explorer.data.base import Dataset
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings
from explorer.zoo.model import Model

MOST = 1000  # texts
DIGITS = 4  # of a number that is kept


@dataclass(frozen=True)
class Census:
    """What to measure: every head of a network over so many test texts or pictures."""

    ref: str
    texts: int = 50
    how: str = "zero"
    seed: int = 0  # draws the texts


@dataclass(frozen=True, eq=False)
class Standing:
    """Where it stands: each head's mean, and half of its 95 % confidence interval."""

    parts: Mapping[str, tuple[np.ndarray, np.ndarray]]  # part → (L, H) mean rise of the loss in nats, (L, H) margin
    texts: int


def start(census: Census, owner: str) -> str:
    """Queue a census for a worker; returns the id under which it is found from now on."""
    examples(zoo.load(census.ref))
    if not 2 <= census.texts <= MOST or census.how not in HOW:
        raise ExplorerError(
            f"{census.texts} texts, {census.how}", f"a census takes 2 to {MOST}, and {' or '.join(HOW)}", "Choose anew"
        )
    belongings.allow(owner)
    id = uuid.uuid4().hex
    limits = settings().limits
    with belongings.begun(_folder(id), owner):
        files.write_json(_folder(id) / "census.json", asdict(census))
        jobs.engine().submit(
            "explorer.attention.census:run",
            {"id": id, "census": asdict(census)}, id=id, owner=owner, seconds=limits.seconds, memory=limits.job_memory,
        )  # fmt: skip
    return id


def run(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: one text after the other; what is done is in the census's folder."""
    wanted = Census(**request["census"])
    model = zoo.load(wanted.ref)
    test = examples(model)
    chosen = np.random.default_rng(wanted.seed).permutation(len(test))[: wanted.texts]
    given = (_given(test, int(index)) for index in chosen)
    for done, sweep in enumerate(importance(model, given, wanted.how), start=1):
        row = {
            part: [[float(f"{value:.{DIGITS}g}") for value in line] for line in change]
            for part, change in sweep.changes.items()
        }
        files.append_history(_folder(request["id"]), [row])
        report({"progress": done / len(chosen), "step": done})
        if stopping():
            break
    return {"texts": len(rows(request["id"]))}


def examples(model: Model) -> Dataset:
    """The network's own test split; raises ExplorerError where there is none."""
    if not model.card.dataset:
        raise ExplorerError("The importance of its heads", "its own test data are not known", "Choose a shipped model")
    return data.load(model.card.dataset, "test", **dict(model.card.dataset_settings))


def rows(id: str) -> list[Mapping[str, Any]]:
    """What is measured so far: one mapping a text, part → (L, H) nested."""
    return files.history(_folder(id))


def asked(id: str) -> Census:
    """What was asked; raises ExplorerError where there is none of that name."""
    if not (len(id) == 32 and id.isalnum()) or not (_folder(id) / "census.json").is_file():
        raise ExplorerError(f"The census {id!r}", "there is none of that name here", "Start one")
    belongings.use(_folder(id))
    return Census(**files.read_json(_folder(id) / "census.json"))


def standing(measured: Sequence[Mapping[str, Any]]) -> Standing:
    """The mean and Student's confidence interval over the texts."""
    from scipy.stats import t

    parts = {}
    for part in measured[0]:
        table = np.array([row[part] for row in measured], float)  # (texts, L, H)
        count = len(table)
        spread = table.std(0, ddof=1) if count > 1 else np.full(table.shape[1:], np.nan)
        parts[part] = table.mean(0), t.ppf(0.975, max(1, count - 1)) * spread / np.sqrt(count)
    return Standing(parts, len(measured))


def _given(test: Dataset, index: int) -> Any:
    if test.task == "image":
        return test.x[index]
    return (test.texts[index], test.answers[index]) if test.answers else test.texts[index]


def _folder(id: str):
    return settings().data / "censuses" / id
