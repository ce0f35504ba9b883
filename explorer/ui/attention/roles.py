"""What does this head do? Every head in the colour of what it does, and when that came about in training."""

import numpy as np
import streamlit as st

from explorer import zoo
from explorer.attention.roles import ROLES, TEXTS, RoleScores, course, recorded, recorded_course, score
from explorer.charts import attention as charts
from explorer.ui.attention.chosen import FIRST, clicked, head_picker, selected
from explorer.ui.attention.question import KNOWN, Asked, patterns_of
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.page import guard, plain
from explorer.ui.runs import open_run
from explorer.ui.transport import transport
from explorer.zoo.model import Model

SMALL = 3_000_000  # parameters up to which heads are scored without being asked


def scores_of(model: Model, wait: bool = True) -> RoleScores | None:
    """Every head's scores: those that ship with the network, or measured now; None where there is no truth to go by.

    wait: measure them now where they are not known yet; otherwise None as well.
    """
    found = recorded(model.card.ref)
    if found or not wait:
        return found or st.session_state.get("scores", {}).get(model.card.ref)
    found = _scored(model)
    st.session_state.setdefault("scores", {})[model.card.ref] = found
    return found


def short(found: RoleScores) -> dict[str, list[list[str]]]:
    """A few words for each head: its best role and the score; nothing where none is clear."""
    words = {}
    for name, part in found.parts.items():
        best = part.best
        words[name] = [
            [
                f"{part.roles[role]} {part.mass[role, layer, head]:.2f}" if (role := best[layer, head]) >= 0 else ""
                for head in range(best.shape[1])
            ]
            for layer in range(best.shape[0])
        ]
    return words


@st.fragment
@guard()
def roles(model: Model, asked: Asked) -> None:
    """The map of heads, one head in full, and the course over training."""
    slow = recorded(model.card.ref) is None and model.card.parameters > SMALL
    if slow and not st.toggle(f"Score all heads on {TEXTS} test examples: some minutes", key="score-now",
                              bind="query-params"):  # fmt: skip
        return
    found = scores_of(model)
    reading = patterns_of(model, asked)
    chosen = head_picker(reading, selected(reading))
    st.caption(
        f"Scored on {found.examples} test examples of **{plain(found.dataset)}**, where it is known what depends on "
        "what. The number is the share of a head's attention that lies on the right tokens; a head is named only "
        "where that exceeds the share on shuffled tokens by 0.1 or more. Click a head to see all its scores."
    )
    known = [role for part in found.parts.values() for role in part.roles]
    for name, part in found.parts.items():
        if len(found.parts) > 1:
            st.markdown(f"*{name}*")
        at = (chosen.layer, chosen.heads[0]) if name == chosen.part else None
        event = draw(
            charts.role_map, part, at, known, key=f"roles-{name}", says="What each head does",
            on_select="rerun", selection_mode=["head"],
        )  # fmt: skip
        clicked(event, reading, chosen, name)
    part = found.parts[chosen.part]
    layer, head = chosen.layer, chosen.heads[0]
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(f"**Layer {layer + FIRST}, head {head + FIRST}**")
        draw(charts.role_bars, part, layer, head, key="role-bars", says="The scores of the chosen head for every role")
    with right:
        with st.container(horizontal=True):
            st.metric("Entropy", f"{part.entropy[layer, head]:.2f} nats")
            st.metric("Sparsity", f"{part.sparsity[layer, head]:.2f}")
            if np.isfinite(part.distance[layer, head]):
                st.metric("Mean distance", f"{part.distance[layer, head]:.1f}")
        with st.popover("What these roles are", icon=":material/help:"):
            for name in part.roles:
                st.caption(f"**{name}**: {ROLES[name].about}")
    _over_training(model)


def _over_training(model: Model) -> None:
    st.subheader("When did that come about?", anchor=False)
    parsed = zoo.parse(model.card.ref)
    if known := recorded_course(model.card.ref):
        draw(
            charts.role_course,
            known,
            max(known),
            key="course",
            says="The best head's score for each role over training",
        )
        st.caption("Recorded as the shipped network was trained: the best head of each role, above shuffled.")
        return
    if parsed.source != "run":
        st.info(
            "Only the runs that were trained here kept their checkpoints. Train one on the **Training** page; then "
            "choose it on the left.",
            icon=":material/show_chart:",
        )
        return
    run = open_run(f"run:{parsed.name}")
    if not st.toggle(f"Score all heads at its {len(run.checkpoints)} checkpoints", key="course-now",
                     bind="query-params"):  # fmt: skip
        return
    known = {}
    bar = st.progress(0.0)
    for done, step in enumerate(run.checkpoints):
        known[step] = course(_scored(zoo.load(f"{run.ref}@{step}")))
        bar.progress((done + 1) / len(run.checkpoints))
    bar.empty()
    at = transport("Checkpoint", run.checkpoints, key="checkpoint", format=lambda step: f"step {step}")
    draw(charts.role_course, known, at, key="course", says="The best head's score for each role over training")
    then = _scored(zoo.load(f"{run.ref}@{at}"))
    for name, part in then.parts.items():
        draw(charts.role_map, part, key=f"roles-then-{name}", says=f"What each head does at step {at}")


@kept("Scoring every head …", known=KNOWN)
def _scored(model: Model) -> RoleScores:
    return score(model)
