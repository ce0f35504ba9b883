"""A trained classifier, judged: how good it is, what it confuses on which examples, and whether it is rightly sure."""

import re

import numpy as np
import pandas as pd
import streamlit as st

from explorer import data, zoo
from explorer.charts import training_judge as charts
from explorer.runs import files
from explorer.settings import MB
from explorer.training.judge import BATCH, BINS, Judgement, Latency, Size, judge, latency, size
from explorer.training.run import Evaluation, TrainRun
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.page import guard, plain
from explorer.ui.pickers import linked, to_link
from explorer.ui.pictures import enlarge
from explorer.ui.row import one_of

KEY = "cell"  # of the confusion matrix: `?cell=3-5` is class 3 called class 5, counted from 0
SHOWN, MISTAKES = 24, 12
FEW, LARGE, SMALL = 8, 96, 64  # so many pictures are shown large; pixels a side on the screen
SALIENCY, MODELS = "pages/attribution.py", "pages/models.py"
WORDS = f"""
- **Accuracy**: the share of test examples that it names rightly. The test split is a sample, and another one would
  give another share; the **95 % interval** (Wilson's) says how far off chance may have put it.
- **Confidence**: the probability that it gives to the class it names, so how sure it is of its answer.
- **Precision** of a class: of all that it *called* so, the share that is so. Low: it cries wolf. A class that it never
  names has none.
- **Recall** of a class: of all that *is* so, the share that it called so. Low: it overlooks.
- **F1**: one number for both, their harmonic mean, which is low as soon as one of them is. **Macro F1** is the mean
  over the classes, so a rare class counts as much as a frequent one. **Balanced accuracy** is the mean recall.
- **Calibration**: of the answers of which it is 80 % sure, 80 % should be right. The answers are sorted into
  {BINS} bins by confidence; the **expected calibration error** is how far confidence and share of right answers
  lie apart in a bin, on average over the answers, and the **maximum** is the bin where they lie apart most
  (Guo et al. 2017). Few answers are never split just so, which makes some error by **chance**: 95 of 100 networks that
  are as sure as they should be stay below the one that is named.
- **Brier score**: the squared distance of its probabilities from the truth, 0 at best and 2 at worst.
  **Negative log-likelihood**: how surprised it is by the truth, in nats; it is what training lowers, and one answer
  that is wrong with great confidence costs much. Both judge being right and knowing how sure to be together.
- **Time**: of the network alone, the median of several passes after a warm-up, on the machine that this page runs on.
"""


def judged(run: TrainRun, step: int, test: data.Dataset, evaluation: Evaluation) -> None:
    """How good a classifier is at a checkpoint: its measures, its mistakes, what it is sure of, class by class."""
    judgement = _judged(run.ref, step, evaluation)
    _figures(run, judgement)
    _confusions(run, step, test, evaluation)
    _mistakes(run, step, test, evaluation)
    left, right = st.columns(2, gap="large")
    with left:
        _calibration(judgement)
    with right:
        _by_class(judgement)
    with st.expander("What do these words mean?", icon=":material/help:"):
        st.markdown(WORDS)


# ---- the figures ----


def _figures(run: TrainRun, judgement: Judgement) -> None:
    took, large = _measured(run.ref, run)
    low, high = judgement.interval
    about = {"delta_color": "off", "delta_arrow": "off", "width": 152}
    with st.container(horizontal=True, gap="small"):
        st.metric(
            "Test accuracy", f"{judgement.accuracy:.1%}", f"95%: {100 * low:.1f}–{high:.1%}",
            help=f"Of {judgement.count:,} test examples. Another test split would give another share; the true one "
                 "lies in the interval, in 95 of 100 such tests.", **about,
        )  # fmt: skip
        st.metric(
            "Macro F1", f"{judgement.macro_f1:.1%}", f"balanced: {judgement.balanced_accuracy:.1%}",
            help="Precision and recall in one number, every class counting the same, however rare; far below the "
                 "accuracy, it does badly on rare classes. Below it the balanced accuracy, the mean recall.", **about,
        )  # fmt: skip
        st.metric(
            "Calibration error", f"{judgement.reliability.expected_error:.1%}",
            _direction(judgement) or ("uneven" if _uneven(judgement) else "within chance"),
            help="How far its confidence and the share of right answers lie apart (expected calibration error). 0 is "
                 f"best; on so many answers chance alone makes up to {judgement.chance_error:.1%}.", **about,
        )  # fmt: skip
        st.metric(
            "Time for one", f"{took.one:.2f} ms", f"{BATCH} at once: {took.batch:.1f} ms",
            help=f"Of the network alone, on this server's {took.device}, the median of several passes.", **about,
        )  # fmt: skip
        st.metric(
            "Size on disk", _bytes(large.disk), f"{large.parameters:,} parameters",
            help=f"Its weights take {_bytes(large.memory)} in memory, at four bytes each; the file may keep them in "
                 "two.", **about,
        )  # fmt: skip


