"""The code of a run: a script in plain PyTorch that takes the very same steps, and the same through the explorer."""

import shlex
from functools import partial

import streamlit as st

from explorer.training.config import TrainConfig
from explorer.training.launch import check_limits
from explorer.training.script import data_file, python, script
from explorer.ui.give import give


def code(config: TrainConfig) -> None:
    """Both, and the file of data that the script wants beside it."""
    st.subheader("This very recipe, in plain PyTorch", anchor=False)
    st.caption(
        "It stands alone: put `data.npz` beside it and run it. Every step has the loss that it has here, to rounding. "
        "Only what acts in your recipe is in it: change a lever on the left and see which line appears."
    )
    check_limits(config)
    text = script(config)
    with st.container(horizontal=True):
        give("train.py", lambda: text, "train.py")
        give("data.npz", partial(data_file, config), "data.npz")
    st.code(text, language="python", height=560)
    with st.expander("The same through the explorer", icon=":material/terminal:"):
        st.code(python(config), language="python")
        st.caption("In a terminal:")
        st.code(command(config), language="bash")


def command(config: TrainConfig) -> str:
    """The command line that trains it."""
    words = ["python -m explorer.training run"]
    for name, value in config.to_dict().items():
        default = getattr(TrainConfig, name, None)
        if name in ("model_settings", "dataset_settings"):
            part = "model" if name == "model_settings" else "data"
            words += [f"--{part}.{key} {shlex.quote(str(one))}" for key, one in value.items()]
        elif value != default:
            flag = name.replace("_", "-")
            told = f"--{flag} {shlex.quote(str(value))}"
            words.append(f"--{flag}" if value is True else f"--no-{flag}" if value is False else told)
    return " \\\n    ".join(words)
