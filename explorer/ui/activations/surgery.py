"""Surgery: take units away, or put others in their place, and see what the network then makes of its input."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from explorer import runs, zoo
from explorer.activations import greedy as search
from explorer.activations.base import CALL
from explorer.activations.feed import dataset
from explorer.activations.greedy import Greedy, Search, Singles, singles
from explorer.activations.surgery import (
    HOW,
    MOST,
    SAMPLE,
    TEST,
    TEXT,
    WHOLE,
    Cut,
    Damage,
    Operation,
    axis_of,
    believed,
    joined,
    numbers,
    operate,
    read_cut,
    scores,
    share_of,
    table,
    written,
)  # fmt: skip
from explorer.charts import activations_surgery as charts
from explorer.charts import attention as words_charts
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.store import ANSWERS
from explorer.ui.activations.question import Asked, captured
from explorer.ui.attention.predicted import distinct, where
from explorer.ui.begun import begin
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.number import number_input
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pickers import agreed, choose, linked, remembered, to_link
from explorer.ui.pictures import enlarge
from explorer.ui.row import one_of
from explorer.ui.runs import own_networks
from explorer.ui.watch import broke_off, job_of, watch
from explorer.ui.worked import worked_out
from explorer.zoo.card import Card
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

KEY = "cut"  # of the interventions, in the link and in the session
NOTHING = "none"  # in the link: on purpose no intervention
B = "b"  # in the link: the source of a patch is what is chosen as B
CLASSES, PLACES, SHOWN, TEXTS = 12, 200, 12, 6  # that are shown at the most
MANY = 32  # one unit in so many is taken away at first
LONG = 110  # letters of a text that is offered
SIDE, THUMB = 160, 84  # pixels of the screen
AT_ONCE = 1.5  # seconds that the ranking for one example takes, beyond which it waits for a click
ABOUT = (
    "**zero**: nothing is said there. **mean**: each channel says what it says on average over "
    f"{SAMPLE} test examples, all places taken together. **scale**: more, or less, of the same. **patch**: what is "
    "said there for another input, or in another network."
)


@st.fragment
@guard()
def surgery(model: Model, asked: Asked) -> None:
    """What is done; what the network makes of this example then; what it costs over many; which units matter most."""
    output = captured(model, asked)[asked.layer].output
    here = _here(model, asked, output)
    cuts, usual = _cuts(model, asked, output, here)
    _list(cuts, usual, model, asked, here)
    with st.expander("Add an intervention", icon=":material/add:", expanded=False):
        _add(model, asked, output, cuts)
    meant = _with_b(model, asked, cuts)
    for source in sorted({cut.source for cut in meant if cut.how == "patch"}):
        agreed(source)  # a link may name a network of the Hub
    left, right = st.columns(2, gap="large")
    with left, guard():
        _example(model, asked, meant)
    with right, guard():
        _ranking(model, asked, output, cuts, here)
    with guard():
        _damage(model, asked, meant)
    with guard():
        _greedy(model, asked, output, cuts)


def _here(model: Model, asked: Asked, output: np.ndarray) -> Singles | None:
    """What each unit of the layer is worth for this example; None where that takes long and nobody asked for it."""
    width = output.shape[axis_of(output)]
    price = worked_out(("surgery-pass", asked.ref, asked.key), lambda on_step: _Price.of(model, asked), "").seconds
    wanted = st.session_state.get("cut-here", st.query_params.get("cut-here") == "true")  # its toggle comes later
    if price * width > min(AT_ONCE, settings().limits.unasked) and not wanted:
        return None
    return worked_out(
        ("surgery-here", asked.ref, asked.key, asked.layer),
        lambda on_step: singles(model, asked.layer, asked.given, on_step=on_step), "Each unit, taken away alone …",
    )  # fmt: skip


class _Price(float):
    """Seconds that one pass of an example takes."""

    nbytes = 8

    @classmethod
    def of(cls, model: Model, asked: Asked) -> "_Price":
        def once() -> float:
            began = time.perf_counter()
            with table(model) as on:
                on.run(asked.given, {})
            return time.perf_counter() - began

        return cls(min(once() for _ in range(3)))

    @property
    def seconds(self) -> float:
        return float(self)


def _cuts(model: Model, asked: Asked, output: np.ndarray, here: Singles | None) -> tuple[tuple[Cut, ...], bool]:
    """The interventions of the link, and whether they are only the example that a person finds at first."""
    text = linked(KEY, "")
    if not text:
        return (_usual(output, asked.layer, here),), True
    found: list[Cut] = []
    for piece in text.split(";") if text != NOTHING else ():
        try:
            if len(found) >= MOST:
                raise ExplorerError("The link", f"it has more than {MOST} interventions", "The first of them are kept")
            cut = read_cut(piece)
            if cut.layer.partition(CALL)[0] not in _modules(model):
                raise ExplorerError(f"The layer {cut.layer[:60]!r}", "this network has none of that name",
                                    "This intervention is left out")  # fmt: skip
            found.append(cut)
        except ExplorerError as error:
            st.warning(f"{plain(error.asked)}: {plain(error.wrong)}. {plain(error.do)}.", icon=":material/link_off:")
    if text != NOTHING and found != [read_cut(piece) for piece in _good(text)]:
        st.session_state[KEY] = text = _joined(found)
    to_link(KEY, st.session_state[KEY], "")
    return tuple(found), False


def _good(text: str) -> list[str]:
    """The pieces of a link that can be read."""
    good = []
    for piece in text.split(";"):
        try:
            read_cut(piece)
            good.append(piece)
        except ExplorerError:
            continue
    return good


@kept(small=True)
def _names(ref: str, _model: Model) -> frozenset[str]:
    with _model.borrow() as net:
        return frozenset(name for name, _ in net.named_modules() if name)


def _modules(model: Model) -> frozenset[str]:
    return _names(model.card.ref, model)


def _usual(output: np.ndarray, layer: str, here: Singles | None) -> Cut:
    """Something to begin with: the units that this answer needs most, or the most active ones, set to zero."""
    axis = axis_of(output)
    worth = np.abs(output).mean(tuple(each for each in range(output.ndim) if each != axis))
    worth = worth if here is None else here.rise
    first = np.argsort(-worth, kind="stable")[: max(1, len(worth) // MANY)]
    return Cut(layer, tuple(sorted(map(int, first))))


def _joined(cuts: Sequence[Cut]) -> str:
    return ";".join(map(written, cuts)) or NOTHING


def _put(cuts: Sequence[Cut]) -> None:
    st.session_state[KEY] = _joined(cuts)


def _added(cuts: Sequence[Cut], new: Cut) -> None:
    """One more, unless it is there already."""
    if new not in cuts and len(cuts) < MOST:
        _put([*cuts, new])


def said(cut: Cut, kind: str = "units") -> str:
    """An intervention in words."""
    name = {"unit": kind, "token": "tokens", "head": "heads"}[cut.of]
    name = name[:-1] if len(cut.units) == 1 else name
    what = f"{name} {_numbers(cut.units)}" if cut.units else "the whole layer" if cut.of == "unit" else f"all {name}"
    how = {
        "zero": "set to zero", "mean": "set to the mean over test examples", "scale": f"times {cut.value:g}",
        "patch": f"patched from {'B' if cut.source in ('', B) else cut.source}",
    }[cut.how]  # fmt: skip
    return f"{what} {how}"


def _numbers(units: Sequence[int]) -> str:
    """Numbers as they are written in a link, with room between them."""
    return written(Cut("x", tuple(units))).split(":")[1].replace(",", ", ")


def _list(cuts: Sequence[Cut], usual: bool, model: Model, asked: Asked, here: Singles | None) -> None:
    """A row for each intervention, which takes it back, and Reset."""
    kind = _kinds(captured(model, asked)[asked.layer].output)
    if usual:
        several = len(cuts[0].units)
        what = f"the {several} {kind}" if several > 1 else f"the {kind[:-1]}"
        why = "without which this answer suffers most" if here is not None else "most active here"
        st.caption(f"An example to begin with: {what} of this layer {why}, set to zero. Add your own, or click a bar.")
    for number, cut in enumerate(cuts):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            mine = _kinds(_output(model, asked, cut.layer))
            st.markdown(f":material/content_cut: `{cut.layer.replace('`', '')}` {plain(said(cut, mine))}",
                        width="content")  # fmt: skip
            st.button("", icon=":material/close:", key=f"cut-off-{number}", help="Take it back", type="tertiary",
                      on_click=_put, args=([one for one in cuts if one is not cut],))  # fmt: skip
    if not cuts:
        st.caption("Nothing is changed: both answers are the same bits. Add an intervention, or click a bar.")
    with st.container(horizontal=True):
        if cuts:
            st.button("Take all back", icon=":material/undo:", key="cut-none", on_click=_put, args=([],))
        if not usual:
            st.button("Reset", icon=":material/restart_alt:", key="cut-reset", on_click=_reset,
                      help="Back to the example that this view begins with")  # fmt: skip


def _reset() -> None:
    st.session_state[KEY] = ""
    st.session_state["cut-greedy"] = ""
    for key in ("cut-greedy", KEY):
        st.query_params.pop(key, None)
    st.session_state[f"{KEY}-seen"] = None


def _output(model: Model, asked: Asked, layer: str) -> np.ndarray | None:
    found = captured(model, asked)
    return found[layer].output if layer in found else None


def _kinds(output: np.ndarray | None) -> str:
    return "channels" if output is not None and output.ndim == 4 else "units"


def _add(model: Model, asked: Asked, output: np.ndarray, cuts: Sequence[Cut]) -> None:
    """The controls of one more intervention on the chosen layer."""
    heads = _heads(model, asked)
    near = _near(asked.layer, heads)
    kinds = {"unit": _kinds(output).capitalize()} | ({"token": "Tokens"} if output.ndim == 3 else {})
    kinds |= ({"head": "Heads"} if near else {}) | {WHOLE: "The whole layer"}
    if st.session_state.get("cut-of", "unit") not in kinds:
        st.session_state.pop("cut-of")
    of = one_of("What", list(kinds), default="unit", key="cut-of", format_func=kinds.__getitem__)
    layer = near if of == "head" else asked.layer
    size = {"unit": output.shape[axis_of(output)], "token": output.shape[1], "head": heads.get(near, 0)}.get(of, 0)
    which = WHOLE
    if of != WHOLE:
        which = st.text_input(f"Which: numbers from 0 to {size - 1}, such as 3, 5-7, or {WHOLE}", "0", key="cut-which",
                              bind="query-params", max_chars=200)  # fmt: skip
        if of == "token" and asked.given.tokens:
            told = [f"{number} {token}" for number, token in enumerate(asked.given.tokens)]
            st.caption(plain(" · ".join(told)) if len(told) == size else "")
        if of == "head":
            st.caption(f"The heads of `{near}`: what each gathered, before the output projection mixes them.")
    how = one_of("It becomes", list(HOW), default="zero", key="cut-how")
    st.caption(ABOUT)
    value, source = 1.0, ""
    if how == "scale":
        value = number_input("Factor", -100.0, 100.0, 2.0, 0.5, key="cut-factor")
    if how == "patch":
        source = _source(model)
    ready = guard()
    with ready:
        new = Cut(layer, numbers(which), how, value, source, "unit" if of == WHOLE else of)
        if new.units and max(new.units) >= size:
            raise ExplorerError(f"Number {max(new.units)}", f"there are {size}, counted from 0",
                                f"Choose 0 to {size - 1}")  # fmt: skip
        st.button("Add it", icon=":material/add:", type="primary", key="cut-add", on_click=_added, args=(cuts, new))


def _source(model: Model) -> str:
    """Where a patch comes from: B, or another network of the same build."""
    others = _others(model)
    if not others:
        return B
    named = {B: "B, another text" if isinstance(model, TextModel) else "B, another test example"}
    named |= {ref: f"another network: {title}" for ref, title in others.items()}
    return choose("Patched from", list(named), B, "cut-from", named.__getitem__)


def _others(model: Model) -> dict[str, str]:
    """Networks of the same build that are known here: shipped ones, checkpoints of its own run, other runs."""
    mine = model.card
    found = {card.ref: card.title for card in zoo.cards() if _same(card, mine)}
    parsed = zoo.parse(mine.ref)
    if parsed.source == "run":
        for step in runs.checkpoints(runs.folder(parsed.name)):
            found[f"run:{parsed.name}@{step}"] = f"this run after step {step}"
    found |= {run.ref: run.name for run, card in own_networks() if run.ref != mine.ref and _same(card, mine)}
    found.pop(mine.ref, None)
    return found


def _same(one: Card, other: Card) -> bool:
    return (
        one.ref != other.ref
        and (one.architecture, one.task, one.shape, one.parameters)
        == (other.architecture, other.task, other.shape, other.parameters)
    )  # fmt: skip


def _with_b(model: Model, asked: Asked, cuts: Sequence[Cut]) -> tuple[Cut, ...]:
    """The interventions with B in place of its name; the control of B, where something is patched from it."""
    if not any(cut.how == "patch" and cut.source == B for cut in cuts):
        return tuple(cuts)
    if isinstance(model, TextModel):
        text = st.text_input("B, a text of as many tokens", _text_b(model, asked), key="cut-text", bind="query-params",
                             max_chars=2000)  # fmt: skip
        source = f"{TEXT}{text}"
    else:
        own = dataset(model)
        if own is None:
            raise ExplorerError("A patch from another example", "this network's own test data are not here",
                                "Patch from another network, or zero it")  # fmt: skip
        if st.session_state.get("cut-b", 1) >= len(own):
            st.session_state.pop("cut-b")
        index = st.slider("B, the test example that is patched in", 0, len(own) - 1, 1, key="cut-b",
                          bind="query-params")  # fmt: skip
        if own.x.ndim == 4:
            label = f"B, {plain(own.labels[own.y[index]])}" if own.labels and own.y.ndim == 1 else "B"
            st.image(enlarge(own.x[index], THUMB), label, width=THUMB, output_format="PNG", alt=label)
        source = f"{TEST}{index}"
    return tuple(replace(cut, source=source) if cut.how == "patch" and cut.source == B else cut for cut in cuts)


@kept(known={Asked: lambda asked: (asked.ref, asked.key)})
def _text_b(_model: TextModel, asked: Asked) -> str:
    """A test text of as many tokens as the one that is read, or that one itself."""
    ids = asked.given.inputs["input_ids"]
    own = dataset(_model)
    here = _model.decode(ids[0].tolist())
    for text in own.texts[:1000] if own is not None and own.texts else ():
        read = _model.encode(text).inputs["input_ids"]
        if read.shape == ids.shape and not bool((read == ids).all()):
            return text
    return here


@kept(known={Asked: lambda asked: (asked.ref, asked.key)})
def _heads(_model: Model, asked: Asked) -> dict[str, int]:
    """The attention layers whose heads can be reached, and how many each has."""
    with table(_model) as on:
        return {name: count for name, (_, count) in on.heads(asked.given).items()}


def _near(layer: str, heads: dict[str, int]) -> str:
    """The attention layer that a layer is, is part of, or is made of; "" where there is no one such."""
    module = layer.partition(CALL)[0]
    if layer in heads:
        return layer
    around = [name for name in heads if module.startswith(f"{name}.")]
    inside = [name for name in heads if name.startswith(f"{module}.")]
    return around[-1] if around else inside[0] if len(inside) == 1 else ""


def _example(model: Model, asked: Asked, cuts: tuple[Cut, ...]) -> None:
    """What the network makes of this example, intact and operated."""
    st.markdown("**This example**")
    done = worked_out(
        ("surgery", asked.ref, asked.key, cuts), lambda on_step: operate(model, asked.given, cuts), "Operating …"
    )
    if done.kind == "class":
        _classes(model, done)
    elif done.told_before is not None:
        _words(done)
    elif done.kind == "noise":
        _denoised(model, asked, done)
    else:
        st.metric("Root mean square change of its states", f"{float(done.moved[0]):.4g}")
        st.caption("This network answers nothing; it only represents what it reads.")


def _classes(model: Model, done: Operation) -> None:
    before, after = done.before[0], done.after[0]
    chances = [_softmax(one) for one in (before, after)]
    was, now = int(before.argmax()), int(after.argmax())
    labels = model.labels
    told = f"**{plain(labels[was])}** {chances[0][was]:.1%} → **{plain(labels[now])}** {chances[1][now]:.1%}"
    moved = f", where {plain(labels[was])} has {chances[1][was]:.1%}" if was != now else ""
    st.markdown(f"{':orange-badge[changed] ' if was != now else ''}{told}{moved}")
    shown = np.argsort(-np.maximum(before, after), kind="stable")[:CLASSES]
    shown = shown[np.argsort(-before[shown], kind="stable")]
    if len(labels) > CLASSES:
        st.caption(f"The {CLASSES} classes of {len(labels)} with the highest logits on either side.")
    draw(
        charts.answers,
        distinct([labels[row] for row in shown]),
        before[shown],
        after[shown],
        key="surgery-answers",
        says=f"Logits intact and operated; {labels[was]} before, {labels[now]} after",
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


def _words(done: Operation) -> None:
    """The likeliest tokens at one place, intact and operated, and all places as a table."""
    before, after = done.told_before, done.told_after
    if not before.positions:
        st.caption("There is nothing here to predict.")
        return
    places = range(len(before.positions))
    moved = [_apart(before, after, place) for place in places]
    usual = int(np.argmax(moved))
    if st.session_state.get("cut-place", 0) > len(places):
        st.session_state.pop("cut-place")
    place = number_input(f"Place, 1 to {len(places)}; 0: where most changes", 0, len(places), 0, key="cut-place")
    place = usual if place == 0 else place - 1
    surprise = np.nanmean(before.surprise), np.nanmean(after.surprise)
    if np.isfinite(surprise).all():
        st.markdown(f"Loss of this text {surprise[0]:.3f} → **{surprise[1]:.3f}** nats")
    st.markdown(f"Likeliest{where(before, place)}")
    words = list(before.top[place][:8])
    words += [word for word in after.top[place][:3] if word not in words]
    was, now = (dict(zip(one.top[place], one.probabilities[place], strict=True)) for one in (before, after))
    draw(
        words_charts.likely,
        distinct(words),
        [float(was.get(word, 0)) for word in words],
        [float(now.get(word, 0)) for word in words],
        charts.SIDES,
        key="surgery-words",
        says=f"The likeliest answers, intact and operated: {', '.join(words[:3])}",
    )
    table_ = pd.DataFrame(
        {
            "place": place + 1,
            "token": before.tokens[before.positions[place]] if before.positions[place] < len(before.tokens) else "",
            "intact": before.top[place][0],
            "p": float(before.probabilities[place][0]),
            "operated": after.top[place][0],
            "p, operated": float(after.probabilities[place][0]),
            "moved": moved[place],
        }
        for place in list(places)[:PLACES]
    )
    st.dataframe(
        table_.style.format({"p": "{:.1%}", "p, operated": "{:.1%}", "moved": "{:.2f}"}), hide_index=True,
        width="stretch", height=220,
    )  # fmt: skip
    st.caption("Moved: half the sum of all changes of the likeliest answers' probabilities, 0 to 1.")


def _apart(before, after, place: int) -> float:
    """How far the probabilities of the answers told on either side are apart: half the sum of their changes."""
    was, now = (dict(zip(one.top[place], one.probabilities[place], strict=True)) for one in (before, after))
    return float(sum(abs(float(was.get(word, 0)) - float(now.get(word, 0))) for word in {*was, *now}) / 2)


def _denoised(model: Denoiser, asked: Asked, done: Operation) -> None:
    """The clean picture that the network believes in, intact and operated."""
    clean = [believed(model, asked.given, answer) for answer in (done.before, done.after)]
    st.markdown(f"The answer, the noise it sees, moves by **{float(done.moved[0]):.4g}** (root mean square).")
    if clean[0].ndim == 2:
        state = asked.given.inputs["x"][0].cpu().numpy() * np.array(model.card.std) + np.array(model.card.mean)
        draw(
            charts.plane,
            {"noised": state, "believed, intact": clean[0][0], "believed, operated": clean[1][0]},
            key="surgery-plane",
            says="Where the point is believed to have been, intact and operated",
        )
        return
    with st.container(horizontal=True, gap="small"):
        for picture, name in zip(clean, charts.SIDES, strict=True):
            st.image(enlarge(picture[0], SIDE), f"Believed, {name}", width=SIDE, output_format="PNG", alt=name)
    change = (clean[1][0].astype(np.float32) - clean[0][0].astype(np.float32)).mean(-1) / 255
    st.caption("Operated minus intact, the mean of the colours; 1 is from black to white. The scale is this map's own.")
    draw(
        charts.difference, change, key="surgery-difference", says="Where the believed picture changes", width="content"
    )


def _ranking(model: Model, asked: Asked, output: np.ndarray, cuts: Sequence[Cut], here: Singles | None) -> None:
    """What each unit of the chosen layer is worth alone; a click takes it away."""
    word = _kinds(output)
    width = output.shape[axis_of(output)]
    st.markdown(f"**What each of the {width:,} {word} is worth**: zero alone, all else intact")
    own = dataset(model) is not None
    with st.container(horizontal=True):
        on = one_of(
            "Measured on",
            ["this example", f"{search.COUNT} test examples"],
            default="this example",
            key="cut-on",
            disabled=not own,
        )
        by = one_of("In order of", ["damage", "number"], default="damage", key="cut-sort")
    found = here if on == "this example" or not own else _over_test(model, asked, width)
    if on == "this example" and (found is None or st.session_state.get("cut-here")):
        st.toggle(f"Take each of the {width:,} {word} away once, for this example", key="cut-here", bind="query-params")
    if found is None:
        return
    gone = {unit for cut in cuts if cut.layer == asked.layer and cut.of == "unit" for unit in cut.units or range(width)}
    what = "squared change" if isinstance(model, Denoiser) and on == "this example" else "rise of the loss"
    key = f"surgery-singles-{asked.layer}"
    draw(
        charts.singles, found.rise, gone, by == "damage", what, word[:-1], key=key,
        says=f"The rise of the loss without each unit, most without {int(found.rise.argmax())}",
        on_select=lambda: _clicked(key, asked.layer, cuts), selection_mode=["unit"],
    )  # fmt: skip
    told = (
        f"The {charts.BARS} {'most damaging' if by == 'damage' else 'first'} of them. " if width > charts.BARS else ""
    )
    against = "its own intact answer" if on == "this example" else "the truth"
    masked = "15 % of the words are masked. " if model.card.task == "fill-mask" else ""
    st.caption(f"{told}Against {against}. {masked}Below zero the network does better without it. Click a bar to take "
               f"that {word[:-1]} away too.")  # fmt: skip


def _clicked(key: str, layer: str, cuts: Sequence[Cut]) -> None:
    """Take the unit of a clicked bar away."""
    picked = (st.session_state.get(key) or {}).get("selection", {}).get("unit") or []
    if picked:
        _added(cuts, Cut(layer, (int(picked[0]["unit"]),)))


def _over_test(model: Model, asked: Asked, width: int) -> Singles | None:
    """Each unit's worth over test examples: worked out here where that is quick, else as the search found it."""
    share = share_of(model, asked.given)
    price = _seconds_each(model, share) * search.COUNT * width
    job = _search(model, asked)
    if job is not None and price > settings().limits.unasked:
        return Singles(job.layer, job.singles, float(job.loss[0]), job.chosen_by, job.seconds)
    if price > settings().limits.unasked:
        st.caption(f"That is up to {price:.0f} s of work. The search below does it in the background, and ranks all of "
                   "them.")  # fmt: skip
        return None
    return worked_out(
        ("surgery-singles", asked.ref, asked.layer, share),
        lambda on_step: singles(model, asked.layer, count=search.COUNT, share=share, on_step=on_step),
        "Each unit, taken away alone …",
    )


