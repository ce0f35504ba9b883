"""python -m explorer.training run | compare | bench"""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from explorer import data, models, training
from explorer.errors import ExplorerError
from explorer.params import Choice, Param, Toggle, params
from explorer.runs import files
from explorer.settings import settings
from explorer.training import presets, race, racing
from explorer.training.config import TrainConfig
from explorer.training.race import Contest, Race

PARTS = {"model": "model_settings", "data": "dataset_settings"}  # --model.width, --data.kind
QUICK, WHOLE = {"epochs": 5, "seeds": 1}, {"epochs": 15, "seeds": 3}  # of a bench
SIZES = ("width", "depth")  # settings of a network that are as small as they go in a quick bench, where it is large
LARGE = 50_000  # parameters


def main(argv: Sequence[str] | None = None) -> int:
    """Train one network, race several recipes, or try every architecture; all of it is kept as runs."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    try:
        arguments.parts = _parts(rest)
        {"run": _run, "compare": _compare, "bench": _bench}[arguments.command](arguments)
    except ExplorerError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; what there was is kept.", file=sys.stderr)
        return 130
    return 0


# ---- the commands ----


def _run(arguments: argparse.Namespace) -> None:
    """Train one network, a line an epoch."""
    config = _config(arguments)

    def tell(step: Any) -> None:
        if step.validation_loss is not None and math.isclose(step.epoch, round(step.epoch)):
            lost = "" if step.loss is None else f"  loss {step.loss:.4f}"
            right = "" if step.validation_accuracy is None else f"  right {step.validation_accuracy:.1%}"
            told = f"epoch {step.epoch:3.0f}/{config.epochs}  step {step.step:6}{lost}"
            print(f"{told}  validation loss {step.validation_loss:.4f}{right}  {step.seconds:.1f} s", flush=True)

    run = training.fit(config, tell)
    found = ", ".join(f"{name} {value:.4f}" for name, value in run.metrics.items())
    print(f"{run.state}: {found}, {run.seconds:.1f} s\n{run.ref} in {run.folder}")
    if run.error:
        print(run.error)


def _compare(arguments: argparse.Namespace) -> None:
    """Race recipes over seeds."""
    if arguments.preset:
        if arguments.recipe:
            raise ExplorerError("This race", "it has a preset and recipes of your own", "Leave one of them out")
        contest = presets.PRESETS[arguments.preset].make()
    else:
        common = _config(arguments)
        named = [_recipe(common, text) for text in arguments.recipe]
        contest = Contest(tuple(name for name, _ in named), tuple(config for _, config in named), first=common.seed)
    if arguments.seeds is not None:
        contest = dataclasses.replace(contest, seeds=arguments.seeds)
    found = _raced(contest)
    print("\n".join((_drawn(race.table(found)), *_said(found))))
    _write(arguments.csv, race.table(found))


def _bench(arguments: argparse.Namespace) -> None:
    """Race the standard recipe and the modern one on every architecture that classifies pictures."""
    if arguments.presets is not None:
        _measure(arguments.presets or list(presets.PRESETS))
        return
    dataset = data.own.add_images(Path(arguments.images)) if arguments.images else arguments.dataset
    about = data.about(dataset)
    chosen = arguments.models or [name for name in models.fitting(about.shape, about.task) if _classifies(name)]
    usual = QUICK if arguments.quick else WHOLE
    epochs = usual["epochs"] if arguments.epochs is None else arguments.epochs
    seeds = usual["seeds"] if arguments.seeds is None else arguments.seeds
    rows: list[dict[str, Any]] = []
    for name in chosen:
        size = _smallest(name, about) if arguments.quick else {}
        configs = [
            TrainConfig(dataset, name, epochs, **presets.changes(recipe, about), model_settings=size)
            for recipe in presets.RECIPES
        ]
        found = _raced(Contest(tuple(presets.RECIPES), tuple(configs), seeds), label=f"{name} ")
        rows += race.table(found)
        print("\n".join(_said(found)), flush=True)
        _write(arguments.csv, rows, aloud=False)
    print(_drawn(rows))
    _write(arguments.csv, rows)


def _measure(names: Sequence[str]) -> None:
    """Race presets and put what was measured in the place of what ships."""
    for name in names:
        found = _raced(presets.PRESETS[name].make(), label=f"{name} ")
        presets.ship(name, found)
        print("\n".join((_drawn(race.table(found)), *_said(found))), flush=True)


def _raced(contest: Contest, label: str = "") -> Race:
    """Race here, a line a run; interrupted, the list of runs has what there is."""

    def tell(trial: race.Trial) -> None:
        name, seed = contest.names[trial.recipe], contest.first + trial.seed
        right = "not tried" if trial.accuracy is None else f"{trial.accuracy:.1%} of the test right"
        told = f"{label}{name}, seed {seed}: {right}, {trial.seconds:.1f} s"
        print(told if trial.state == "finished" else f"{told} ({trial.state})", flush=True)

    return racing.result(racing.run(contest, on_trial=tell))


# ---- what is asked ----


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m explorer.training", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    parts = "Settings of the network and the data: --model.width 32, --data.kind moons."
    one = commands.add_parser("run", help="train one network", epilog=parts)
    several = commands.add_parser("compare", help="race recipes over seeds", epilog=parts)
    for command in (one, several):
        _add_config(command)
    several.add_argument(
        "--recipe", action="append", default=[], metavar="NAME:KEY=VALUE,…",
        help="what one recipe changes of the options; the first is what the others are compared with; "
             f"{' and '.join(presets.RECIPES)} need no changes",
    )  # fmt: skip
    several.add_argument("--preset", choices=list(presets.PRESETS), help="a race that ships, in place of recipes")
    bench = commands.add_parser("bench", help="race the standard and the modern recipe on every architecture")
    bench.add_argument("--dataset", default="digits", help="pictures: digits, cifar10, own:…")
    bench.add_argument("--images", help="a folder of class folders with pictures, or a zip of one")
    bench.add_argument("--models", nargs="+", choices=[name for name in models.MODELS if _classifies(name)])
    bench.add_argument("--epochs", type=int)
    bench.add_argument("--quick", action="store_true", help="few epochs, one seed, small networks: minutes")
    bench.add_argument(
        "--presets", nargs="*", choices=list(presets.PRESETS), help="measure the races that ship anew (all, or these)"
    )
    for command in (several, bench):
        command.add_argument("--seeds", type=int, help=f"how often each is trained, 1 to {race.SEEDS}")
        command.add_argument("--csv", help="where the table is written; race.csv in the data folder if not said")
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    """An option for each field of TrainConfig; one that is not given keeps its default."""
    about = {"default": argparse.SUPPRESS}
    parser.add_argument("--config", type=Path, help="a JSON file with settings, as a run's config.json")
    parser.add_argument("--dataset", help="one of the data sets, or own:…", **about)
    parser.add_argument("--model", choices=list(models.MODELS), help="the architecture", **about)
    for name, param in params(TrainConfig).items():
        flags = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        told = f"{param.control.help} {_range(param)}".replace("%", "%%")
        if isinstance(param.control, Toggle):
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, help=told, **about)
        elif isinstance(param.control, Choice):
            parser.add_argument(*flags, type=param.type, choices=param.control.options, help=told, **about)
        else:
            parser.add_argument(*flags, type=param.type, metavar=param.type.__name__, help=told, **about)


def _range(param: Param) -> str:
    """What a setting may be, and what it is."""
    low, high = getattr(param.control, "low", None), getattr(param.control, "high", None)
    zero = " or 0" if getattr(param.control, "zero", False) else ""
    return f"[{low:g} to {high:g}{zero}; {param.default:g}]" if low is not None else f"[{param.default}]"


def _config(arguments: argparse.Namespace) -> TrainConfig:
    """The config that the options, over those of the file, ask for."""
    values = _file(arguments.config) if arguments.config else {}
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    values = values | {name: value for name, value in vars(arguments).items() if name in fields}
    return changed(TrainConfig.from_dict(values), arguments.parts)


def _file(path: Path) -> dict[str, Any]:
    """What a file of settings holds; raises ExplorerError where that can't be a run's."""
    asked, do = f"The file {path}", "Give a JSON file like a run's config.json"
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ExplorerError(asked, "it is missing", do) from None
    except OSError as error:
        raise ExplorerError(asked, f"it can't be read ({error.strerror})", do) from error
    except (ValueError, RecursionError):
        raise ExplorerError(asked, "it is damaged: that is no JSON", do) from None
    if not isinstance(values, dict):
        raise ExplorerError(asked, "it holds no object with a run's settings", do)
    for name, kind, told in (
        ("dataset", str, "text"), ("model", str, "text"), *((part, dict, "object") for part in PARTS.values())
    ):  # fmt: skip
        if not isinstance(values.get(name, kind()), kind):
            raise ExplorerError(asked, f"its {name} is no {told}", do)
    return values


def changed(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """A config with some values changed; texts become what the setting takes, and `model.width` goes to its part.

    Another network or data set begins with settings of its own.
    """
    whole = {name: value for name, value in changes.items() if "." not in name}
    unknown = set(whole) - {field.name for field in dataclasses.fields(TrainConfig)}
    if unknown:
        raise ExplorerError("This recipe", f"it has no setting {min(unknown)!r}", "See run --help")
    known = params(TrainConfig)
    whole = {name: _value(known[name], value) if name in known else value for name, value in whole.items()}
    if whole.get("model", config.model) != config.model:
        whole.setdefault("model_settings", ())
    if whole.get("dataset", config.dataset) != config.dataset:
        whole.setdefault("dataset_settings", ())
    config = dataclasses.replace(config, **whole)
    for part, field in PARTS.items():
        told = {name.partition(".")[2]: value for name, value in changes.items() if name.startswith(f"{part}.")}
        if told:
            entry = models.MODELS[config.model] if part == "model" else data.DATASETS[config.dataset]
            known = params(entry.make)
            missing = set(told) - set(known)
            if missing:
                wrong = f"it has no setting {min(missing)!r}"
                raise ExplorerError(f"The {part} {entry.name!r}", wrong, f"It has: {', '.join(known) or 'none'}")
            told = {name: _value(known[name], value) for name, value in told.items()}
            config = dataclasses.replace(config, **{field: dict(getattr(config, field)) | told})
    return config


def _value(param: Param, value: Any) -> Any:
    """A setting's value from a word; what is no word stays."""
    if not isinstance(value, str):
        return value
    if param.type is bool:
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if value.lower() not in words:
            raise ExplorerError(
                f"The setting {param.name!r}", f"{value!r} is neither true nor false", "Say one of them"
            )
        return words[value.lower()]
    try:
        return param.type(value)
    except ValueError:
        raise ExplorerError(
            f"The setting {param.name!r}", f"{value!r} is not a number", f"Use one like {param.default}"
        ) from None


