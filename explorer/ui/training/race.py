"""Is the trick real: recipes raced over several seeds, and what may be said of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from explorer import data, models
from explorer.charts import race as charts
from explorer.errors import ExplorerError
from explorer.params import acts, params
from explorer.settings import settings
from explorer.training import racing
from explorer.training.config import TrainConfig, unfit
from explorer.training.presets import PRESETS, RECIPES, shipped
from explorer.training.presets import changes as changes_of
from explorer.training.race import RECIPES as SIZES
from explorer.training.race import SEEDS, Contest, Race, csv_text, points, table
from explorer.ui.begun import begin
from explorer.ui.controls import controls, label
from explorer.ui.draw import draw
from explorer.ui.page import guard, plain, refuse
from explorer.ui.person import person
from explorer.ui.pickers import choose, linked, segments, to_link
from explorer.ui.row import one_of
from explorer.ui.training.price import price
from explorer.ui.watch import broke_off, going, job_of, watch
from explorer.ui.words import duration

OWN = "own"  # a race of one's own making
TITLE = "Build your own race from the recipe on the left"
FIRST = next(iter(PRESETS))
ICONS = {
    "better": ":green[:material/trending_up:]",
    "worse": ":red[:material/trending_down:]",
    "within noise": ":gray[:material/drag_handle:]",
}
UNSURE = ":orange[:material/help:]"
LEVERS = "Change levers"
WORDS = """
- **Seed**: the number from which all chance of a run is drawn: its first weights, and the order of its examples. The
  same recipe with another seed ends a little higher or lower, by luck alone.
- **Paired**: at each seed all recipes run with the *same* luck, so their difference says more about the recipe.
- **Spread** (±): the standard deviation, so how far the results of a recipe typically lie from their mean, from seed
  to seed.
- **Interval**: where the true mean difference lies, over all seeds that one could have tried (Student's t on the
  paired differences). Of 100 races, about 95 catch the truth in *all* their intervals: with more recipes each interval
  is made wider (Bonferroni), because who compares often is fooled often. An accuracy is a whole number of test
  examples, so a few differences may be equal by chance: the spread in it is never less than that rounding makes (0.41
  of a test example).
- **Within noise**: the interval holds zero, so this race can't tell the recipes apart. It does not prove them equal:
  more seeds make the interval narrower.
