"""Attention from scratch: the code with every number of an example, positions as pictures, the cost measured."""

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
import streamlit as st
import torch

from explorer.attention import cost, positions, scratch
from explorer.charts import attention_lessons as charts
from explorer.errors import ExplorerError
from explorer.params import Choice, Number, Slider
from explorer.settings import settings
from explorer.source import source_of
from explorer.ui.controls import controls
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.page import guard, plain
from explorer.ui.row import one_of

WORDS = ("the", "cat", "sat", "on", "a", "mat")
CLEAN = 0.95  # R² of a fit below which something else was going on
MASKS = ("none", "causal", "padding", "both")
PIECES = {
    "One head": (scratch.scaled_dot_product,),
    "Several heads": (scratch.MultiHead,),
    "Masks": (scratch.causal_mask, scratch.padding_mask),
}
SEE = {
    "sinusoidal": "Fast waves on the left, slow ones on the right, like the digits of a counter: every row is "
    "different, and neighbours differ little. The dot product of two rows depends on their distance alone.",
    "learned": "What the shipped vision transformer has learned for its class token and its 8 × 8 patches. Nobody told "
    "it that the patches form a grid: the cosine comes back up every 8 tokens, one row of patches further down.",
    "rotary": "Nothing is added. Queries and keys are turned, each pair of dimensions at its own speed, and their dot "
    "product depends on how far apart they are, on nothing else: it falls from 1 as the fast pairs get out of step.",
    "relative": "Each cell is the number of the learned bias that its score gets. Small distances have one each, "
    "larger ones share, in ever wider steps: T5 can tell 3 from 4 apart, but not 100 from 110.",
    "alibi": "Nothing is learned and nothing turns: a score loses a fixed amount for every token in between. Each head "
    "loses at its own rate: the first is short-sighted, the last one sees far.",
}
CODE = {
    "sinusoidal": (positions.frequencies, positions.angles, positions.sinusoidal),
    "learned": (positions.Learned,),
    "rotary": (positions.frequencies, positions.angles, positions.rotary),
    "relative": (positions.relative_bucket,),
    "alibi": (positions.alibi,),
}
VALID = {
    "sinusoidal": ("tokens", "width", "base"),
    "learned": (),
    "rotary": ("tokens", "width", "base"),
    "relative": ("tokens",),
    "alibi": ("tokens", "heads"),
}


def from_scratch() -> None:
    """The three lessons, one below the other; a control runs its own lesson again and no other."""
    _code()
    _positions()
    _cost()


def example(
    tokens: Annotated[int, Slider(2, 6, help="Words of the example.")] = 4,
    width: Annotated[int, Slider(2, 4, label="Numbers a word", help="The d of the formula.")] = 3,
    mask: Annotated[str, Choice(MASKS, help="Causal hides later words; padding hides the last one.")] = "none",
    heads: Annotated[int, Choice((1, 2, 4), help="Each looks in its own way.")] = 2,
    seed: Annotated[int, Number(0, 999, help="Draws other random numbers.")] = 0,
) -> tuple[torch.Generator, torch.Tensor]:
    """The random numbers of an example, and who may look at whom, (tokens, tokens)."""
    return torch.Generator().manual_seed(seed), allowed(tokens, mask)


def allowed(tokens: int, mask: str) -> torch.Tensor:
    """(tokens, tokens) bool: who may look at whom under one of MASKS; padding is the last token."""
    seen = torch.ones(tokens, tokens, dtype=torch.bool)
    if mask in ("causal", "both"):
        seen &= scratch.causal_mask(tokens)
    if mask in ("padding", "both"):
        seen &= scratch.padding_mask(torch.tensor([tokens - 1]), tokens)[0, 0]
    return seen


def numbers(text: str, rows: int, columns: int, name: str) -> torch.Tensor:
    """What a person wrote, such as `1 0; 0 1`: rows apart by semicolons, numbers by spaces or commas."""
    words = [row.replace(",", " ").split() for row in text.strip(" ;").split(";")]
    try:
        table = [[_number(word) for word in row] for row in words]
    except ValueError as error:
        raise ExplorerError(f"Your {name}", str(error), "Write numbers like 1 0 0; 0 0.5 0") from error
    sizes = {len(row) for row in table}
    if len(table) != rows or sizes != {columns}:
        found = f"{len(table)} row{'s' * (len(table) != 1)} of {' or '.join(map(str, sorted(sizes)))}"
        raise ExplorerError(f"Your {name}", f"it has {found} numbers", f"Write {rows} rows of {columns} numbers each")
    if not all(math.isfinite(number) and abs(number) <= 100 for row in table for number in row):
        raise ExplorerError(f"Your {name}", "a number is beyond 100 or not a number at all", "Write smaller ones")
    return torch.tensor(table)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word!r} is no number") from None


@st.fragment
@guard()
def _code() -> None:
    st.subheader("The code, with every number", anchor=False)
    piece = one_of("Piece", list(PIECES), default="One head", key="scratch.piece", label_visibility="collapsed")
    st.code(_source(PIECES[piece]), language="python")
    {"One head": _one_head, "Several heads": _several_heads, "Masks": _masks}[piece]()