def _recipe(common: TrainConfig, text: str) -> tuple[str, TrainConfig]:
    """The name and the config of `name:key=value,key=value`; a name alone is ours, or the options as they are."""
    name, _, body = text.partition(":")
    changes: dict[str, Any] = {}
    if name in presets.RECIPES:
        changes = presets.changes(name, data.about(common.dataset))
    for pair in filter(None, body.split(",")):
        key, given, value = pair.partition("=")
        if not given:
            raise ExplorerError(f"The recipe {name!r}", f"{pair!r} is not key=value", "Write it like slow:lr=0.001")
        changes[key.strip()] = value.strip()
    return name, changed(common, changes)


def _parts(rest: Sequence[str]) -> dict[str, str]:
    """`--model.width 32` or `--model.width=32` as name and word; raises ExplorerError for anything else."""
    found, words = {}, iter(rest)
    for word in words:
        name, given, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name.partition(".")[0] not in PARTS or "." not in name:
            raise ExplorerError(f"The option {word!r}", "there is none of that name", "See --help")
        found[name] = value if given else next(words, "")
    return found


def _classifies(name: str) -> bool:
    """Whether an architecture names what is in pictures."""
    return "image" in models.base.reads(name) and models.MODELS[name].facts.get("objective", "classes") == "classes"


