"""What it wants: the examples that drive a unit, where in them, how much of one class it is, and a picture for it."""

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image

from explorer.activations import visualise as drawing
from explorer.activations import wants as wanting
from explorer.activations.feed import TIME, dataset
from explorer.activations.pace import pace
from explorer.activations.visualise import REGULARISERS, Drawing
from explorer.activations.wants import ByClass, Examples, Profile, Region, Selectivity
from explorer.attribution.explain import seen
from explorer.charts import activations_wants as charts
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.ui.activations.question import Asked
from explorer.ui.begun import begin
from explorer.ui.draw import draw
from explorer.ui.number import number_input
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pickers import choose, remembered
from explorer.ui.pictures import gallery
from explorer.ui.price import Price
from explorer.ui.watch import broke_off, job_of, watch
from explorer.ui.worked import worked_out
from explorer.zoo.model import Model

MOST, FEWER = 12, 8  # examples that are shown: the strongest, and the others
SIDE, SMALL, DRAWN = 132, 96, 124  # pixels of the screen on a side of one
LINE = (240, 182, 46)  # of the outline, seen on pictures of any kind
DIM = 0.45  # of a picture outside what is read
SORTS = ("selectivity", "mean", "variance")
STRENGTHS = {"max": "largest value", "mean": "mean"}  # over the places of an example
REGIONS = {1.0: "all it reads", 0.9: "90% of the gradient", 0.5: "half of the gradient"}
CLOSE, CROP = 0.35, 64  # of a side, up to which parts are shown alone; their pixels of the screen
EXTENT = {"points": 1.6, "noise": 3.0}  # of the plane that is drawn
DOTS = 400  # points of the plane
WARM, COLD = "213, 94, 0", "46, 139, 201"  # behind tokens: above zero, below


def wants(model: Model, asked: Asked) -> None:
    """The chosen unit of the chosen layer: its examples, its classes, and a picture drawn for it."""
    try:
        given = _examples(model, asked)
        found = _profile(model, asked, given)
    except ExplorerError as error:  # of this layer or this network: a fact, not a fault
        st.info(plain(f"{error.asked}: {error.wrong}. {error.do}."), icon=":material/layers_clear:")
        return
    chances = worked_out(
        ("wants-selectivity", *_key(asked, found)), lambda on_step: wanting.selectivity(found), "Counting …"
    )
    unit, by, share = _controls(asked, found, chances)
    classes = None if chances is None else wanting.by_class(found, chances, unit)
    _facts(found, chances, classes, unit, getattr(model, "latent", False))
    if not found.given:
        instead = "your text alone" if found.kind == "text" else "noise, from which there is little to be learned"
        st.info(f"This network's own data are not here, so it is shown {instead}.")
    _shown(model, asked, given, found, unit, by, share)
    _selective(found, chances, classes, unit)
    _drawing(model, asked, unit)


def _time() -> float:
    """How far a denoiser's examples are noised."""
    return float(st.session_state.get("noise", TIME))


def _key(asked: Asked, found: Profile) -> tuple[object, ...]:
    return found.ref, found.layer, found.examples, _time(), "" if found.given else asked.key


def _examples(model: Model, asked: Asked) -> Examples:
    def make(on_step=None) -> Examples:
        return wanting.examples(model, wanting.MOST, _time(), asked.given)

    own = "" if dataset(model) is not None else asked.key
    if model.card.task == "image-classification":
        return make()  # nothing is prepared yet
    price = Price(("wants-examples", asked.ref), wanting.MOST)
    return worked_out(("wants-examples", asked.ref, _time(), own), make, "Preparing the examples …", price)


def _profile(model: Model, asked: Asked, given: Examples) -> Profile:
    own = "" if given.data is not None else asked.key
    key = ("wants-profile", asked.ref, asked.layer, given.count, _time(), own)
    words = f"Looking through {given.count:,} examples …"
    price = Price(("wants-profile", asked.ref), given.count, pace(model, asked.given))
    return worked_out(key, lambda on_step: wanting.profile(given, asked.layer, on_step), words, price)


