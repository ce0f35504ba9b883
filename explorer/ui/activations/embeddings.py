"""Embeddings: a whole data set as the network sees it, as points of the plane, through a whole training too."""

from dataclasses import replace

import numpy as np
import streamlit as st

from explorer import zoo
from explorer.activations import projecting
from explorer.activations.embed import (
    MOST,
    SMALL,
    USUAL,
    Examples,
    Selection,
    embed,
    examples,
    may_be_flat,
    raw,
    reads,
    source,
    told_place,
    untrained,
    usual_place,
)
from explorer.activations.feed import TIME, dataset, kind_of
from explorer.activations.pace import pace
from explorer.activations.project import METHODS, NEAREST, chance, neighbours, vote
from explorer.activations.projecting import FRAMES, Asked, Projected
from explorer.charts import embeddings as charts
from explorer.data.base import DATASETS
from explorer.errors import ExplorerError
from explorer.ui.activations.question import Asked as Question
from explorer.ui.activations.question import captured, titled
from explorer.ui.begun import begin
from explorer.ui.controls import controls
from explorer.ui.draw import draw
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pickers import choose, remembered
from explorer.ui.price import Price
from explorer.ui.row import one_of
from explorer.ui.scatter import Atlas, Colouring, Scatter, pack, scatter
from explorer.ui.watch import broke_off, job_of, watch
from explorer.ui.worked import worked_out
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

COUNTS = (50, 100, 200, 500, 1000, MOST)  # examples that are offered
USUAL_COUNT, FEW = 500, 100  # at first; of networks that take large pictures
LARGE = 128  # pixels a side
INSTEAD = {"image": "shapes", "points": "points", "text": "story"}  # where a network's own data are not known
OWN, RAW, RANDOM, CHANCE = "this layer", "the raw numbers", "the same, untrained", "the most frequent class"
WORDS = {
    "PCA": "The plane in which the vectors spread most. Distances in it are true, as far as this plane goes.",
    "t-SNE": "Whoever is near in the full space is near here. How far apart two clusters lie, and how large they are, "
    "means little.",
    "UMAP": "A graph of nearest neighbours, laid out in the plane. Who hangs together is meant; the gaps between "
    "clusters, and their sizes, mean little.",
}


def embeddings(model: Model, asked: Question) -> None:
    """A layer's vectors of many examples in the plane, and what they know."""
    with st.container():  # whatever it holds, what follows keeps its place on the page
        wanted = _wanted(_selection(model, asked))
        found, drawn = _found(model, wanted)
        shown, atlas = _examples(model, drawn.selection)
        if found.points.shape[1] != len(shown):
            raise ExplorerError("This projection", "the data have changed since it was made", "Project them again")
        _caption(model, found, drawn, shown)
    _picture(found, drawn, shown, atlas)
    _figures(model, found, drawn, shown)


# ---- what is asked ----


def _selection(model: Model, asked: Question) -> Selection:
    """The layer, the examples, and how maps become vectors, all in the URL."""
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    fitting = [layer for layer in captured(model, asked) if layer.output is not None and layer.output.ndim > 1]
    layers = {layer.name: layer for layer in fitting if len(layer.output) == len(asked.given)}
    with left:
        usual = f"Before the answer · {told_place(model, Selection(model.card.ref))}"
        layer = choose("Layer to embed", [USUAL, *layers], USUAL, "embed-layer",
                       lambda name: usual if name == USUAL else titled(layers[name]))  # fmt: skip
    with right:
        other = _other_data(model)
    selection = Selection(model.card.ref, layer=layer, time=_time(model), dataset=other)
    with middle:
        selection = replace(selection, count=_count(model, selection))
    shape = _shape(model, layer, layers)
    if isinstance(model, TextModel) or len(shape) < 2:
        return selection
    if not may_be_flat(shape):
        st.caption(f"Its maps are averaged over their positions; up to {SMALL:,} numbers each position could stand.")
        return selection
    flat = one_of(
        "Positions",
        ["Mean", "Each"],
        default="Mean",
        key="embed-flat",
        help="The mean over all positions of a map, or every position as a number of its own.",
    )
    return replace(selection, flat=flat == "Each")