def _direction(judgement: Judgement) -> str:
    """Whether it is surer than it should be; nothing where chance alone may have made the difference."""
    low, high = judgement.interval
    if low <= judgement.confidence <= high:
        return ""
    return "over-confident" if judgement.confidence > high else "under-confident"


def _uneven(judgement: Judgement) -> bool:
    """Whether its confidence is off by more than chance makes."""
    return judgement.reliability.expected_error > judgement.chance_error


def _bytes(count: int) -> str:
    return f"{count / MB:.1f} MB" if count >= MB else f"{count / 1024:.0f} KB"


# ---- what it confuses ----


@st.fragment
@guard()
def _confusions(run: TrainRun, step: int, test: data.Dataset, evaluation: Evaluation) -> None:
    """The confusion matrix, and the examples of one of its cells."""
    cell = _chosen(run, evaluation)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What it confuses with what**: each row is a true class. A click on a cell opens its examples.")
        few = len(evaluation.labels) <= charts.NUMBERED
        cells, shown = ["counts", "shares of the class"], "counts"
        if few:
            shown = one_of("In the cells", cells, default="counts", key="cell-numbers", label_visibility="collapsed")
        shares = shown != "counts"
        _matrix(evaluation, shares, cell)
        _told(evaluation)
    with right:
        _boxes(evaluation, cell)
        if cell is None:
            st.success(f"**No mistakes**: all {len(evaluation.y):,} test examples are named rightly.")
        else:
            _examples(run, step, test, evaluation, cell)


def _chosen(run: TrainRun, evaluation: Evaluation) -> tuple[int, int] | None:
    """The cell of the link, (true, called); else the most frequent mistake, None where there is none."""
    state = st.session_state
    before, state["cell-of"] = state.get("cell-of"), run.ref
    if before not in (None, run.ref) and st.query_params.get(KEY) == state.get(f"{KEY}-seen"):
        state[KEY] = ""  # of another run's classes
    asked, classes = linked(KEY, ""), len(evaluation.labels)
    match = re.fullmatch("([0-9]{1,4})-([0-9]{1,4})", asked)
    cell = (int(match[1]), int(match[2])) if match and max(int(match[1]), int(match[2])) < classes else None
    if asked and cell is None:
        st.warning(
            f"Cell in the link: {plain(repr(asked[:40]))} is none. A cell is named like 0\\-1, class 0 called class 1, "
            f"and the classes here go from 0 to {classes - 1}.", icon=":material/link_off:",
        )  # fmt: skip
        state[KEY] = ""
    to_link(KEY, state[KEY], "")
    return cell or _usual(evaluation)


def _usual(evaluation: Evaluation) -> tuple[int, int] | None:
    wrong = evaluation.confusion
    np.fill_diagonal(wrong, 0)
    return tuple(map(int, np.unravel_index(wrong.argmax(), wrong.shape))) if wrong.any() else None


def _matrix(evaluation: Evaluation, shares: bool, cell: tuple[int, int] | None) -> None:
    key = f"confusion-{st.session_state.setdefault('cell-drawn', 0)}"
    draw(
        charts.confusion, evaluation, shares, cell, key=key, says="How often each true class was given each name",
        on_select=lambda: _clicked(key), selection_mode=["cell"],
    )  # fmt: skip


def _clicked(key: str) -> None:
    """Open the cell that was clicked."""
    picked = (st.session_state.get(key) or {}).get("selection", {}).get("cell") or []
    if picked:
        _take(int(picked[0]["i"]), int(picked[0]["j"]))


def _take(true: int, called: int) -> None:
    st.session_state[KEY] = f"{true}-{called}"
    to_link(KEY, st.session_state[KEY], "")


def _told(evaluation: Evaluation) -> None:
    """What can't be seen in the matrix."""
    counts, classes = evaluation.confusion, len(evaluation.labels)
    empty = [plain(evaluation.labels[i]) for i in np.flatnonzero(counts.sum(1) == 0)]
    told = ["Blue is right, orange is wrong, and the stronger the larger the share of the true class."]
    if classes > charts.NAMED:
        told.append(f"Of {classes} names some stand beside the rows; the others show under the pointer.")
    if (drawn := int((counts > 0).sum())) > charts.CELLS:
        told.append(f"The {charts.CELLS:,} fullest of {drawn:,} cells are drawn.")
    if empty:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        told.append(f"There is no test example of {', '.join(empty[:5])}{more}.")
    st.caption(" ".join(told))


