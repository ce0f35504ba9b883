"""Inside the layers while they learn: gradients, how far each layer moves, units that say nothing, and the gap."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from explorer import models
from explorer.charts import training_levers as charts
from explorer.training.config import EVALUATION_BATCH, TrainConfig
from explorer.ui.draw import draw

RULE = (
    "A step that moves a layer by about a **thousandth** of its weights is healthy: far less and the layer hardly "
    "learns, far more and it shakes. One layer that stays pale while others are dark gets no gradient."
)


def inside(history: Sequence[Mapping[str, Any]], total: int, config: TrainConfig, live: bool = False) -> None:
    """What the loop measured in each layer; nothing where an older run has none of it."""
    measured = [record for record in history if record.get("layers")]
    tried = [record for record in history if record.get("dead")]
    if not measured:
        return
    box = st.expander(
        "Inside the layers, as they learned", icon=":material/stethoscope:", key="inside", bind="query-params"
    )
    with box:
        if not box.open:
            return
        left, right = st.columns(2)
        with left:
            st.markdown("**How far each layer moves** at a step, as a share of its weights")
            draw(
                charts.updates,
                measured,
                total,
                key="updates",
                live=live,
                says="Each layer's step over its weights, step by step",
            )
            st.caption(RULE)
        with right:
            st.markdown("**How long each layer's gradient is**")
            draw(
                charts.gradients,
                measured,
                total,
                key="gradients",
                live=live,
                says="Each layer's gradient length, step by step",
            )
            st.caption("Gradients that shrink from the last layer to the first vanish; those that grow explode.")
        left, right = st.columns(2)
        if tried:
            with left:
                st.markdown("**Units that say nothing** on the validation split")
                draw(
                    charts.silent,
                    tried,
                    total,
                    key="silent",
                    live=live,
                    says="The share of dead units of each activation over the steps",
                )
                st.caption(
                    "A ReLU that is never above zero passes no gradient, and so may never come back. Looked at are the "
                    f"first {EVALUATION_BATCH} examples of the split, or all where there are fewer: on others a unit "
                    "may speak."
                )
        with right:
            st.markdown("**Validation loss − training loss**")
            draw(charts.gap, history, total, key="gap", live=live, says="The generalisation gap over the steps")
            st.caption(f"Where it grows while the training loss falls, the network learns by heart. {apart(config)}")


def apart(config: TrainConfig) -> str:
    """What the training loss holds and the validation loss does not, as a sentence; empty where they are alike."""
    denoises = models.MODELS[config.model].facts.get("objective") == "denoise"
    acting = {
        "label smoothing": config.label_smoothing and not denoises, "MixUp": config.mixup, "CutMix": config.cutmix,
    }  # fmt: skip
    held = [name for name, acts in acting.items() if acts]
    return f"The training loss holds {' and '.join(held)}, and the validation loss does not." if held else ""