def _controls(asked: Asked, found: Profile, chances: Selectivity | None) -> tuple[int, str, float]:
    """The unit, the order of its examples, and how much of the gradient marks a region."""
    sorts = [sort for sort in SORTS if sort != "selectivity" or chances is not None]
    first, second, third, fourth = st.columns([2, 2, 2, 3], vertical_alignment="bottom")
    with first:
        sort = choose("Units by", sorts, sorts[0] if chances else "variance", "want-sort", str.capitalize)
    values = _sorted_by(found, chances, sort)
    ranked = np.lexsort((np.arange(len(values)), -np.nan_to_num(values, nan=-np.inf), found.dead))
    usual = _sorted_by(found, chances, sorts[0] if chances else "variance")
    default = int(np.where(found.dead, -np.inf, np.nan_to_num(usual, nan=-np.inf)).argmax())
    _forget(asked)
    with second:
        unit = int(choose(
            f"Unit, of {found.units:,}", [str(one) for one in ranked], str(default), "want-unit",
            lambda one: _titled(found, values, sort, one),
            help="Sorted as on the left; type a number to find a unit. Dead: the same value whatever it is shown.",
        ))  # fmt: skip
    by, share = "max", 1.0
    if found.place is not None:
        with third:
            by = choose("Strength", list(STRENGTHS), "max", "want-by", lambda one: STRENGTHS[one].capitalize())
    if _pictured(found, asked):
        with fourth:
            named = {f"{value:g}": title for value, title in REGIONS.items()}
            share = float(choose(
                "Marked region", list(named), "1", "want-region", lambda one: named[one].capitalize(),
                help="The gradient of the unit, at the place where it is strongest, with respect to each pixel. Where "
                "it is zero, a small change of the pixel changes nothing.",
            ))  # fmt: skip
    return unit, by, share


def _forget(asked: Asked) -> None:
    """Another layer has other units: the number of one means nothing there, unless a new link names it."""
    state, key = st.session_state, "want-unit"
    before, here = state.get("want-of"), (asked.ref, asked.layer)
    if before not in (None, here) and st.query_params.get(key) == state.get(f"{key}-seen"):
        state.pop(key, None)
        st.query_params.pop(key, None)
        state.pop(f"{key}-seen", None)
    state["want-of"] = here


def _sorted_by(found: Profile, chances: Selectivity | None, sort: str) -> np.ndarray:
    """(K,) what the units are sorted by."""
    if sort == "selectivity":
        return chances.index
    return found.variance if sort == "variance" else found.average.mean(0)


def _titled(found: Profile, values: np.ndarray, sort: str, one: str) -> str:
    if not one.isdecimal() or int(one) >= found.units:
        return one
    if found.dead[int(one)]:
        return f"{one} · dead"
    return f"{one} · {sort} {values[int(one)]:.3g}"


def _pictured(found: Profile, asked: Asked) -> bool:
    """Whether the inputs are pictures."""
    return found.kind in ("image", "noise") and asked.given.inputs["x"].ndim == 4


def _facts(
    found: Profile, chances: Selectivity | None, classes: ByClass | None, unit: int, latent: bool
) -> None:  # fmt: skip
    """The unit in figures."""
    values = found.highest[:, unit]
    samples = "tokens" if found.position is not None else "examples"
    with st.container(horizontal=True, key="figures"):
        if classes is not None and np.isfinite(chances.index[unit]):
            chance = np.nanmean(chances.shuffled[:, unit])
            st.metric("Selectivity index", f"{chances.index[unit]:.2f}", f"chance {chance:.2f}", delta_color="off",
                      delta_arrow="off")  # fmt: skip
            st.metric("Strongest class", plain(classes.names[0]))
            st.metric("AUC of that class", f"{classes.auc:.2f}", "chance 0.50", delta_color="off", delta_arrow="off")
        st.metric("Largest", f"{found.high[unit]:.3g}", f"median {np.median(values):.3g}", delta_color="off",
                  delta_arrow="off")  # fmt: skip
        st.metric("Above zero in", f"{(values > 0).mean():.0%} of {samples}")
    if found.dead[unit]:
        st.warning(f"Unit {unit} is dead here: it gives {found.high[unit]:.3g} whatever it is shown.",
                   icon=":material/heart_broken:")  # fmt: skip
    looked = f"Looked through: {found.examples:,} examples" + (" of the test split" if found.given else "")
    if found.position is not None:
        looked += f", {len(found.highest):,} tokens"
    if found.skipped:
        looked += ". The class token is left out: it lies nowhere in the picture"
    if found.kind == "noise":
        looked += f", noised {_time():.0%} of the way"
        if latent:
            looked += (
                ". They are noised as latents, so the clean pictures are shown, and regions are those of the latents"
            )
    st.caption(plain(f"{looked}."))


