"""Change it: hide a token or write another word, and compare A with B, head by head."""

import numpy as np
import streamlit as st

from explorer import zoo
from explorer.attention import AttentionPatterns, Comparison, Predictions, change, mask_token
from explorer.charts import attention as charts
from explorer.ui import pins
from explorer.ui.attention.chosen import FIRST, clicked, head_picker, selected
from explorer.ui.attention.predicted import TOP, distinct
from explorer.ui.attention.question import KNOWN, LETTERS, MOST, Asked, lost, patterns_of
from explorer.ui.attention_views import Selection, attention_views
from explorer.ui.attribution.question import example_of
from explorer.ui.draw import draw
from explorer.ui.kept import kept
from explorer.ui.links import refused
from explorer.ui.page import guard, plain
from explorer.ui.pickers import agreed, follow, linked, new_link, segments, to_link
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

HIDE, ANOTHER, PINNED = "Hide tokens", "Another text", "Beside the pinned A"


@st.fragment
@guard()
def changed(model: Model, asked: Asked) -> None:
    """A as it is on the left, B as it is changed here, or the pinned A beside what is on the left; on one scale."""
    found = patterns_of(model, asked)
    if found.parts[0].detail is None:
        st.info("The heads of this network can be seen, but not reached, so nothing can be changed in it.")
        return
    pin = pins.pinned()
    ways = [*([ANOTHER] if asked.text else []), HIDE, *([PINNED] if pin else [])]
    way = segments("B is", ways, "change") if len(ways) > 1 else HIDE
    if way == PINNED:
        compared = _beside(pin, model, asked)
    else:
        compared = _hide(model, asked, found) if way == HIDE else _another(model, asked)
    if compared is None:
        return
    chosen = head_picker(found, selected(found))
    _answers(compared)
    st.markdown("**How differently each head works**: ‖what it gives out in B − in A‖ ÷ ‖in A‖")
    for part, values in compared.changes.items():
        if len(compared.changes) > 1:
            st.markdown(f"*{part}*")
        at = (chosen.layer, chosen.heads[0]) if part == chosen.part else None
        event = draw(
            charts.heads, values, "change", sign=False, chosen=at, key=f"change-{part}",
            says="How differently each head works", on_select="rerun", selection_mode=["head"],
        )  # fmt: skip
        clicked(event, found, chosen, part)
    attention_views(
        compared.a, f"changed-{chosen.part}-{chosen.layer}-{chosen.heads}",
        Selection("matrix", chosen.part, chosen.layer, chosen.heads), compare=compared.b,
    )  # fmt: skip


def _hide(model: Model, asked: Asked, found: AttentionPatterns) -> Comparison | None:
    """Tokens that no other token can see, counted from 1 in the link."""
    names = [f"{place + 1} · {token}" for place, token in enumerate(found.tokens)]
    state, usual = st.session_state, str(_most_seen(found) + FIRST)
    if state.get("hidden-of") not in (None, asked.key) and st.query_params.get("hidden") == state.get("hidden-seen"):
        state["hidden"] = usual  # tokens of another text
    state["hidden-of"], said = asked.key, follow("hidden", usual)
    if "hidden-tokens" not in state or said != state.get("hidden-said"):
        told = [int(one) - FIRST for one in said.split(",") if one.isdecimal() and len(one) < 7]
        state["hidden-tokens"] = [place for place in told if 0 <= place < len(names)]
        if said and not state["hidden-tokens"]:
            state["hidden-tokens"] = [int(usual) - FIRST]
            if new_link("hidden"):
                refused("Hidden tokens", "hidden", said, usual)
    picked = st.multiselect("Tokens that no other may see", range(len(names)), key="hidden-tokens",
                            format_func=names.__getitem__, placeholder="Choose at least one")  # fmt: skip
    state["hidden"] = state["hidden-said"] = ",".join(str(place + FIRST) for place in picked)
    to_link("hidden", state["hidden"], usual)
    if not picked:
        st.info("Choose tokens to hide. What the network then predicts, and which heads notice, is shown here.")
        return None
    return _hidden(model, asked, tuple(picked))


def _most_seen(found: AttentionPatterns) -> int:
    """The token that the others look at most, the first one left out, where heads rest."""
    weights = found.weights.mean((0, 1)) * (1 - np.eye(len(found.tokens)))  # (T, T)
    return int(weights.sum(0)[1:].argmax()) + 1 if len(found.tokens) > 1 else 0


