"""Token by token: what it would answer after each block, what it carries, which neurons fire, what grows alike."""

import html
from collections.abc import Sequence

import numpy as np
import streamlit as st

from explorer.activations.feed import kind_of
from explorer.activations.lens import Lens, lens
from explorer.activations.neurons import Firing, Survey, effect, firing, survey
from explorer.activations.tokens import Baseline, Stream, Streams, baseline, streams
from explorer.charts import activations_tokens as charts
from explorer.charts.theme import DARK, LIGHT
from explorer.errors import ExplorerError
from explorer.ui.activations.question import Asked
from explorer.ui.draw import INK, draw
from explorer.ui.page import guard, plain
from explorer.ui.pickers import choose
from explorer.ui.row import one_of
from explorer.ui.transport import transport
from explorer.ui.worked import worked_out
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

LENS, STATES, NEURONS, ALIKE = "Logit lens", "Hidden states", "Neurons", "Similarity"
SEE = "tokens-see"
STRONGEST = "strongest on this text"
TOP, CLASSES = 5, 20  # answers that are kept of each state: of a language model, and of a classifier
OFFERED = 60  # neurons in the menu; any other can be typed
AROUND = 7  # tokens that are shown on each side of where a neuron fires
FRAMED = "A frame marks where the final answer has come to stay. "
ANSWERS = {
    "next": "A cell is the **next token** that the network would expect, were this block its last.",
    "same": "A cell is the token that the network would put **in this very place**, were this block its last. It sees "
    "the token itself, so most answers are there from the start: write a mask for a word that it has to find.",
    "answer": "A cell is the **next token of its answer**, as the decoder would say it, were this block its last.",
    "class": "How likely the network would hold its likeliest **classes**, were this block its last.",
}


def tokens(model: Model, asked: Asked) -> None:
    """One of four looks at every token of the input."""
    if kind_of(model) not in ("text", "image"):
        st.info("Tokens are what language models and vision transformers read: open `zoo:story-gpt`, say.")
        return
    try:
        carried = streams_of(model, asked)
    except ExplorerError as error:
        if isinstance(model, TextModel):
            raise
        st.info(f"{plain(error.asked)}: {plain(error.wrong)}. {plain(error.do)}.")
        return
    offered = [name for name in (LENS, STATES, NEURONS, ALIKE) if fits(model, name)]
    if st.session_state.get(SEE) not in offered:
        st.session_state.pop(SEE, None)
    see = one_of("Of the tokens", offered, default=offered[0], key=SEE, label_visibility="collapsed", wrap=True)
    {LENS: _lens, STATES: _states, NEURONS: _neurons, ALIKE: _alike}[see](model, asked, carried)


def fits(model: Model, see: str) -> bool:
    """Whether a look is valid for this network: an encoder without a head answers nothing, and patches are no words."""
    if see == NEURONS:
        return isinstance(model, TextModel)
    return see != LENS or model.card.task != "feature-extraction"


def streams_of(model: Model, asked: Asked) -> Streams:
    """What every token carries."""
    return worked_out(("token streams", asked.ref, asked.key), lambda on_step: streams(model, asked.given), "Reading …")


def lens_of(model: Model, asked: Asked) -> Lens:
    """What it would answer after each block."""
    top = CLASSES if model.card.task.endswith("classification") else TOP
    key = ("token lens", asked.ref, asked.key)
    return worked_out(key, lambda on_step: lens(model, asked.given, top, on_step), "Looking through the blocks …")


@st.fragment
@guard()
def _lens(model: Model, asked: Asked, carried: Streams) -> None:
    found = lens_of(model, asked)
    st.caption(ANSWERS[found.kind])
    if found.kind == "class":
        draw(
            charts.classes,
            found,
            key="tokens-classes",
            says="The probability of the likeliest classes after each block",
        )
    else:
        _answers(found)
    ended = " → ".join(plain(name) for name in found.end) or "nothing more"
    st.caption(
        f"{FRAMED if found.kind != 'class' else ''}“start” is what the first block is given. "
        f"Every state goes through the network's own end ({ended}), so the last column is its own answer "
        f"(largest difference of a logit: {found.off:.1g}). Earlier blocks were never taught to be read that way: "
        "what a lens can't read may be there all the same."
    )
    if found.kind != "class":
        st.markdown("**Where are the answers decided?**")
        st.caption(plain(_said(found)))
        draw(charts.settled, found, key="tokens-settled", says=_said(found))
    st.caption("[The logit lens](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens), "
               "nostalgebraist 2020.")  # fmt: skip


