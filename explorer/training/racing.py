"""Run a race of recipes, here or in a worker, and keep every network of it as a run of its own."""

import contextlib
import dataclasses
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer import belongings, data, jobs, models, runs
from explorer.belongings import LOCAL
from explorer.errors import ExplorerError
from explorer.runs import files
from explorer.settings import settings
from explorer.training.config import TrainConfig
from explorer.training.launch import check_limits
from explorer.training.race import Contest, Race, Trial, tests, trial

ASKED, TRIALS, RUNS = "asked.json", "trials.json", "runs.json"
REPORT_SECONDS = 0.2  # between two reports of how far it is
WEIGHTS = 2  # sets of weights of each run, beside its best

_collecting = threading.Lock()


def start(contest: Contest, owner: str = LOCAL) -> str:
    """Queue a race for a worker; returns the id under which it is found from now on.

    When it has ended its runs are handed over beside what else goes on: it takes seconds, for which no other job's end
    waits. Who wants them at once calls `collect`.

    Raises ExplorerError where a limit is broken, the queue is full, or the person has a job already or keeps too much.
    """
    belongings.allow(owner, runs=len(contest.order))
    id, limits = _open(contest, owner), settings().limits
    try:
        jobs.engine().submit(
            "explorer.training.racing:work",
            {"id": id}, id=id, owner=owner, seconds=limits.seconds, memory=limits.job_memory,
            on_done=lambda job: threading.Thread(target=collect, args=(id,), daemon=True).start(),
        )  # fmt: skip
    except ExplorerError:
        shutil.rmtree(folder(id))
        raise
    return id


def run(
    contest: Contest,
    on_step: Callable[[int, int, Any], None] = lambda recipe, seed, step: None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
    owner: str = LOCAL,
) -> str:
    """Race in this process, to the end; gives the race's id. What it has when it is interrupted is kept.

    on_step sees the recipe, the seed and every step of it; on_trial what each run came to.
    """
    id = _open(contest, owner)
    try:
        _race(id, on_step, on_trial)
    finally:
        collect(id)
    return id