def _smallest(name: str, about: data.About) -> dict[str, Any]:
    """The lowest width and depth of a large architecture that takes such data; nothing where it is small anyway."""
    known, size = params(models.MODELS[name].make), {}
    if models.count(name, about.shape, about.classes) < LARGE:
        return size
    for setting in (one for one in SIZES if one in known):
        control = known[setting].control
        low = min(control.options) if isinstance(control, Choice) else getattr(control, "low", None)
        if low is not None and models.base.unfit(name, about.shape, **size, **{setting: low}) is None:
            size[setting] = low
    return size


# ---- what is told ----


def _said(found: Race) -> list[str]:
    """The verdicts, and what they rest on."""
    return [*(one.sentence for one in found.verdicts()), f"{found.contest.shared} {found.point}."]


def _drawn(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table for the terminal."""
    cells = [list(COLUMNS), *([tell(row) for tell in COLUMNS.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _write(path: str | None, rows: Sequence[Mapping[str, Any]], aloud: bool = True) -> None:
    where = Path(path) if path else settings().data / "race.csv"
    files.write(where, race.csv_text(rows).encode())
    if aloud:
        print(f"written to {where}")


def _accuracy(row: Mapping[str, Any]) -> str:
    spread = f" ± {100 * row['spread']:.1f}" if row["spread"] is not None else ""
    return f"{100 * row['accuracy']:.1f}{spread} %" if row["accuracy"] is not None else ""


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    span = f" ({race.points(row['low'])} to {race.points(row['high'])})" if row["low"] is not None else ""
    return race.points(row["difference"]) + span


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


COLUMNS = {  # of the table in the terminal: heading → how a row has it
    "recipe": lambda row: row["recipe"],
    "model": lambda row: row["model"],
    "parameters": lambda row: f"{row['parameters']:,}",
    "FLOPs": lambda row: f"{row['flops']:,}",
    "seeds": lambda row: str(row["seeds"]),
    "test accuracy": _accuracy,
    "difference": _difference,
    "verdict": lambda row: row["verdict"] + (f", diverged {row['diverged']}×" if row["diverged"] else ""),
    "seconds": lambda row: _number(row["seconds"], ".1f"),
    "examples/s": lambda row: _number(row["examples_per_second"], ",.0f"),
}


if __name__ == "__main__":
    sys.exit(main())