def _answers(found: Lens) -> None:
    """The likeliest token in each place, in the colour of one measure."""
    known = not np.isnan(found.truth).all()
    measures = [name for name in charts.MEASURES if known or name not in ("truth", "rank")]
    with st.columns(2)[0]:
        measure = choose("Colour", measures, "probability", "tokens-measure", _measure)
    start, stop = _window(len(found.tokens), len(found.places) + 1)
    draw(charts.lens, found, measure, start, stop, key="tokens-lens", says=_said(found))


def _measure(name: str) -> str:
    return charts.MEASURES.get(name, name)


def _said(found: Lens) -> str:
    """Where the final answers come to stay, in a sentence."""
    counts = np.bincount(found.settled, minlength=len(found.places))
    told = [
        f"{count} {'at the start' if place == 0 else f'after block {place}'}"
        for place, count in enumerate(counts)
        if count
    ]
    return f"Of {len(found.tokens)} final answers, so many have come to stay: {', '.join(told)}."


@st.fragment
@guard()
def _states(model: Model, asked: Asked, carried: Streams) -> None:
    stream = _half(carried)
    start, stop = _window(len(stream.tokens), len(stream.places))
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**How long is each vector?**")
        draw(
            charts.lengths,
            stream,
            start,
            stop,
            key="tokens-lengths",
            says="The length of every token's vector by block",
        )
    with right:
        st.markdown("**How far does each block turn it?**")
        draw(
            charts.kept,
            stream,
            start,
            stop,
            key="tokens-kept",
            says="The cosine of every token's vector before and after a block",
        )
    st.caption("What each block gives on, before a last norm. “start” is what the first block is given.")
    token = _token(stream)
    st.markdown(f"**The vector of “{plain(stream.tokens[token])}”**")
    draw(charts.strip, stream, token, key="tokens-strip", says="The numbers of one token's vector by block")
    st.markdown("**Its largest dimensions**")
    shares = stream.shares(token)
    first = stream.largest(token)[0]
    st.caption(
        f"Dimension {first} carries up to {shares[:, first].max():.1%} of the squared length; evenly shared it would "
        f"be {1 / shares.shape[1]:.1%}. A few dimensions that outweigh all others, at every token, are known as "
        "outlier features ([Dettmers et al. 2022](https://arxiv.org/abs/2208.07339))."
    )
    draw(
        charts.largest, stream, token, key="tokens-largest", says="The dimensions that carry most of one token's vector"
    )


@st.fragment
@guard()
def _neurons(model: Model, asked: Asked, carried: Streams) -> None:
    stream = _half(carried)
    first, second, third = st.columns(3)
    with first:
        last = str(len(stream.blocks))
        block = int(choose("Block", [str(number + 1) for number in range(len(stream.blocks))], last, "tokens-block",
                           lambda number: f"Block {number}")) - 1  # fmt: skip
    key = (asked.ref, stream.part, block)
    fired = worked_out(("token neurons", *key, asked.key),
                       lambda on_step: firing(model, asked.given, block, stream.part), "Reading …")  # fmt: skip
    seen = worked_out(("token survey", *key), lambda on_step: _Held(survey(model, block, stream.part, on_step)),
                      "Reading the test texts …").value  # fmt: skip
    with second:
        orders = [STRONGEST, *(seen.parts if seen is not None else ())]
        order = choose("Order the neurons by", orders, STRONGEST, "tokens-order", _order)
    with third:
        neuron = _neuron(fired, seen, order, (*key, order))
    values = fired.values[:, neuron]
    st.markdown(f"**Neuron {neuron} on this text**")
    other = float(np.abs(seen.spread[:, neuron]).max()) if seen is not None else 0.0
    limit = max(float(np.abs(values).max()), other) or 1.0
    st.html(_coloured(fired.tokens, values, limit))
    st.caption(
        f"Orange fires, blue is negative; the scale reaches ±{limit:.2f}, its largest value here"
        f"{' or in the test texts' if other else ''}. Point at a token for its number. What a neuron fires is what "
        f"the last layer of the perceptron, `{fired.layer}`, is given."
    )
    left, right = st.columns(2, gap="large")
    with left:
        _contexts(seen, neuron)
    with right:
        _speaks(model, fired, neuron)
        if seen is not None and seen.parts:
            st.markdown("**Which parts of speech does it tell from the others?**")
            draw(
                charts.speech,
                seen,
                neuron,
                key="tokens-speech",
                says="How well this neuron tells each part of speech from others",
            )
            st.caption(
                f"Over {seen.count:,} tokens. 0.5 is chance; 1: each such token fires it more than any other; 0: less. "
                "The tick is the best of all neurons when the parts of speech are shuffled."
            )