def _boxes(evaluation: Evaluation, cell: tuple[int, int] | None) -> None:
    """The cell by its two classes: for the keyboard, and for matrices too large to hit a cell of."""
    state, names = st.session_state, evaluation.labels
    state["cell-true"], state["cell-called"] = state["cell-shown"] = cell or (None, None)
    with st.container(horizontal=True):
        st.selectbox(
            "True class", range(len(names)), None, key="cell-true", on_change=_boxed, placeholder="any",
            format_func=names.__getitem__,
        )  # fmt: skip
        st.selectbox(
            "Called", range(len(names)), None, key="cell-called", on_change=_boxed, placeholder="any",
            format_func=names.__getitem__,
        )  # fmt: skip


def _boxed() -> None:
    """Open the cell of the two boxes; where one is empty, the other stands for both."""
    state = st.session_state
    true, called = state["cell-true"], state["cell-called"]
    if (true is None and called is None) or (true, called) == state.get("cell-shown"):  # a browser's mere echo
        return
    state["cell-drawn"] += 1  # the matrix forgets its last click, so that the same cell can be clicked again
    _take(called if true is None else true, true if called is None else called)


def _examples(run: TrainRun, step: int, test: data.Dataset, evaluation: Evaluation, cell: tuple[int, int]) -> None:
    """The test examples of a cell, the surest first."""
    true, called = (plain(evaluation.labels[i]) for i in cell)
    there = np.flatnonzero((evaluation.y == cell[0]) & (evaluation.predicted == cell[1]))
    there = there[np.argsort(-evaluation.confidence[there], kind="stable")]
    words = f"{true}, rightly named" if cell[0] == cell[1] else f"{true}, called {called}"
    st.markdown(f"**{words}: {len(there)}**")
    if not len(there):
        st.caption("No test example is in this cell.")
        return
    few = "the surest first" if len(there) <= SHOWN else f"the {SHOWN} of which it was surest"
    if test.task == "image":
        st.caption(f"{few.capitalize()}, and how sure it was. {_leads(run, step)}")
        _pictures(run, step, test, evaluation, there[:SHOWN], SMALL if len(there) > FEW else LARGE)
        return
    told = f"{true}, called {called}, among all test points"
    draw(charts.picked_points, test, there, key="cell-points", says=f"The {len(there)} points of {told}")
    st.caption(f"{few.capitalize()}.")
    _table(run, step, test, evaluation, there[:SHOWN])


# ---- the mistakes ----


def _mistakes(run: TrainRun, step: int, test: data.Dataset, evaluation: Evaluation) -> None:
    """The wrong answers of which the network was surest."""
    wrong = evaluation.mistakes(MISTAKES)
    if not len(wrong):
        return
    count = int((evaluation.predicted != evaluation.y).sum())
    st.markdown(f"**Most confident mistakes** ({len(wrong)} of {count:,})")
    if test.task == "image":
        st.caption(f"What it is → what it was called, and how sure the network was. {_leads(run, step)}")
        _pictures(run, step, test, evaluation, wrong, LARGE, named=True)
    else:
        _table(run, step, test, evaluation, wrong)


def _opened(run: TrainRun, step: int) -> str:
    """The ref under which the other pages open this network."""
    return run.ref if run.ref.startswith("zoo:") else f"{run.ref}@{step}"


def _leads(run: TrainRun, step: int) -> str:
    """Where the links below the pictures lead."""
    other = run.ref.startswith("zoo:") and step != run.best
    weights = ", with its best weights, since of a shipped network no others are kept" if other else ""
    return f"Each link explains its picture on the Saliency page{weights}."


def _pictures(
    run: TrainRun, step: int, test: data.Dataset, evaluation: Evaluation, numbers: np.ndarray, side: int,
    named: bool = False,
) -> None:  # fmt: skip
    """Test pictures, each over how sure the network was, which leads to its explanation."""
    names, opened = evaluation.labels, _opened(run, step)
    with st.container(horizontal=True, gap="small"):
        for i in numbers:
            true, called = names[evaluation.y[i]], names[evaluation.predicted[i]]
            sure = f"{evaluation.confidence[i]:.0%}"
            with st.container(width=side + 8, gap=None):
                told = f"{true}, called {called}, {sure} sure"
                st.image(enlarge(test.x[i], side), width=side, output_format="PNG", alt=told)
                if named:
                    st.caption(f"{plain(true)} → {plain(called)}")
                st.page_link(
                    SALIENCY, label=sure, icon=":material/flare:", query_params={"model": opened, "example": str(i)},
                    help=f"Explain test picture {i} on the Saliency page",
                )  # fmt: skip