def _scores(model: Model, cuts: tuple[Cut, ...], count: int, share: float):
    return worked_out(
        _scores_key(model, cuts, count, share), lambda on_step: scores(model, cuts, count, share, on_step),
        "Asking about test examples …",
    )  # fmt: skip


def _scores_key(model: Model, cuts: tuple[Cut, ...], count: int, share: float) -> Hashable:
    return "surgery-scores", model.card.ref, cuts, count, share


def _seconds_each(model: Model, share: float) -> float:
    """Seconds that one test example takes, as measured."""
    found = _scores(model, (), 50, share)
    return found.seconds / len(found.loss)


def _damage(model: Model, asked: Asked, cuts: tuple[Cut, ...]) -> None:
    """What it costs over test examples, and which answers change."""
    st.markdown("**Over test examples**")
    own = dataset(model)
    if own is None:
        st.info("What it costs over many examples is not known: this network's own test data are not here.")
        return
    if any(cut.source.startswith(TEXT) for cut in cuts):
        st.info("A patch from one text means nothing over many: they have other numbers of tokens.")
        return
    most = min(1000, len(own))
    count = st.select_slider("Test examples", sorted({min(one, most) for one in (50, 100, 200, 500, 1000)}),
                             min(SAMPLE, most), key="cut-n", bind="query-params")  # fmt: skip
    share = share_of(model, asked.given)
    price = _seconds_each(model, share) * count * 2
    there = all(ANSWERS.holds(_scores_key(model, some, count, share)) for some in ((), cuts))
    if price > settings().limits.unasked:  # the toggle stays where it is, for the next intervention
        wanted = st.toggle(f"Measure it: about {price:.0f} s", key="cut-measure", bind="query-params")
        if not (wanted or there):
            return
    found = joined(model, cuts, _scores(model, (), count, share), _scores(model, cuts, count, share))
    unit = "" if isinstance(model, Denoiser) else " nats"
    with st.container(horizontal=True):
        st.metric("Loss", f"{found.after.loss.mean():.3g}", f"{found.rise:+.3g}{unit}", delta_color="inverse")
        if np.isfinite(found.after.accuracy):
            points = 100 * (found.after.accuracy - found.before.accuracy)
            st.metric("Accuracy", f"{found.after.accuracy:.1%}", f"{points:+.1f} points")
            st.metric("Answers that change", f"{len(found.changed):,}")
    texts = " Of texts, 15 % of the words are masked, always the same." if model.card.task == "fill-mask" else ""
    graded = f"accuracy {found.before.accuracy:.1%} before, " if np.isfinite(found.before.accuracy) else ""
    st.caption(
        f"The first {count} test examples: loss {found.before.loss.mean():.3g} before, {graded}"
        f"rise {found.rise:+.3g} ± {found.margin:.2g} (95 % interval over examples).{texts}"
    )
    if isinstance(model, TextModel):
        _changed_texts(model, found, own)
    elif isinstance(model, Denoiser):
        _worst(found, own)
    else:
        _changed(model, found, own)


