"""The pages there are, and how a page refuses."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from explorer.errors import ExplorerError
from explorer.memory import give_back, out_of_memory
from explorer.store import ANSWERS
from explorer.ui.price import AskFirst

TOO_LITTLE = ExplorerError(
    "This page", "there was not enough memory for it", "Choose fewer examples, or a smaller network or picture"
)
INSIDE = "inside-app"  # in the session: app.py is running
MAIN = "[kind=primary]"  # the button that a page is about
ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Page:
    """One page, as the navigation and the cards of Home show it."""

    path: str  # from the folder of app.py
    title: str
    icon: str
    summary: str = ""  # one line
    picture: str = ""  # a file in ui/assets, made from real results by `python -m explorer.ui.assets`
    shows: str = ""  # what the picture shows, for those who can't see it


PAGES = (
    Page("pages/home.py", "Home", ":material/home:"),
    Page(
        "pages/training.py",
        "Training",
        ":material/show_chart:",
        "Train a network on real digits and watch every step of it.",
        "training.svg",
        "The loss of a LeNet falls from 2.3 towards zero while its accuracy on unseen digits climbs",
    ),
    Page(
        "pages/attribution.py",
        "Saliency",
        ":material/flare:",
        "See what speaks for an answer, by eighteen methods, each with the measure of its trust.",
        "attribution.svg",
        "One scene as five methods explain it, each with the share of its evidence that lies on the object",
    ),
    Page(
        "pages/attention.py",
        "Attention",
        ":material/hub:",
        "See who looks at whom in every head, what each head does, and whether it matters.",
        "attention.svg",
        "The heads of a small language model, each in the colour of what it does",
    ),
    Page(
        "pages/activations.py",
        "Activations",
        ":material/layers:",
        "Look inside every layer, see what its units want, and compare any two networks.",
        "activations.svg",
        "What the layers of a small network see in one scene, from edges to objects",
    ),
    Page(
        "pages/diffusion.py",
        "Diffusion",
        ":material/blur_on:",
        "Step from noise to a picture, see what the network believes, and take another turn.",
        "diffusion.svg",
        "A red ring left of a blue star comes out of noise in eight steps",
    ),
    Page(
        "pages/models.py",
        "Models",
        ":material/deployed_code:",
        "Open a trained network, give it a picture, read its answer.",
        "models.svg",
        "Ten scenes, each with the shape that a network names and how sure it is; one of them is wrong",
    ),
    Page("pages/server.py", "This server", ":material/dns:"),
)
CARDS = tuple(page for page in PAGES if page.picture)  # what Home shows


def inside_app() -> None:
    """Make sure that app.py runs around this page; every page but Home calls it first.

    Streamlit looks for a folder `pages` before any script has run: asked for a page's own address first of all, a new
    server runs the page alone. Calling st.navigation ends that for good, and the page runs again, inside app.py.
    """
    if st.session_state.pop(INSIDE, False):
        return
    st.set_page_config(page_icon=str(ASSETS / "icon.svg"))  # else the browser looks for the page's icon on the web
    navigation()
    st.rerun()


def navigation():
    """The page that was asked for, under a bar with all of them."""
    pages = [st.Page(page.path, title=page.title, icon=page.icon, default=page is PAGES[0]) for page in PAGES]
    return st.navigation(pages, position="top")


def look() -> None:
    """What the theme can't say: in the dark, the letters of a main button are dark."""
    if st.context.theme.type == "dark":
        st.html(f"<style>{MAIN} p, {MAIN} span {{ color: {st.get_option('theme.light.textColor')}; }}</style>")


@contextmanager
def guard() -> Iterator[None]:
    """Show an ExplorerError, or a lack of memory, as its sentence; what was drawn before it, or asks first, stays.

    Also a decorator, `@guard()`, for the body of a fragment, which runs again without its page.
    """
    try:
        yield
    except ExplorerError as error:
        refuse(error)
    except AskFirst:
        pass  # its button is there
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        refuse(TOO_LITTLE)
        error.__traceback__ = None  # its frames hold what filled the memory
        ANSWERS.clear()
        give_back()


def refuse(error: ExplorerError) -> None:
    """What was asked, what is wrong with it, what to do: one box."""
    st.error(f"**{plain(error.asked)}:** {plain(error.wrong)}. {plain(error.do)}.", icon=":material/error:")


def plain(text: str) -> str:
    """`text` as Markdown that shows just these characters, whoever wrote them."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])", r"\\\1", text)