def _shape(model: Model, layer: str, layers: dict) -> tuple[int, ...]:
    """Of what is read for one example; () where that is a plain vector."""
    if layer == USUAL:
        with model.borrow() as net:
            layer, side = usual_place(model, net)
        layer = "" if side else layer
    return layers[layer].output.shape[1:] if layer in layers else ()


def _time(model: Model) -> float:
    """How far examples of a denoiser are noised: as far as the example on the left."""
    return float(st.session_state.get("noise", TIME)) if kind_of(model) == "noise" else TIME


def _other_data(model: Model) -> str:
    """The data set that stands in where the network's own is not known, "" where it is."""
    if dataset(model) is not None:
        st.caption(f"Test split of {plain(model.card.dataset)}")
        return ""
    kind = reads(model)
    names = [name for name in DATASETS if DATASETS[name].facts["task"].startswith(kind)]
    return choose("Data", names, INSTEAD[kind], "embed-data", str, help="What this network learned from is not known.")


def _count(model: Model, selection: Selection) -> int:
    """How many examples."""
    most = min(MOST, len(source(model, selection)))
    offered = sorted({count for count in COUNTS if count < most} | {most})
    large = len(model.card.shape) == 3 and max(model.card.shape[1:]) > LARGE
    usual = min(offered, key=lambda count: abs(count - (FEW if large else USUAL_COUNT)))
    if len(offered) == 1:
        st.caption(f"All {most} examples")
        return most
    if st.session_state.get("embed-n") not in offered:
        st.session_state.pop("embed-n", None)
    return st.select_slider("Examples", offered, usual, key="embed-n", bind="query-params")


def _wanted(selection: Selection) -> Asked:
    """The projection that the controls ask for."""
    left, right = st.columns([3, 4], vertical_alignment="bottom")
    with left:
        method = one_of("Projection", list(METHODS), default="PCA", key="embed-method")
    steps = projecting.steps_of(selection.ref)
    with right:
        told = (
            f"{len(steps)} of its checkpoints, evenly chosen"
            if len(steps) == FRAMES
            else f"its {len(steps)} checkpoints"
        )
        if steps and st.toggle("Through its training", key="embed-training", bind="query-params",
                               help=f"The picture at {told}, {FRAMES} at most."):  # fmt: skip
            selection = replace(selection, ref=f"run:{zoo.parse(selection.ref).name}")
        else:
            steps = ()
    values = {}
    if method != "PCA":
        with st.container(horizontal=True):
            highest = {"perplexity": selection.count - 1, "neighbours": selection.count - 1}
            values = controls(METHODS[method], prefix="embed-", highest=highest)
    return Asked(selection, method, tuple(values.items()), steps)


# ---- what is found ----


def _found(model: Model, wanted: Asked) -> tuple[Projected, Asked]:
    """The points that were asked for; until a background job has them, those of PCA. And what they are of."""
    if wanted.method != "PCA":
        made = _made(wanted)
        if made:
            return made
    plain_plane = replace(wanted, method="PCA", settings=())
    if wanted.method != "PCA":
        st.caption(f"Until there is a {wanted.method}, this is PCA.")
    opened = None if wanted.steps else model
    several = wanted.selection.count * max(1, len(wanted.steps))
    price = Price(("embed", model.card.ref), several, pace(model))
    made = worked_out(("embed", plain_plane), lambda on_step: projecting.project(plain_plane, opened, on_step),
                      "Embedding …", price)  # fmt: skip
    return made, plain_plane


def _examples(model: Model, selection: Selection) -> tuple[Examples, Atlas | None]:
    """The examples, and small pictures of all of them where they are pictures."""
    key = _of_data(selection)
    shown = worked_out(("embed-examples", key), lambda on_step: examples(selection, model), "Reading …")
    if shown.pixels is None or shown.pixels.ndim != 4:
        return shown, None
    return shown, worked_out(("embed-atlas", key), lambda on_step: pack(shown.pixels), "Packing pictures …")