def _shown(
    model: Model, asked: Asked, given: Examples, found: Profile, unit: int, by: str, share: float
) -> None:  # fmt: skip
    """The strongest, the weakest and some random examples, as what they are."""
    most = wanting.order(found, unit, by, MOST)
    least = wanting.order(found, unit, by, FEWER, least=True)
    dice = np.random.default_rng(0)
    chance = np.sort(dice.choice(len(found.highest), min(FEWER, len(found.highest)), replace=False))
    if found.kind == "text":
        _sentences(model, given, found, unit, most, least, chance)
    elif _pictured(found, asked):
        _pictures(model, asked, given, found, unit, by, share, {"most": most, "chance": chance, "least": least})
    else:
        _plane(model, asked, given, found, unit, most)


@dataclass(frozen=True, eq=False)
class _Row:
    """Examples with what a unit reads of them, ready to be shown."""

    region: Region
    pictures: tuple[bytes, ...]  # PNG
    parts: tuple[bytes, ...]  # PNG of what is read alone; none where that is much of the picture

    @property
    def nbytes(self) -> int:
        return self.region.nbytes + sum(map(len, (*self.pictures, *self.parts)))


def _pictures(
    model: Model, asked: Asked, given: Examples, found: Profile, unit: int, by: str, share: float,
    rows: dict[str, np.ndarray],
) -> None:  # fmt: skip
    told = {"most": "Strongest", "chance": "At random", "least": "Weakest"}
    drawn = {}
    for name, samples in rows.items():
        side = SIDE if name == "most" else SMALL
        drawn[name] = row = worked_out(
            ("wants-row", *_key(asked, found), unit, tuple(samples), share, side),
            lambda on_step, samples=samples, side=side: _row(model, given, found, unit, samples, share, side),
            "Where it looks …",
        )
        values = found.values(by)[samples, unit]
        order = "" if name == "chance" else f" by the {STRENGTHS[by]}"
        st.markdown(f"**{told[name]}**{order}: {values.mean():.3g} on average")
        _strip(
            row.pictures, [_caption(found, sample, value) for sample, value in zip(samples, values, strict=True)], side
        )
        if name == "most" and row.parts:
            st.markdown("**Read closely**: the outlined parts alone")
            _strip(row.parts, [""] * len(row.parts), CROP)
        elif name == "chance":
            st.caption(plain(_regions(drawn["most"].region, row.region)))
    st.caption(
        "Outlined: the pixels whose gradient counts, of the unit at the place where it is strongest; all else is dim. "
        "A picture that is dimmed as a whole has no such pixel, as where a ReLU gives nothing."
    )


def _strip(pictures: Sequence[bytes], captions: Sequence[str], side: int) -> None:
    """PNGs in rows, each over its caption."""
    with st.container(horizontal=True, gap="small"):
        for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            st.image(
                picture, plain(caption) or None, width=side, alt=caption or f"What is read of example {number + 1}"
            )


def _row(
    model: Model, given: Examples, found: Profile, unit: int, samples: np.ndarray, share: float, side: int
) -> _Row:  # fmt: skip
    region = wanting.region(given, found, unit, samples, share)
    pictures = _as_seen(model, given, found, samples)
    drawn = tuple(png(outlined(one, mask, side)) for one, mask in zip(pictures, region.masks, strict=True))
    sides = [length.stop - length.start for mask in region.masks if mask.any() for length in box(mask)]
    if not sides or max(sides) > CLOSE * len(region.masks[0]) or pictures[0].shape[:2] != region.masks[0].shape:
        return _Row(region, drawn, ())
    parts = [one[box(mask)] for one, mask in zip(pictures, region.masks, strict=True) if mask.any()]
    return _Row(region, drawn, tuple(png(_large(part, CROP)) for part in parts))


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a file, made quickly."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def box(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and the columns between which all of a mask lies."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _as_seen(model: Model, given: Examples, found: Profile, samples: np.ndarray) -> list[np.ndarray]:
    """What samples look like: what the network takes, or the clean picture where that is no picture."""
    some = given.take(found.example[samples])
    states = some.inputs["x"]
    if found.kind == "image":
        return [seen(model, states[row : row + 1]) for row in range(len(samples))]
    if states.shape[1] in (1, 3) and not getattr(model, "latent", False):
        noised = ((states + 1) / 2).clamp(0, 1).mul(255).round().byte()
        return list(noised.permute(0, 2, 3, 1).cpu().numpy())
    return list(some.pixels)