class _Held:
    """A value that may be missing, as what is kept must know its bytes."""

    def __init__(self, value: Survey | Baseline | None) -> None:
        self.value = value
        self.nbytes = 0 if value is None else value.nbytes


def _order(name: str) -> str:
    return name if name == STRONGEST else f"most selective for: {name}"


def _neuron(fired: Firing, seen: Survey | None, order: str, where: tuple) -> int:
    """One neuron, of the first in an order or by its number; another place or order begins with its own first."""
    state = st.session_state
    if state.get("tokens-neuron-where", where) != where:
        state.pop("tokens-neuron", None)
        st.query_params.pop("tokens-neuron", None)
    state["tokens-neuron-where"] = where
    ranked = fired.strongest if order == STRONGEST else seen.selective(order)
    options = [str(number) for number in ranked[:OFFERED]]
    for typed in (st.query_params.get("tokens-neuron"), state.get("tokens-neuron")):
        if typed and typed.isdecimal() and len(typed) < 7 and int(typed) < len(ranked) and typed not in options:
            options.append(typed)

    def title(number: str) -> str:
        if not number.isdecimal() or int(number) >= len(ranked):
            return number
        if order != STRONGEST:
            return f"{number} · area {seen.areas[seen.parts.index(order), int(number)]:.2f}"
        values = fired.values[:, int(number)]
        at = int(np.abs(values).argmax())
        return f"{number} · {values[at]:.2f} at {fired.tokens[at]}"

    return int(choose("Neuron", options, options[0], "tokens-neuron", title, accept_new_options=True,
                      help=f"The first {OFFERED} of {len(ranked)} in that order, or type a number."))  # fmt: skip


def _contexts(seen: Survey | None, neuron: int) -> None:
    st.markdown("**Where it fires most in other texts**")
    if seen is None:
        st.caption("There are no test texts here that this network could read.")
        return
    rows = [
        _coloured(*_around(seen.tokens[text], place, value), seen.values[neuron, 0], value)
        for text, place, value in zip(seen.text[neuron], seen.place[neuron], seen.values[neuron], strict=True)
    ]
    st.html("".join(rows))
    low, mean, high = seen.spread[:, neuron]
    own = "" if seen.own else f", which are stories of a small grammar ({plain(seen.corpus)}) and not what it learned"
    st.caption(
        f"The {len(rows)} of {len(seen.tokens)} test texts{own}, each by its token with the largest absolute value. "
        f"Over {seen.count:,} tokens it lies between {low:.2f} and {high:.2f}, {mean:.2f} on average."
    )


def _around(words: Sequence[str], place: int, value: float) -> tuple[list[str], list[float]]:
    """The tokens around a place, and 0 for all but that one."""
    first, last = max(0, place - AROUND), min(len(words), place + AROUND + 1)
    near = [*(["…"] if first else []), *words[first:last], *(["…"] if last < len(words) else [])]
    values = [0.0] * len(near)
    values[place - first + (first > 0)] = float(value)
    return near, values


def _speaks(model: Model, fired: Firing, neuron: int) -> None:
    st.markdown("**Which words does it speak for?**")
    try:
        found = effect(model, fired.layer, neuron)
    except ExplorerError as error:
        st.caption(f"{plain(error.wrong).capitalize()}. {plain(error.do)}.")
        return
    draw(
        charts.spoken,
        found,
        key="tokens-spoken",
        says=f"Promotes {', '.join(found.promoted[:3])}; suppresses {', '.join(found.suppressed[:3])}",
    )
    st.caption(
        "Its row of weights times the unembedding ([Geva et al. 2022](https://arxiv.org/abs/2203.14680)): later "
        "blocks, the last norm and an encoder's prediction head are left out."
    )


