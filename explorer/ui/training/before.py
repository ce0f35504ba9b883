"""Before it runs: the learning rates, one batch as the network sees it, the price, and a rate that suits."""

import dataclasses
import math

import streamlit as st

from explorer import data
from explorer.charts import training_levers as charts
from explorer.errors import ExplorerError
from explorer.params import params
from explorer.settings import MB, settings
from explorer.training.config import TrainConfig
from explorer.training.cost import Cost
from explorer.training.launch import check_limits
from explorer.training.preview import Preview, preview, rates
from explorer.training.racing import steps as steps_of
from explorer.training.range_test import STUDY, RangeTest
from explorer.ui.begun import begin
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.number import number_input
from explorer.ui.page import guard, plain, refuse
from explorer.ui.person import person
from explorer.ui.pickers import linked, to_link
from explorer.ui.pictures import enlarge
from explorer.ui.training.price import price
from explorer.ui.watch import broke_off, going, job_of, watch
from explorer.ui.words import duration

UNTESTED = ("lr", "epochs", "schedule", "warmup", "cycles", "decay", "patience", "early_stopping", "ema", "seed")
SHARES = 3  # classes of a mixed example that are named


def before(config: TrainConfig) -> None:
    """What the levers on the left will do."""
    st.subheader("What this recipe will do", anchor=False)
    st.caption("Change a lever on the left: everything here follows, before a single step is taken.")
    with guard():
        check_limits(config)
    with guard():
        _price(config, price(config))
    with guard():
        st.markdown("**The learning rate** over the steps of the run")
        steps, values = rates(config, steps_of(config))
        draw(charts.schedule, steps, values, config.lr, key="schedule", says="The learning rate over the steps")
        if config.schedule == "plateau":
            st.caption(
                "It drops by the factor on the left whenever the validation loss stops falling: nobody knows when."
            )
    if data.about(config.dataset).task == "image":
        with guard():
            _batch(config)
    with guard():
        _range(config)


def _price(config: TrainConfig, found: Cost) -> None:
    """What it takes, against what this server gives."""
    limits = settings().limits
    with st.container(horizontal=True, key="price"):
        st.metric("Parameters", f"{found.parameters:,}", width="stretch",
                  help=f"This server trains {limits.parameters:,} at the most.")  # fmt: skip
        st.metric("Operations an example", _short(found.flops),
                  help="Of one forward pass, a multiplication and an addition counted as two; a training step takes "
                  "about three times as many.")  # fmt: skip
        st.metric("Memory of a step", f"{found.memory / MB:,.1f} MB",
                  help=f"Weights {found.weights / MB:,.1f}, gradients {found.gradients / MB:,.1f}, what the optimiser "
                  f"remembers {found.optimizer / MB:,.1f}, and what the forward pass keeps for the way back "
                  f"{found.activations / MB:,.1f} MB. A job may hold {limits.job_memory / MB:,.0f} MB.")  # fmt: skip
        st.metric("Steps", f"{found.steps:,}")
        st.metric("Time, about", duration(found.seconds),
                  help="From a few real steps, taken just now beside the pages: a worker may be faster. "
                  f"A run may take {duration(limits.seconds)} here.")  # fmt: skip
    if found.seconds > limits.seconds:
        st.warning(
            f"It would take about {duration(found.seconds)}; a run is paused here after {duration(limits.seconds)}: "
            "you can go on from there. Fewer epochs or a smaller network need less.",
            icon=":material/timer:",
        )
    if found.memory > limits.job_memory:
        st.warning("It needs more memory than a job may hold here: choose smaller batches.", icon=":material/memory:")


