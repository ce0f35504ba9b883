"""What to train and how, chosen: data set, network, recipe."""

import dataclasses

import streamlit as st

from explorer import data, models
from explorer.settings import settings
from explorer.training import TrainConfig
from explorer.ui.controls import controls
from explorer.ui.page import plain
from explorer.ui.pickers import choose

USUAL = ("lenet", "mlp", "gpt")  # what is trained unless something else is chosen


def recipe(own: list[str]) -> TrainConfig:
    """The controls of a training run, bound to the URL; `own` are names of the person's own data sets."""
    dataset = choose("Data", [*data.DATASETS, *own], "digits", "data", lambda name: data.about(name).title)
    about = data.about(dataset)
    st.caption(plain(about.summary))
    dataset_settings = controls(data.DATASETS[dataset].make, prefix="data_") if dataset in data.DATASETS else {}
    fitting = models.fitting(about.shape, about.task)
    usual = next(name for name in (*USUAL, *fitting) if name in fitting)
    model = choose("Network", fitting, usual, "network", str)
    entry = models.MODELS[model]
    st.caption(entry.summary)
    with st.expander("Size of the network", icon=":material/straighten:"):
        model_settings = controls(entry.make, prefix=f"{model}_")
    usual = entry.facts.get("recipe", {})  # what suits the architecture better than the defaults
    values = controls(TrainConfig, highest={"epochs": settings().limits.epochs}, defaults=usual)
    return TrainConfig(dataset, model, model_settings=model_settings, dataset_settings=dataset_settings, **values)


def code(config: TrainConfig) -> str:
    """The run as a few lines of Python that anyone can run."""
    given = [
        f"    {field.name}={value!r},"
        for field in dataclasses.fields(TrainConfig)
        if (value := getattr(config, field.name)) != field.default
    ]
    body = "\n".join(given)
    arguments = f"\n{body}\n" if given else ""
    return (
        "from explorer import training, zoo\n\n"
        f"run = training.fit(training.TrainConfig({arguments}), on_step=print)\n"
        "model = zoo.load(run.ref)\n"
        "print(run.metrics, model.card.parameters)\n"
    )