- **Point**: one hundredth of the test examples. The interval tells of other seeds, not of other test examples.
- **Diverged**: the loss was no longer a number. The run ended there, and counts with the best it had.
"""


def race_view(config: TrainConfig) -> None:
    """Choose a race, start it, watch it, read the verdict. `?race=` is the choice, `?raced=` one that was run here."""
    st.subheader("Is the trick real?", anchor=False)
    st.caption(
        "One run with a trick beats one without: that may be luck. Here each recipe trains several times, from the "
        "same starting points as its rivals, and the verdict says whether the difference is larger than luck makes it."
    )
    name = choose("Race", [*PRESETS, OWN], FIRST, "race", _title, on_change=_forget)
    id = linked("raced", "")
    to_link("raced", id, "")
    with guard():
        if name in PRESETS:
            _preset(name)
        elif contest := _own(config):
            _start(contest)
    if error := st.session_state.pop("race-refused", None):
        refuse(error)
    with guard():
        if id:
            _raced(id)
        elif name in PRESETS and (found := shipped(name)):
            where = f"Measured by us on two cores, {found.contest.seeds} seeds. Race it here to open its networks."
            st.caption(where)
            _shown(found, f"race-{name}")
    with st.expander("What do seed, spread and interval mean?", icon=":material/help:"):
        st.markdown(WORDS)


# ---- choose ----


def _title(name: str) -> str:
    return PRESETS[name].summary if name in PRESETS else TITLE


def _forget() -> None:
    """Another choice shows its own result."""
    st.session_state["raced"] = ""


def _preset(name: str) -> None:
    """What a preset is about, and how to race it here."""
    facts = PRESETS[name].facts
    st.markdown(f"**What we expect.** {facts['expected']} {facts['because']} [Read the paper]({facts['paper']})")
    contest = PRESETS[name].make()
    with st.expander("What exactly is raced?", icon=":material/tune:"):
        st.dataframe(pd.DataFrame(_settings(contest)), hide_index=True, width="stretch", height="content")
    with st.expander("Race it here", icon=":material/flag:"):
        _start(_seeds(contest))


def _own(config: TrainConfig) -> Contest | None:
    """The recipe on the left, and what challenges it; None where nothing can be raced."""
    if models.MODELS[config.model].facts.get("objective", "classes") != "classes":
        st.info("Choose a network on the left that names classes: a race compares accuracies.", icon=":material/info:")
        return None
    st.markdown("**Contender 1: the recipe on the left.** The others are the same but for what you change.")
    most = SIZES[1] - 1
    count = one_of("Challengers", list(range(1, most + 1)), default=1, key="b_count")
    names, configs = ["your recipe"], [config]
    for number in range(2, count + 2):
        with st.container(border=True):
            name, changes = _changes(number, config)
        if changes:
            names.append(name if name not in names else f"{name} ({number})")
            configs.append(dataclasses.replace(config, **changes))
    if len(names) < count + 1:
        st.info("Choose what each challenger changes.", icon=":material/tune:")
        return None
    return _seeds(Contest(tuple(names), tuple(configs), first=config.seed))


def _changes(number: int, config: TrainConfig) -> tuple[str, dict[str, Any]]:
    """What one challenger changes, and its name."""
    prefix = "b_" if number == 2 else f"b{number}_"
    kind = one_of(
        f"Contender {number}",
        [LEVERS, *RECIPES],
        default=LEVERS,
        key=f"{prefix}kind",
        help="The standard and the modern recipe are those of the command line's bench, on your data and network, with "
        "your epochs and batches; every other lever is theirs.",
    )
    if kind in RECIPES:
        return kind, changes_of(kind, data.about(config.dataset))
    idle = {"seed", *unfit(data.about(config.dataset).task, denoises=False)}
    known = {name: param for name, param in params(TrainConfig).items() if name not in idle}
    levers = st.multiselect(
        "What it changes", list(known), [], key=f"{prefix}levers", bind="query-params", placeholder="Choose levers",
        format_func=lambda name: label(known[name]),
    )  # fmt: skip
    if not levers:
        return "", {}
    now = {name: getattr(config, name) for name in levers}
    found = controls(
        TrainConfig, prefix=prefix, only=levers, defaults=now, highest={"epochs": settings().limits.epochs}
    )
    changes = {name: value for name, value in found.items() if value != now[name]}
    if not changes:
        st.caption("So far it is the same as contender 1.")
    after = dataclasses.asdict(config) | changes
    for name in (name for name in changes if not acts(known[name], after)):
        st.caption(f":material/info: {label(known[name])} does nothing here: it acts beside another choice only.")
    told = [f"{label(known[name]).lower()} {_value(value)}" for name, value in changes.items()]
    return ", ".join(told), changes


def _seeds(contest: Contest) -> Contest:
    seeds = st.slider(
        "Seeds", 1, SEEDS, contest.seeds, key="race-seeds", bind="query-params",
        help="How often each recipe is trained. One can't tell luck from skill; from about 5 on it is useful.",
    )  # fmt: skip
    return dataclasses.replace(contest, seeds=seeds)


def _start(contest: Contest) -> None:
    """The price, and the button."""
    runs, limit = contest.seeds * len(contest.names), settings().limits.seconds
    try:
        seconds = contest.seeds * sum(price(config).seconds for config in contest.configs)
    except ExplorerError as error:
        st.caption(f"{runs} runs. {contest.shared}")
        st.caption(f":material/timer_off: {plain(str(error))}")
    else:
        st.caption(f"{runs} runs, about {duration(seconds)} on this machine. {contest.shared}")
        if seconds > limit:
            st.caption(f":material/timer: It stops after {duration(limit)}, and keeps what it has by then.")
    st.button("Start the race", type="primary", icon=":material/flag:", key="start-race", on_click=_go, args=(contest,))


def _go(contest: Contest) -> None:
    try:
        begin("raced", lambda: racing.start(contest, person()))
    except ExplorerError as error:
        st.session_state["race-refused"] = error


# ---- watch, and read ----


def _raced(id: str) -> None:
    """A race that was started here: while it goes on, and afterwards."""
    asked = racing.asked(id)
    st.caption(f"Raced here: {plain(' · '.join(asked.names))}. This page's link shows it again.")
    if going(id):
        watch(id, "race", lambda: _shown(racing.result(id), f"race-{id}"))
        return
    job = job_of(id)
    if job and job.error:
        st.warning(plain(job.error))
    racing.collect(id)  # what a server that broke off has left
    found = racing.result(id)
    if job is None and len(found.trials) < len(asked.order):
        st.warning(plain(broke_off(job)))
    if not found.complete:
        st.info(f"It ended after {len(found.trials)} of {len(asked.order)} runs.", icon=":material/stop_circle:")
    _shown(found, f"race-{id}")


def _shown(race: Race, key: str) -> None:
    """The verdicts, the curves, the differences, the table, the networks."""
    if not race.trials:
        st.caption("No run has ended yet.")
        return
    for one in race.verdicts():
        st.markdown(f"### {ICONS.get(one.word, UNSURE)} {plain(one.sentence)}")
    st.caption(f"{race.contest.shared} {race.point}. The interval speaks of other seeds, not of other test examples.")
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**How they learned:** the mean over the seeds, in a band from the lowest to the highest")
        what = segments("Curve", ["accuracy", "loss"], "race-curve", label_visibility="collapsed")
        draw(charts.learning, race, what, key=f"{key}-curves-{what}", says=f"Validation {what} of each recipe by epoch")
    with right:
        st.markdown(
            f"**How far from {plain(race.contest.names[0])}:** a dot for each seed, the mean, and the interval. "
            "Where the bar touches the dashed line, it is within noise."
        )
        draw(
            charts.differences,
            race,
            key=f"{key}-differences",
            says="Paired differences of test accuracy to the first recipe",
        )
    _table(race, key)
    _networks(race)


def _table(race: Race, key: str) -> None:
    rows = table(race)
    shown = pd.DataFrame(
        [
            {
                "recipe": row["recipe"],
                "network": row["model"],
                "test accuracy": _percent(row["accuracy"], row["spread"]),
                "difference": _span(row),
                "verdict": row["verdict"] or "baseline",
                "diverged": row["diverged"],
                "parameters": row["parameters"],
                "FLOPs": row["flops"],
                "seconds a run": row["seconds"],
                "examples/s": row["examples_per_second"],
            }
            for row in rows
        ]
    )
    form = {"parameters": "{:,}", "FLOPs": "{:,}", "seconds a run": "{:.1f}", "examples/s": "{:,.0f}"}
    st.dataframe(shown.style.format(form, na_rep="–"), hide_index=True, width="stretch", height="content",
                 placeholder="–")  # fmt: skip
    st.download_button(
        "This table as CSV", csv_text(rows).encode(), "race.csv", key=f"{key}-csv", icon=":material/download:"
    )


def _networks(race: Race) -> None:
    """Every network by recipe and seed, with its links."""
    contest = race.contest
    found = {(one.recipe, one.seed): one for one in race.trials}
    seeds = sorted({seed for _, seed in found})
    kept = any(one.run for one in race.trials)
    st.markdown("**Every network, by its test accuracy in %:** " + (
        "the number opens its run, the arrow its network" if kept else "each recipe at each seed"
    ))  # fmt: skip
    heading = ["", *(f"seed {contest.first + seed}" for seed in seeds)]
    lines = [heading, ["---"] * len(heading)]
    for recipe, name in enumerate(contest.names):
        lines.append([plain(name), *(_cell(found.get((recipe, seed))) for seed in seeds)])
    st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _cell(trial) -> str:
    if trial is None:
        return "–"
    state = "" if trial.state == "finished" else trial.state
    told = state if trial.accuracy is None else f"{100 * trial.accuracy:.1f} {state}".strip()
    if not trial.run:
        return told
    return f"[{told}](training?run=run:{trial.run}) [↗](models?model=run:{trial.run})"


def _settings(contest: Contest) -> list[Mapping[str, str]]:
    """What each recipe sets: the same for all in one column, in so far as it is not a default."""
    usual, rows = TrainConfig(), []
    for field in dataclasses.fields(TrainConfig):
        values = [getattr(config, field.name) for config in contest.configs]
        if field.name != "seed" and (len(set(values)) > 1 or values[0] != getattr(usual, field.name)):
            row = {"setting": field.name.replace("_", " ")}
            rows.append(row | {name: _value(value) for name, value in zip(contest.names, values, strict=True)})
    return rows


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(f"{name} {one}" for name, one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(share: float | None, spread: float | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.1f}" + (f" ± {100 * spread:.1f} %" if spread is not None else " %")


def _span(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    between = f" ({points(row['low'])} to {points(row['high'])})" if row["low"] is not None else ""
    return points(row["difference"]) + between