def _batch(config: TrainConfig) -> None:
    """One batch, as it is and as the network sees it."""
    place, step = st.container(), st.session_state.get("batch", 1) - 1
    found = _preview(config, step)
    changed = (found.before != found.after).any()
    mixed = found.shares.max(1).min() < 1
    with place.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown("**One batch**, as it is" + (" and as the network sees it" if changed else ""))
        number_input("Batch of step", 1, 10_000, 1, key="batch", width=140)
    with st.container(horizontal=True, gap="small", key="batch-shown"):
        for index in range(len(found.before)):
            with st.container(width=104, gap="xxsmall"):
                name = plain(found.labels[found.was[index]])
                st.image(enlarge(found.before[index], 96), width=96, output_format="PNG", alt=name)
                if changed:
                    st.image(enlarge(found.after[index], 96), width=96, output_format="PNG", alt=f"{name}, changed")
                st.caption(plain(_asked(found, index)) if mixed else name)
    if mixed:
        st.caption(
            "Below each picture stands what is asked of the network: shares of the classes that sum to one. How much "
            "is mixed is drawn anew for each batch: look at another one."
        )
    elif not changed:
        st.caption("No augmentation is set: the network sees the same pictures in every epoch.")
    if config.label_smoothing:
        low = config.label_smoothing / len(found.labels)
        st.caption(
            f"Label smoothing then asks for {1 - config.label_smoothing + low:.1%} where 100% stands here, "
            f"and for {low:.2%} of every class that is not named."
        )


def _asked(found: Preview, index: int) -> str:
    """What is asked of the network for one example: 70 % ring, 30 % star."""
    order = found.shares[index].argsort()[::-1][:SHARES]
    return ", ".join(
        f"{found.shares[index, at]:.0%} {found.labels[at]}" for at in order if found.shares[index, at] > 0.005
    )


def _range(config: TrainConfig) -> None:
    """The range test: as a job, its curve, and the rate that it suggests."""
    st.markdown("**Which learning rate?** The range test raises it at every step, until the loss breaks")
    id = linked("range", "")
    to_link("range", id, "")
    if id and going(id):
        watch(id, "range")
        return
    st.button("Run the range test", icon=":material/speed:", key="range-test", on_click=_start, args=(config,))
    if error := st.session_state.pop("range-refused", None):
        refuse(error)
    if not id:
        st.caption("It takes some seconds: at most 120 steps of a new network with this recipe.")
        return
    asked, found = TrainConfig.from_dict(STUDY.asked(id)), STUDY.found(id, RangeTest)
    if found is None:
        st.warning(plain(broke_off(job_of(id))))
        return
    if not len(found.rates):
        st.caption("It left nothing: the loss was no number from the start.")
        return
    draw(charts.range_curve, found, key="range-curve", says="The loss over the learning rate, on a logarithmic axis")
    if not same_range_test(asked, config):
        st.caption(
            f"It was run with {plain(asked.model)} on {plain(asked.dataset)}, {asked.optimizer}, and another recipe "
            "than the one on the left: run it again."
        )
        return
    if math.isnan(found.suggested):
        st.caption("The loss never fell clearly, so no rate can be suggested.")
        return
    rate = offered(found.suggested)
    st.button(f"Use {rate:g}", icon=":material/check:", key="use-rate", on_click=_use, args=(rate,))
    st.caption(
        f"Suggested is {found.suggested:.2g}, and {rate:g} is the step of the slider below it. There the loss falls "
        "most steeply; it is never more than a tenth of the rate where the loss is lowest, at which it is "
        "about to break. A schedule with a warm-up bears somewhat more."
    )


def same_range_test(asked: TrainConfig, config: TrainConfig) -> bool:
    """Whether the range test of one config is that of another: apart from what it sets itself, and the seed."""
    usual = {name: getattr(TrainConfig, name) for name in UNTESTED}
    first, second = (dataclasses.replace(one.complete(), **usual) for one in (asked, config))
    return first == second


def offered(rate: float) -> float:
    """The largest step of the slider that is no larger than a rate."""
    options = params(TrainConfig)["lr"].control.options
    return max((one for one in options if one <= rate), default=options[0])


def _use(rate: float) -> None:
    st.session_state["lr"] = rate


def _start(config: TrainConfig) -> None:
    try:
        check_limits(config)
        begin("range", lambda: STUDY.start(config.to_dict(), person()))
    except ExplorerError as error:
        st.session_state["range-refused"] = error


@kept()
def _preview(config: TrainConfig, step: int) -> Preview:
    return preview(config, step)


def _short(count: float) -> str:
    """A large number in few letters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return f"{count:.0f}"
