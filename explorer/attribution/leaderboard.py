"""The leaderboard: every measure of every method over many test images, in a worker.

`python -m explorer.attribution.leaderboard <shipped model> <images>` records the one that ships with a model.
"""

import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer import belongings, data, jobs, zoo
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings

CONFIDENCE = 0.95
MOST = 1000  # images
DIGITS = 4  # of a number that is kept
RECORDED = Path(__file__).parent / "recorded"
BASELINES = ("random", "sobel")  # always in the race


@dataclass(frozen=True)
class Race:
    """What to compare on what."""

    ref: str
    methods: tuple[str, ...]
    images: int = 100
    layer: str = ""  # "": the automatic one
    seed: int = 0  # draws the images and whatever is random in the methods
    repeats: int = 0  # nearby pictures for the sensitivity; 0 leaves it out


@dataclass(frozen=True, eq=False)
class Standing:
    """Where the race stands: the mean of each measure, and half of its confidence interval."""

    methods: tuple[str, ...]
    measures: tuple[str, ...]
    mean: np.ndarray  # (methods, measures), NaN where nothing was measured
    margin: np.ndarray  # (methods, measures), half of the 95 % interval
    images: int  # that all methods have done


def start(race: Race, owner: str) -> str:
    """Queue a race for a worker; returns the id under which it is found from now on."""
    from explorer.attribution.base import METHODS

    if zoo.load(race.ref).card.dataset not in data.DATASETS:
        raise ExplorerError("The leaderboard", "the network's own test images are not known", "Choose a shipped model")
    for method in race.methods:
        METHODS[method]
    if not 2 <= race.images <= MOST:
        raise ExplorerError(f"{race.images} images", f"a race takes between 2 and {MOST}", "Choose another number")
    belongings.allow(owner)
    id = uuid.uuid4().hex
    limits = settings().limits
    with belongings.begun(folder(id), owner):
        files.write_json(folder(id) / "race.json", asdict(race))
        jobs.engine().submit(
            "explorer.attribution.leaderboard:run",
            {"id": id, "race": asdict(race)}, id=id, owner=owner, seconds=limits.seconds, memory=limits.job_memory,
        )  # fmt: skip
    return id


def run(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: one image after the other, each by every method; what is done is in the race's folder."""
    from explorer.attribution.explain import explain, open_case
    from explorer.attribution.measures import measure

    race = Race(**{**request["race"], "methods": tuple(request["race"]["methods"])})
    model = zoo.load(race.ref)
    test = data.load(model.card.dataset, "test", **dict(model.card.dataset_settings))
    chosen = np.random.default_rng(race.seed).permutation(len(test))[: race.images]
    for done, index in enumerate(chosen):
        if stopping():
            break
        mask = None if test.masks is None else test.masks[index]
        row: dict[str, Any] = {"image": int(index)}
        with open_case(model, test.x[index : index + 1], layer=race.layer, seed=race.seed) as case:
            for method in race.methods:
                found = explain(case, method)
                values = measure(case, found, mask, race.seed, race.repeats).values
                row |= {f"{method} {name}": _short(value) for name, value in values.items() if np.isfinite(value)}
        files.append_history(folder(request["id"]), [row])
        report({"progress": (done + 1) / len(chosen), "step": done + 1})
    return {"images": len(rows(request["id"]))}


def _short(value: float) -> float:
    """The value with as many digits as are kept."""
    return float(f"{value:.{DIGITS}g}")


def rows(id: str) -> list[Mapping[str, Any]]:
    """What is measured so far: one mapping an image."""
    return files.history(folder(id))


def race(id: str) -> Race:
    """What was asked; raises ExplorerError where there is no such race."""
    if not (id in recorded() or (len(id) == 32 and id.isalnum())) or not (folder(id) / "race.json").is_file():
        raise ExplorerError(f"The leaderboard {id!r}", "there is none of that name here", "Start one")
    if id not in recorded():
        belongings.use(folder(id))
    values = files.read_json(folder(id) / "race.json")
    return Race(**{**values, "methods": tuple(values["methods"])})


def standing(methods: Sequence[str], measured: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> Standing:
    """The mean and Student's confidence interval of every measure, over the images."""
    from scipy.stats import t

    table = np.array(
        [[[row.get(f"{method} {name}", np.nan) for name in measures] for method in methods] for row in measured]
    ).reshape(len(measured), len(methods), len(measures))
    count = np.isfinite(table).sum(0)  # (methods, measures)
    mean, margin = np.full(count.shape, np.nan), np.full(count.shape, np.nan)
    for place in zip(*np.nonzero(count), strict=True):
        values = table[(slice(None), *place)]
        values = values[np.isfinite(values)]
        mean[place] = values.mean()
        if len(values) > 1:
            quantile = t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)
            margin[place] = quantile * values.std(ddof=1) / np.sqrt(len(values))
    return Standing(tuple(methods), tuple(measures), mean, margin, len(measured))


def _record(name: str, images: int) -> None:
    """Run the race that ships with `zoo:<name>`: every method that fits, the sensitivity left out."""
    from explorer.attribution.arena import fitting

    asked = Race(f"zoo:{name}", fitting(zoo.load(f"zoo:{name}")), images)
    target = RECORDED / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "history.jsonl").unlink(missing_ok=True)
    files.write_json(target / "race.json", asdict(asked))
    run({"id": name, "race": asdict(asked)}, print, lambda: False)


def folder(id: str) -> Path:
    """Where a race is kept."""
    return RECORDED / id if id in recorded() else settings().data / "leaderboards" / id


def recorded() -> tuple[str, ...]:
    """The races that ship: a shipped model's name each."""
    return tuple(sorted(path.name for path in RECORDED.iterdir() if path.is_dir()))


if __name__ == "__main__":
    _record(sys.argv[1], int(sys.argv[2]))