@st.fragment
@guard()
def _alike(model: Model, asked: Asked, carried: Streams) -> None:
    stream = _half(carried)
    place = transport("After block", range(len(stream.places)), "tokens-layer", stream.places.__getitem__)
    key = ("token baseline", asked.ref, stream.part)
    other = worked_out(key, lambda on_step: _Held(baseline(model, stream.part, on_step)), "Reading the data …").value
    start, stop = _window(len(stream.tokens), len(stream.places))
    st.markdown("**How alike are the tokens here?**")
    draw(
        charts.similar,
        stream,
        place,
        start,
        stop,
        key="tokens-similar",
        says="The cosine of every two tokens at one place",
    )
    st.caption(_compared(other, place))
    left, right = st.columns(2, gap="large")
    with left:
        token = _token(stream)
        st.markdown(f"**“{plain(stream.tokens[token])}” and the others**")
        draw(
            charts.beside,
            stream,
            token,
            start,
            stop,
            key="tokens-beside",
            says="One token's cosine with all others by block",
        )
    with right:
        st.markdown("**How alike are tokens in general?**")
        draw(
            charts.by_place,
            stream,
            other,
            key="tokens-cone",
            says="The mean cosine within this example and between examples",
        )
        st.caption(
            "Vectors whose mean cosine is far above 0 fill a narrow cone, and then a high cosine alone means little "
            "([Ethayarajh 2019](https://arxiv.org/abs/1909.00512))."
        )


def _compared(other: Baseline | None, place: int) -> str:
    """What a cosine is to be compared with."""
    if other is None:
        return "There are no test examples here that would say how alike random tokens are."
    own = "" if other.own else f" ({plain(other.name)}, which it did not learn)"
    return (
        f"To compare with: two random tokens of different test examples{own} have a cosine of "
        f"**{other.cosines[place]:.2f}** here, the mean of {other.pairs:,} pairs."
    )


def _half(carried: Streams) -> Stream:
    """The decoder or the encoder, where there are both."""
    if len(carried.parts) == 1:
        return carried.parts[0]
    names = [one.part.capitalize() for one in carried.parts]
    if st.session_state.get("tokens-half") not in names:
        st.session_state.pop("tokens-half", None)
    half = one_of("Half", names, default=names[0], key="tokens-half")
    return carried[half.lower()]


def _token(stream: Stream) -> int:
    """One token of a stream."""
    options = [str(number + 1) for number in range(len(stream.tokens))]
    usual = options[len(options) // 2]

    def title(number: str) -> str:
        return f"{number} · {stream.tokens[int(number) - 1]}" if number in options else number

    return int(choose("Token", options, usual, "tokens-at", title)) - 1


def _window(count: int, columns: int) -> tuple[int, int]:
    """Which tokens are drawn: all, or as many as fit into one chart."""
    most = charts.window(columns)
    if count <= most:
        return 0, count
    if st.session_state.get("tokens-from", 1) > count - most + 1:
        st.session_state.pop("tokens-from")
    start = st.slider(f"The first of {most} tokens that are drawn, of {count}", 1, count - most + 1, 1,
                      key="tokens-from", bind="query-params")  # fmt: skip
    return start - 1, start - 1 + most


def _coloured(words: Sequence[str], values: Sequence[float], limit: float, told: float | None = None) -> str:
    """Tokens as one line of HTML, each on the colour of its value; whatever they contain, they stay text.

    told: a number that stands in front of the line.
    """
    kind = st.context.theme.type or "light"
    palette, page = (DARK, INK["light"]) if kind == "dark" else (LIGHT, INK["dark"])
    ramp, ink = palette.diverging, INK.get(kind, INK["light"])
    limit = abs(float(limit)) or 1.0
    parts = (
        [] if told is None else [f'<span style="opacity:.7;font-variant-numeric:tabular-nums">{told:.2f}</span>&ensp;']
    )
    for word, value in zip(words, values, strict=True):
        share = float(np.clip(value / limit, -1, 1))
        colour = ramp[min(len(ramp) - 1, int((share + 1) / 2 * len(ramp)))]
        ground = f"background:{colour};color:{page if abs(share) > 0.6 else ink};" if abs(share) > 0.02 else ""
        parts.append(
            f'<span title="{value:.3f}" style="{ground}padding:1px 4px;border-radius:4px">{html.escape(word)}</span>'
        )
    return f'<div style="line-height:1.9;overflow-wrap:anywhere">{" ".join(parts)}</div>'