def _made(wanted: Asked) -> tuple[Projected, Asked] | None:
    """What the job in the link has found, where it is of these vectors; a button starts one."""
    first = " The first UMAP compiles itself for about half a minute." if wanted.method == "UMAP" else ""
    with st.container(horizontal=True, vertical_alignment="center"), guard():
        if st.button(f"Project by {wanted.method}", type="primary", icon=":material/scatter_plot:", key="embed-start"):
            begin("embed-job", lambda: projecting.start(wanted, person()))
        st.caption(f"In the background, in seconds; up to a minute for {MOST:,} examples.{first}")
    id = remembered("embed-job")
    if not id:
        return None
    try:
        asked = projecting.asked_of(id)
    except ExplorerError as error:
        st.warning(plain(str(error)), icon=":material/link_off:")
        return None
    job = job_of(id)
    if job and not job.over:
        watch(id, "embed")
        return None
    if replace(asked, settings=()) != replace(wanted, settings=()):
        st.caption("What is in the link was made of other vectors, or in another way. Project these.")
        return None
    found = projecting.found_of(id)
    if found is None:
        st.warning(plain(broke_off(job)))
        return None
    if asked != wanted:
        made = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in asked.settings)
        st.info(f"Below it is drawn with {plain(made)}; project it again for the settings above.")
    return found, asked


# ---- what is drawn ----


def _caption(model: Model, found: Projected, drawn: Asked, shown: Examples) -> None:
    count = found.points.shape[1]
    about = f"**{count:,} examples**, each the {found.numbers} numbers of {plain(found.place)}. {WORDS[drawn.method]}"
    if len(found.points) > 1:
        about += (
            " Each checkpoint's picture is turned and mirrored onto its neighbour's, never stretched, and drawn in "
            "units of its own spread."
            if drawn.method == "PCA"
            else " Each checkpoint begins at the picture of the one before, and is drawn in units of its own spread."
        )
    if shown.y is None:
        about += (
            " These texts have no classes, so colour tells their length." if shown.texts else " There are no classes."
        )
    if isinstance(model, Denoiser) and model.kind != "free":
        about += " This network is told what each example is to become: a layer may know it from there."
    st.markdown(about)


@st.fragment
@guard()
def _picture(found: Projected, drawn: Asked, shown: Examples, atlas: Atlas | None) -> None:
    """The points; resting at a checkpoint puts it into the link."""
    scatter(_scatter(found, shown, atlas), "embed-scatter")


def _scatter(found: Projected, shown: Examples, atlas: Atlas | None) -> Scatter:
    labels = [f"After step {step}" if step >= 0 else "" for step in found.steps.tolist()]
    wrong = np.flatnonzero(found.answers[-1] != shown.y) if _judged(found, shown) else []
    notes = ()
    if shown.sizes is not None:
        notes = tuple(f"{size} tokens" for size in shown.sizes)
    elif shown.pixels is not None and shown.pixels.ndim == 2:
        notes = tuple(f"({x:.2f}, {y:.2f})" for x, y in shown.pixels)
    return Scatter(
        found.points, tuple(labels), tuple(_colourings(found, shown)), found.near, found.distances,
        f"all {found.numbers} dimensions", notes, shown.texts, atlas,
        int(wrong[0]) if len(wrong) else 0,
    )  # fmt: skip


def _of_data(selection: Selection) -> tuple:
    """What the examples depend on: any checkpoint of a run has the same."""
    return selection.ref.partition("@")[0], selection.count, selection.dataset


def _judged(found: Projected, shown: Examples) -> bool:
    """Whether right and wrong can be told: the network names the classes that the data have."""
    return shown.y is not None and found.answers.shape[1] > 0 and found.names == shown.labels


def _colourings(found: Projected, shown: Examples) -> list[Colouring]:
    made = []
    if shown.y is not None:
        made.append(Colouring("True class", shown.y, shown.labels))
    if found.answers.shape[1] and found.names:
        made.append(Colouring("Predicted class", found.answers, found.names))
    if _judged(found, shown):
        wrong = (found.answers != shown.y).astype(np.int64)
        made.append(Colouring("Right or wrong", wrong, ("right", "wrong"), "verdict"))
    if shown.sizes is not None:
        low, high = int(shown.sizes.min()), int(shown.sizes.max())
        codes = np.rint((shown.sizes - low) / max(high - low, 1) * 255).astype(np.int64)
        made.append(Colouring("Length", codes, (f"{low} tokens", f"{high} tokens"), "amount"))
    return made


