"""What to train and how, chosen: data set, network, recipe."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from explorer import data, models
from explorer.params import params
from explorer.settings import settings
from explorer.training import TrainConfig
from explorer.training.config import unfit
from explorer.training.objectives import denoises
from explorer.training.presets import RECIPES, fitted
from explorer.ui.controls import Source, controls, controls_of, refusal, text_of
from explorer.ui.page import plain
from explorer.ui.pickers import choose

USUAL = ("lenet", "mlp", "gpt")  # what is trained unless something else is chosen
HARDWARE = ("amp", "compile")  # levers that a CPU does not have
KEPT = ("epochs", "seed")
MEANT = {
    "usual": "As they were when the page was opened.",
    "standard": "How residual networks were trained in 2016: SGD with momentum, a rate that drops in steps.",
    "modern": "What newer recipes have in common: AdamW, one cycle, smoothed labels, averaged weights, shifts, MixUp.",
}
REGULARISES = "Regularisation"  # the group of those settings of a network that are levers of the recipe


def recipe(own: list[str]) -> TrainConfig:
    """The controls of a training run, bound to the URL; `own` are names of the person's own data sets.

    What can't act on these data, on this network or on this machine is not offered.
    """
    dataset = choose("Data", [*data.DATASETS, *own], "digits", "data", lambda name: data.about(name).title)
    about = data.about(dataset)
    st.caption(plain(about.summary))
    dataset_settings = controls(data.DATASETS[dataset].make, prefix="data_") if dataset in data.DATASETS else {}
    fitting = models.fitting(about.shape, about.task)
    usual = next(name for name in (*USUAL, *fitting) if name in fitting)
    model = choose("Network", fitting, usual, "network", str)
    entry = models.MODELS[model]
    st.caption(entry.summary)
    levers = [name for name, param in params(entry.make).items() if param.control.group == REGULARISES]
    usual = entry.facts.get("recipe", {})  # what suits the architecture better than the defaults
    _starting_points({"usual": usual} | {name: fitted(name, about) for name in RECIPES})
    with st.expander("Size of the network", icon=":material/straighten:"):
        size = controls(entry.make, prefix=f"{model}_", exclude=levers)
    idle = {*unfit(about.task, denoises(model)), *(HARDWARE if settings().device == "cpu" else ())}
    values, inside = controls_of(
        Source(
            TrainConfig,
            exclude=idle,
            defaults=usual,
            highest={"epochs": settings().limits.epochs},
        ),
        Source(entry.make, f"{model}_", only=levers),
    )
    return TrainConfig(dataset, model, model_settings=size | inside, dataset_settings=dataset_settings, **values)


def _starting_points(recipes: Mapping[str, Mapping[str, Any]]) -> None:
    """Buttons that set all levers at once: as they are at first, or as a known recipe has them."""
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="starting-points"):
        st.caption("Levers:", width="content")
        for name, changes in recipes.items():
            st.button(name.capitalize(), key=f"levers-{name}", type="tertiary", on_click=_set, args=(changes,),
                      help=MEANT[name])  # fmt: skip


def _set(changes: Mapping[str, Any]) -> None:
    """Set every lever to its default, and those of the recipe as it has them; size, data and seed stay."""
    for name, param in params(TrainConfig).items():
        if name not in KEPT and name in st.session_state:
            st.session_state[name] = changes.get(name, param.default)
        elif name in changes:
            st.session_state[name] = changes[name]


def adopt(config: TrainConfig) -> None:
    """Set data, network and every lever as a run had them; a value that no widget offers is left as it is."""
    state, whole = st.session_state, config.complete()
    state["data"], state["network"] = config.dataset, config.model
    groups = [("", TrainConfig, {name: getattr(config, name) for name in params(TrainConfig)}),
              (f"{config.model}_", models.MODELS[config.model].make, dict(whole.model_settings))]  # fmt: skip
    if config.dataset in data.DATASETS:
        groups.append(("data_", data.DATASETS[config.dataset].make, dict(whole.dataset_settings)))
    for prefix, target, values in groups:
        for name, param in params(target).items():
            if refusal(param, text_of(values[name])) is None:
                state[prefix + name] = values[name]
