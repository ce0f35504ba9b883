"""A data set as a network sees it, as points of the plane, at one checkpoint or along a whole training."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from explorer import runs, zoo
from explorer.activations.embed import Selection, checkpoints_shown, embed, size
from explorer.activations.feed import opened
from explorer.activations.project import METHODS, aligned, neighbours, pca, trust
from explorer.errors import ExplorerError
from explorer.jobs.study import Study
from explorer.params import check
from explorer.zoo.model import Model

FRAMES = 12  # checkpoints of a run at most
STUDY = Study("projection", "explorer.activations.projecting:run", "projections")
READ = 0.3  # share of a frame's work that reading the layer is held to be; drawing is the rest


@dataclass(frozen=True)
class Asked:
    """Which vectors become points, and how."""

    selection: Selection
    method: str = "PCA"  # a key of METHODS
    settings: tuple[tuple[str, float], ...] = ()  # of the method, by name
    steps: tuple[int, ...] = ()  # checkpoints of the run; none: the network as its ref says


@dataclass(frozen=True, eq=False)
class Projected:
    """F frames of N points: one a checkpoint, or a single one."""

    place: str  # where the vectors were read, in words
    numbers: int  # D, of one vector
    steps: np.ndarray  # (F,) int64; -1 for the network itself
    points: np.ndarray  # (F, N, 2) float32, each frame aligned to its neighbour
    near: np.ndarray  # (F, N, K) int64, the nearest others in all D dimensions
    distances: np.ndarray  # (F, N, K) float32
    trust: np.ndarray  # (F,) trustworthiness of each picture, 0 to 1
    explained: np.ndarray  # (F, C) shares of variance; C is 0 but for PCA
    answers: np.ndarray  # (F, N) int64 the class named; (F, 0) where none is
    names: tuple[str, ...]  # of those classes

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))


def start(asked: Asked, owner: str) -> str:
    """Queue a projection for a worker; returns the id under which it is found from now on.

    Raises ExplorerError where the method, its settings or the examples can't be, or no job can be taken.
    """
    _checked(asked)
    return STUDY.start(asdict(asked), owner)


def run(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: read, project, and leave the points in the folder."""
    asked = _asked(request["asked"])
    return STUDY.answer(request, report, stopping, lambda on_step: project(asked, on_step=on_step))


def asked_of(id: str) -> Asked:
    """What was asked; raises ExplorerError where there is no such projection."""
    return _asked(STUDY.asked(id))


def found_of(id: str) -> Projected | None:
    """The points; None where it has not ended well."""
    return STUDY.found(id, Projected)


def project(
    asked: Asked, model: Model | None = None, on_step: Callable[[float], None] = lambda share: None
) -> Projected:
    """Read the layer at every checkpoint and lay the vectors out in the plane, so that the pictures don't jump.

    PCA: every checkpoint has a plane of its own, turned and mirrored onto that of the checkpoint after it, from the
    last one back. t-SNE and UMAP: every checkpoint starts at the picture of the one before, and is then turned onto it.
    No picture is stretched. Raises ExplorerError as `embed` and the methods do.
    """
    values = _checked(asked)
    frames = asked.steps or (None,)
    points, near, distances, trusted, explained, answers = [], [], [], [], [], []
    for at, step in enumerate(frames):

        def told(share: float, start: float, stop: float, at: int = at) -> None:
            on_step((at + start + share * (stop - start)) / len(frames))

        found = embed(_at(asked.selection, step), model if step is None else None, lambda done: told(done, 0, READ))
        if asked.method == "PCA":
            made = pca(found.vectors)
            drawn = made.points
            explained.append(made.explained)
        else:
            before = points[-1] if points else None
            method = METHODS[asked.method]
            drawn = method(found.vectors, before, lambda done: told(done, READ, 0.98), **values)
            drawn = drawn if before is None else aligned(drawn, before)
        points.append(drawn)
        who, far = neighbours(found.vectors)
        near.append(who)
        distances.append(far)
        trusted.append(trust(found.vectors, drawn))
        answers.append(found.answers if found.answers is not None else np.zeros(0, np.int64))
        told(1.0, READ, 1.0)
    if asked.method == "PCA":
        for at in range(len(points) - 2, -1, -1):
            points[at] = aligned(points[at], points[at + 1])
    return Projected(
        found.layer, found.vectors.shape[1], np.array([-1 if step is None else step for step in frames]),
        np.stack(points), np.stack(near), np.stack(distances), np.array(trusted),
        np.stack(explained) if explained else np.zeros((len(frames), 0)), np.stack(answers), found.names,
    )  # fmt: skip


def steps_of(ref: str) -> tuple[int, ...]:
    """The checkpoints of a run that are drawn, evenly chosen; none where there are not two."""
    parsed = zoo.parse(ref)
    kept = runs.checkpoints(runs.folder(parsed.name)) if parsed.source == "run" else []
    return checkpoints_shown(kept, FRAMES) if len(kept) > 1 else ()


def _asked(values: dict[str, Any]) -> Asked:
    """What was asked, from JSON."""
    pairs = tuple((name, value) for name, value in values["settings"])
    return Asked(Selection(**values["selection"]), values["method"], pairs, tuple(values["steps"]))


def _checked(asked: Asked) -> dict[str, Any]:
    """The settings of the method, complete; raises ExplorerError for what it can't do with so many examples."""
    if asked.method not in METHODS:
        raise ExplorerError(f"The projection {asked.method!r}", "there is none of that name",
                            f"Choose one of: {', '.join(METHODS)}")  # fmt: skip
    values = check(METHODS[asked.method], dict(asked.settings), f"The projection {asked.method}")
    count = size(opened(_at(asked.selection, asked.steps[-1] if asked.steps else None).ref), asked.selection)
    for name in ("perplexity", "neighbours"):
        if name in values and not values[name] < count:
            raise ExplorerError(f"The {name} {values[name]:g}", f"it must be below the number of examples, {count:,}",
                                "Lower it, or choose more examples")  # fmt: skip
    return values


def _at(selection: Selection, step: int | None) -> Selection:
    """The same at a checkpoint of the run."""
    return selection if step is None else replace(selection, ref=f"run:{zoo.parse(selection.ref).name}@{step}")