def _table(run: TrainRun, step: int, test: data.Dataset, evaluation: Evaluation, numbers: np.ndarray) -> None:
    """Test points with their coordinates, and a link to the first of them."""
    names = np.array(evaluation.labels, object)
    frame = pd.DataFrame(
        {
            "x": test.x[numbers, 0],
            "y": test.x[numbers, 1],
            "class": names[evaluation.y[numbers]],
            "called": names[evaluation.predicted[numbers]],
            "confidence": evaluation.confidence[numbers],
        },
        index=pd.Index(numbers, name="test point"),
    )
    formats = {"x": "{:.3f}", "y": "{:.3f}", "confidence": "{:.1%}"}
    st.dataframe(frame.style.format(formats), width="stretch", height=min(250, 38 + 35 * len(frame)))
    st.page_link(
        MODELS, label=f"Open test point {numbers[0]}", icon=":material/deployed_code:",
        query_params={"model": _opened(run, step), "example": str(numbers[0])},
    )  # fmt: skip


# ---- is it as sure as it should be? ----


def _calibration(judgement: Judgement) -> None:
    st.markdown("**Is it as sure as it should be?**")
    st.markdown(_verdict(judgement))
    found = judgement.reliability
    draw(
        charts.reliability,
        judgement,
        key="reliability",
        says="The share of right answers by confidence, with the diagonal",
    )
    draw(charts.confidences, judgement, key="confidences", says="How many answers have each confidence")
    st.caption(
        "On the dashed line confidence and share of right answers are the same; grey strokes are 95 % intervals, wide "
        f"where answers are few. Expected calibration error {found.expected_error:.1%} (chance makes up to "
        f"{judgement.chance_error:.1%}), maximum {found.largest_error:.1%}. Brier score {judgement.brier:.3f}, "
        f"negative log\\-likelihood {judgement.nll:.3f} nats."
    )


def _verdict(judgement: Judgement) -> str:
    """Over- or under-confident, by how much, in plain words."""
    sure, right = judgement.confidence, judgement.accuracy
    told = f"On average it is {sure:.1%} sure of its answers, and {right:.1%} of them are right"
    direction = _direction(judgement)
    if not direction and _uneven(judgement):
        return (
            f"{told}: on the whole it is **as sure as it should be**, but not at every degree of confidence, as the "
            f"bins below show. They are off by {judgement.reliability.expected_error:.1%} on average, and chance makes "
            f"{judgement.chance_error:.1%} at the most."
        )
    if not direction:
        return f"{told}: chance alone makes as much of a difference, so it is **as sure as it should be**."
    surer = "surer" if direction == "over-confident" else "less sure"
    return f"{told}: it is **{direction}**, {surer} than it should be by {100 * abs(sure - right):.1f} points."


# ---- class by class ----


def _by_class(judgement: Judgement) -> None:
    classes = len(judgement.labels)
    st.markdown("**Class by class**")
    by = one_of(
        "In order of",
        ["lowest F1 first", "the classes"],
        default="lowest F1 first",
        key="class-order",
        label_visibility="collapsed",
    )
    some = f"The {charts.CLASSES} classes of {classes} with the lowest F1. " if classes > charts.CLASSES else ""
    draw(
        charts.by_class,
        judgement,
        by == "lowest F1 first",
        key="by-class",
        says=f"{some}Precision, recall and F1 of each class, lowest first",
    )
    st.caption(
        f"{some}**Precision**: of all that it gave this name, the share that is so. **Recall**: of all of this "
        f"class, the share that it named so. Means over the classes: precision {judgement.macro_precision:.1%}, recall "
        f"{judgement.macro_recall:.1%}, F1 {judgement.macro_f1:.1%}."
    )


# ---- what is slow ----


@kept()
def _judged(ref: str, step: int, _evaluation: Evaluation) -> Judgement:
    return judge(_evaluation)


@kept("Timing the network …")
def _measured(ref: str, _run: TrainRun) -> tuple[Latency, Size]:
    """Of the network's best weights; at its other checkpoints it is as large and as fast."""
    model = zoo.load(ref)
    shipped = ref.startswith("zoo:")
    weights = _run.folder / "model.safetensors" if shipped else files.checkpoint(_run.folder, files.best(_run.folder))
    return latency(model, model.card.shape), size(model, weights)