def _changed(model: Model, found: Damage, own) -> None:
    """Test examples whose answer has changed, from → to; a click opens one."""
    rows = found.changed[:, 0]
    if not len(rows):
        st.caption("No answer changes.")
        return
    more = f" The first {SHOWN} of {len(rows)}." if len(rows) > SHOWN else ""
    st.markdown(f"**Changed answers**, intact → operated.{more} The number opens it.")
    labels = model.labels
    with st.container(horizontal=True, gap="small"):
        for row in rows[:SHOWN]:
            was, now, truth = (labels[int(one[row])] for one in (found.before.said, found.after.said, found.truth))
            told = f"{was} → {now}"
            with st.container(width=THUMB + 24, gap=None):
                if own.x.ndim == 4:
                    st.image(enlarge(own.x[row], THUMB), width=THUMB, output_format="PNG", alt=told)
                better = now == truth
                st.caption(f"{':green' if better else ':orange'}[{plain(told)}]")
                _opener(int(row), f"Truly {plain(truth)}")


def _opener(row: int, help: str) -> None:
    if st.button(str(row), key=f"cut-open-{row}", help=help, type="tertiary", icon=":material/open_in_new:",
                 on_click=_open, args=(row,)):  # fmt: skip
        st.rerun(scope="app")  # the example is chosen outside this fragment