# ---- how far it can be trusted ----


@st.fragment
@guard()
def _figures(model: Model, found: Projected, drawn: Asked, shown: Examples) -> None:
    """What neighbours know of the class, against three baselines, and what the picture keeps of them."""
    left, right = st.columns(2, gap="large")
    with right:
        _kept(found, drawn)
    with left:
        if shown.y is None:
            st.markdown("**What do neighbours know?**")
            st.caption("Nothing can be told: these examples have no classes.")
        else:
            _known(model, found, drawn, shown)


def _known(model: Model, found: Projected, drawn: Asked, shown: Examples) -> None:
    most = min(NEAREST, found.near.shape[2])
    st.markdown("**What do neighbours know?** How often the class is that of most of the nearest others")
    if st.session_state.get("embed-k", 1) > most:
        st.session_state.pop("embed-k")
    k = most if most == 1 else st.slider("Neighbours asked", 1, most, min(10, most), key="embed-k", bind="query-params")
    shares = {OWN: vote(found.near[-1], shown.y, k)}
    selection = drawn.selection
    before = worked_out(("embed-raw", _of_data(selection)), lambda on_step: _near(raw(shown)), "Comparing pixels …")
    shares[RAW] = vote(before.near, shown.y, k)
    key = ("embed-random", _of_data(selection), selection.layer, selection.flat, selection.time)
    price = Price(("embed-random", model.card.ref), selection.count, pace(model))
    other = worked_out(key, lambda on_step: _untrained(model, selection, on_step), "Asking an untrained network …",
                       price)  # fmt: skip
    if other.near.size:
        shares[RANDOM] = vote(other.near, shown.y, k)
    shares[CHANCE] = chance(shown.y)
    draw(
        charts.known,
        shares,
        OWN,
        key="embed-known",
        says="How often neighbours are of the right class, against baselines",
    )
    about = f"Leave-one-out, in all {found.numbers} dimensions, not in the picture."
    if len(np.unique(shown.y)) == 1:
        about += " All examples are of one class, so there is nothing to know."
    if not other.near.size:
        about += " An untrained network of this architecture can't be built here." if not other.why else f" {other.why}"
    st.caption(about)
    if len(found.points) > 1:
        lines = {f"class known by {k} neighbours": np.array([vote(near, shown.y, k) for near in found.near]),
                 "trustworthiness": found.trust}  # fmt: skip
        draw(charts.course, found.steps.tolist(), lines, key="embed-course", says="Both shares along the training")


def _kept(found: Projected, drawn: Asked) -> None:
    st.markdown("**How far can the picture be trusted?**")
    last = " at the last checkpoint" if len(found.points) > 1 else ""
    told = (
        "Venna and Kaski 2001: 1 where all neighbours in the picture are neighbours in the full space too; about 0.5 "
        "where the picture is drawn by lot."
    )
    st.metric(f"Trustworthiness{last}", f"{found.trust[-1]:.3f}", help=told)
    if found.explained.shape[1]:
        kept = float(found.explained[-1, :2].sum())
        st.caption(f"The two axes hold {kept:.0%} of the variance; what lies behind them, {1 - kept:.0%}, is not seen.")
        draw(
            charts.variance, found.explained[-1], key="embed-variance", says="The variance of each principal component"
        )
    else:
        st.caption(WORDS[drawn.method] + " Try another seed: what stays is in the data.")


class _Near:
    """The neighbours of a baseline; none where it can't be had."""

    def __init__(self, near: np.ndarray, why: str = "") -> None:
        self.near, self.why = near, why

    @property
    def nbytes(self) -> int:
        return self.near.nbytes + len(self.why)


def _near(x: np.ndarray) -> _Near:
    return _Near(neighbours(x)[0])


def _untrained(model: Model, selection: Selection, on_step) -> _Near:
    """The neighbours in an untrained network of the same architecture."""
    other = untrained(model)
    if other is None:
        return _Near(np.zeros((0, 0), np.int64))
    try:
        return _near(embed(selection, other, on_step).vectors)
    except ExplorerError as error:  # as where a fresh layer tells nothing apart
        return _Near(np.zeros((0, 0), np.int64), f"Untrained: {error.wrong}.")