def _caption(found: Profile, sample: int, value: float) -> str:
    named = found.classes is not None and found.classes[sample] >= 0
    return f"{value:.3g} · {found.labels[found.classes[sample]]}" if named else f"{value:.3g}"


def _regions(most: Region, chance: Region) -> str:
    """How large the regions are, and how much of them lies on the object."""
    told = f"The region of the strongest is {most.shares.mean():.1%} of the picture"
    if np.isfinite(most.on_object).any():
        told += (
            f"; {np.nanmean(most.on_object):.0%} of it lies on the object, which fills {most.object_share.mean():.0%} "
            "of these pictures: a region anywhere would have as much"
        )
        if np.isfinite(chance.on_object).any():
            told += f". At random: {np.nanmean(chance.on_object):.0%} of the region on the object"
    if most.shares.mean() > 0.95:
        told += ". This unit reads everything: choose a smaller share of the gradient to see what counts most"
    return f"{told}."


def outlined(picture: np.ndarray, mask: np.ndarray, side: int) -> Image.Image:
    """A picture (H, W, C) uint8, `side` pixels wide, dim outside a mask (h, w), which is outlined."""
    height, width = picture.shape[:2]
    size = (side, max(1, round(side * height / width)))
    way = Image.Resampling.BOX if width > side else Image.Resampling.NEAREST  # enlarged without blur
    whole = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).convert("RGB").resize(size, way)
    if mask.all():
        return whole
    large = np.asarray(whole)
    rows = np.arange(size[1]) * mask.shape[0] // size[1]
    columns = np.arange(size[0]) * mask.shape[1] // size[0]
    inside = mask[rows][:, columns]
    drawn = np.where(inside[..., None], large, 128 + (large.astype(np.float32) - 128) * DIM).astype(np.uint8)
    core = inside
    for axis in (0, 1):
        for shift in (-1, 1):
            core = core & np.roll(inside, shift, axis)
    drawn[inside & ~core] = LINE
    return Image.fromarray(drawn)


def _sentences(
    model: Model, given: Examples, found: Profile, unit: int, most: np.ndarray, least: np.ndarray, chance: np.ndarray
) -> None:  # fmt: skip
    """Texts with every token in the colour of what it does to the unit."""
    limit = float(np.abs(found.highest[:, unit]).max()) or 1.0
    for title, samples in (("Strongest token of each text", most), ("At random", chance), ("Weakest token", least)):
        values = found.highest[samples, unit]
        st.markdown(f"**{title}**, mean {values.mean():.3g}")
        st.html("".join(_sentence(model, given, found, unit, int(sample), limit) for sample in samples))
    st.caption(
        f"Orange: above zero, blue: below, one scale for all, full at {limit:.3g}; framed: the token whose value "
        "stands on the left."
    )


def _sentence(model: Model, given: Examples, found: Profile, unit: int, sample: int, limit: float) -> str:
    value = found.highest[sample, unit]
    if found.position is None:
        ids = given.take([int(found.example[sample])]).inputs["input_ids"][0].tolist()
        return _line(value, html.escape(model.decode(ids)))
    rows = np.flatnonzero(found.example == found.example[sample])
    words = []
    for row in rows:
        strength = found.highest[row, unit]
        color = f"rgba({WARM if strength > 0 else COLD}, {min(1.0, abs(strength) / limit) * 0.75:.3f})"
        mark = "outline:2px solid currentColor;outline-offset:-1px;" if row == sample else ""
        words.append(
            f'<span title="{strength:.3g}" style="background:{color};{mark}border-radius:3px;padding:1px 3px">'
            f"{html.escape(found.labels[found.classes[row]])}</span>"
        )
    return _line(value, " ".join(words))


def _line(value: float, words: str) -> str:
    number = f'<span style="flex:0 0 3.6rem;text-align:right;opacity:.7;font-variant-numeric:tabular-nums">{value:.3g}'
    return (
        f'<div style="display:flex;gap:.8rem;margin:.15rem 0;font-size:.9rem;line-height:1.6">{number}</span>'
        f"<span>{words}</span></div>"
    )