def _open(row: int) -> None:
    st.session_state["example"] = row


def _worst(found: Damage, own) -> None:
    """The test examples that suffer most."""
    change = found.after.loss - found.before.loss
    rows = np.argsort(-change, kind="stable")[:SHOWN]
    st.markdown("**Examples that suffer most**, by the rise of their loss. The number opens one.")
    with st.container(horizontal=True, gap="small"):
        for row in rows:
            with st.container(width=THUMB + 24, gap=None):
                if own.x.ndim == 4:
                    st.image(enlarge(own.x[row], THUMB), width=THUMB, output_format="PNG", alt=f"Example {row}")
                st.caption(f"{change[row]:+.3g}")
                _opener(int(row), "Open it as the example")


def _changed_texts(model: TextModel, found: Damage, own) -> None:
    """Places in test texts where another token is now the likeliest; a click opens the text."""
    pairs = found.changed
    if not len(pairs):
        st.caption("No answer changes.")
        return
    worst = found.after.loss - found.before.loss
    rows = sorted({int(row) for row, _ in pairs}, key=lambda row: -worst[row])[:TEXTS]
    st.markdown(f"**Changed answers**, {len(pairs):,} in all; the texts that suffer most. Click one to open it.")
    for row in rows:
        places = [int(place) for one, place in pairs if one == row]
        told = []
        for place in places[:3]:
            was, now, truth = (
                model.token(int(one[row, place])) for one in (found.before.said, found.after.said, found.truth)
            )
            told.append(f"{plain(was)} → **{plain(now)}** (truly {plain(truth)})")
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        with st.container(gap=None):
            text = own.texts[row]
            short = text if len(text) <= LONG else f"{text[:LONG]}…"
            pressed = st.button(plain(short), key=f"cut-open-{row}", type="tertiary", on_click=_open_text, args=(text,))
            st.caption(f"{worst[row]:+.3f} nats: {' · '.join(told)}{more}")
        if pressed:
            st.rerun(scope="app")