def _another(model: Model, asked: Asked) -> Comparison | None:
    """The same text with another word."""
    state, proposed = st.session_state, _variant(model, asked.text)
    linked("other", proposed)
    if not state["other"].strip() or state["other"] == state.get("other-proposed"):  # of the A before, untouched
        state["other"] = proposed
    state["other-proposed"] = proposed
    other = st.text_area("B", key="other", height=110, max_chars=MOST, persist_state="session",
                         help="Change a word of A and see which heads notice.")  # fmt: skip
    to_link("other", other if len(other) <= LETTERS else proposed, proposed)
    st.caption(" ".join(lost(model.encode(other if other.strip() else proposed))))
    if other.strip() == asked.text.strip():
        st.info("B is the same as A. Change a word of it.", icon=":material/edit:")
        return None
    return _changed(model, asked, other)


def _beside(pin: pins.Pin, model: Model, asked: Asked) -> Comparison | None:
    """The pinned network and its input beside those on the left; what of them does not fit is as on the left."""
    agreed(pin.ref)
    loaded = zoo.load(pin.ref)
    reads = loaded.card.attends and isinstance(loaded, TextModel) == isinstance(model, TextModel)
    a = Asked(loaded.card.ref if reads else asked.ref, asked.key, asked.given, asked.second)
    if asked.text and pin.text:
        a = Asked(a.ref, pin.text, pin.text, asked.second)
    elif not asked.text and (example := example_of(loaded, pin)):
        a = Asked(a.ref, example.key, example.pixels)
    if (a.ref, a.key) == (asked.ref, asked.key):
        st.info("What of the pinned A can be read here is what stands on the left: change anything there.",
                icon=":material/equal:")  # fmt: skip
        return None
    return _two(loaded if reads else model, a, model, asked)


def _variant(model: Model, text: str) -> str:
    """The text with another word, where the network's grammar has one: a plural for the first singular noun."""
    from explorer.data.story import FIRST, NOUNS

    pairs = {one: many for nouns in NOUNS.values() for one, many in nouns}
    pairs |= {many: one for one, many in pairs.items()}
    pairs |= dict(zip(FIRST["she"], FIRST["he"], strict=True)) | dict(zip(FIRST["he"], FIRST["she"], strict=True))
    words = text.split()
    place = next((place for place, word in enumerate(words) if word in pairs), None)
    if place is None:
        return text
    return " ".join([*words[:place], pairs[words[place]], *words[place + 1 :]])


def _answers(compared: Comparison) -> None:
    """What is predicted in A and in B, where both have a last place."""
    before, after = compared.before, compared.after
    if before is None or after is None or not before.positions or not after.positions:
        return
    place = _most_changed(before, after)
    words = before.top[place][:TOP]
    later = dict(zip(after.top[place], after.probabilities[place], strict=True))
    st.markdown(f"**What it predicts** {'after' if before.kind != 'masked' else 'at'} "
                f"{plain(before.tokens[before.positions[place]]) if before.tokens else 'the picture'}")  # fmt: skip
    new = [word for word in after.top[place][:3] if word not in words]
    shown = [*words, *new]
    earlier = dict(zip(before.top[place], before.probabilities[place], strict=True))
    draw(
        charts.likely,
        distinct(shown),
        [float(earlier[word]) for word in shown],
        [float(later[word]) for word in shown],
        ("A", "B"),
        key="changed-answers",
        says="The likeliest answers in A and in B",
    )


def _most_changed(before: Predictions, after: Predictions) -> int:
    """The place where the likeliest answer of A lost most, among those that both have."""
    both = min(len(before.positions), len(after.positions))

    def lost(place: int) -> float:
        later = dict(zip(after.top[place], after.probabilities[place], strict=True))
        return float(before.probabilities[place][0] - later[before.top[place][0]])

    return max(range(both), key=lost)


@kept(known=KNOWN)
def _hidden(_model: Model, asked: Asked, positions: tuple[int, ...]) -> Comparison:
    return mask_token(_model, asked.given, positions, asked.second)


@kept(known=KNOWN)
def _two(_other: Model, a: Asked, _model: Model, b: Asked) -> Comparison:
    return change(_other, a.given, b.given, a.second, b.second, ref_b=_model)


@kept(known=KNOWN)
def _changed(_model: Model, asked: Asked, other: str) -> Comparison:
    return change(_model, asked.text, other, asked.second)