def _plane(model: Model, asked: Asked, given: Examples, found: Profile, unit: int, most: np.ndarray) -> None:
    """The plane in the colour of the unit, with the examples on it."""
    extent = EXTENT[found.kind]
    values = worked_out(
        ("wants-plane", *_key(asked, found), unit, asked.key),
        lambda on_step: wanting.over_plane(asked.given, found, unit, extent), "Over the plane …",
    )  # fmt: skip
    shown = np.union1d(np.arange(min(DOTS, len(found.highest))), most)
    some = given.take(found.example[shown])
    points = some.inputs["x"].cpu().numpy() if found.kind == "noise" or some.pixels is None else some.pixels
    place, _ = st.columns([3, 2])  # about as wide as high
    with place:
        draw(
            charts.plane, values, extent, points, found.highest[shown, unit], np.isin(shown, most), key="want-plane",
            says=f"What unit {unit} answers on the plane, and to {len(shown)} examples",
        )  # fmt: skip
    ground = "Of a denoiser each example is dotted where its noise has brought it. " if found.kind == "noise" else ""
    st.caption(f"{ground}Ringed: the {len(most)} strongest, {found.highest[most, unit].min():.3g} or more.")


def _selective(found: Profile, chances: Selectivity | None, classes: ByClass | None, unit: int) -> None:
    """Class by class, and beside the other units of the layer."""
    st.subheader("Of one class?", anchor=False)
    if chances is None:
        st.info("No two classes are known of these examples, so nothing can be said of that.")
        return
    left, right = st.columns(2, gap="large")
    names = "tokens" if found.position is not None else "classes"
    with left:
        st.markdown(f"**Its mean over each of the {names}**")
        draw(charts.by_class, classes, key="want-classes", says=f"The mean activation of unit {unit} over each class")
        if len(classes.names) > charts.BARS:
            often = f", those seen {wanting.FEW} times or more" if found.position is not None else ""
            st.caption(f"The {charts.BARS} strongest of {len(classes.names)} {names}{often}.")
    with right:
        st.markdown("**Beside the other units of this layer**")
        draw(
            charts.indices,
            chances,
            unit,
            key="want-indices",
            says="The selectivity of all units of the layer, beside chance",
        )
    rectified = (
        " What is below zero counts as zero here, as behind a ReLU; the AUC takes all values." if found.signed else ""
    )
    st.caption(
        f"Index: (μ of its first class − μ of all others) / (their sum), 0 to 1 ({wanting.MORCOS}).{rectified} A unit "
        "that hardly ever fires has a high index by chance: compare it with the labels exchanged. AUC: how often an "
        "example of the class drives the unit more than one of another does."
    )


def _drawing(model: Model, asked: Asked, unit: int) -> None:
    """A picture drawn for the unit by a worker, `?wanted=` in the URL."""
    st.subheader("A picture drawn for it", anchor=False)
    why = drawing.unfit(model)
    if why:
        st.info(f"None can be drawn for this network: {why}.")
        return
    first, second, third, fourth, fifth = st.columns([2, 2, 2, 2, 2], vertical_alignment="bottom")
    with first:
        goal = choose("Towards", list(drawing.GOALS), "most", "want-goal",
                      {"most": "Its most", "least": "Its least"}.__getitem__)  # fmt: skip
    with second:
        place = choose("Measured", list(drawing.PLACES), "mean", "want-place",
                       {"mean": "Mean over the picture", "centre": "In the centre alone"}.__getitem__)  # fmt: skip
    steps = third.select_slider("Steps", [32, 64, 128, 256, 512, 1024], 128, key="want-steps", bind="query-params")
    pictures = fourth.slider("Pictures", 1, drawing.PICTURES, 2, key="want-pictures", bind="query-params")
    with fifth:
        seed = number_input("Seed", 0, 2**31 - 1, 0, key="want-seed")
    regularised = _regularisers(pictures)
    wanted = Drawing(asked.ref, asked.layer, unit, goal, place, int(steps), int(pictures), int(seed), **regularised)
    with st.container(horizontal=True, vertical_alignment="center"):
        with guard():
            if st.button("Draw it", type="primary", icon=":material/brush:", key="want-draw"):
                begin("wanted", lambda: drawing.start(wanted, person()))
        st.caption(
            f"{steps} passes there and back of {pictures} pictures, and a look at up to {drawing.COMPARED} examples, "
            f"in the background; {settings().limits.seconds:,.0f} s at most."
        )
    id = remembered("wanted")
    if id:
        with guard():
            _drawn(model, asked, unit, id)


