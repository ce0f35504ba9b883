"""What is drawn: the condition, how far it is followed, the sampler, the steps and the seed."""

import streamlit as st

from explorer.data.shapes_prompts import COLOURS, DRAWN
from explorer.diffusion import SAMPLERS
from explorer.diffusion.samplers import unfit
from explorer.diffusion.wish import Wish
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.ui.controls import controls
from explorer.ui.page import plain
from explorer.ui.pickers import choose, linked, to_link
from explorer.zoo.card import GENERATION_TASKS, Card
from explorer.zoo.denoiser import LONGEST_PROMPT, Denoiser

PROMPT = "a red ring left of a blue star"
FOREIGN = "a photograph of a red bicycle"  # for networks that have seen more than shapes
EVERY = "each in turn"
USUAL = {"text": {"guidance": 4.0}, "class": {"guidance": 2.0}, "free": {}}  # by kind of network
CLOUD = 2000  # points that are drawn at once


def draws(card: Card) -> bool:
    """A network that draws."""
    return card.task in GENERATION_TASKS


def question(model: Denoiser) -> Wish:
    """The controls of a sampling, bound to the URL."""
    points = model.x_shape == (2,)
    conditions, avoid = _prompt(model) if model.kind == "text" else _class(model)
    sampler = sampler_of(model)
    left_out = ["guidance"] * (not model.avoids or points) + ["count"] * points
    usual = USUAL[model.kind] | ({"steps": 50} if points else {})
    values = controls(Wish, exclude=left_out, defaults=usual, highest={"steps": settings().limits.steps})
    if points:
        values |= {"count": CLOUD, "guidance": 1.0}
    if conditions == (EVERY,):
        names = model.labels
        conditions = tuple(names[row % len(names)] for row in range(values.get("count", CLOUD)))
    return Wish(model.card.ref, conditions, avoid, sampler, **values)


def sampler_of(model: Denoiser, key: str = "sampler", label: str = "Sampler", default: str = "") -> str:
    """A menu of the samplers that the network can use; what can't be is told with its reason."""
    fitting = fitting_samplers(model)
    chosen = choose(label, fitting, default or fitting[0], key, lambda name: SAMPLERS[name].facts["title"])
    st.caption(SAMPLERS[chosen].summary)
    return chosen


def fitting_samplers(model: Denoiser) -> list[str]:
    """The samplers that the network can use, the usual one first; raises ExplorerError where there are none."""
    fitting = [name for name in SAMPLERS if not unfit(name, model.config)]
    if not fitting:
        raise ExplorerError(f"A sampler for {model.card.ref}", not_offered(model).rstrip("."), "Choose another network")
    return sorted(fitting, key=lambda name: name != "ddim")


def not_offered(model: Denoiser) -> str:
    """The samplers that the network can't use, each with the reason, as one line; "" where there are none."""
    reasons = {SAMPLERS[name].facts["title"]: unfit(name, model.config) for name in SAMPLERS}
    return " ".join(f"{name}: {reason}." for name, reason in reasons.items() if reason)


def _prompt(model: Denoiser) -> tuple[tuple[str, ...], str]:
    """A prompt and what it is to lead away from."""
    own = model.card.dataset == "shapes-prompts"
    prompt = prompt_box("Prompt", "prompt", PROMPT if own else FOREIGN)
    if own:
        with st.popover("Words that it knows", icon=":material/dictionary:", width="stretch"):
            st.markdown(f"**Colours** {', '.join(COLOURS)}")
            st.markdown(f"**Shapes** {', '.join(DRAWN)}")
            st.markdown("**Places** left of, right of, above, below")
            st.caption("One object, or two and how they lie: a red ring, an orange disc below a white cross.")
    avoid = prompt_box(
        "Negative prompt", "avoid", "", help="What guidance leads away from. Empty: from no words at all."
    )
    told_unknown(model, prompt, avoid)
    return (prompt,), avoid


def prompt_box(label: str, key: str, usual: str, help: str | None = None) -> str:
    """A line of words, in the link as `?key=`."""
    linked(key, usual)
    text = st.text_input(label, key=key, max_chars=LONGEST_PROMPT, help=help, persist_state="session").strip()
    to_link(key, text, usual)
    return text


def told_unknown(model: Denoiser, *prompts: str) -> None:
    """Say which words the text encoder has never seen, and that an empty prompt asks for nothing."""
    unknown = model.unknown(prompts)
    if unknown:
        words = ", ".join(f"“{plain(word)}”" for word in unknown[:8])
        many = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        st.warning(f"It has never seen {words}{many}: such a word tells it nothing.", icon=":material/help:")
    if not prompts[0]:
        st.caption("No prompt: it draws whatever it likes.")


def _class(model: Denoiser) -> tuple[tuple[str, ...], str]:
    """A class, or each in turn, and what it is to lead away from."""
    if model.kind == "free":
        st.caption("It draws whatever it likes: no condition is asked.")
        return (), ""
    points = model.x_shape == (2,)
    offered = [EVERY, *model.labels] if points else [*model.labels, EVERY]
    usual = EVERY if points else offered[min(3, len(model.labels) - 1)]
    chosen = choose("Class", offered, usual, "class", plain)
    if points or not model.avoids:
        return (chosen,), ""
    nothing = "nothing"
    others = [nothing, *(label for label in model.labels if label != chosen)]
    avoid = choose("Away from", others, nothing, "avoid-class", plain,
                   help="What guidance leads away from: no class at all, or another one.")  # fmt: skip
    return (chosen,), "" if avoid == nothing else avoid