def _one_head() -> None:
    chosen = _row("tokens", "width", "mask", "seed")
    tokens, width = chosen["tokens"], chosen["width"]
    generator, mask = example(**chosen)
    drawn = [torch.randn(tokens, width, generator=generator).round(decimals=1) for _ in range(3)]
    with st.expander("Write the numbers yourself", icon=":material/edit:"):
        for index, (name, random) in enumerate(zip(("query", "key", "value"), drawn, strict=True)):
            hint = "; ".join(" ".join(f"{number + 0.0:g}" for number in row) for row in random.tolist())
            text = st.text_input(name, key=f"scratch.{name}", bind="query-params", placeholder=hint, max_chars=200)
            with guard():
                drawn[index] = numbers(text, tokens, width, name) if text else random
    found = scratch.work_out(*drawn, mask)
    words, dims = WORDS[:tokens], [f"d{i + 1}" for i in range(width)]
    top = float(max(np.abs(part).max() for part in (found.query, found.key, found.value, found.output))) or 1.0
    high = float(np.abs(found.scores).max()) or 1.0
    for row in (
        (
            ("query", "what each word asks", found.query, dims, top, None),
            ("key", "what each word answers to", found.key, dims, top, None),
            ("value", "what each word has to give", found.value, dims, top, None),
        ),
        (
            ("scores", f"query · key / √{width}, then the mask", found.scores, words, high, ~found.mask),
            ("weights", "softmax: every row sums to 1", found.weights, words, None, None),
            ("output", "weights · value", found.output, dims, top, None),
        ),
    ):
        for column, (name, about, values, across, limit, hidden) in zip(st.columns(3), row, strict=True):
            with column:
                st.markdown(f"**`{name}`**  \n:small[{plain(about)}]")
                draw(
                    charts.matrix, values, words, across, limit, hidden, key=f"scratch-{name}",
                    says=f"{name}, {len(words)} by {len(across)}: {about}",
                )  # fmt: skip
    st.caption(
        f"The same numbers through `torch.nn.functional.scaled_dot_product_attention`: the largest difference is "
        f"{found.difference:.0e}."
    )


def _several_heads() -> None:
    chosen = _row("tokens", "heads", "mask", "seed")
    tokens, heads = chosen["tokens"], chosen["heads"]
    generator, mask = example(**chosen)
    theirs = torch.nn.MultiheadAttention(8, heads, batch_first=True, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.6, generator=generator)
        x = torch.randn(1, tokens, 8, generator=generator)  # (1, T, 8)
        output, weights = scratch.from_torch(theirs)(x, mask=mask)
        other, _ = theirs(x, x, x, attn_mask=~mask)
    words = WORDS[:tokens]
    for first in range(0, heads, 2):
        for column, head in zip(st.columns(2), range(first, min(first + 2, heads)), strict=False):
            with column:
                st.markdown(f"**Head {head + 1}**  \n:small[its weights: {8 // heads} of the 8 numbers a word]")
                values = weights[0, head].numpy()
                draw(
                    charts.matrix,
                    values,
                    words,
                    words,
                    key=f"scratch-head-{head}",
                    says=f"The weights of head {head + 1}",
                )
    st.caption(
        f"Same words, same mask, {heads} way{'s' * (heads > 1)} to look. The same weights in "
        f"`torch.nn.MultiheadAttention`: the largest difference of the outputs is "
        f"{float((output - other).abs().max()):.0e}."
    )


def _masks() -> None:
    chosen = _row("tokens")
    words = WORDS[: chosen["tokens"]]
    for column, kind in zip(st.columns(3), MASKS[1:], strict=True):
        with column:
            about = {"causal": "no later word", "padding": "not the last word", "both": "causal & padding"}[kind]
            st.markdown(f"**{kind.capitalize()}**  \n:small[{about}]")
            seen = allowed(len(words), kind).float().numpy()
            draw(
                charts.matrix,
                seen,
                words,
                words,
                key=f"scratch-mask-{kind}",
                says=f"The {kind} mask: 1 where a word may look",
            )
    st.caption(
        "A row for each word that looks, a column for each it may look at: 1 is yes. A word that may look at nothing "
        "gathers nothing, zeros; in `torch.nn.MultiheadAttention` its row would be NaN, which then spreads."
    )


@st.fragment
@guard()
def _positions() -> None:
    st.subheader("Where a token stands", anchor=False)
    left, right = st.columns([1, 3], gap="large")
    with left:
        kind = controls(positions.encoding, prefix="positions.", only=["kind"])["kind"]
        chosen = controls(positions.encoding, prefix="positions.", only=VALID[kind])
        st.markdown(SEE[kind])
    table = positions.trained_table() if kind == "learned" else None
    found = positions.encoding(kind, **chosen, table=table)
    with right:
        draw(charts.encoding, found, key="positions-picture", says=f"{kind} positions, a row for each token")
    below = [("What distance alone does to a score", charts.by_distance, f"{found.effect}, by tokens apart")]
    if found.pairs is not None:
        below.append(("What every two places do to it", charts.pairs, f"{found.effect}, for every two tokens"))
    if found.turns is not None:
        below.append(("How fast each pair of dimensions turns", charts.turns, "Tokens for one turn of each pair"))
    for column, (title, chart, says) in zip(st.columns(len(below), gap="medium"), below, strict=True):
        with column:
            st.markdown(f"**{title}**")
            draw(chart, found, key=f"positions-{chart.__name__}", says=says)
    with st.expander("The code", icon=":material/code:"):
        st.code(_source(CODE[kind]), language="python")


