"""Health: how every layer does over a sample, how one does unit by unit, and how both came to be in training."""

import math

import pandas as pd
import streamlit as st

from explorer import runs, zoo
from explorer.activations import health as measuring
from explorer.activations.feed import TIME, dataset, kind_of
from explorer.activations.health import FLAT_PART, Health, LayerHealth, UnitHealth
from explorer.activations.health_loss import share_of
from explorer.activations.health_over_training import MOST, OverTraining, over_training, spread
from explorer.activations.pace import pace
from explorer.charts import activations_health as charts
from explorer.ui.activations.question import Asked
from explorer.ui.draw import draw
from explorer.ui.page import guard, plain
from explorer.ui.price import Price, ask_first
from explorer.ui.row import one_of
from explorer.ui.worked import worked_out
from explorer.zoo.model import Model

COUNTS = (8, 16, 32, 64, 128, 256, 512)
LARGE = 3 * 64 * 64  # numbers in a picture above which fewer are looked at, unless one says so
PASSES = 9  # that looking at every layer, there and back, takes as long as, as measured
TOLD = 8  # findings that are told at once
WHICH = {  # which layers the charts show → whether a layer is one of them
    "All": lambda layer, owned: True,
    "With weights": lambda layer, owned: layer.name in owned,
    "Without weights": lambda layer, owned: layer.name not in owned,
}
Sample = dict[str, object]  # arguments of `measuring` that say which examples


def health(model: Model, asked: Asked) -> None:
    """What stands out; all layers by depth; the chosen layer's values and units; the course of training."""
    count, sample, key = _sample(model, asked)
    found = worked_out(
        ("health", *key),
        lambda on_step: measuring.health(model, count, on_step=on_step, **sample),
        "Looking at every layer …",
        Price(("health", model.card.ref), count, PASSES * pace(model, asked.given)),
    )
    st.caption(_about(model, found, sample))
    _findings(found)
    layers = _all_layers(found, asked.layer)
    with guard():
        _one_layer(model, asked.layer, count, sample, key)
    _training(model, asked.layer, count, sample, (key, found.seconds, len(layers)))


def _sample(model: Model, asked: Asked) -> tuple[int, Sample, tuple]:
    """How many examples, what else tells which, and the key of them all; the number is `?health-n=`."""
    ref, own = model.card.ref, dataset(model)
    if kind_of(model) == "text" and own is None:
        return 1, {"given": asked.given}, (ref, 1, asked.key)
    most = len(own) if own is not None else max(COUNTS)
    counts = [count for count in COUNTS if count <= most] or [most]
    large = kind_of(model) in ("image", "noise") and (math.prod(model.card.shape) > LARGE or kind_of(model) == "noise")
    usual = min(32 if kind_of(model) == "noise" else 16 if large else 128, counts[-1])
    usual = max(count for count in counts if count <= usual)
    state = st.session_state
    if state.get("health-n-of") != ref and "health-n" not in st.query_params:
        state.pop("health-n", None)  # the usual number of another network
    state["health-n-of"] = ref
    if state.get("health-n", usual) not in counts:
        state.pop("health-n", None)
    count = st.select_slider("Examples", counts, usual, key="health-n", bind="query-params",
                             help="How many examples all numbers below are measured on.")  # fmt: skip
    if kind_of(model) != "noise":
        return count, {}, (ref, count)
    time = round(share_of(model, asked.given), 2) if asked.given.time is not None else TIME
    return count, {"time_in": time}, (ref, count, time)


def _about(model: Model, found: Health, sample: Sample) -> str:
    examples = f"{found.count:,} {found.examples}" if found.count > 1 else "One example: the text on the left"
    noised = f", noised {sample['time_in']:.0%} of the way" if "time_in" in sample else ""
    return (
        f"{plain(examples)}{noised}, in evaluation mode. The loss is {found.loss_means}: {found.loss:.4g}. "
        f"Gradients are those of this mean loss. {plain(found.note)}"
    )


def _findings(found: Health) -> None:
    """What stands out, each with the rule that it breaks."""
    st.subheader("What stands out", anchor=False)
    findings = measuring.stands_out(found)
    if not findings:
        st.success(
            f"Nothing stands out: in no layer are more than {measuring.DEAD:.0%} of the units dead, no function that "
            f"is flat at both ends is so for more than {measuring.FLAT_SHARE:.0%} of its values, no ReLU gives more "
            f"than {measuring.ZERO_SHARE:.0%} zeros, no spread is more than {measuring.APART} times from the median "
            f"layer's, and gradients differ by less than {measuring.FADED:,} times.",
            icon=":material/check_circle:",
        )
        return
    lines = [
        f"- {f'**{plain(one.layer)}**: ' if one.layer else ''}{plain(one.words)}. :small[Told {plain(one.rule)}.]"
        for one in findings
    ]
    st.markdown("\n".join(lines[:TOLD]))
    if len(lines) > TOLD:
        with st.expander(f"{len(lines) - TOLD:,} more"):
            st.markdown("\n".join(lines[TOLD:]))