def work(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: one run after the other, each into a folder of the race's."""
    id = request["id"]
    contest = asked(id)
    lengths = [steps(config) for config in contest.configs]
    whole, due = sum(lengths) * contest.seeds, 0.0
    order = {place: number for number, place in enumerate(contest.order)}

    def on_step(recipe: int, seed: int, step: Any) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + REPORT_SECONDS
            before = sum(lengths[one] for one, _ in contest.order[: order[recipe, seed]])
            report({"progress": (before + step.step) / whole, "recipe": recipe, "seed": seed})

    _race(id, on_step, stopping=stopping)
    return {"trials": len(_trials(id))}


def _race(
    id: str,
    on_step: Callable[[int, int, Any], None],
    on_trial: Callable[[Trial], None] = lambda trial: None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    import torch

    from explorer.training.record import record
    from explorer.training.task import threads

    contest, done = asked(id), []
    for recipe, seed in contest.order:
        config, place = contest.config(recipe, seed), _place(id, recipe, seed)
        torch.set_num_threads(threads(config))
        outcome = record(
            config, place, settings().device, lambda step, at=(recipe, seed): on_step(*at, step), stopping, keep=WEIGHTS
        )
        done.append(_measured(recipe, seed, config, place, dataclasses.asdict(outcome)))
        files.write_json(folder(id) / TRIALS, [dataclasses.asdict(one) for one in done])
        on_trial(done[-1])
        if stopping():
            return


def _measured(recipe: int, seed: int, config: TrainConfig, place: Path, outcome: dict[str, Any]) -> Trial:
    """What a run that has ended left in its folder, in the race's terms."""
    tried = [one for one in files.history(place) if one.get("validation_loss") is not None]
    return Trial(
        recipe, seed, outcome["state"],
        outcome["metrics"].get("test accuracy"),
        outcome["metrics"].get("validation accuracy"),
        tuple(one["validation_loss"] for one in tried),
        tuple(one["validation_accuracy"] for one in tried),
        outcome["seconds"], outcome["steps"] * seen(config) / max(outcome["seconds"], 1e-9), outcome["error"],
    )  # fmt: skip


def result(id: str) -> Race:
    """What a race has measured so far; raises ExplorerError where there is none of that id."""
    contest, kept = asked(id), files.read_json(folder(id) / "sizes.json")
    named = _runs(id)
    trials = [dataclasses.replace(one, run=named.get(_key(one), "")) for one in _trials(id)]
    return Race(contest, tuple(trials), kept["tests"], tuple(kept["parameters"]), tuple(kept["flops"]))


def asked(id: str) -> Contest:
    """What was asked; raises ExplorerError where there is none of that id."""
    return Contest.from_dict(_asked(id)["contest"])


def delete(id: str, owner: str) -> None:
    """Forget a race of one's own, and every run of it."""
    if _asked(id)["owner"] != owner:
        raise ExplorerError("Deleting this race", "it is somebody else's", "Delete your own only")
    with _collecting:
        for run in _runs(id).values():
            with contextlib.suppress(ExplorerError):  # deleted before
                runs.delete(run, owner)
        shutil.rmtree(folder(id), ignore_errors=True)


def collect(id: str) -> None:
    """Hand the runs of a race that have ended to the list of runs, each once; what can't be handed over stays.

    Any number of threads may do so at once: when one returns, all that had ended when it was called is there.
    """
    with contextlib.suppress(ExplorerError):
        contest, owner, done = asked(id), _asked(id)["owner"], _runs(id)
        for one in _trials(id):
            if _key(one) not in done:
                with _collecting:
                    _hand_over(id, contest.config(one.recipe, one.seed), contest.names[one.recipe], one, owner)


def _hand_over(id: str, config: TrainConfig, name: str, one: Trial, owner: str) -> None:
    """Make a run of a race one of the list, unless it is."""
    place, named = _place(id, one.recipe, one.seed), _runs(id)
    if _key(one) in named or not place.is_dir():
        return
    title = f"{name}: {config.model} on {data.about(config.dataset).title}"
    run = runs.create(title, config.to_dict(), owner, tags={"race": id})
    large = shutil.ignore_patterns(files.PUT_DOWN)  # nobody goes on with a run of a race
    try:
        shutil.copytree(place, runs.folder(run), ignore=large, dirs_exist_ok=True)
        tried = [line for line in files.history(place) if line.get("validation_loss") is not None]
        runs.finish(run, one.state, _outcome(place)["metrics"], tried, one.error)
        files.write_json(folder(id) / RUNS, {**named, _key(one): run})
    except (OSError, ExplorerError) as error:  # a full disk: whoever looks when there is room tries again
        runs.delete(run, owner)
        raise ExplorerError("Keeping the networks of this race", str(error), "Free some space") from error
    shutil.rmtree(place)


def steps(config: TrainConfig) -> int:
    """How many steps a run takes."""
    examples = len(data.load(config.dataset, "train", **dict(config.dataset_settings)))
    return config.epochs * max(1, examples // config.batch)


def seen(config: TrainConfig) -> int:
    """How many examples a step sees: a batch, or all where there are fewer."""
    return min(config.batch, len(data.load(config.dataset, "train", **dict(config.dataset_settings))))


def folder(id: str) -> Path:
    """Where a race is kept."""
    return settings().data / "races" / id


def _open(contest: Contest, owner: str) -> str:
    """Make a race's folder; raises ExplorerError where the race is not to be."""
    from explorer.training.cost import flops

    for name, config in zip(contest.names, contest.configs, strict=True):
        check_limits(config)
        if models.MODELS[config.model].facts.get("objective", "classes") != "classes":
            raise ExplorerError(
                f"Racing {name!r}", "its network names nothing, so there is no accuracy", "Race classifiers"
            )
    kept = {
        "tests": tests(contest),
        "parameters": [count(config) for config in contest.configs],
        "flops": [flops(config) for config in contest.configs],
    }
    id = uuid.uuid4().hex
    with belongings.begun(folder(id), owner):
        files.write_json(folder(id) / "sizes.json", kept)
        files.write_json(folder(id) / ASKED, {"contest": contest.to_dict(), "owner": owner})
    return id


def count(config: TrainConfig) -> int:
    """The parameters of a recipe's network."""
    about = data.about(config.dataset)
    return models.count(config.model, about.shape, about.classes, **dict(config.model_settings))


def _asked(id: str) -> dict[str, Any]:
    if not (len(id) == 32 and id.isalnum()) or not (folder(id) / ASKED).is_file():
        raise ExplorerError(f"The race {id[:40]!r}", "there is none of that name here", "Start one")
    belongings.use(folder(id))
    return files.read_json(folder(id) / ASKED)


def _trials(id: str) -> list[Trial]:
    path = folder(id) / TRIALS
    return [trial(one) for one in files.read_json(path)] if path.exists() else []


def _runs(id: str) -> dict[str, str]:
    """ "recipe-seed" → the id that the list of runs has it by."""
    path = folder(id) / RUNS
    return files.read_json(path) if path.exists() else {}


def _key(one: Trial) -> str:
    return f"{one.recipe}-{one.seed}"


def _outcome(place: Path) -> dict[str, Any]:
    return files.read_json(place / "outcome.json")


def _place(id: str, recipe: int, seed: int) -> Path:
    """Where a run is, until it is handed over."""
    return folder(id) / "runs" / f"{recipe}-{seed}"