def _regularisers(pictures: int) -> dict[str, float | bool]:
    """What keeps the pictures from becoming mere texture of noise, each by its own switch."""
    chosen: dict[str, float | bool] = {}
    with st.expander("What keeps it natural", icon=":material/tune:"):
        st.caption("Without any, the pictures drive the unit furthest, and show least: high frequencies that mean "
                   "nothing to us.")  # fmt: skip
        for name, (title, told) in REGULARISERS.items():
            left, right = st.columns([2, 5], vertical_alignment="center")
            key = f"want-{name}"
            if name in ("fourier", "moved"):
                chosen[name] = left.toggle(title, True, key=key, bind="query-params")
            else:
                most, step = (3.0, 0.25) if name == "blur" else (8.0, 0.5)
                chosen[name] = left.slider(title, 0.0, most, 0.0, step, key=key, bind="query-params",
                                           disabled=name == "diversity" and pictures == 1)  # fmt: skip
            right.caption(told)
        st.caption("Weights stand beside the logarithm of how far the unit is driven beyond noise; 0 leaves it out.")
    return chosen


def _drawn(model: Model, asked: Asked, unit: int, id: str) -> None:
    """A drawing: while it goes on, and what it came to."""
    wanted = drawing.asked_of(id)
    if (wanted.ref, wanted.layer, wanted.unit) != (asked.ref, asked.layer, unit):
        whose = f"unit {wanted.unit} of {wanted.layer}" + (f" of {wanted.ref}" if wanted.ref != asked.ref else "")
        st.caption(plain(f"The last one was drawn for {whose}; for this unit none has been yet."))
        return
    job = job_of(id)
    if job and not job.over:
        watch(id, "want", lambda: _so_far(id))
        return
    found = drawing.found_of(id)
    if found is None:
        st.warning(plain(broke_off(job)))
        return
    _result(model, wanted, found)


def _so_far(id: str) -> None:
    """The pictures on their way."""
    pictures = drawing.so_far(id)
    if pictures is not None:
        gallery(pictures, [f"picture {number + 1}, so far" for number in range(len(pictures))], 2 * SMALL)


def _result(model: Model, wanted: Drawing, found: drawing.Drawn) -> None:
    last = found.course[-1]
    left, right = st.columns(2, gap="large")
    with left:
        captions = [f"picture {number + 1}: {value:.3g}" for number, value in enumerate(last)]
        pictures: Sequence[np.ndarray] = [*found.pictures]
        if found.best >= 0:
            best = model.preprocess(dataset(model).x[found.best])
            pictures, captions = (
                [*pictures, seen(model, best)],
                [*captions, f"its own data: {found.data[found.best]:.3g}"],
            )
        with st.container(horizontal=True, gap="small"):
            for picture, caption in zip(pictures, captions, strict=True):
                st.image(_large(picture, DRAWN), plain(caption), width=DRAWN, output_format="PNG", alt=caption)
    with right:
        draw(charts.course, found, key="want-course", says="The activation of each picture, step by step")
    furthest = (max, "largest") if wanted.goal == "most" else (min, "smallest")
    told = f"Reached: {furthest[0](last):.3g}. The {furthest[1]} of {len(found.noise)} pictures of noise: "
    told += f"{furthest[0](found.noise):.3g}"
    if len(found.data):
        told += f"; of {len(found.data)} examples of its own data: {furthest[0](found.data):.3g}"
    if found.before:
        told += ". All are of what goes into this ReLU, which itself gives nothing below zero"
    st.caption(plain(f"{told}. A picture far beyond the data shows what the unit could want, not what it meets."))
    shown = np.unique(np.linspace(0, len(found.frames) - 1, 8).round().astype(int))
    st.markdown("**On the way**")
    gallery(found.frames[shown, 0], [f"step {found.frame_steps[frame]}" for frame in shown], SMALL)


def _large(picture: np.ndarray, side: int) -> Image.Image:
    return outlined(picture, np.ones((1, 1), bool), side)