def _all_layers(found: Health, at: str) -> list[LayerHealth]:
    """Every layer by depth, and in a table."""
    st.subheader("All layers", anchor=False)
    owned = {weight.layer for weight in found.weights}
    which = one_of("Layers", list(WHICH), default="All", key="health-layers", label_visibility="collapsed")
    layers = [layer for layer in found.layers if WHICH[which](layer, owned)]
    if not layers:
        st.info("There is no such layer here.", icon=":material/info:")
        return []
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Spread through depth**")
        draw(
            charts.spreads,
            layers,
            at,
            key="health-spreads",
            says="Mean plus and minus standard deviation of every layer",
        )
    with right:
        st.markdown("**Zeros, dead units, saturation**")
        if any(layer.zeros or layer.dead or layer.saturated for layer in layers):
            says = "Share of zeros, dead units and saturated values of every layer"
            draw(charts.shares, layers, at, key="health-shares", says=says)
        else:
            st.caption("None at all: no value is exactly zero, no unit is dead, nothing is saturated.")
    left, right = st.columns(2, gap="medium")
    if any(layer.gradient for layer in layers):
        with left:
            st.markdown("**Gradient flow**")
            draw(
                charts.gradients, found, layers, at, key="health-gradients", says="Norm of the gradient at every layer"
            )
    names = {layer.name for layer in layers}
    if any(weight.ratio for weight in found.weights if weight.layer in names):
        with right:
            st.markdown("**Gradient beside the weights**")
            draw(
                charts.ratios,
                found,
                layers,
                at,
                key="health-ratios",
                says="Gradient norm over weight norm of every layer",
            )
    marked = f"The dashed line is {plain(at)}. " if any(layer.name == at for layer in layers) else ""
    st.caption(
        f"{marked}A unit is a channel of maps, a feature of tokens or vectors; it is dead where it is never above zero "
        "over the sample (ReLU), or never varies (all others). Saturated: in the flat part, where there is one. Shares "
        "of exactly zero are not drawn."
    )
    with st.expander(f"{len(layers):,} layers in numbers"):
        st.dataframe(_table(found, layers), hide_index=True, width="stretch", column_config=_columns(), placeholder="–")
        flat = [f"{kind}: {FLAT_PART[kind]}" for kind in dict.fromkeys(one.kind for one in layers) if kind in FLAT_PART]
        st.caption(
            (f"The flat part of {plain('; '.join(flat))}. " if flat else "")
            + "A dash: not defined there. A layer whose output is the same for every example has no dead units."
        )
        if found.left_out:
            some = [f"{name} ({why})" for name, why in list(found.left_out.items())[:8]]
            st.caption(
                plain(f"Left out, {len(found.left_out):,}: {', '.join(some)}{' …' if len(found.left_out) > 8 else ''}.")
            )
    with st.expander(f"{len(found.weights):,} parameters in numbers"):
        st.dataframe(
            pd.DataFrame(
                {
                    "parameter": [weight.name for weight in found.weights],
                    "numbers": [weight.size for weight in found.weights],
                    "‖w‖": [weight.norm for weight in found.weights],
                    "‖∇w‖": [weight.gradient for weight in found.weights],
                    "‖∇w‖ / ‖w‖": [weight.ratio for weight in found.weights],
                }
            ),
            hide_index=True, width="stretch", column_config=_columns(), placeholder="–",
        )  # fmt: skip
    return layers


def _table(found: Health, layers: list[LayerHealth]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": [layer.name for layer in layers],
            "kind": [layer.kind for layer in layers],
            "shape": ["×".join(map(str, layer.shape)) for layer in layers],
            "mean": [layer.mean for layer in layers],
            "std": [layer.std for layer in layers],
            "min": [layer.low for layer in layers],
            "max": [layer.high for layer in layers],
            "zeros": [layer.zeros for layer in layers],
            "units": [layer.units for layer in layers],
            "dead": [layer.dead for layer in layers],
            "saturated": [layer.saturated for layer in layers],
            "‖∇output‖": [layer.gradient for layer in layers],
        }
    )


def _columns() -> dict:
    """How the numbers of the tables are written."""
    number, small = st.column_config.NumberColumn(format="%.3g"), st.column_config.NumberColumn(format="scientific")
    share = st.column_config.NumberColumn(format="percent")
    whole = st.column_config.NumberColumn(format="localized")
    return (
        dict.fromkeys(("mean", "std", "min", "max", "‖w‖"), number)
        | dict.fromkeys(("‖∇output‖", "‖∇w‖", "‖∇w‖ / ‖w‖"), small)
        | dict.fromkeys(("zeros", "saturated"), share)
        | dict.fromkeys(("units", "dead", "numbers"), whole)
    )