@st.fragment
@guard()
def _cost() -> None:
    st.subheader("What a longer text costs", anchor=False)
    left, right = st.columns([1, 3], gap="large")
    with left:
        chosen = controls(cost.measure, prefix="cost.")
        asked = (chosen["width"], chosen["heads"])
        if st.button("Measure it here", icon=":material/timer:", type="primary", width="stretch", key="cost-here"):
            _measure(asked)
        log = st.toggle("Logarithmic", True, key="cost.log", bind="query-params", help="n² is a line of slope 2 then.")
        here = st.session_state.get("cost-measured") == asked
        found = _measured(*asked) if here else cost.recorded()
        if (found.width, found.heads) != asked:
            st.info("Measure it to see that width and those heads here.", icon=":material/timer:")
        st.caption(_where(found, here))
    with right:
        time, space = st.columns(2, gap="medium")
        with time:
            st.markdown("**Time**  \n:small[of attention from scratch, attention fused, and a layer's linear maps]")
            draw(
                charts.seconds,
                found,
                log,
                key="cost-seconds",
                says="Measured milliseconds against tokens, and their fit",
            )
        with space:
            st.markdown("**Memory**  \n:small[of the tensors that exist at once]")
            draw(charts.space, found, log, key="cost-space", says="Megabytes against tokens")
        part, fits = st.columns(2, gap="medium")
        with part:
            st.markdown("**Which part of a layer's time grows how**")
            draw(charts.shares, found, key="cost-shares", says="Shares of the constant, linear and quadratic terms")
        with fits:
            st.markdown("**The fit, a + b · n + c · n²**")
            st.table(_fits(found))
            st.markdown(_told(found))


def _measure(asked: tuple[int, int]) -> None:
    """Measure now, whatever was measured before; a refusal is shown, and what was there stays."""
    _measured.forget(*asked)
    with guard(), st.spinner(f"Measuring for about {cost.SECONDS:g} seconds …"):
        _measured(*asked)
        st.session_state["cost-measured"] = asked


@kept()
def _measured(width: int, heads: int) -> cost.Cost:
    return cost.measure(width=width, heads=heads, device=settings().device)


def _where(found: cost.Cost, here: bool) -> str:
    """What was measured, on what machine, and why no further."""
    said = "Measured here, on" if here else "Recorded on"
    heads = f"{found.heads} head{'s' * (found.heads > 1)}"
    stopped = f" It stopped there: {plain(found.stopped)}." if found.stopped else ""
    return f"{said} {plain(found.machine)}. One text, width {found.width}, {heads}, no training.{stopped}"


def _fits(found: cost.Cost) -> pd.DataFrame:
    """The three terms of each fit, in units that can be read, and how well it fits."""
    rows = [
        (*map(_short, (one.constant, one.linear, one.quadratic)), f"{one.r2:.4f}")
        for one in (curve.fit for curve in found.curves)
    ]
    names = [charts.CALLED[curve.name] for curve in found.curves]
    return pd.DataFrame(rows, names, ["a", "b", "c", "R²"])


def _short(seconds: float) -> str:
    """Seconds in the largest unit of which there is one at least."""
    unit, name = next((unit for unit in ((1e-3, "ms"), (1e-6, "µs")) if seconds >= unit[0]), (1e-9, "ns"))
    return f"{seconds / unit:.3g} {name}"


def _told(found: cost.Cost) -> str:
    """What the fit says, in words."""
    longest = int(found.lengths[-1])
    noisy = min(curve.fit.r2 for curve in found.curves) < CLEAN
    doubt = "**The points lie far off the fit: the machine was busy, measure again.** " if noisy else ""
    crossings = [
        f"**{at:,.0f} tokens** ({words})"
        for name, words in (("attention", "from scratch"), ("fused", "fused"))
        if (at := found.crossing(name)) is not None
    ]
    quadratic = found.layer.shares(longest)[2]
    return (
        f"{doubt}At {longest:,} tokens **{quadratic:.0%}** of a layer's time is quadratic. Attention overtakes what "
        f"is linear at {' or '.join(crossings) or 'no length'}; counting multiplications says "
        f"{found.counted_crossing:,}. Writing the weights down and reading them back is what counting leaves out, and "
        "what the fused kernel spares."
    )


def _row(*names: str) -> dict:
    """Controls of the example side by side."""
    values = {}
    for column, name in zip(st.columns(len(names)), names, strict=True):
        with column:
            values |= controls(example, prefix="scratch.", only=[name])
    return values


def _source(pieces: tuple[Callable, ...]) -> str:
    return "\n\n".join(source_of(piece).rstrip() for piece in pieces)