def _open_text(text: str) -> None:
    st.session_state["text"] = text
    st.session_state["text_b"] = ""


def _greedy(model: Model, asked: Asked, output: np.ndarray, cuts: Sequence[Cut]) -> None:
    """The most damaging units, one after the other, as a job."""
    word = _kinds(output)
    width = output.shape[axis_of(output)]
    st.markdown(f"**The most damaging {word} together**: each step takes the one that hurts most without those before")
    own = dataset(model)
    if own is None:
        st.caption("That needs this network's own test data, which are not here.")
        return
    most = min(search.MOST_COUNT, len(own) // 2)
    counts = sorted({min(one, most) for one in (16, 32, 64, 128, 256)})
    left, middle, right = st.columns([1, 1, 1], vertical_alignment="bottom")
    steps = left.slider("Steps", 2, search.MOST_STEPS, search.STEPS, key="cut-steps", bind="query-params")
    count = middle.select_slider("Chosen by so many examples", counts, min(search.COUNT, most), key="cut-by",
                                 bind="query-params")  # fmt: skip
    share = share_of(model, asked.given)
    passes = search.passes(width, steps)
    price = _seconds_each(model, share) * count * passes
    with right, guard():
        if st.button("Search", icon=":material/troubleshoot:", type="primary", key="cut-search", width="stretch"):
            wanted = Search(model.card.ref, asked.layer, steps, count, share=share)
            begin("cut-greedy", lambda: search.start(wanted, person()))
    screened = (
        f" Of the {width} {word}, the {search.KEPT} that hurt most alone are tried at each step." if width >
        search.SCREEN else ""
    )  # fmt: skip
    st.caption(f"{passes:,} passes of {count} examples, up to {max(1, round(price)):,} s, in the background.{screened} "
               f"As many other test examples measure what is lost, in {search.SEEDS} random orders too.")  # fmt: skip
    id = remembered("cut-greedy")
    if not id:
        return
    job = job_of(id)
    if job and not job.over:
        watch(id, "surgery")
        return
    wanted, found = search.asked_of(id), search.found_of(id)
    if (wanted.ref, wanted.layer) != (model.card.ref, asked.layer):
        st.caption(f"`{wanted.layer}` of {plain(wanted.ref)} was searched; this layer has not been yet.")
    elif found is None:
        st.warning(plain(broke_off(job)))
    else:
        _found(found, asked.layer, word)


def _found(found: Greedy, layer: str, word: str) -> None:
    draw(charts.falling, found, word, key="surgery-greedy", says="What is lost as units go, and in random orders")
    order = " → ".join(f"{unit} ({rise:+.3f})" for unit, rise in zip(found.units, found.rise, strict=True))
    st.caption(
        f"{word.capitalize()}, with the rise of the loss so far over the {found.chosen_by} examples that chose them: "
        f"{plain(order)}. The chart is measured on {found.count} others; the band spans all random orders."
    )
    st.button(f"Take these {len(found.units)} away", icon=":material/content_cut:", key="cut-take", on_click=_put,
              args=([Cut(layer, tuple(sorted(int(unit) for unit in found.units)))],))  # fmt: skip


def _search(model: Model, asked: Asked) -> Greedy | None:
    """What a search of this layer found, where the link names one."""
    id = remembered("cut-greedy")
    if not id:
        return None
    try:
        wanted = search.asked_of(id)
    except ExplorerError:  # told where the search stands
        return None
    return search.found_of(id) if (wanted.ref, wanted.layer) == (model.card.ref, asked.layer) else None