def _one_layer(model: Model, layer: str, count: int, sample: Sample, key: tuple) -> None:
    """All values of the chosen layer, and each of its units."""
    st.subheader(f"This layer: {plain(layer)}", anchor=False)
    found: UnitHealth = worked_out(
        ("health-layer", *key, layer),
        lambda on_step: measuring.examine(model, layer, count, on_step=on_step, **sample),
        "Counting its values …",
        Price(("health-layer", model.card.ref), count, pace(model)),
    )
    one = found.layer
    numbers = {
        "Mean ± std": f"{one.mean:.3g} ± {one.std:.3g}",
        "Range": f"{one.low:.3g} to {one.high:.3g}",
        "Exact zeros": f"{one.zeros:.1%}",
        "Near zero": f"{found.near:.1%}",
        "Dead units": "–" if one.dead is None else f"{one.dead:,} of {one.units:,}",
        "Saturated": "–" if one.saturated is None else f"{one.saturated:.1%}",
        "Directions": "–" if found.directions is None else f"{found.directions:.1f} of {one.units:,}",
    }
    helps = {
        "Near zero": "Values below 1 % of the layer's root mean square, exact zeros among them.",
        "Dead units": "The same for every example, as it does not depend on them." if one.dead is None else
                      f"Units that are {one.dead_means} over the sample.",
        "Saturated": f"Share of values in the flat part: {FLAT_PART[one.kind]}." if one.kind in FLAT_PART else
                     f"A {one.kind} has no flat part that counts.",
        "Directions": "The participation ratio (Σλ)² / Σλ² of the units' covariance: about how many directions share "
                      "the variance. A dash: more units than are worked out, or nothing varies.",
    }  # fmt: skip
    with st.container(horizontal=True, gap="medium"):
        for name, value in numbers.items():
            with st.container(width="content"):
                st.caption(name, help=helps.get(name))
                st.markdown(f"**{plain(value)}**")
    if one.broken:
        st.warning(
            f"{one.broken:,} values are no numbers or endless; they count as zero here.", icon=":material/error:"
        )
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Histogram**")
        draw(charts.histogram, found, key="health-histogram", says=f"Histogram of the values of {layer}")
        apart = f" The {one.zeros:.1%} exact zeros are left out of the bars." if one.zeros else ""
        st.caption(
            f"{one.values:,} values of {found.count:,} examples in {len(found.counts)} bins over their whole range; "
            f"dashed: the mean.{apart}"
        )
    with right:
        st.markdown("**Units**")
        draw(charts.units, found, "active", key="health-active", says=f"How often each unit of {layer} is active")
        draw(charts.units, found, "mean", key="health-means", says=f"The mean of each unit of {layer}")
        thinned = f" {charts.UNITS:,} of {one.units:,} are drawn." if one.units > charts.UNITS else ""
        st.caption(f"Active: above zero anywhere in an example. A cross marks a dead unit.{thinned}")


def _training(model: Model, layer: str, count: int, sample: Sample, price: tuple) -> None:
    """The same layer, and all weights, at the checkpoints of a run."""
    st.subheader("Over training", anchor=False)
    parsed = zoo.parse(model.card.ref)
    if parsed.source != "run":
        st.info(
            "Only the runs that were trained here kept their checkpoints. Train one on the **Training** page: it takes "
            "seconds; then choose it on the left.",
            icon=":material/show_chart:",
        )
        st.page_link("pages/training.py", label="Train a network", icon=":material/show_chart:")
        return
    _course(f"run:{parsed.name}", layer, count, sample, price)


@st.fragment
@guard()
def _course(ref: str, layer: str, count: int, sample: Sample, price: tuple) -> None:
    steps = spread(runs.checkpoints(runs.folder(ref.partition(":")[2])))
    key, seconds, _ = price
    job = ("health-training", ref, tuple(steps), layer, key[1:])
    ask_first({job: seconds * len(steps)})
    found: OverTraining = worked_out(
        job, lambda on_step: over_training(ref, layer, count, on_step=on_step, **sample), "Opening every checkpoint …"
    )
    chosen = (
        f"{len(found.steps)} of its {found.kept} checkpoints, evenly chosen: at most {MOST} are opened."
        if found.kept > len(found.steps)
        else f"All {len(found.steps)} checkpoints."
    )
    st.caption(f"{chosen} Always the same {found.examples:,} examples, and the same bins at every checkpoint.")
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**Values of {plain(layer)}**")
        draw(charts.ridge, found, key="health-ridge", says=f"Histogram of {layer} at every checkpoint")
        zeros = f" Exact zeros, {found.zeros[-1]:.1%} in the end, are left out." if found.zeros.any() else ""
        st.caption(f"Colour: the root of the share of values, one scale for all checkpoints.{zeros}")
    with right:
        st.markdown(f"**Its spread and its dead units** ({found.dead_means})")
        draw(charts.course, found, "std", key="health-std", says=f"Standard deviation of {layer} over training")
        draw(charts.course, found, "dead", key="health-dead", says=f"Dead units of {layer} over training")
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**How far the weights moved**, ‖w − w before‖ / ‖w before‖")
        draw(charts.weights, found, "updates", key="health-updates", says="Relative update of every layer's weights")
        st.caption("Since the checkpoint before. Colour: its logarithm; hover for the number.")
    with right:
        st.markdown("**How long the weights are**, ‖w‖")
        draw(charts.weights, found, "norms", key="health-norms", says="Norm of every layer's weights over training")
        st.caption("Of all weights of a layer together. Colour: its logarithm.")
